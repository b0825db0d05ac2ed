/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.c: files in and out of a layer (tree.h). What comes out is poison: it is read by descriptor
 * with no link followed, and arrives as plain files with nothing but permission bits.
 */
#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "io.h"
#include "tree.h"

#include <fcntl.h>

static int copy_range(int in, int out, off_t from, off_t to)
{
	char data[65536];

	while (from < to) {
		ssize_t n = pread(in, data, (size_t)MIN((off_t)sizeof(data), to - from), from);
		off_t at = from;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (from += n; at < from;) {
			ssize_t m = pwrite(out, data + (n - (from - at)), (size_t)(from - at), at);

			if (m < 0 && errno != EINTR)
				return -errno;
			at += m > 0 ? m : 0;
		}
	}
	return 0;
}

int tree_copy_bytes(int in, int out)
{
	struct stat st;
	int r = 0;

	if (fstat(in, &st) < 0)
		return -errno;
	for (off_t at = 0; r == 0 && at < st.st_size;) {
		off_t data = lseek(in, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break; /* nothing but a hole follows */
		data = data < 0 ? at : data;
		hole = lseek(in, data, SEEK_HOLE);
		hole = hole < 0 ? st.st_size : hole;
		r = copy_range(in, out, data, hole);
		at = hole;
	}
	if (r == 0 && ftruncate(out, st.st_size) < 0)
		r = -errno;
	return r;
}

bool tree_link_stays(const char *path, const char *target)
{
	int depth = 0;
	bool named = false;

	if (target[0] == '/' || target[0] == '\0')
		return false;
	for (const char *p = path; (p = strchr(p, '/')); p++)
		depth++;
	for (size_t len; *target; target += len) {
		target += strspn(target, "/");
		len = strcspn(target, "/");
		if (len == 2 && target[0] == '.' && target[1] == '.') {
			if (named || --depth < 0)
				return false;
		} else if (len && !(len == 1 && target[0] == '.')) {
			named = true;
		}
	}
	return true;
}

static int copy_link(int from, int parent, const struct tree_entry *entry, const char *name)
{
	_cleanup_close_ int link = fs_open_beneath(from, entry->path, O_PATH | O_NOFOLLOW, 0);
	char target[CEIL_PATH];
	struct stat st;
	ssize_t n;

	/* RESOLVE_NO_SYMLINKS with O_PATH | O_NOFOLLOW gives the link itself. */
	if (link < 0)
		return link;
	if (fstat(link, &st) < 0 || !S_ISLNK(st.st_mode))
		return -EINVAL;
	n = readlinkat(link, "", target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (!tree_link_stays(entry->path, target))
		return 1;
	if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return symlinkat(target, parent, name) < 0 ? -errno : 0;
}

static int copy_file(int from, int parent, const struct tree_entry *entry, const char *name,
		     uid_t owner, gid_t group)
{
	_cleanup_close_ int in =
		fs_open_beneath(from, entry->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	_cleanup_close_ int out = -EBADF;
	char temporary[64];
	struct stat st;
	int r;

	if (in < 0)
		return in;
	if (fstat(in, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(temporary, sizeof(temporary), ".creel-out-%d", (int)getpid());
	unlinkat(parent, temporary, 0);
	out = openat(parent, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	r = tree_copy_bytes(in, out);
	if (r == 0 && owner != (uid_t)-1 && fchown(out, owner, group) < 0)
		r = -errno;
	if (r == 0 && fchmod(out, st.st_mode & 0777) < 0)
		r = -errno;
	if (r == 0 && renameat(parent, temporary, parent, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(parent, temporary, 0);
	return r;
}

int tree_copy_out(int from, int to, const struct tree_entry *entry, uid_t owner, gid_t group)
{
	const char *slash = strrchr(entry->path, '/'), *name = slash ? slash + 1 : entry->path;
	_cleanup_close_ int parent = -EBADF;
	char dir[CEIL_PATH] = ".";
	int r;

	if (S_ISDIR(entry->mode))
		return fs_mkdirs_beneath(to, entry->path, 0755, owner, group);
	if (!S_ISREG(entry->mode) && !S_ISLNK(entry->mode))
		return 1;
	if (slash) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - entry->path), entry->path);
		r = fs_mkdirs_beneath(to, dir, 0755, owner, group);
		if (r < 0)
			return r;
	}
	parent = fs_open_beneath(to, dir, O_RDONLY | O_DIRECTORY, 0);
	if (parent < 0)
		return parent;
	return S_ISLNK(entry->mode) ? copy_link(from, parent, entry, name)
				    : copy_file(from, parent, entry, name, owner, group);
}

static int copy_in_at(int from, const char *name, int to, const char *new_name, uid_t owner,
		      gid_t group, unsigned depth);

static int copy_in_link(int link, int to, const char *name, uid_t owner, gid_t group)
{
	char target[CEIL_PATH];
	ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (symlinkat(target, to, name) < 0 ||
	    fchownat(to, name, owner, group, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_in_file(int file, int to, const char *name, const struct stat *st, uid_t owner,
			gid_t group)
{
	_cleanup_close_ int in = fs_reopen(file, O_RDONLY), out = -EBADF;
	int r;

	if (in < 0)
		return in;
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	r = tree_copy_bytes(in, out);
	if (r == 0 && (fchown(out, owner, group) < 0 || fchmod(out, st->st_mode & 0777) < 0))
		r = -errno;
	return r;
}

static int copy_in_directory(int from, int to, const char *name, const struct stat *st, uid_t owner,
			     gid_t group, unsigned depth)
{
	_cleanup_closedir_ DIR *dir = fs_opendir(from);
	_cleanup_close_ int out = -EBADF;
	struct dirent *entry;
	int r = 0;

	if (!dir || mkdirat(to, name, 0700) < 0)
		return -errno;
	out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out < 0 || fchown(out, owner, group) < 0 ||
	    fchmod(out, (st->st_mode & 0777) | 0700) < 0)
		return -errno;
	while (r == 0 && (entry = fs_next(dir)))
		r = copy_in_at(from, entry->d_name, out, entry->d_name, owner, group, depth + 1);
	return r == 0 ? -errno : r;
}

static int copy_in_at(int from, const char *name, int to, const char *new_name, uid_t owner,
		      gid_t group, unsigned depth)
{
	/* What bears the name may become a link or a device at any moment: it is held first. */
	_cleanup_close_ int at = openat(from, name, O_PATH | O_CLOEXEC | (depth ? O_NOFOLLOW : 0));
	struct stat st;

	if (depth > CEIL_TREE_DEPTH)
		return -ELOOP;
	if (at < 0 || fstat(at, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return copy_in_link(at, to, new_name, owner, group);
	if (S_ISREG(st.st_mode))
		return copy_in_file(at, to, new_name, &st, owner, group);
	if (S_ISDIR(st.st_mode))
		return copy_in_directory(at, to, new_name, &st, owner, group, depth);
	return depth ? 0 : -EINVAL; /* devices, sockets and pipes are not data */
}

int tree_copy_in(const char *path, int to, const char *name, uid_t owner, gid_t group,
		 struct err *err)
{
	int r = copy_in_at(AT_FDCWD, path, to, name, owner, group, 0);

	if (r == -EINVAL)
		return err_set(err, EINVAL, "copy", "cannot copy %s in: it is no file or directory",
			       path);
	return r < 0 ? err_errno(err, -r, "copy", "cannot copy %s into the sandbox%s", path,
				 r == -ENOSPC ? " (raise --disk)" : "")
		     : 0;
}
