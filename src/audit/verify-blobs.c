/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify-blobs.c: the payloads' part of verify.c: what is kept must be what its name says. That one
 * is missing is no fault: it may have been erased. Which record names it is for those to say who
 * can read records.
 */
#include "banned.h"
#include "blob.h"
#include "err.h"
#include "fs.h"
#include "verify.h"

#include <fcntl.h>
#include <sodium/utils.h>

static int hash_file(struct verify *v, int fd, char ret[AUDIT_HEX + 1])
{
	uint8_t hash[SHA_LEN];
	struct sha sha;

	sha_init(&sha);
	for (;;) {
		ssize_t n = read(fd, v->chunk, sizeof(v->chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		sha_update(&sha, v->chunk, (size_t)n);
	}
	sha_final(&sha, hash);
	sodium_bin2hex(ret, AUDIT_HEX + 1, hash, sizeof(hash));
	return 0;
}

static int check_blob(struct verify *v, int shelf, const char *shelf_name, const char *name)
{
	_cleanup_close_ int fd = -EBADF;
	char path[BLOB_PATH], hex[AUDIT_HEX + 1];
	int r;

	/* Others are what a killed writer left. */
	if (!blob_path(name, path))
		return 0;
	fd = openat(shelf, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return 0;
	r = fd < 0 ? -errno : hash_file(v, fd, hex);
	if (r < 0)
		verify_tell(v, AUDIT_NONE, path, "it cannot be read: %s", strerror(-r));
	else if (strcmp(hex, name) != 0 || strncmp(shelf_name, name, 2) != 0)
		verify_tell(v, AUDIT_NONE, path, "the payload was changed");
	else
		v->stats.blobs++;
	return 0;
}

static int check_shelf(struct verify *v, int blobs, const char *name)
{
	_cleanup_close_ int shelf = fs_open_beneath(blobs, name, O_RDONLY | O_DIRECTORY, 0);
	_cleanup_closedir_ DIR *dir = shelf < 0 ? NULL : fs_opendir(shelf);
	struct dirent *entry;
	int r = 0;

	/* A file beside the shelves: what a killed writer left. */
	if (shelf == -ENOTDIR || shelf == -ENOENT)
		return 0;
	if (!dir)
		return shelf < 0 ? shelf : -errno;
	while (r == 0 && (entry = fs_next(dir)))
		r = check_blob(v, shelf, name, entry->d_name);
	return r == 0 ? -errno : r;
}

int verify_blobs(struct verify *v, struct err *err)
{
	_cleanup_close_ int blobs = fs_open_beneath(v->dir, "blobs", O_RDONLY | O_DIRECTORY, 0);
	_cleanup_closedir_ DIR *dir = blobs < 0 ? NULL : fs_opendir(blobs);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return err_set(err, EIO, "audit", "cannot read %s/blobs: %s", v->path,
			       blobs < 0 ? strerror(-blobs) : strerror(errno));
	while (r == 0 && (entry = fs_next(dir)))
		r = check_shelf(v, blobs, entry->d_name);
	if (r == 0)
		r = -errno;
	return r < 0 ? err_errno(err, -r, "audit", "cannot read %s/blobs", v->path) : 0;
}
