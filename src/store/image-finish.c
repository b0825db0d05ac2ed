/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-finish.c: see image-finish.h. The tree may be a hostile archive's: it is the root directory
 * of the process that works on it, so that no link leads out of it. Extended attributes go, all of
 * them: a capability would be a privilege, and an overlay's own would change what a run sees.
 */
#include "image-finish.h"

#include "buf.h"
#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define FINISH_UID 1000

/* In this order: a directory before what lies in it. fixed: nothing else may stand there. */
static const struct {
	const char *path;
	mode_t mode;
	bool fixed, empty;
} dirs[] = {
	{"/dev", 0755, true, true},	   {"/proc", 0555, true, true},
	{"/sys", 0555, true, true},	   {"/run", 0755, true, true},
	{"/run/lock", 01777, true, false}, {"/tmp", 01777, true, true},
	{"/workspace", 0755, true, false}, {"/etc", 0755, false, false},
	{"/home", 0755, false, false},	   {"/var", 0755, false, false},
	{"/var/tmp", 01777, false, true},
};

static const struct {
	const char *path, *text;
} files[] = {
	{"/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"},
	{"/etc/resolv.conf", "# No network: only what a rule allows leaves the sandbox.\n"},
	{"/etc/machine-id", ""},
};

/* Made by programs that change accounts, with the time of the change in them. */
static const char *const leftovers[] = {"/etc/hostname", "/etc/passwd-",  "/etc/group-",
					"/etc/shadow-",	 "/etc/gshadow-", "/etc/mtab"};

static int empty_directory(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fs_opendir(fd);
	struct dirent *entry;
	int r = 0;

	while (dir && r == 0 && (entry = fs_next(dir)))
		r = fs_remove_tree(fd, entry->d_name);
	return dir ? r : -errno;
}

static int finish_directories(struct err *err)
{
	for (size_t i = 0; i < ELEMENTSOF(dirs); i++) {
		struct stat st;
		int r = 0;

		if (dirs[i].fixed && lstat(dirs[i].path, &st) == 0 && !S_ISDIR(st.st_mode) &&
		    unlink(dirs[i].path) < 0)
			r = -errno;
		if (r == 0 && mkdir(dirs[i].path, dirs[i].mode) < 0 && errno != EEXIST)
			r = -errno;
		/* What follows a link here stays in the image. */
		if (r == 0 && (stat(dirs[i].path, &st) < 0 || !S_ISDIR(st.st_mode)))
			r = -ENOTDIR;
		if (r == 0 && dirs[i].empty)
			r = empty_directory(dirs[i].path);
		if (r == 0 && (dirs[i].fixed || dirs[i].empty) &&
		    (chown(dirs[i].path, 0, 0) < 0 || chmod(dirs[i].path, dirs[i].mode) < 0))
			r = -errno;
		if (r < 0)
			return err_errno(err, -r, "image", "cannot make %s in the image",
					 dirs[i].path);
	}
	return 0;
}

static int write_file(const char *path, const char *text, int flags)
{
	_cleanup_close_ int fd = -EBADF;

	/* A new one: what is there may be a link, a pipe, or unreadable. */
	if (flags & O_EXCL && unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0644);
	return fd < 0 ? -errno : io_write_full(fd, text, strlen(text));
}

static int finish_files(struct err *err)
{
	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		int r = write_file(files[i].path, files[i].text, O_EXCL);

		if (r < 0)
			return err_errno(err, -r, "image", "cannot write %s in the image",
					 files[i].path);
	}
	for (size_t i = 0; i < ELEMENTSOF(leftovers); i++)
		if (unlink(leftovers[i]) < 0 && errno != ENOENT)
			return err_errno(err, errno, "image", "cannot remove %s in the image",
					 leftovers[i]);
	if (symlink("../proc/self/mounts", "/etc/mtab") < 0)
		return err_errno(err, errno, "image", "cannot make /etc/mtab in the image");
	return 0;
}

/* ---- uid 1000 ---- */

static int read_accounts(const char *path, struct buf *text)
{
	struct stat st;
	int r;

	/* A pipe that somebody named passwd would be waited for. */
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return -EINVAL;
	r = io_read_file(AT_FDCWD, path, text);
	return r == -ENOENT ? buf_puts(text, "") : r;
}

/* Field n of a line "a:b:c", as far as size. */
static bool field(const char *line, unsigned n, char *ret, size_t size)
{
	size_t end = strcspn(line, "\n"), len;

	for (; n; n--) {
		len = strcspn(line, ":\n");
		if (line[len] != ':')
			return false;
		line += len + 1;
		end -= len + 1;
	}
	len = MIN(strcspn(line, ":\n"), end);
	if (len >= size)
		return false;
	memcpy(ret, line, len);
	ret[len] = '\0';
	return true;
}

/* The first line of which field n is value. */
static const char *find_line(const struct buf *text, unsigned n, const char *value)
{
	char have[256];

	for (const char *line = text->data; line && *line;) {
		if (field(line, n, have, sizeof(have)) && strcmp(have, value) == 0)
			return line;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return NULL;
}

static bool word_valid(const char *word)
{
	for (; *word; word++)
		if ((unsigned char)*word <= ' ' || *word == 0x7f || *word == ':')
			return false;
	return true;
}

/* The account as it is. */
static int take_user(const char *line, struct image_user *user)
{
	char gid[16], *end;
	unsigned long value;

	if (!field(line, 0, user->name, sizeof(user->name)) || !field(line, 3, gid, sizeof(gid)) ||
	    !field(line, 5, user->home, sizeof(user->home)) || !word_valid(user->name) ||
	    !*user->name || !word_valid(user->home))
		return -EINVAL;
	value = strtoul(gid, &end, 10);
	if (!*gid || *end || value > 65534)
		return -EINVAL;
	user->gid = (uint32_t)value;
	if (user->home[0] != '/' || strcmp(user->home, "/") == 0 ||
	    strcmp(user->home, "/nonexistent") == 0)
		snprintf(user->home, sizeof(user->home), "/home/%s", user->name);
	return 0;
}

static int append_line(const char *path, const struct buf *before, const char *line)
{
	bool cut = before->len && before->data[before->len - 1] != '\n';
	int r = cut ? write_file(path, "\n", O_APPEND) : 0;

	return r == 0 ? write_file(path, line, O_APPEND) : r;
}

static int add_user(const struct buf *passwd, struct image_user *user)
{
	_cleanup_buf_ struct buf group = BUF_INIT(CEIL_SMALL_FILE);
	const char *name = find_line(passwd, 0, "user") ? "user1000" : "user";
	const char *shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
	char line[256];
	int r = read_accounts("/etc/group", &group);

	if (r == 0 && !find_line(&group, 2, "1000")) {
		snprintf(line, sizeof(line), "%s:x:1000:\n",
			 find_line(&group, 0, name) ? "user1000" : name);
		r = append_line("/etc/group", &group, line);
	}
	/* '*': no password fits, and none is looked for elsewhere. */
	snprintf(line, sizeof(line), "%s:*:1000:1000:%s:/home/%s:%s\n", name, name, name, shell);
	if (r == 0)
		r = append_line("/etc/passwd", passwd, line);
	*user = (struct image_user){.gid = 1000};
	snprintf(user->name, sizeof(user->name), "%s", name);
	snprintf(user->home, sizeof(user->home), "/home/%s", name);
	return r;
}

/* Root and the users that programs ask for, where an image has no accounts at all. */
static const char root_line[] = "root:*:0:0:root:/root:/bin/sh\n";

static int finish_user(struct image_user *user, struct err *err)
{
	_cleanup_buf_ struct buf passwd = BUF_INIT(CEIL_SMALL_FILE);
	const char *line;
	int r = read_accounts("/etc/passwd", &passwd);

	if (r == 0 && !find_line(&passwd, 2, "0")) {
		r = append_line("/etc/passwd", &passwd, root_line);
		passwd.len = 0;
		if (r == 0)
			r = read_accounts("/etc/passwd", &passwd);
	}
	if (r < 0)
		return err_errno(err, -r, "image", "cannot use /etc/passwd of the image");
	line = find_line(&passwd, 2, "1000");
	r = line ? take_user(line, user) : add_user(&passwd, user);
	if (r < 0)
		return err_errno(err, -r, "image", "the account of uid 1000 in /etc/passwd");
	r = fs_mkdirs(user->home, 0755, err);
	if (r == 0 && (chown(user->home, FINISH_UID, user->gid) < 0 ||
		       chown("/workspace", FINISH_UID, user->gid) < 0))
		return err_errno(err, errno, "image", "cannot own %s in the image", user->home);
	return r;
}

/* ---- extended attributes ---- */

static int strip_fd(int fd)
{
	char names[4096];
	ssize_t n = flistxattr(fd, names, sizeof(names));

	if (n < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (char *name = names; name < names + n; name += strlen(name) + 1)
		/* SELinux' label is the host's. */
		if (strncmp(name, "security.selinux", 16) != 0 && fremovexattr(fd, name) < 0 &&
		    errno != ENODATA)
			return -errno;
	return 0;
}

static int strip_tree(int dirfd, unsigned depth)
{
	_cleanup_closedir_ DIR *dir = fs_opendir(dirfd);
	struct dirent *entry;
	int r = dir ? strip_fd(dirfd) : -errno;

	if (depth >= CEIL_TREE_DEPTH)
		return -ELOOP;
	while (r == 0 && (entry = fs_next(dir))) {
		_cleanup_close_ int fd = -EBADF;

		if (entry->d_type != DT_DIR && entry->d_type != DT_REG)
			continue;
		fd = openat(dirfd, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		r = entry->d_type == DT_DIR ? strip_tree(fd, depth + 1) : strip_fd(fd);
	}
	return r;
}

static int finish_attributes(struct err *err)
{
	_cleanup_close_ int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : strip_tree(fd, 0);

	return r < 0 ? err_errno(err, -r, "image", "cannot remove attributes in the image") : 0;
}

int image_finish(struct image_user *ret_user, struct err *err)
{
	struct image_user user = {.gid = FINISH_UID};
	int r;

	umask(022);
	if (chown("/", 0, 0) < 0 || chmod("/", 0755) < 0)
		return err_errno(err, errno, "image", "the image's root directory");
	r = finish_directories(err);
	if (r == 0)
		r = finish_files(err);
	if (r == 0)
		r = finish_user(&user, err);
	if (r == 0)
		r = finish_attributes(err);
	if (r == 0)
		*ret_user = user;
	return r;
}
