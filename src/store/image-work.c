/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-work.c: how images come and go (image-private.h). Whatever is half made or half removed has
 * a name that starts with a dot, and a lock that dies with its process: the next call removes what
 * nobody holds. A reader sees a whole image or none.
 */
#include "ceilings.h"
#include "clock.h"
#include "err.h"
#include "fs.h"
#include "image-private.h"
#include "io.h"
#include "jsonw.h"
#include "manifest.h"

#include <fcntl.h>
#include <sys/file.h>

struct removal {
	int images;
	const char *name;
};

static int removal_fn(void *data, struct err *err)
{
	const struct removal *removal = data;
	int r = fs_remove_tree(removal->images, removal->name);

	return r < 0 ? err_errno(err, -r, "image", "cannot remove %s", removal->name) : 0;
}

static int remove_tree(const struct image_store *store, int images, const char *name,
		       struct err *err)
{
	struct removal removal = {images, name};

	return store->ids->run(store->ids->ctx, removal_fn, &removal, err);
}

/* A locked descriptor of a directory that still has this name. -EBUSY: somebody holds it. */
static int lock_entry(int images, const char *name, int *ret_fd)
{
	_cleanup_close_ int fd =
		openat(images, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat locked, named;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstat(fd, &locked) < 0 || fstatat(images, name, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
	    locked.st_ino != named.st_ino)
		return -ESTALE;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int image_sweep(const struct image_store *store, unsigned *ret_n, struct err *err)
{
	_cleanup_close_ int images = -EBADF;
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;
	int r = image_open_dir(store->data, &images, err);

	*ret_n = 0;
	dir = r == 0 ? fs_opendir(images) : NULL;
	while (r == 0 && dir && (entry = fs_next(dir))) {
		_cleanup_close_ int lock = -EBADF;

		if ((strncmp(entry->d_name, ".new-", 5) != 0 &&
		     strncmp(entry->d_name, ".old-", 5) != 0) ||
		    lock_entry(images, entry->d_name, &lock) < 0)
			continue;
		r = remove_tree(store, images, entry->d_name, err);
		*ret_n += r == 0;
	}
	return r;
}

/* ---- making one ---- */

int image_work_begin(const struct image_store *store, const char *name, struct image_work *ret,
		     struct err *err)
{
	struct image_work work = {.store = store, .images_fd = -EBADF, .dirfd = -EBADF};
	_cleanup_close_ int images = -EBADF;
	char entry[IMAGE_NAME_MAX + 8];
	int r = image_open_dir(store->data, &images, err);

	if (r < 0)
		return r;
	snprintf(work.name, sizeof(work.name), "%s", name);
	snprintf(entry, sizeof(entry), ".new-%s", name);
	snprintf(work.path, sizeof(work.path), "%.400s/images/%s", store->data, entry);
	/* A sweep may take the empty directory away between the two. */
	for (int i = 0; i < 10; i++) {
		if (mkdirat(images, entry, 0700) < 0 && errno != EEXIST)
			return err_errno(err, errno, "image", "cannot make %s", work.path);
		r = lock_entry(images, entry, &work.dirfd);
		if (r != -ENOENT && r != -ESTALE)
			break;
	}
	if (r == -EBUSY)
		return err_set(err, EBUSY, "image",
			       "another creel is making the image %s; wait for it or end it", name);
	if (r < 0)
		return err_errno(err, -r, "image", "cannot lock %s", work.path);
	work.images_fd = TAKE_FD(images);
	*ret = work;
	return 0;
}

static int clear_fn(void *data, struct err *err)
{
	static const char *const names[] = {"root", "manifest", "stat", "image.json", "oci"};
	const struct image_work *work = data;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ELEMENTSOF(names); i++)
		r = fs_remove_tree(work->dirfd, names[i]);
	return r < 0 ? err_errno(err, -r, "image", "cannot empty %s", work->path) : 0;
}

int image_work_clear(struct image_work *work, struct err *err)
{
	return work->store->ids->run(work->store->ids->ctx, clear_fn, work, err);
}

void image_work_end(struct image_work *work)
{
	const char *entry = strrchr(work->path, '/') + 1;
	struct err ignored;

	/* What cannot be removed now is swept by the next call. */
	if (work->dirfd >= 0 && *work->name)
		(void)!remove_tree(work->store, work->images_fd, entry, &ignored);
	work->dirfd = fd_close(work->dirfd);
	work->images_fd = fd_close(work->images_fd);
}

static int write_json(struct image_work *work, const struct image_source *source,
		      const struct image_made *made, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	char date[CLOCK_TEXT];
	struct jsonw json;
	int r;

	clock_now_text(date);
	jsonw_init(&json, &text);
	jsonw_object(&json, NULL);
	jsonw_string(&json, "created", date);
	jsonw_object(&json, "source");
	jsonw_string(&json, "kind", source->kind);
	jsonw_string(&json, "reference", source->reference);
	jsonw_string(&json, "digest", source->digest);
	jsonw_string(&json, "suite", source->suite);
	jsonw_object_end(&json);
	jsonw_u64(&json, "size", made->totals.bytes);
	jsonw_u64(&json, "files", made->totals.files);
	jsonw_object_end(&json);
	r = jsonw_done(&json);
	if (r == 0)
		r = fs_replace_file(work->dirfd, "image.json", text.data, text.len, 0600);
	return r < 0 ? err_errno(err, -r, "image", "cannot write %s/image.json", work->path) : 0;
}

struct check {
	int images;
	const char *digest;
};

static int check_fn(void *data, struct err *err)
{
	const struct check *check = data;
	_cleanup_close_ int fd =
		openat(check->images, check->digest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, errno, "image", "cannot open %s", check->digest);
	return manifest_check(fd, check->digest + strlen("sha256-"), err);
}

/*
 * The same content may be there already: then only what is said about its source is new, unless it
 * is corrupted, which is why it was made again. 1: it is there and good.
 */
static int make_way(struct image_work *work, const char *digest, struct err *err)
{
	struct check check = {work->images_fd, digest};
	_cleanup_close_ int lock = -EBADF, old = -EBADF;
	char aside[IMAGE_DIGEST_SIZE + 8];
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	int r;

	if (faccessat(work->images_fd, digest, F_OK, 0) < 0)
		return 0;
	if (work->store->ids->run(work->store->ids->ctx, check_fn, &check, err) == 0) {
		old = openat(work->images_fd, digest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = old < 0 ? -errno : io_read_file(work->dirfd, "image.json", &text);
		if (r == 0)
			r = fs_replace_file(old, "image.json", text.data, text.len, 0600);
		return r < 0 ? err_errno(err, -r, "image", "cannot write %s/image.json", digest)
			     : 1;
	}
	r = lock_entry(work->images_fd, digest, &lock);
	if (r == -EBUSY)
		return err_set(err, EBUSY, "image",
			       "the corrupted image %s is in use by a run; end it first", digest);
	snprintf(aside, sizeof(aside), ".old-%s", digest);
	if (r == 0)
		r = remove_tree(work->store, work->images_fd, aside, err);
	if (r == 0 && renameat(work->images_fd, digest, work->images_fd, aside) < 0)
		r = -errno;
	if (r == 0)
		r = remove_tree(work->store, work->images_fd, aside, err);
	return r < 0 ? err_errno(err, -r, "image", "cannot replace %s", digest) : 0;
}

static int write_name(struct image_work *work, const char *digest, struct err *err)
{
	_cleanup_close_ int names =
		openat(work->images_fd, "names", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char line[IMAGE_DIGEST_SIZE + 1];
	int r;

	snprintf(line, sizeof(line), "%s\n", digest);
	r = names < 0 ? -errno : fs_replace_file(names, work->name, line, strlen(line), 0600);
	if (r == 0 && (fsync(names) < 0 || fsync(work->images_fd) < 0))
		r = -errno;
	return r < 0 ? err_errno(err, -r, "image", "cannot write the name %s", work->name) : 0;
}

int image_publish(struct image_work *work, const struct image_source *source,
		  const struct image_made *made, char *ret_digest, char *ret_before,
		  struct err *err)
{
	char digest[IMAGE_DIGEST_SIZE], before[IMAGE_DIGEST_SIZE] = "";
	const char *entry = strrchr(work->path, '/') + 1;
	int r;

	snprintf(digest, sizeof(digest), "sha256-%.64s", made->hex);
	r = write_json(work, source, made, err);
	/* A name must not outlive a power loss that the files do not. */
	if (r == 0 && syncfs(work->dirfd) < 0)
		r = err_errno(err, errno, "image", "cannot write %s", work->path);
	if (r == 0)
		r = make_way(work, digest, err);
	if (r == 0 && renameat(work->images_fd, entry, work->images_fd, digest) < 0)
		r = err_errno(err, errno, "image", "cannot put %s in its place", digest);
	if (r < 0)
		return r;
	if (r == 0)
		work->dirfd = fd_close(work->dirfd); /* it is no work any more */
	if (image_name_read(work->images_fd, work->name, before) < 0 || strcmp(before, digest) == 0)
		before[0] = '\0';
	r = write_name(work, digest, err);
	if (r == 0) {
		memcpy(ret_digest, digest, sizeof(digest));
		memcpy(ret_before, before, sizeof(before));
	}
	return r;
}

/* ---- removing ---- */

/* Moves the tree aside while nobody uses it: from then on it cannot be resolved. */
static int set_aside(int images, const char *digest, char *ret_aside, size_t size, struct err *err)
{
	_cleanup_close_ int lock = -EBADF;
	int r = lock_entry(images, digest, &lock);

	snprintf(ret_aside, size, ".old-%s", digest);
	if (r == -EBUSY)
		return err_set(err, EBUSY, "image", "image %s is in use by a run; end it first",
			       digest);
	if (r == 0 && renameat(images, digest, images, ret_aside) < 0)
		r = -errno;
	return r < 0 ? err_errno(err, -r, "image", "cannot remove %s", digest) : 0;
}

static int unlink_name(int images, const char *name, struct err *err)
{
	char path[IMAGE_NAME_MAX + 8];

	snprintf(path, sizeof(path), "names/%s", name);
	if (unlinkat(images, path, 0) < 0)
		return err_errno(err, errno, "image", "cannot remove the name %s", name);
	return 0;
}

int image_remove(const struct image_store *store, const char *name, bool *ret_tree, struct err *err)
{
	_cleanup_close_ int images = -EBADF;
	char digest[IMAGE_DIGEST_SIZE], aside[IMAGE_DIGEST_SIZE + 8];
	unsigned names;
	bool by_name = false;
	int r = image_open_dir(store->data, &images, err);

	if (r == 0)
		r = image_find(images, name, digest, &by_name, err);
	if (r < 0)
		return r;
	names = image_names_of(images, digest);
	if (!by_name && names > 0)
		return err_set(err, EINVAL, "image", "image %s has a name: remove it by that",
			       name);
	if (names <= 1) {
		r = set_aside(images, digest, aside, sizeof(aside), err);
		if (r < 0 && (err->code != ENOENT || !by_name))
			return r;
	}
	*ret_tree = names <= 1 && r == 0;
	r = by_name ? unlink_name(images, name, err) : 0;
	return r == 0 && *ret_tree ? remove_tree(store, images, aside, err) : r;
}
