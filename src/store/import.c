/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.c: see import.h. skopeo runs as the caller, whose logins and trust it needs, and only
 * copies; what reads the archive and what unpacks it run as root of a user namespace, which is
 * nobody on the host.
 */
#include "import.h"

#include "ceilings.h"
#include "clock.h"
#include "err.h"
#include "fs.h"
#include "image-finish.h"
#include "image-place.h"
#include "oci.h"
#include "parse.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct import {
	const struct image_store *store;
	const struct image_work *work;
	/* What children find out, in memory that is shared with them. */
	struct import_found {
		struct image_made made;
		struct oci_image oci;
		struct image_user user;
	} * found;
};

int import_name(const char *source, const char *name, char *ret_name, struct err *err)
{
	const char *start = strrchr(source, '/');
	char part[IMAGE_NAME_MAX + 1];

	start = start ? start + 1 : source;
	if (!name) {
		snprintf(part, sizeof(part), "%.*s",
			 (int)MIN(strcspn(start, ":@"), sizeof(part) - 1), start);
		name = part;
	}
	if (parse_name(name) < 0 || strcmp(name, "host") == 0)
		return err_set(err, EINVAL, "import", "%.80s is no name of an image", name);
	snprintf(ret_name, IMAGE_NAME_MAX + 1, "%s", name);
	return 0;
}

static struct place place_of(const struct import *import)
{
	return (struct place){.userns_fd = import->store->ids->userns_fd,
			      .what = import->work->name,
			      .terminal = import->store->terminal,
			      .start_ms = clock_ms()};
}

/* As the caller: to an OCI layout in the work directory. */
static int fetch(const struct import *import, const char *source, bool plain_http, struct err *err)
{
	struct place place = place_of(import);
	char target[CEIL_PATH];
	const char *argv[] = {
		"skopeo", "copy", plain_http ? "--src-tls-verify=false" : "--src-tls-verify=true",
		source,	  target, NULL};
	int r;

	place.as_caller = true;
	if (strchr(import->work->path, ':'))
		return err_set(err, EINVAL, "import",
			       "skopeo takes no path with a ':', as %s is: use another --state DIR",
			       import->work->path);
	snprintf(target, sizeof(target), "oci:%s/oci:image", import->work->path);
	r = place_run(&place, argv, NULL, err);
	place_clear(&place);
	return r;
}

static int check_fn(void *data, struct err *err)
{
	_cleanup_close_ int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct import_found *found = data;

	return fd < 0 ? err_errno(err, errno, "import", "cannot open the image")
		      : oci_check(fd, &found->oci, err);
}

static int finish_fn(void *data, struct err *err)
{
	struct import_found *found = data;

	return image_finish(&found->user, err);
}

static bool sets_path(const char *env)
{
	return strncmp(env, "PATH=", 5) == 0 || strstr(env, "\nPATH=") != NULL;
}

static int put_head(const struct import_found *found, struct buf *head)
{
	const struct image_user *user = &found->user;
	int r = buf_printf(head, "user %s %u %s\n", user->name, user->gid, user->home);

	if (r == 0 && *found->oci.workdir)
		r = buf_printf(head, "workdir %s\n", found->oci.workdir);
	if (r == 0 && !sets_path(found->oci.env))
		r = buf_printf(head, "env PATH=%s\n", IMAGE_PATH);
	for (const char *line = found->oci.env; r == 0 && *line;) {
		size_t len = strcspn(line, "\n");

		r = buf_printf(head, "env %.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
	return r;
}

static int seal(const struct import *import, const struct place *place, struct err *err)
{
	_cleanup_buf_ struct buf head = BUF_INIT(16000);
	int r = place_inside(place, PLACE_ROOT, finish_fn, import->found, err);

	if (r == 0 && put_head(import->found, &head) < 0)
		r = err_set(err, E2BIG, "import", "the image's environment is too large");
	if (r < 0)
		return r;
	place_say(place, "listing and hashing its files");
	return manifest_make(import->work->dirfd, head.data, import->found->made.hex,
			     &import->found->made.totals, err);
}

/* In a child with the ids of images. */
static int import_fn(void *data, struct err *err)
{
	const char *argv[] = {"umoci",	  "raw", "unpack", "--image", (PLACE_OCI ":image"),
			      PLACE_ROOT, NULL};
	const struct import *import = data;
	struct place place = place_of(import);
	int r;

	umask(022);
	if (mkdirat(import->work->dirfd, "root", 0755) < 0)
		return err_errno(err, errno, "image", "cannot make %s/root", import->work->path);
	r = place_enter(&place, import->work->path, err);
	if (r == 0) {
		place_say(&place, "checking its layers");
		r = place_inside(&place, PLACE_OCI, check_fn, import->found, err);
	}
	if (r == 0) {
		place_say(&place, "unpacking its layers");
		r = place_run(&place, argv, NULL, err);
	}
	if (r == 0)
		r = seal(import, &place, err);
	place_clear(&place);
	/* The layout is not part of the image. */
	if (r == 0 && (r = fs_remove_tree(import->work->dirfd, "oci")) < 0)
		err_errno(err, -r, "image", "cannot remove %s/oci", import->work->path);
	return r;
}

static int import_in(const struct image_store *store, struct image_work *work, const char *source,
		     bool plain_http, char *ret_digest, char *ret_before, struct err *err)
{
	struct import import = {.store = store, .work = work};
	struct image_source from = {.kind = "oci", .reference = source};
	int r = image_work_clear(work, err);

	if (r < 0)
		return r;
	import.found = mmap(NULL, sizeof(*import.found), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (import.found == MAP_FAILED)
		return err_errno(err, errno, "image", "mmap");
	r = fetch(&import, source, plain_http, err);
	if (r == 0)
		r = store->ids->run(store->ids->ctx, import_fn, &import, err);
	from.digest = import.found->oci.manifest;
	if (r == 0)
		r = image_publish(work, &from, &import.found->made, ret_digest, ret_before, err);
	munmap(import.found, sizeof(*import.found));
	return r;
}

int import_image(const struct image_store *store, const char *source, bool plain_http,
		 const char *name, char *ret_digest, char *ret_before, struct err *err)
{
	struct image_work work;
	int r = place_needs("skopeo", "skopeo", err);

	if (r == 0)
		r = place_needs("umoci", "umoci", err);
	if (r == 0)
		r = image_work_begin(store, name, &work, err);
	if (r < 0)
		return r;
	r = import_in(store, &work, source, plain_http, ret_digest, ret_before, err);
	image_work_end(&work);
	return r;
}
