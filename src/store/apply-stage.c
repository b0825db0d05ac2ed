/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply-stage.c: new files lie complete in one directory of DIR's filesystem before any name of DIR
 * changes (apply.h). What is copied is content and permission bits: a file is made anew, so that no
 * setuid bit, capability or attribute of what a sandbox wrote can be on it.
 */
#include "apply-private.h"

#include "err.h"

#include <fcntl.h>
#include <sys/statvfs.h>

static bool needs_stage(const struct change *change)
{
	return (S_ISREG(change->mode) && change->kind != CHANGES_MODE) || S_ISLNK(change->mode);
}

/* What the staged files will take, hard links as often as they are named. */
int apply_room(struct apply *apply)
{
	const struct changes *changes = apply->changes;
	uint64_t needed = 0, room;
	struct statvfs fs;

	for (size_t i = 0; i < changes->n; i++) {
		_cleanup_close_ int fd = -EBADF;
		struct stat st;

		if (!apply->items[i].selected || !needs_stage(&changes->list[i]))
			continue;
		fd = changes_upper_open(changes, changes->list[i].path, O_PATH);
		if (fd >= 0 && fstat(fd, &st) == 0)
			needed += (uint64_t)st.st_blocks * 512;
	}
	if (fstatvfs(changes->dir, &fs) < 0)
		return err_errno(apply->err, errno, "apply", "%s", changes->meta.dir);
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (needed > room)
		return err_set(apply->err, ENOSPC, "apply",
			       "%s has room for %llu MiB, the changes need %llu MiB: free some, or "
			       "name a PATH",
			       changes->meta.dir, (unsigned long long)(room >> 20),
			       (unsigned long long)(needed >> 20));
	return 0;
}

/* The directory that path will be in, or the nearest above that is there. */
static int open_above(const struct changes *changes, const char *path)
{
	char up[CEIL_PATH];
	int fd;

	snprintf(up, sizeof(up), "%s", path);
	do {
		char *slash = strrchr(up, '/');

		*(slash ? slash : up) = '\0';
		fd = changes_host_open(changes, up, O_PATH | O_DIRECTORY);
	} while (fd < 0 && *up);
	return fd;
}

/*
 * An empty file in stage. It is made in the directory for which it is meant, so that it has the
 * group of a setgid directory and its default ACL.
 */
static int stage_new(struct apply *apply, const char *path, const char *number)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	_cleanup_close_ int above = open_above(apply->changes, path), fd = -EBADF;
	char temporary[sizeof(apply->changes->stage) + 8];

	if (above < 0)
		return above;
	snprintf(temporary, sizeof(temporary), "%s.new", apply->changes->stage);
	fd = openat(above, temporary, flags, 0600);
	/* Left by a killed apply. */
	if (fd < 0 && errno == EEXIST && unlinkat(above, temporary, 0) == 0)
		fd = openat(above, temporary, flags, 0600);
	if (fd < 0 || renameat(above, temporary, apply->stage, number) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/*
 * The replaced file's group stays. Where that is not allowed, the new group gets no more than
 * everybody.
 */
static mode_t stage_group(const struct apply *apply, int fd, const struct change *change)
{
	mode_t mode = change->mode & 0777;
	struct stat old, now;
	int r;

	if (!S_ISREG(change->old_mode) ||
	    changes_host_stat(apply->changes, change->path, &old) < 0 || fstat(fd, &now) < 0 ||
	    old.st_gid == now.st_gid)
		return mode;
	changes_as_own(apply->changes);
	r = fchown(fd, (uid_t)-1, old.st_gid);
	changes_as_host(apply->changes);
	return r == 0 ? mode : (mode & 0707) | (mode & 07) << 3;
}

static int stage_file(struct apply *apply, struct apply_item *item, const char *number)
{
	const struct change *change = item->change;
	_cleanup_close_ int in = -EBADF, out = -EBADF, old = -EBADF;
	struct stat st;
	int r;

	changes_contents(apply->changes, change, &old, &in);
	if (in < 0)
		return -EIO;
	out = stage_new(apply, change->path, number);
	if (out < 0)
		return out;
	r = tree_copy_bytes(in, out);
	if (r == 0 && fchmod(out, stage_group(apply, out, change)) < 0)
		r = -errno;
	if (r == 0 && fstat(out, &st) < 0)
		r = -errno;
	if (r == 0) {
		item->ino = st.st_ino;
		item->mtime_ns = changes_ns(&st.st_mtim);
	}
	return r;
}

static int stage_link(struct apply *apply, struct apply_item *item, const char *number)
{
	char old[CEIL_PATH], target[CEIL_PATH];
	struct stat st;

	changes_targets(apply->changes, item->change, old, target);
	if (symlinkat(target, apply->stage, number) < 0 ||
	    fstatat(apply->stage, number, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	item->ino = st.st_ino;
	item->mtime_ns = changes_ns(&st.st_mtim);
	return 0;
}

int apply_stage(struct apply *apply)
{
	struct changes *changes = apply->changes;
	char number[24];
	int r = 0;

	for (size_t i = 0; r == 0 && i < changes->n; i++) {
		struct apply_item *item = &apply->items[i];

		if (!item->selected || !needs_stage(item->change))
			continue;
		snprintf(number, sizeof(number), "%zu", i);
		r = S_ISLNK(item->change->mode) ? stage_link(apply, item, number)
						: stage_file(apply, item, number);
		if (r < 0)
			return err_errno(apply->err, -r, "apply",
					 "cannot copy %s into %s; nothing was changed",
					 item->change->path, changes->meta.dir);
		item->staged = true;
	}
	if (syncfs(changes->dir) < 0)
		return err_errno(apply->err, errno, "apply", "cannot sync %s; nothing was changed",
				 changes->meta.dir);
	return 0;
}
