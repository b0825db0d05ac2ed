/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.c: see build.h. A recipe that is from another is built in one go, out of the packages of
 * both: nothing is ever installed over a tree that others use, and the result does not depend on
 * which version of the other image happened to be here.
 */
#include "build.h"

#include "apt-sources.h"
#include "ceilings.h"
#include "clock.h"
#include "err.h"
#include "image-finish.h"
#include "image-place.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct build {
	const struct image_store *store;
	const struct image_work *work;
	const struct recipe *recipe;
	bool simulate;
	/* What the child finds out, in memory that is shared with it. */
	struct build_found {
		struct image_made made;
		char suite[64];
	} * found;
};

/* Runs in the image at the end of mmdebstrap's work, as its root. */
static const char tidy[] =
	/* Dates, inodes and orders that differ from build to build. */
	"rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/cache/ldconfig/* "
	"/var/cache/debconf/*-old\n"
	"rm -f /var/lib/dpkg/*-old /root/.bash_history /var/lib/systemd/random-seed\n"
	"find /var/log -type f -delete\n"
	"mkdir -p /var/lib/apt/lists/partial /var/cache/apt/archives/partial\n"
	/* A login for the mirror is not for what runs inside. */
	"sed -i 's#://[^@/ ]*@#://#' /etc/apt/sources.list.d/*\n";

/* Before: apt's settings and logins go in. After: the recipe's commands, then all that goes again.
 */
static const char hook_before[] =
	"set -eu\n"
	"mkdir -p \"$1/etc/apt/apt.conf.d\" \"$1/etc/apt/auth.conf.d\"\n"
	"cp " PLACE_FILES "/apt.conf \"$1/etc/apt/apt.conf.d/00creel-build\"\n"
	"for f in " PLACE_FILES "/auth/*; do\n"
	"	[ ! -e \"$f\" ] || cp \"$f\" \"$1/etc/apt/auth.conf.d/\"\n"
	"done\n";
static const char hook_after[] =
	"set -eu\n"
	"chroot \"$1\" sh -euc \"$(cat " PLACE_FILES "/run)\"\n"
	"rm -f \"$1/etc/apt/apt.conf.d/00creel-build\"\n"
	"for f in " PLACE_FILES "/auth/*; do\n"
	"	rm -f \"$1/etc/apt/auth.conf.d/${f##*/}\"\n"
	"done\n"
	"for f in " PLACE_FILES "/keys/image-*; do\n"
	"	[ ! -e \"$f\" ] || cp \"$f\" \"$1/etc/apt/trusted.gpg.d/\"\n"
	"done\n"
	"chroot \"$1\" sh -euc \"$(cat " PLACE_FILES "/tidy)\"\n";

static int write_files(const struct build *build, const struct apt_sources *sources,
		       struct err *err)
{
	int r = place_file("sources.list", sources->list.data, sources->list.len, err);

	if (r == 0)
		r = place_file("before", hook_before, strlen(hook_before), err);
	if (r == 0)
		r = place_file("after", hook_after, strlen(hook_after), err);
	if (r == 0)
		r = place_file("tidy", tidy, strlen(tidy), err);
	return r == 0 ? place_file("run", build->recipe->runs.data, build->recipe->runs.len, err)
		      : r;
}

static int bootstrap(const struct build *build, const struct place *place,
		     const struct apt_sources *sources, const char *include, struct err *err)
{
	const char *argv[] = {"mmdebstrap",
			      "--mode=unshare",
			      "--variant=apt",
			      "--format=directory",
			      ("--keyring=" PLACE_FILES "/keys"),
			      "--aptopt=APT::Install-Recommends \"false\"",
			      "--aptopt=Acquire::Languages \"none\"",
			      "--dpkgopt=force-unsafe-io",
			      "--dpkgopt=path-exclude=/usr/share/man/*",
			      "--dpkgopt=path-exclude=/usr/share/info/*",
			      "--dpkgopt=path-exclude=/usr/share/locale/*",
			      "--dpkgopt=path-exclude=/usr/share/doc/*",
			      "--dpkgopt=path-include=/usr/share/doc/*/copyright",
			      ("--setup-hook=sh " PLACE_FILES "/before \"$1\""),
			      ("--customize-hook=sh " PLACE_FILES "/after \"$1\""),
			      include,
			      sources->suite,
			      PLACE_ROOT,
			      (PLACE_FILES "/sources.list"),
			      NULL,
			      NULL,
			      NULL};
	const char **option = argv + ELEMENTSOF(argv) - 3;

	if (sources->local)
		*option++ = "--hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount";
	if (build->simulate)
		*option++ = "--simulate";
	return place_run(place, argv, NULL, err);
}

static int install(const struct build *build, const struct place *place,
		   const struct apt_sources *sources, struct err *err)
{
	_cleanup_buf_ struct buf include = BUF_INIT(RECIPE_TEXT_MAX + 64);
	int r = buf_printf(&include, "--include=%s", build->recipe->packages.data);

	if (r < 0)
		return err_errno(err, -r, "image", "the recipe's packages");
	for (char *p = include.data; (p = strchr(p, '\n'));)
		*p = p[1] ? ',' : '\0';
	return bootstrap(build, place, sources, include.data, err);
}

static int finish_fn(void *data, struct err *err)
{
	return image_finish(data, err);
}

static int put_head(const struct build *build, const struct image_user *user, struct buf *head)
{
	_cleanup_buf_ struct buf env = BUF_INIT(RECIPE_TEXT_MAX);
	char *save, *line;
	int r = buf_append(&env, build->recipe->env.data, build->recipe->env.len);

	if (r == 0)
		r = buf_printf(head, "user %s %u %s\nenv PATH=%s\n", user->name, user->gid,
			       user->home, IMAGE_PATH);
	line = r == 0 && env.len ? strtok_r(env.data, "\n", &save) : NULL;
	for (; r == 0 && line; line = strtok_r(NULL, "\n", &save))
		r = buf_printf(head, "env %s\n", line);
	return r;
}

static int seal(const struct build *build, const struct place *place, struct err *err)
{
	struct image_user *user = mmap(NULL, sizeof(*user), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	_cleanup_buf_ struct buf head = BUF_INIT(8192);
	int r;

	if (user == MAP_FAILED)
		return err_errno(err, errno, "image", "mmap");
	r = place_inside(place, PLACE_ROOT, finish_fn, user, err);
	if (r < 0)
		return r;
	r = put_head(build, user, &head);
	if (r < 0)
		return err_errno(err, -r, "image", "the recipe's environment is too large");
	place_say(place, "listing and hashing its files");
	return manifest_make(build->work->dirfd, head.data, build->found->made.hex,
			     &build->found->made.totals, err);
}

/* In a child with the ids of images. */
static int build_fn(void *data, struct err *err)
{
	const struct build *build = data;
	struct place place = {.userns_fd = build->store->ids->userns_fd,
			      .what = build->work->name,
			      .terminal = build->store->terminal,
			      .start_ms = clock_ms(),
			      .about_ms = build->recipe->time_ms};
	struct apt_sources sources = {.list = BUF_INIT(1)};
	char step[96];
	int r;

	umask(022);
	if (mkdirat(build->work->dirfd, "root", 0755) < 0)
		return err_errno(err, errno, "image", "cannot make %s/root", build->work->path);
	r = place_enter(&place, build->work->path, err);
	if (r == 0) {
		place_say(&place, "asking apt for its sources");
		r = apt_sources_find(&place, &sources, err);
	}
	if (r == 0) {
		snprintf(step, sizeof(step), "taking packages of %s", sources.suite);
		place_say(&place, step);
		r = write_files(build, &sources, err);
	}
	if (r == 0)
		r = install(build, &place, &sources, err);
	if (r == 0 && !build->simulate)
		r = seal(build, &place, err);
	if (r == 0)
		snprintf(build->found->suite, sizeof(build->found->suite), "%s", sources.suite);
	place_clear(&place);
	buf_done(&sources.list);
	return r;
}

static int build_in(const struct image_store *store, struct image_work *work,
		    const struct recipe *recipe, char *ret_digest, char *ret_before,
		    struct err *err)
{
	struct build build = {
		.store = store, .work = work, .recipe = recipe, .simulate = !ret_digest};
	struct image_source source = {
		.kind = "recipe", .reference = work->name, .digest = recipe->hash};
	int r;

	/* An earlier build of this name that was killed. */
	r = image_work_clear(work, err);
	if (r < 0)
		return r;
	build.found = mmap(NULL, sizeof(*build.found), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (build.found == MAP_FAILED)
		return err_errno(err, errno, "image", "mmap");
	r = store->ids->run(store->ids->ctx, build_fn, &build, err);
	source.suite = build.found->suite;
	if (r == 0 && ret_digest)
		r = image_publish(work, &source, &build.found->made, ret_digest, ret_before, err);
	munmap(build.found, sizeof(*build.found));
	return r;
}

int build_image(const struct image_store *store, const char *name, const struct recipe *recipe,
		char *ret_digest, char *ret_before, struct err *err)
{
	struct image_work work;
	int r = place_needs("mmdebstrap", "mmdebstrap", err);

	if (r == 0)
		r = image_work_begin(store, name, &work, err);
	if (r < 0)
		return r;
	r = build_in(store, &work, recipe, ret_digest, ret_before, err);
	image_work_end(&work);
	return r;
}

int build_try(const struct image_store *store, const char *name, const struct recipe *recipe,
	      struct err *err)
{
	return build_image(store, name, recipe, NULL, NULL, err);
}
