/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool-trash.c: deletion in two steps that a crash may come between. First the tree is renamed into
 * .trash, which frees its name; then it is destroyed. Whatever lies in .trash belongs to nobody, so
 * anybody may go on with it, also several at once. What is made in several steps is made there,
 * too, under a shared lock that holds off the sweep.
 *
 * A subvolume is destroyed by its number and never by a path: what lies in it was named by a
 * sandbox. Subvolumes inside, which block it, are found in the filesystem's root tree, in however
 * deep a chain, without keeping the chain in memory. Plain directories of the pool were made by
 * pool_subvolume() alone and are walked.
 */
#include "clock.h"
#include "err.h"
#include "fs.h"
#include "pool-private.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>

#define SWEEP_MS    200 /* the time that an opening gives to what a crash left */
#define DEPTH_MOST  16	/* of plain directories */
#define INSIDE_MOST (1u << 20)

/* The end of a chain of subvolumes in one another, and the one that it lies in (0: it is id
 * itself). */
static int deepest_inside(int fd, uint64_t id, uint64_t *ret_id, uint64_t *ret_above)
{
	uint64_t above = 0, inside;
	int r;

	for (unsigned depth = 0; (r = btrfs_first_inside(fd, id, &inside)) == 0; depth++) {
		if (depth > INSIDE_MOST)
			return -ELOOP;
		above = id;
		id = inside;
	}
	if (r != -ENOENT)
		return r;
	*ret_id = id;
	*ret_above = above;
	return 0;
}

static int destroy_subvolume(int fd, uint64_t id)
{
	for (unsigned n = 0; n < INSIDE_MOST; n++) {
		uint64_t at = id, above = 0;
		int r = deepest_inside(fd, id, &at, &above);

		if (r == 0)
			r = btrfs_destroy(fd, at);
		if (r == -EROFS && above)
			r = btrfs_set_writable(fd, above);
		else if (at == id && (r == 0 || r == -ENOENT))
			return 0;
		/* Somebody else was faster, or puts new ones in: look again. */
		if (r < 0 && r != -ENOENT && r != -ENOTEMPTY)
			return r;
	}
	return -ELOOP;
}

static int destroy(const struct pool *pool, int dirfd, const char *name, unsigned depth);

static int destroy_directory(const struct pool *pool, int fd, unsigned depth)
{
	_cleanup_closedir_ DIR *dir = fs_opendir(fd);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return -errno;
	while (r == 0 && (entry = fs_next(dir)))
		r = destroy(pool, fd, entry->d_name, depth + 1);
	return r == 0 && errno != 0 ? -errno : r;
}

static int destroy(const struct pool *pool, int dirfd, const char *name, unsigned depth)
{
	_cleanup_close_ int fd = fs_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	uint64_t id;
	int r;

	if (fd == -ENOENT)
		return 0;
	if (fd == -ENOTDIR || fd == -ELOOP)
		return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	if (fd < 0)
		return fd;
	if (depth > DEPTH_MOST)
		return -ELOOP;
	if (btrfs_is_subvolume(fd)) {
		r = btrfs_subvolume_id(fd, &id);
		cleanup_closep(&fd);
		return r < 0 ? r : destroy_subvolume(pool->fd, id);
	}
	r = destroy_directory(pool, fd, depth);
	if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

int trash_lock(const struct pool *pool)
{
	_cleanup_close_ int trash =
		fs_open_beneath(pool->fd, POOL_TRASH, O_RDONLY | O_DIRECTORY, 0);

	while (trash >= 0 && flock(trash, LOCK_SH) < 0)
		if (errno != EINTR)
			return -errno;
	return TAKE_FD(trash);
}

void trash_drop(const struct pool *pool, int trash, const char *name)
{
	int r = destroy(pool, trash, name, 0);

	(void)r; /* it takes space and no name: the next one may have more luck */
}

int trash_take(const struct pool *pool, int dirfd, const char *name)
{
	_cleanup_close_ int fd = fs_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	_cleanup_close_ int trash = -EBADF;
	struct stat st;
	char taken[64];
	uint64_t id = 0;
	int r;

	if (fd < 0)
		return fd;
	trash = fs_open_beneath(pool->fd, POOL_TRASH, O_RDONLY | O_DIRECTORY, 0);
	if (trash < 0)
		return trash;
	/* A read-only one cannot be moved. */
	r = btrfs_is_subvolume(fd) ? btrfs_subvolume_id(fd, &id) : 0;
	if (r == 0 && id)
		r = btrfs_set_writable(fd, id);
	if (r < 0 || fstat(fd, &st) < 0)
		return r < 0 ? r : -errno;
	/* No two that exist have the same. */
	snprintf(taken, sizeof(taken), "%llu-%llu", (unsigned long long)id,
		 (unsigned long long)st.st_ino);
	cleanup_closep(&fd);
	if (renameat2(dirfd, name, trash, taken, RENAME_NOREPLACE) == 0)
		return destroy(pool, trash, taken, 0);
	/* In a full filesystem deletion has a reserve, renaming has none. */
	return errno == ENOSPC ? destroy(pool, dirfd, name, 0) : -errno;
}

void trash_sweep(const struct pool *pool)
{
	_cleanup_close_ int trash =
		fs_open_beneath(pool->fd, POOL_TRASH, O_RDONLY | O_DIRECTORY, 0);
	_cleanup_closedir_ DIR *dir = trash < 0 ? NULL : fs_opendir(trash);
	int64_t end = clock_ms() + SWEEP_MS;
	struct dirent *entry;

	/* Busy: somebody sweeps already, or makes something in there; the next opening will do it.
	 */
	if (!dir || flock(trash, LOCK_EX | LOCK_NB) < 0)
		return;
	while ((entry = fs_next(dir)) && clock_ms() < end)
		trash_drop(pool, trash, entry->d_name);
}
