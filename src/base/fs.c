/* SPDX-License-Identifier: Apache-2.0 */
/* fs.c: see fs.h. */
#include "fs.h"

#include "ceilings.h"
#include "err.h"
#include "io.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

static int fs_open_how(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (unsigned)flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
	long fd;

	do {
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : (int)fd;
}

int fs_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	return fs_open_how(dirfd, path, flags, mode,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int fs_open_inside(int dirfd, const char *path, int flags)
{
	return fs_open_how(dirfd, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int fs_reopen(int fd, int flags)
{
	char path[32];
	int opened;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	opened = open(path, flags | O_CLOEXEC);
	return opened < 0 ? -errno : opened;
}

int fs_mkdirs(const char *path, mode_t mode, struct err *err)
{
	char part[CEIL_PATH];
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(part))
		return err_set(err, ENAMETOOLONG, "fs", "path of %zu bytes is too long", len);
	memcpy(part, path, len + 1);
	for (size_t i = 1; i <= len; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		part[i] = '\0';
		if (mkdir(part, mode) < 0 && errno != EEXIST && errno != EISDIR)
			return err_errno(err, errno, "fs", "cannot make the directory %s", part);
		part[i] = i < len ? '/' : '\0';
	}
	return 0;
}

/* Another process may make it first: then it is that one's, and as good. */
static int fs_mkdir(int at, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	bool made = mkdirat(at, name, mode) == 0;
	_cleanup_close_ int fd = -EBADF;

	if (!made && errno != EEXIST)
		return -errno;
	fd = fs_open_beneath(at, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd >= 0 && made && uid != (uid_t)-1 && fchown(fd, uid, gid) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int fs_mkdirs_beneath(int dirfd, const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	_cleanup_close_ int at = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[NAME_MAX + 1];

	if (at < 0)
		return -errno;
	/* One name at a time: a path could be led astray by a link that is put into it meanwhile.
	 */
	for (size_t len; *(path += strspn(path, "/")); path += len) {
		int next;

		len = strcspn(path, "/");
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, len);
		name[len] = '\0';
		next = fs_open_beneath(at, name, O_RDONLY | O_DIRECTORY, 0);
		if (next == -ENOENT)
			next = fs_mkdir(at, name, mode, uid, gid);
		if (next < 0)
			return next;
		close(at);
		at = next;
	}
	return 0;
}

DIR *fs_opendir(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		fd_close(fd);
	return dir;
}

struct dirent *fs_next(DIR *dir)
{
	struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	return entry;
}

/* Opens name in dirfd for emptying; a directory without its owner's bits gets them first. */
static int fs_open_for_removal(int dirfd, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dirfd, name, flags);

	if (fd < 0 && errno == EACCES && fchmodat(dirfd, name, 0700, 0) == 0)
		fd = openat(dirfd, name, flags);
	return fd < 0 ? -errno : fd;
}

/*
 * A tree deeper than the ceiling: what lies there is moved up to its top and removed after that, so
 * that neither the stack nor the descriptors grow with what a sandbox nested. It stays in the tree:
 * whoever is killed meanwhile leaves nothing beside it.
 */
struct fs_removal {
	int topfd;
	dev_t dev;
	unsigned lifted;
};

static int fs_lift(struct fs_removal *removal, int dirfd, const char *name)
{
	char lifted[32];

	for (;;) {
		snprintf(lifted, sizeof(lifted), ".deep-%u", removal->lifted++);
		if (renameat2(dirfd, name, removal->topfd, lifted, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
}

static int fs_empty_directory(struct fs_removal *removal, int fd, unsigned depth);

static int fs_remove_entry(struct fs_removal *removal, int dirfd, const char *name, unsigned depth)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	int r;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM && errno != EACCES)
		return -errno;
	if (depth >= CEIL_TREE_DEPTH) {
		/* A directory that changes its parent must be writable itself. */
		fd = fs_open_for_removal(dirfd, name);
		if (fd < 0 || fchmod(fd, 0700) < 0)
			return fd < 0 ? fd : -errno;
		return fs_lift(removal, dirfd, name);
	}
	fd = fs_open_for_removal(dirfd, name);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != removal->dev)
		return -EXDEV;
	r = fs_empty_directory(removal, fd, depth + 1);
	if (r < 0)
		return r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int fs_empty_directory(struct fs_removal *removal, int fd, unsigned depth)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;
	int r = 0;

	if (fchmod(fd, 0700) < 0 && errno != EPERM)
		return -errno;
	dir = fs_opendir(fd);
	if (!dir)
		return -errno;
	while (r == 0 && (entry = fs_next(dir)))
		r = fs_remove_entry(removal, fd, entry->d_name, depth);
	return r == 0 ? -errno : r;
}

int fs_remove_tree(int dirfd, const char *name)
{
	_cleanup_close_ int top = fs_open_for_removal(dirfd, name);
	struct fs_removal removal = {.topfd = top};
	struct stat st;
	unsigned lifted;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	removal.dev = st.st_dev;
	do {
		lifted = removal.lifted;
		r = fs_remove_entry(&removal, dirfd, name, 0);
	} while (r == -ENOTEMPTY && removal.lifted > lifted);
	return r;
}

int fs_replace_file(int dirfd, const char *name, const void *data, size_t len, mode_t mode)
{
	_cleanup_close_ int fd = -EBADF;
	char temporary[300];
	int n, r;

	n = snprintf(temporary, sizeof(temporary), ".%s.new-%d", name, (int)getpid());
	if (n < 0 || (size_t)n >= sizeof(temporary))
		return -ENAMETOOLONG;
	unlinkat(dirfd, temporary, 0);
	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	r = io_write_full(fd, data, len);
	if (r == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dirfd, temporary, 0);
	return r;
}

int fs_canonical(const char *path, char *ret, size_t size)
{
	size_t len = 0;

	if (path[0] != '/')
		return -EINVAL;
	while (*path) {
		size_t part;

		path += strspn(path, "/");
		part = strcspn(path, "/");
		if (part == 0)
			break;
		if (part == 2 && path[0] == '.' && path[1] == '.')
			return -EINVAL;
		if (!(part == 1 && path[0] == '.')) {
			if (len + 1 + part >= size)
				return -ENAMETOOLONG;
			ret[len++] = '/';
			memcpy(ret + len, path, part);
			len += part;
		}
		path += part;
	}
	if (len == 0) {
		if (size < 2)
			return -ENAMETOOLONG;
		ret[len++] = '/';
	}
	ret[len] = '\0';
	return 0;
}

bool fs_is_below(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);

	if (len == 1)
		return true;
	return strncmp(path, prefix, len) == 0 && (path[len] == '\0' || path[len] == '/');
}
