/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-fs.c: paths stay below their directory, and a tree that a sandbox wrote is removed whatever
 * its depth and modes are, while what its links point to survives.
 */
#include "fs.h"

#include "ceilings.h"
#include "err.h"

#include <grp.h>

#include "../testing/testing.h"

static void canonical_paths(void **state)
{
	static const struct {
		const char *path, *canonical;
	} cases[] = {
		{"/", "/"},	  {"//", "/"},	     {"/.", "/"},	    {"/././/", "/"},
		{"/a", "/a"},	  {"/a/", "/a"},     {"//a///b//", "/a/b"}, {"/a/./b", "/a/b"},
		{"/...", "/..."}, {"/.a", "/.a"},    {"/a..", "/a.."},	    {"/..a/b", "/..a/b"},
		{"", NULL},	  {"a", NULL},	     {"./a", NULL},	    {"/..", NULL},
		{"/a/..", NULL},  {"/a/../b", NULL}, {"/a/..//", NULL},
	};
	char ret[64];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		int r = fs_canonical(cases[i].path, ret, sizeof(ret));

		if (r != (cases[i].canonical ? 0 : -EINVAL) ||
		    (r == 0 && strcmp(ret, cases[i].canonical) != 0))
			fail_msg("'%s' gives %d '%s'", cases[i].path, r, ret);
	}
}

static void canonical_lengths(void **state)
{
	char ret[5];

	(void)state;
	assert_int_equal(fs_canonical("/abc", ret, 5), 0);
	assert_string_equal(ret, "/abc");
	assert_int_equal(fs_canonical("/abcd", ret, 5), -ENAMETOOLONG);
	assert_int_equal(fs_canonical("/a/bc", ret, 5), -ENAMETOOLONG);
	assert_int_equal(fs_canonical("/", ret, 2), 0);
	assert_int_equal(fs_canonical("/", ret, 1), -ENAMETOOLONG);
	assert_int_equal(fs_canonical("/./././././a", ret, 5), 0);
	assert_string_equal(ret, "/a");
}

static void below(void **state)
{
	(void)state;
	assert_true(fs_is_below("/proc", "/proc"));
	assert_true(fs_is_below("/proc/1", "/proc"));
	assert_false(fs_is_below("/process", "/proc"));
	assert_false(fs_is_below("/pro", "/proc"));
	assert_false(fs_is_below("/", "/proc"));
	assert_true(fs_is_below("/", "/"));
	assert_true(fs_is_below("/a", "/"));
}

static void opening_stays_beneath(void **state)
{
	struct test_dir *dir = *state;
	int fd;

	assert_int_equal(mkdirat(dir->fd, "d", 0755), 0);
	test_write(dir->fd, "d/f", "x");
	assert_int_equal(symlinkat("d", dir->fd, "link"), 0);
	assert_int_equal(symlinkat("/etc/passwd", dir->fd, "out"), 0);
	fd = fs_open_beneath(dir->fd, "d/f", O_RDONLY, 0);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	assert_int_equal(fs_open_beneath(dir->fd, "link/f", O_RDONLY, 0), -ELOOP);
	assert_int_equal(fs_open_beneath(dir->fd, "link", O_RDONLY, 0), -ELOOP);
	assert_int_equal(fs_open_beneath(dir->fd, "out", O_RDONLY, 0), -ELOOP);
	assert_int_equal(fs_open_beneath(dir->fd, "../x", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fs_open_beneath(dir->fd, "d/../../x", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fs_open_beneath(dir->fd, "/etc/passwd", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fs_open_beneath(dir->fd, "none", O_RDONLY, 0), -ENOENT);
	fd = fs_open_beneath(dir->fd, "d/new", O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void directories_are_made(void **state)
{
	struct test_dir *dir = *state;
	char path[CEIL_PATH + 8], deep[128];
	struct err err;
	struct stat st;

	snprintf(deep, sizeof(deep), "%s/a//b/c/", dir->path);
	assert_int_equal(fs_mkdirs(deep, 0700, &err), 0);
	assert_int_equal(fs_mkdirs(deep, 0700, &err), 0);
	assert_int_equal(fstatat(dir->fd, "a/b/c", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	test_write(dir->fd, "file", "");
	snprintf(deep, sizeof(deep), "%s/file/x", dir->path);
	assert_int_equal(fs_mkdirs(deep, 0700, &err), -ENOTDIR);
	assert_non_null(strstr(err.text, deep));
	assert_int_equal(fs_mkdirs("", 0700, &err), -ENAMETOOLONG);
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(fs_mkdirs(path, 0700, &err), -ENAMETOOLONG);
}

static void directories_beneath(void **state)
{
	struct test_dir *dir = *state;
	struct stat st;

	assert_int_equal(mkdirat(dir->fd, "real", 0755), 0);
	assert_int_equal(symlinkat("real", dir->fd, "link"), 0);
	test_write(dir->fd, "file", "");
	assert_int_equal(fs_mkdirs_beneath(dir->fd, "a/b//c/", 0700, -1, -1), 0);
	assert_int_equal(fs_mkdirs_beneath(dir->fd, "a/b/c/d", 0700, getuid(), getgid()), 0);
	assert_int_equal(fstatat(dir->fd, "a/b/c/d", &st, 0), 0);
	assert_true(S_ISDIR(st.st_mode) && st.st_uid == getuid());
	assert_int_equal(fs_mkdirs_beneath(dir->fd, "link/x", 0700, -1, -1), -ELOOP);
	assert_int_equal(fs_mkdirs_beneath(dir->fd, "link", 0700, -1, -1), -ELOOP);
	assert_int_equal(fs_mkdirs_beneath(dir->fd, "../x", 0700, -1, -1), -EXDEV);
	assert_int_equal(fs_mkdirs_beneath(dir->fd, "a/../../x", 0700, -1, -1), -EXDEV);
	/* An absolute path is refused or taken as relative: in any case it makes nothing there. */
	if (fs_mkdirs_beneath(dir->fd, "/creel-beneath", 0700, -1, -1) == 0)
		assert_int_equal(faccessat(dir->fd, "creel-beneath", F_OK, 0), 0);
	assert_int_equal(access("/creel-beneath", F_OK), -1);
	assert_int_equal(fs_mkdirs_beneath(dir->fd, "file/x", 0700, -1, -1), -ENOTDIR);
	assert_int_equal(faccessat(dir->fd, "real/x", F_OK, 0), -1);
}

static void removes_files_and_links(void **state)
{
	struct test_dir *dir = *state;

	test_write(dir->fd, "keep", "kept");
	assert_int_equal(mkdirat(dir->fd, "outside", 0755), 0);
	test_write(dir->fd, "outside/f", "kept");
	assert_int_equal(symlinkat("outside", dir->fd, "link"), 0);
	assert_int_equal(fs_remove_tree(dir->fd, "link"), 0);
	assert_int_equal(fs_remove_tree(dir->fd, "missing"), 0);
	assert_int_equal(mkdirat(dir->fd, "tree", 0755), 0);
	assert_int_equal(symlinkat("../outside", dir->fd, "tree/dir"), 0);
	assert_int_equal(symlinkat("../keep", dir->fd, "tree/file"), 0);
	assert_int_equal(linkat(dir->fd, "keep", dir->fd, "tree/hard", 0), 0);
	assert_int_equal(mkfifoat(dir->fd, "tree/fifo", 0600), 0);
	test_write(dir->fd, "tree/-rf\n*", "");
	assert_int_equal(fs_remove_tree(dir->fd, "tree"), 0);
	assert_int_equal(faccessat(dir->fd, "tree", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	assert_string_equal(test_read(dir->fd, "keep"), "kept");
	assert_string_equal(test_read(dir->fd, "outside/f"), "kept");
}

static void removes_closed_directories(void **state)
{
	struct test_dir *dir = *state;

	assert_int_equal(mkdirat(dir->fd, "t", 0755), 0);
	assert_int_equal(mkdirat(dir->fd, "t/none", 0755), 0);
	assert_int_equal(mkdirat(dir->fd, "t/none/read", 0755), 0);
	test_write(dir->fd, "t/none/read/f", "x");
	assert_int_equal(fchmodat(dir->fd, "t/none/read", 0500, 0), 0);
	assert_int_equal(fchmodat(dir->fd, "t/none", 0, 0), 0);
	assert_int_equal(fchmodat(dir->fd, "t", 0500, 0), 0);
	assert_int_equal(fs_remove_tree(dir->fd, "t"), 0);
	assert_int_equal(faccessat(dir->fd, "t", F_OK, 0), -1);
}

/* Directories below each other, each with a file, the last ones closed; returns how deep it got. */
static void make_deep(int top, const char *name, int depth, mode_t mode)
{
	int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), below;

	for (int i = 0; i < depth; i++) {
		assert_int_equal(mkdirat(fd, i ? "d" : name, 0755), 0);
		below = openat(fd, i ? "d" : name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(below >= 0);
		test_write(below, "f", "x");
		if (i)
			assert_int_equal(fchmod(fd, mode), 0);
		close(fd);
		fd = below;
	}
	close(fd);
}

static void expect_empty(int fd)
{
	DIR *dir = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2)
			fail_msg("%s is left", entry->d_name);
	closedir(dir);
}

static void removes_deep_trees(void **state)
{
	struct test_dir *dir = *state;

	make_deep(dir->fd, "deep", 2600, 0755);
	assert_int_equal(fs_remove_tree(dir->fd, "deep"), 0);
	expect_empty(dir->fd);
}

/* What is lifted out of the depth meets names that are taken, and stays in the tree. */
static void removes_deep_trees_with_any_names(void **state)
{
	struct test_dir *dir = *state;
	int top;

	assert_int_equal(mkdirat(dir->fd, "tree", 0755), 0);
	top = openat(dir->fd, "tree", O_RDONLY | O_DIRECTORY);
	make_deep(top, ".deep-0", 400, 0755);
	make_deep(top, ".deep-1", 3, 0755);
	make_deep(top, "z", 700, 0755);
	close(top);
	assert_int_equal(fs_remove_tree(dir->fd, "tree"), 0);
	expect_empty(dir->fd);
}

/* As an ordinary user, who needs the owner's bits: root becomes nobody in a child. */
static void removes_deep_closed_trees(void **state)
{
	struct test_dir *dir = *state;
	pid_t pid;
	int status;

	assert_int_equal(fchmod(dir->fd, 0777), 0);
	pid = fork();
	if (pid == 0) {
		int fd;

		if (getuid() == 0 &&
		    (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0))
			_exit(3);
		fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		make_deep(fd, "deep", 1200, 0500);
		_exit(fs_remove_tree(fd, "deep") < 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	expect_empty(dir->fd);
}

static void replaces_as_a_whole(void **state)
{
	struct test_dir *dir = *state;
	char name[400];
	struct stat st;

	test_write(dir->fd, "outside", "kept");
	assert_int_equal(fs_replace_file(dir->fd, "f", "one", 3, 0600), 0);
	assert_string_equal(test_read(dir->fd, "f"), "one");
	assert_int_equal(fs_replace_file(dir->fd, "f", "two!", 4, 0640), 0);
	assert_string_equal(test_read(dir->fd, "f"), "two!");
	assert_int_equal(fstatat(dir->fd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	/* A link of that name is replaced, not followed. */
	assert_int_equal(symlinkat("outside", dir->fd, "link"), 0);
	assert_int_equal(fs_replace_file(dir->fd, "link", "new", 3, 0600), 0);
	assert_string_equal(test_read(dir->fd, "outside"), "kept");
	assert_string_equal(test_read(dir->fd, "link"), "new");
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(fs_replace_file(dir->fd, name, "x", 1, 0600), -ENAMETOOLONG);
	assert_int_equal(mkdirat(dir->fd, "d", 0755), 0);
	assert_int_equal(fs_replace_file(dir->fd, "d", "x", 1, 0600), -EISDIR);
	assert_int_equal(unlinkat(dir->fd, "d", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(dir->fd, "f", 0), 0);
	assert_int_equal(unlinkat(dir->fd, "link", 0), 0);
	assert_int_equal(unlinkat(dir->fd, "outside", 0), 0);
	expect_empty(dir->fd); /* no temporary file is left either */
}

/* Each reader of a directory starts at its beginning and leaves the others where they are. */
static void directories_are_read(void **state)
{
	struct test_dir *dir = *state;
	_cleanup_closedir_ DIR *first = NULL, *second = NULL;
	static const char *const names[] = {".hidden", "...", "a"};
	struct dirent *entry;

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		test_write(dir->fd, names[i], "");
	first = fs_opendir(dir->fd);
	second = fs_opendir(dir->fd);
	assert_true(first && second);
	assert_int_equal(fcntl(dirfd(first), F_GETFD), FD_CLOEXEC);
	for (int turn = 0; turn < 2; turn++) {
		unsigned seen = 0, n = 0;

		while ((entry = fs_next(turn ? second : first))) {
			n++;
			for (size_t i = 0; i < ELEMENTSOF(names); i++)
				seen |= (unsigned)(strcmp(entry->d_name, names[i]) == 0) << i;
		}
		assert_int_equal(errno, 0);
		assert_int_equal(n, ELEMENTSOF(names));
		assert_int_equal(seen, (1u << ELEMENTSOF(names)) - 1);
	}
	assert_int_equal(fcntl(dir->fd, F_GETFD), FD_CLOEXEC); /* still open */
}

/* A failure is told from an empty directory. */
static void directories_that_cannot_be_read(void **state)
{
	struct test_dir *dir = *state;
	_cleanup_closedir_ DIR *gone = fs_opendir(dir->fd);
	int file, null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	test_write(dir->fd, "file", "");
	file = openat(dir->fd, "file", O_RDONLY | O_CLOEXEC);
	assert_null(fs_opendir(file));
	assert_int_equal(errno, ENOTDIR);
	assert_null(fs_opendir(-1));
	assert_int_equal(errno, EBADF);
	assert_non_null(gone);
	assert_int_equal(dup2(null, dirfd(gone)), dirfd(gone));
	assert_null(fs_next(gone));
	assert_int_equal(errno, ENOTDIR);
	close(file);
	close(null);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, test_dir_setup, test_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_paths),
		cmocka_unit_test(canonical_lengths),
		cmocka_unit_test(below),
		WITH_DIR(opening_stays_beneath),
		WITH_DIR(directories_are_made),
		WITH_DIR(directories_beneath),
		WITH_DIR(removes_files_and_links),
		WITH_DIR(removes_closed_directories),
		WITH_DIR(removes_deep_trees),
		WITH_DIR(removes_deep_trees_with_any_names),
		WITH_DIR(removes_deep_closed_trees),
		WITH_DIR(replaces_as_a_whole),
		WITH_DIR(directories_are_read),
		WITH_DIR(directories_that_cannot_be_read),
	};

	umask(022);
	return cmocka_run_group_tests_name("fs", tests, NULL, NULL);
}
