/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host-image.c: see host-image.h. The root is made beside the old one and renamed over it: a run
 * that starts meanwhile has the one or the other, whole.
 */
#include "host-image.h"

#include "buf.h"
#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "io.h"

#include <fcntl.h>
#include <sys/file.h>

#define HOST_IMAGE_VERSION 4
#define HOST_IMAGE_USER	   1000

struct host_dir {
	const char *path;
	mode_t mode;
	uid_t owner;
};

static const struct host_dir host_dirs[] = {
	{"etc", 0755, 0},
	{"usr", 0755, 0},
	{"home", 0755, 0},
	{"home/user", 0755, HOST_IMAGE_USER},
	{"workspace", 0755, HOST_IMAGE_USER},
	{"root", 0700, 0},
	{"tmp", 01777, 0},
	{"run", 0755, 0},
	{"run/lock", 01777, 0},
	{"proc", 0555, 0},
	{"sys", 0555, 0},
	{"dev", 0755, 0},
	{"opt", 0755, 0},
	{"srv", 0755, 0},
	{"mnt", 0755, 0},
	{"media", 0755, 0},
	{"var", 0755, 0},
	{"var/tmp", 01777, 0},
	{"var/log", 0755, 0},
	{"var/log/apt", 0755, 0},
	{"var/lib", 0755, 0},
	{"var/lib/dpkg", 0755, 0},
	{"var/lib/apt", 0755, 0},
	{"var/lib/apt/lists", 0755, 0},
	{"var/lib/apt/lists/partial", 0755, 0},
	{"var/cache", 0755, 0},
	{"var/cache/apt", 0755, 0},
	{"var/cache/apt/archives", 0755, 0},
	{"var/cache/apt/archives/partial", 0755, 0},
	{"var/cache/debconf", 0755, 0},
	{"var/cache/ldconfig", 0700, 0},
	{"var/spool", 0755, 0},
	{"var/mail", 02775, 0},
	{"var/local", 0755, 0},
	{"var/opt", 0755, 0},
	{"etc/ssl", 0755, 0},
};

static const struct {
	const char *path, *target;
} host_links[] = {
	{"bin", "usr/bin"},  {"sbin", "usr/sbin"},	{"lib", "usr/lib"},
	{"var/run", "/run"}, {"var/lock", "/run/lock"}, {"etc/mtab", "../proc/self/mounts"},
};

/* Beside /lib: linked if the host has it (lib64 is where the loader of x86_64 programs is). */
static const char *const host_libs[] = {"lib64", "lib32", "libx32"};

/* What of the host's /etc goes in, if others may read it. A '*' at the end matches any rest. */
static const char *const host_etc[] = {
	"alternatives",
	"ld.so.cache",
	"ld.so.conf*",
	"ssl/certs",
	"ssl/openssl.cnf",
	"fonts",
	"ca-certificates.conf",
	"localtime",
	"timezone",
	"locale.alias",
	"locale.gen",
	"mime.types",
	"magic*",
	"profile",
	"bash.bashrc",
	"inputrc",
	"terminfo",
	"protocols",
	"services",
	"rpc",
	"ethertypes",
	"gai.conf",
	"host.conf",
	"os-release",
	"debian_version",
	"lsb-release",
	"login.defs",
	"skel",
	"xattr.conf",
	"python*",
	"perl",
	"java*",
	"R",
	"julia",
	"php",
	"lua*",
	"ImageMagick*",
	"ghostscript",
	"papersize",
	"texmf",
	"xml",
	"sgml",
	"groff",
	"vim",
	"nanorc",
	"matplotlibrc",
	"emacs",
	"chromium*",
	"firefox*",
	"libreoffice",
	"gnuplot*",
	"octave*",
	"debconf.conf",
	"adduser.conf",
	"deluser.conf",
	"dpkg",
	"apt/apt.conf*",
	"apt/preferences*",
	"apt/sources.list*",
	"apt/trusted.gpg.d",
};

static const char host_passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
				  "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
				  "bin:x:2:2:bin:/bin:/usr/sbin/nologin\n"
				  "sys:x:3:3:sys:/dev:/usr/sbin/nologin\n"
				  "man:x:6:12:man:/var/cache/man:/usr/sbin/nologin\n"
				  "mail:x:8:8:mail:/var/mail:/usr/sbin/nologin\n"
				  "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
				  "_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\n"
				  "user:x:1000:1000:user:/home/user:/bin/bash\n"
				  "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";

static const char host_group[] =
	"root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\n"
	"man:x:12:\nkmem:x:15:\ndialout:x:20:\ncdrom:x:24:\nsudo:x:27:\naudio:x:29:\ndip:x:30:\n"
	"www-data:x:33:\nbackup:x:34:\nsrc:x:40:\nshadow:x:42:\nutmp:x:43:\nvideo:x:44:\n"
	"sasl:x:45:\nplugdev:x:46:\nstaff:x:50:\ngames:x:60:\nusers:x:100:\nuser:x:1000:\n"
	"nogroup:x:65534:\n";

static const struct {
	const char *path, *text;
} host_files[] = {
	{"etc/passwd", host_passwd},
	{"etc/group", host_group},
	{"etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"},
	{"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\n"
			      "protocols: files\nservices: files\n"},
	{"etc/resolv.conf", "# No network: only what a rule allows leaves the sandbox.\n"},
	{"etc/shells", "/bin/sh\n/bin/bash\n"},
	{"etc/machine-id", ""},
};

/* Whether a file may hold a credential in a URL ("https://user:password@host"). */
static bool host_has_login(const struct buf *text)
{
	for (const char *p = text->data; (p = strstr(p, "://")); p += 3)
		if (p[3 + strcspn(p + 3, "@ /\n\"")] == '@')
			return true;
	return false;
}

static int host_copy_file(int from, const char *name, int to, mode_t mode, bool as_it_is)
{
	_cleanup_buf_ struct buf text = BUF_INIT(16u << 20);
	_cleanup_close_ int out = -EBADF;
	int r = io_read_file(from, name, &text);

	if (r < 0)
		return r == -E2BIG ? 0 : r;
	if (!as_it_is && host_has_login(&text))
		return 0;
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode & 0755);
	if (out < 0)
		return errno == EEXIST ? 0 : -errno;
	return io_write_full(out, text.data, text.len);
}

static int host_copy(int from, const char *name, int to, unsigned depth)
{
	_cleanup_close_ int in = -EBADF, out = -EBADF;
	_cleanup_closedir_ DIR *dir = NULL;
	char link[CEIL_PATH];
	struct dirent *entry;
	struct stat st;
	ssize_t n;
	int r = 0;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(from, name, link, sizeof(link) - 1);
		if (n < 0)
			return -errno;
		link[n] = '\0';
		return symlinkat(link, to, name) < 0 && errno != EEXIST ? -errno : 0;
	}
	if (S_ISREG(st.st_mode))
		return st.st_mode & S_IROTH ? host_copy_file(from, name, to, st.st_mode, false) : 0;
	if (!S_ISDIR(st.st_mode) || (st.st_mode & 05) != 05 || depth > 8)
		return 0;
	if (mkdirat(to, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0 || out < 0)
		return -errno;
	dir = fs_opendir(in);
	if (!dir)
		return -errno;
	while (r == 0 && (entry = fs_next(dir)))
		if (entry->d_name[0] != '.')
			r = host_copy(in, entry->d_name, out, depth + 1);
	return entry ? r : -errno;
}

/* One line of host_etc, which names a file or directory below etc or etc/PART. */
static int host_copy_pattern(int etc_from, int etc_to, const char *pattern)
{
	_cleanup_close_ int from = -EBADF, to = -EBADF;
	_cleanup_closedir_ DIR *dir = NULL;
	const char *slash = strchr(pattern, '/'), *last = slash ? slash + 1 : pattern;
	size_t len = strlen(last) - (last[strlen(last) - 1] == '*');
	char part[64] = ".";
	struct dirent *entry;
	int r = 0;

	if (slash) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - pattern), pattern);
		if (mkdirat(etc_to, part, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	from = openat(etc_from, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to = openat(etc_to, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0 || to < 0)
		return errno == ENOENT ? 0 : -errno;
	if (last[len] != '*')
		return host_copy(from, last, to, 0);
	dir = fs_opendir(from);
	if (!dir)
		return -errno;
	while (r == 0 && (entry = fs_next(dir)))
		if (strncmp(entry->d_name, last, len) == 0)
			r = host_copy(from, entry->d_name, to, 0);
	return entry ? r : -errno;
}

static int host_fill_etc(int root, struct err *err)
{
	_cleanup_close_ int from = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int to = openat(root, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (from < 0 || to < 0)
		return err_errno(err, errno, "host-image", "cannot open /etc");
	for (size_t i = 0; i < ELEMENTSOF(host_etc); i++) {
		int r = host_copy_pattern(from, to, host_etc[i]);

		if (r < 0)
			return err_errno(err, -r, "host-image", "cannot copy /etc/%s", host_etc[i]);
	}
	return 0;
}

static int host_fill(int root, struct err *err)
{
	for (size_t i = 0; i < ELEMENTSOF(host_dirs); i++) {
		const struct host_dir *d = &host_dirs[i];

		if (mkdirat(root, d->path, d->mode) < 0 || fchmodat(root, d->path, d->mode, 0) < 0)
			return err_errno(err, errno, "host-image", "cannot make %s", d->path);
		/* EINVAL: only one id is mapped, and it owns everything. */
		if (d->owner && fchownat(root, d->path, d->owner, d->owner, 0) < 0 &&
		    errno != EINVAL && errno != EPERM)
			return err_errno(err, errno, "host-image", "cannot own %s", d->path);
	}
	for (size_t i = 0; i < ELEMENTSOF(host_links); i++)
		if (symlinkat(host_links[i].target, root, host_links[i].path) < 0)
			return err_errno(err, errno, "host-image", "cannot link %s",
					 host_links[i].path);
	for (size_t i = 0; i < ELEMENTSOF(host_libs); i++) {
		char target[32], path[32];

		snprintf(path, sizeof(path), "/usr/%s", host_libs[i]);
		snprintf(target, sizeof(target), "usr/%s", host_libs[i]);
		if (access(path, F_OK) == 0 && symlinkat(target, root, host_libs[i]) < 0)
			return err_errno(err, errno, "host-image", "cannot link %s", host_libs[i]);
	}
	for (size_t i = 0; i < ELEMENTSOF(host_files); i++) {
		_cleanup_close_ int fd = openat(root, host_files[i].path,
						O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		int r = fd < 0 ? -errno
			       : io_write_full(fd, host_files[i].text, strlen(host_files[i].text));

		if (r < 0)
			return err_errno(err, -r, "host-image", "cannot write %s",
					 host_files[i].path);
	}
	return host_fill_etc(root, err);
}

/* What the generated root depends on; a change of any makes it anew. */
static int host_stamp(char *ret, size_t size)
{
	static const char *const sources[] = {
		"/etc",		  "/etc/alternatives",	     "/etc/ld.so.cache", "/etc/ssl/certs",
		"/etc/localtime", "/etc/apt/sources.list.d", "/etc/python3",	 "/etc/R"};
	size_t len = (size_t)snprintf(ret, size, "creel host image %d\n", HOST_IMAGE_VERSION);

	for (size_t i = 0; i < ELEMENTSOF(sources) && len < size; i++) {
		struct stat st = {0};

		if (stat(sources[i], &st) < 0)
			continue;
		len += (size_t)snprintf(ret + len, size - len, "%s %lld.%09ld %llu\n", sources[i],
					(long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
					(unsigned long long)st.st_ino);
	}
	return len < size ? 0 : -ENAMETOOLONG;
}

static int host_stamp_matches(const char *dir, const char *name, const char *stamp)
{
	_cleanup_buf_ struct buf have = BUF_INIT(CEIL_SMALL_FILE);
	char path[CEIL_PATH];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return io_read_file(AT_FDCWD, path, &have) == 0 && strcmp(have.data, stamp) == 0;
}

int host_image_current(const char *dir)
{
	char stamp[2048];

	return host_stamp(stamp, sizeof(stamp)) == 0 &&
	       host_stamp_matches(dir, "root.stamp", stamp);
}

/* DIR, and its lock: others may be making the same, one at a time. */
static int host_open(const char *dir, int *ret_lock, struct err *err)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), lock = -EBADF;

	if (fd >= 0)
		lock = openat(fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	while (lock >= 0 && flock(lock, LOCK_EX) < 0)
		if (errno != EINTR)
			lock = fd_close(lock);
	if (lock < 0)
		return err_errno(err, errno, "host-image", "cannot use %s", dir);
	*ret_lock = TAKE_FD(lock);
	return TAKE_FD(fd);
}

/* Puts DIR/new in the place of DIR/name, and its stamp after it. */
static int host_publish(int dirfd, const char *name, const char *stamp, struct err *err)
{
	char old[64], stamp_name[64];
	int r;

	snprintf(old, sizeof(old), "%s.old", name);
	snprintf(stamp_name, sizeof(stamp_name), "%s.stamp", name);
	unlinkat(dirfd, stamp_name, 0);
	r = fs_remove_tree(dirfd, old);
	if (r == 0 && renameat(dirfd, name, dirfd, old) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0 && renameat(dirfd, "new", dirfd, name) < 0)
		r = -errno;
	if (r == 0)
		r = fs_replace_file(dirfd, stamp_name, stamp, strlen(stamp), 0644);
	if (r < 0)
		return err_errno(err, -r, "host-image", "cannot put %s in its place", name);
	/* Sandboxes that still run on the old tree keep its mounted files; names may go. */
	return 0;
}

/* Makes DIR/name anew, as make() fills it. */
static int host_renew(int dirfd, const char *name, const char *stamp,
		      int (*make)(int new_dir, struct err *err), struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	int r = fs_remove_tree(dirfd, "new");

	if (r == 0 && mkdirat(dirfd, "new", 0755) < 0)
		r = -errno;
	if (r == 0) {
		fd = openat(dirfd, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	if (r < 0)
		return err_errno(err, -r, "host-image", "cannot make a new %s", name);
	r = make(fd, err);
	/* The stamp must not outlive a power loss that the files do not. */
	if (r == 0 && syncfs(fd) < 0)
		r = err_errno(err, errno, "host-image", "cannot write the new %s", name);
	return r == 0 ? host_publish(dirfd, name, stamp, err) : r;
}

int host_image_prepare(const char *dir, bool *ret_fresh, struct err *err)
{
	_cleanup_close_ int lock = -EBADF, dirfd = host_open(dir, &lock, err);
	char stamp[2048];
	int r;

	if (dirfd < 0)
		return dirfd;
	r = host_stamp(stamp, sizeof(stamp));
	*ret_fresh = r == 0 && !host_stamp_matches(dir, "root.stamp", stamp);
	return *ret_fresh ? host_renew(dirfd, "root", stamp, host_fill, err) : r;
}

/* Directories of `from` that others may enter and read, made below `to`. */
static int host_skel_copy(int from, int to, unsigned depth)
{
	_cleanup_closedir_ DIR *dir = fs_opendir(from);
	struct dirent *entry;
	int r = 0;

	if (!dir || depth > CEIL_TREE_DEPTH)
		return dir ? 0 : -errno;
	while (r == 0 && (entry = fs_next(dir))) {
		_cleanup_close_ int in = -EBADF, out = -EBADF;
		struct stat st;

		if (entry->d_type != DT_DIR)
			continue;
		in = openat(from, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (in < 0 || fstat(in, &st) < 0 || (st.st_mode & 05) != 05)
			continue;
		if (mkdirat(to, entry->d_name, st.st_mode & 0755) < 0)
			return -errno;
		out = openat(to, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = out < 0 ? -errno : host_skel_copy(in, out, depth + 1);
	}
	return entry ? r : -errno;
}

/* Removes from the skel what the host closed to others, or no longer has. */
static int host_skel_check(int from, int skel, unsigned depth)
{
	_cleanup_closedir_ DIR *dir = fs_opendir(skel);
	struct dirent *entry;
	int r = 0;

	if (!dir || depth > CEIL_TREE_DEPTH)
		return dir ? 0 : -errno;
	while (r == 0 && (entry = fs_next(dir))) {
		_cleanup_close_ int in = -EBADF, out = -EBADF;
		struct stat st;

		if (entry->d_type != DT_DIR)
			continue;
		in = openat(from, entry->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (in < 0 || fstat(in, &st) < 0 || (st.st_mode & 05) != 05) {
			r = fs_remove_tree(skel, entry->d_name);
			continue;
		}
		out = openat(skel, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = out < 0 ? -errno : host_skel_check(in, out, depth + 1);
	}
	return entry ? r : -errno;
}

static int host_skel_stamp(char *ret, size_t size)
{
	struct stat st = {0};
	int n;

	if (stat("/var/lib/dpkg/status", &st) < 0 && stat("/usr/bin", &st) < 0)
		return -errno;
	n = snprintf(ret, size, "creel skel %d %lld.%09ld\n", HOST_IMAGE_VERSION,
		     (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int host_image_skel_current(const char *dir)
{
	char stamp[256];

	return host_skel_stamp(stamp, sizeof(stamp)) == 0 &&
	       host_stamp_matches(dir, "skel.stamp", stamp);
}

static const struct {
	const char *host, *name;
} host_skels[] = {{"/usr", "usr"}, {"/var/lib/dpkg", "dpkg"}};

/*
 * dpkg opens the locks for writing where they stand: it needs its own. The host's overrides name
 * groups that do not exist inside: there are none.
 */
static const char *const host_dpkg_locks[] = {"lock", "lock-frontend", "triggers/Lock",
					      "statoverride"};

/* dpkg keeps the last version of these by a hard link, which a file of nobody's refuses: copies. */
static const char *const host_dpkg_data[] = {"status", "diversions", "available"};

static int host_skel_dpkg(int skel)
{
	_cleanup_close_ int from = open("/var/lib/dpkg", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int to = openat(skel, "dpkg", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (from < 0 || to < 0)
		return 0;
	for (size_t i = 0; i < ELEMENTSOF(host_dpkg_locks); i++)
		fd_close(openat(to, host_dpkg_locks[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(host_dpkg_data); i++) {
		r = host_copy_file(from, host_dpkg_data[i], to, 0644, true);
		if (r == -ENOENT)
			r = 0;
	}
	return r;
}

static int host_skel_make(int skel, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ELEMENTSOF(host_skels); i++) {
		_cleanup_close_ int from =
			open(host_skels[i].host, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		_cleanup_close_ int to = -EBADF;

		if (mkdirat(skel, host_skels[i].name, 0755) < 0)
			r = -errno;
		to = openat(skel, host_skels[i].name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (r == 0 && from >= 0)
			r = to < 0 ? -errno : host_skel_copy(from, to, 0);
	}
	if (r == 0)
		r = host_skel_dpkg(skel);
	return r < 0 ? err_errno(err, -r, "host-image", "cannot make the directory tree of /usr")
		     : 0;
}

int host_image_skel(const char *dir, struct err *err)
{
	_cleanup_close_ int lock = -EBADF, dirfd = host_open(dir, &lock, err);
	char stamp[256];
	int r;

	if (dirfd < 0)
		return dirfd;
	r = host_skel_stamp(stamp, sizeof(stamp));
	if (r == 0 && !host_stamp_matches(dir, "skel.stamp", stamp))
		r = host_renew(dirfd, "skel", stamp, host_skel_make, err);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(host_skels); i++) {
		_cleanup_close_ int from =
			open(host_skels[i].host, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		_cleanup_close_ int skel = -EBADF;
		char path[64];

		snprintf(path, sizeof(path), "skel/%s", host_skels[i].name);
		skel = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = skel < 0 || from < 0 ? 0 : host_skel_check(from, skel, 0);
		if (r < 0)
			r = err_errno(err, -r, "host-image", "cannot check the tree of %s",
				      host_skels[i].host);
	}
	return r;
}
