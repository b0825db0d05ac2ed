/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool-image.c: DATA/pool.img, the sparse file that holds the pool.
 *
 * Invariant: a pool.img is whole. It is made under another name, under a lock that the mkfs program
 * inherits, so that one whose creel was killed is waited for, and then begun anew.
 *
 * Threat: none from sandboxes, which cannot reach DATA; damage of the disk and races of our own.
 * Deliberately not done: making the file smaller than it once promised to become, and keeping
 * others from filling the disk below. If they do, btrfs turns read-only and keeps what was
 * committed.
 */
#include "err.h"
#include "fs.h"
#include "io.h"
#include "pool-private.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>

#define IMAGE_NEW POOL_IMAGE ".new"

#define ROOM_LEAST  (256 * MIB) /* a smaller filesystem is of no use */
#define ROOM_WRITE  (64 * MIB)	/* free below, or nothing new is begun */
#define ROOM_KEEP   20		/* this part of the disk is left to others */
#define WASTE_LEAST (256 * MIB)
#define WASTE_MOST  (4096 * MIB)
#define SIZE_FIRST  (1024 * MIB)
#define SIZE_MOST   (8ull << 40)
#define MKFS_LOCKED 3 /* the descriptor by which mkfs keeps the lock */

int image_open(const char *data, const char *name, int flags)
{
	_cleanup_close_ int dir = open(data, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 ? -errno : fs_open_beneath(dir, name, flags | O_NOFOLLOW, 0);
}

/* What the disk below could still give to the pool. */
static int image_room(const char *data, uint64_t *ret_room, uint64_t *ret_free)
{
	struct statvfs fs;
	uint64_t total, free, keep;

	if (statvfs(data, &fs) < 0)
		return -errno;
	total = (uint64_t)fs.f_blocks * fs.f_frsize;
	free = (uint64_t)fs.f_bavail * fs.f_frsize;
	keep = total / ROOM_KEEP;
	*ret_room = free > keep ? free - keep : 0;
	*ret_free = free;
	return 0;
}

int image_has_room(const char *data, struct err *err)
{
	uint64_t room = 0, free = 0;
	int r = image_room(data, &room, &free);

	if (r < 0)
		return err_errno(err, -r, "pool", "cannot see how full the disk below %s is", data);
	if (free < ROOM_WRITE)
		return err_set(err, ENOSPC, "pool",
			       "the disk below %s is full: %llu MiB are free and %llu are needed; "
			       "make room on it",
			       data, free / MIB, ROOM_WRITE / MIB);
	return 0;
}

/* The size of a new file: what a sparse one may promise, and no more than half of the disk's rest.
 */
static int image_first_size(const char *data, uint64_t *ret_size, struct err *err)
{
	uint64_t room = 0, free = 0, size;
	int r = image_room(data, &room, &free);

	if (r < 0)
		return err_errno(err, -r, "pool", "cannot see how full the disk below %s is", data);
	if (room < ROOM_LEAST)
		return err_set(err, ENOSPC, "pool",
			       "no room for %s/" POOL_IMAGE
			       ": the disk has %llu MiB free, of which %llu "
			       "may be used, and %llu are needed; make room on it",
			       data, free / MIB, room / MIB, ROOM_LEAST / MIB);
	size = room / 2 > SIZE_FIRST ? room / 2 : MIN(room, (uint64_t)SIZE_FIRST);
	*ret_size = MIN(size, (uint64_t)SIZE_MOST) / MIB * MIB;
	return 0;
}

/* mkfs's last words, for the message. */
static void last_line(int fd, char *ret, size_t size)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	char part[1024], *line;
	ssize_t n;

	while ((n = read(fd, part, sizeof(part))) > 0 || (n < 0 && errno == EINTR))
		if (n > 0 && buf_append(&text, part, (size_t)n) < 0)
			break;
	while (text.len && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	line = text.len ? strrchr(text.data, '\n') : NULL;
	snprintf(ret, size, "%s", line ? line + 1 : text.len ? text.data : "no message");
}

static int mkfs_spawn(const char *path, int lock, int out, pid_t *ret_child)
{
	static const char *const programs[] = {"/usr/sbin/mkfs.btrfs", "/sbin/mkfs.btrfs",
					       "/usr/bin/mkfs.btrfs", "/usr/local/sbin/mkfs.btrfs"};
	static const char *const words[] = {"mkfs.btrfs", "--quiet",	"--nodiscard", "--label",
					    "creel",	  "--metadata", "single",      "--data",
					    "single",	  NULL};
	static char locale[] = "LC_ALL=C", *const env[] = {locale, NULL};
	char *argv[ELEMENTSOF(words) + 1];
	posix_spawn_file_actions_t files;
	size_t n = 0;
	int r = ENOENT;

	for (; words[n]; n++)
		argv[n] = (char *)(uintptr_t)words[n];
	argv[n] = (char *)(uintptr_t)path;
	argv[n + 1] = NULL;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawn_file_actions_adddup2(&files, out, 2);
	posix_spawn_file_actions_adddup2(&files, lock, MKFS_LOCKED);
	for (size_t i = 0; r == ENOENT && i < ELEMENTSOF(programs); i++)
		r = posix_spawn(ret_child, programs[i], &files, NULL, argv, env);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

static int image_mkfs(const char *path, int lock, struct err *err)
{
	_cleanup_close_ int out = -EBADF, in = -EBADF;
	int ends[2], status = -1, r;
	char text[200];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, errno, "pool", "pipe");
	/* Above what the child's own descriptors are put over. */
	in = io_fd_above(ends[0], 10);
	out = io_fd_above(ends[1], 10);
	if (in < 0 || out < 0)
		return err_errno(err, EMFILE, "pool", "pipe");
	r = mkfs_spawn(path, lock, out, &child);
	if (r == -ENOENT)
		return err_set(err, EOPNOTSUPP, "pool",
			       "no mkfs.btrfs to make %s with; install the package btrfs-progs",
			       path);
	if (r < 0)
		return err_errno(err, -r, "pool", "cannot start mkfs.btrfs");
	cleanup_closep(&out);
	last_line(in, text, sizeof(text));
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return err_errno(err, errno, "pool", "cannot wait for mkfs.btrfs");
	if (status != 0)
		return err_set(err, EIO, "pool", "mkfs.btrfs cannot make %s: %s", path, text);
	return 0;
}

/* Fills the locked new file and gives it its name. */
static int image_build(const char *data, int dir, int lock, struct err *err)
{
	char path[CEIL_PATH + sizeof(IMAGE_NEW)];
	uint64_t size = 0;
	int flags, r;

	r = image_first_size(data, &size, err);
	if (r < 0)
		return r;
	/* On btrfs without quotas: copying on write below another copying on write fragments. */
	if (ioctl(lock, FS_IOC_GETFLAGS, &flags) == 0) {
		flags |= FS_NOCOW_FL;
		(void)ioctl(lock, FS_IOC_SETFLAGS, &flags);
	}
	if (ftruncate(lock, 0) < 0 || ftruncate(lock, (off_t)size) < 0)
		return err_errno(err, errno, "pool", "cannot make %s/" POOL_IMAGE " of %llu MiB",
				 data, size / MIB);
	snprintf(path, sizeof(path), "%s/" IMAGE_NEW, data);
	r = image_mkfs(path, lock, err);
	if (r < 0)
		return r;
	if (fsync(lock) < 0 || renameat(dir, IMAGE_NEW, dir, POOL_IMAGE) < 0 || fsync(dir) < 0)
		return err_errno(err, errno, "pool", "cannot keep %s/" POOL_IMAGE, data);
	return 0;
}

/* 1: fd is no longer the file of that name. */
static int name_moved(int dir, const char *name, int fd)
{
	struct stat mine, there;

	if (fstat(fd, &mine) < 0)
		return -errno;
	if (fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 1 : -errno;
	return mine.st_ino != there.st_ino || mine.st_dev != there.st_dev;
}

/* Makes the file, or waits for whoever is making it. 1: somebody else did, or it is to be tried
 * again. */
int image_create(const char *data, struct err *err)
{
	_cleanup_close_ int dir = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC), low = -EBADF;
	_cleanup_close_ int lock = -EBADF;
	int r;

	if (dir < 0)
		return err_errno(err, errno, "pool", "cannot open %s", data);
	low = fs_open_beneath(dir, IMAGE_NEW, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (low < 0)
		return err_errno(err, -low, "pool", "cannot make %s/" IMAGE_NEW, data);
	lock = io_fd_above(TAKE_FD(low), 10);
	if (lock < 0)
		return err_errno(err, -lock, "pool", "no descriptor for %s/" IMAGE_NEW, data);
	/*
	 * Not by a lock that waits: when the other one is done this file is pool.img, and whoever
	 * attached it has it locked for as long as the loop device lives.
	 */
	while ((r = name_moved(dir, IMAGE_NEW, lock)) == 0 && flock(lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_errno(err, errno, "pool", "cannot lock %s/" IMAGE_NEW, data);
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
	if (r == 0)
		r = name_moved(dir, IMAGE_NEW, lock);
	if (r < 0)
		return err_errno(err, -r, "pool", "cannot look at %s/" IMAGE_NEW, data);
	if (r > 0)
		return 1;
	if (faccessat(dir, POOL_IMAGE, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return image_build(data, dir, lock, err);
	unlinkat(dir, IMAGE_NEW, 0);
	return 1;
}

/* The size that a nearly full image of this size should get; the same if none. */
static uint64_t image_next_size(const struct stat *image, uint64_t room)
{
	uint64_t size = (uint64_t)image->st_size;
	uint64_t most = (uint64_t)image->st_blocks * 512 + room;
	uint64_t next = MIN(2 * size, most) / MIB * MIB;

	next = MIN(next, (uint64_t)SIZE_MOST);
	return next >= size + ROOM_LEAST / 2 ? next : size;
}

static int image_enlarge(const struct pool *pool, const char *device, uint64_t bytes)
{
	_cleanup_close_ int image = image_open(pool->data, POOL_IMAGE, O_RDWR);
	uint64_t room = 0, free = 0, next;
	struct stat st;
	int r;

	if (image < 0 || fstat(image, &st) < 0)
		return image < 0 ? image : -errno;
	r = image_room(pool->data, &room, &free);
	if (r < 0)
		return r;
	next = image_next_size(&st, room);
	/* Also what a crash left between the steps. */
	if (next == (uint64_t)st.st_size && next < bytes + MIB)
		return 0;
	if (ftruncate(image, (off_t)next) < 0)
		return -errno;
	r = loop_resize(device, &st);
	return r < 0 ? r : btrfs_fill_device(pool->fd);
}

/*
 * Not by the mount option discard: punching a hole for each block that is freed costs every commit
 * 0.5 to 2 ms and tears the file to pieces.
 */
static bool image_is_wasteful(const struct pool *pool, const struct statvfs *fs)
{
	_cleanup_close_ int image = image_open(pool->data, POOL_IMAGE, O_PATH);
	uint64_t room = 0, free = 0, used = (uint64_t)(fs->f_blocks - fs->f_bfree) * fs->f_frsize;
	uint64_t much;
	struct stat st;

	if (image < 0 || fstat(image, &st) < 0 || image_room(pool->data, &room, &free) < 0)
		return false;
	much = free / 4 > WASTE_MOST ? WASTE_MOST : free / 4;
	return (uint64_t)st.st_blocks * 512 > used + WASTE_LEAST + much;
}

int image_fit(const struct pool *pool, struct err *err)
{
	_cleanup_close_ int lock = -EBADF;
	bool full, wasteful;
	struct statvfs fs;
	char device[CEIL_PATH];
	uint64_t bytes;
	int r;

	if (fstatvfs(pool->fd, &fs) < 0)
		return err_errno(err, errno, "pool", "cannot see how full %s is", pool->path);
	full = fs.f_bavail < fs.f_blocks / 4;
	wasteful = image_is_wasteful(pool, &fs);
	if (!full && !wasteful)
		return 0;
	/* One at a time, or a smaller size could win; the next opening does what is not done now.
	 */
	lock = fs_open_beneath(pool->fd, POOL_TRASH, O_RDONLY | O_DIRECTORY, 0);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
		return 0;
	/* A disk below that cannot punch holes keeps what it gave. */
	if (wasteful && btrfs_trim(pool->fd) < 0)
		errno = 0;
	if (!full)
		return 0;
	r = btrfs_device(pool->fd, &bytes, device, sizeof(device));
	if (r == 0)
		r = image_enlarge(pool, device, bytes);
	return r < 0 ? err_errno(err, -r, "pool", "cannot enlarge %s/" POOL_IMAGE, pool->data) : 0;
}
