/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-copy.c: what leaves a sandbox is harmless: plain files with permission bits, links that stay
 * inside whatever other links they pass, nothing through a link of the receiving side.
 */
#include "tree.h"

#include "err.h"

#include "../testing/testing.h"

static struct test_dir *dir;
static int from, to;

static int setup(void **state)
{
	if (test_dir_setup(state) < 0)
		return -1;
	dir = *state;
	if (mkdirat(dir->fd, "from", 0755) < 0 || mkdirat(dir->fd, "to", 0755) < 0)
		return -1;
	from = openat(dir->fd, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to = openat(dir->fd, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return from < 0 || to < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	fd_close(from);
	fd_close(to);
	return test_dir_teardown(state);
}

static int copy_out(const char *path)
{
	char name[256];
	struct tree_entry entry = {.path = name};
	struct stat st;

	snprintf(name, sizeof(name), "%s", path);
	assert_int_equal(fstatat(from, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	entry.mode = st.st_mode;
	return tree_copy_out(from, to, &entry, (uid_t)-1, (gid_t)-1);
}

static mode_t mode_of(int dirfd, const char *path)
{
	struct stat st;

	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode;
}

static void files_go_with_their_directories(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(from, "a", 0700), 0);
	assert_int_equal(mkdirat(from, "a/b", 0700), 0);
	test_write(from, "a/b/f", "content");
	test_write(from, "top", "");
	assert_int_equal(copy_out("a/b/f"), 0);
	assert_int_equal(copy_out("top"), 0);
	assert_string_equal(test_read(to, "a/b/f"), "content");
	assert_int_equal(mode_of(to, "a"), S_IFDIR | 0755);
	assert_int_equal(mode_of(to, "top"), S_IFREG | 0644);
	test_write(from, "a/b/f", "newer");
	assert_int_equal(copy_out("a/b/f"), 0);
	assert_string_equal(test_read(to, "a/b/f"), "newer");
	assert_int_equal(mkdirat(from, "empty", 01777), 0);
	assert_int_equal(fchmodat(from, "empty", 03777, 0), 0);
	assert_int_equal(copy_out("empty"), 0);
	assert_int_equal(mode_of(to, "empty"), S_IFDIR | 0755);
}

static void only_permission_bits_go(void **state)
{
	static const mode_t modes[] = {0755, 04755, 02755, 06711, 01644, 07777, 0600};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
		test_write(from, "f", "x");
		assert_int_equal(fchmodat(from, "f", modes[i], 0), 0);
		assert_int_equal(mode_of(from, "f"), S_IFREG | modes[i]);
		assert_int_equal(copy_out("f"), 0);
		assert_int_equal(mode_of(to, "f"), S_IFREG | (modes[i] & 0777));
	}
}

static void other_kinds_are_left_out(void **state)
{
	struct tree_entry device = {.path = (char *)(uintptr_t) "dev", .mode = S_IFCHR | 0600};
	struct tree_entry block = {.path = (char *)(uintptr_t) "dev", .mode = S_IFBLK | 0600};
	struct tree_entry sock = {.path = (char *)(uintptr_t) "sock", .mode = S_IFSOCK | 0600};

	(void)state;
	assert_int_equal(mkfifoat(from, "fifo", 0600), 0);
	assert_int_equal(copy_out("fifo"), 1);
	assert_int_equal(tree_copy_out(from, to, &device, -1, -1), 1);
	assert_int_equal(tree_copy_out(from, to, &block, -1, -1), 1);
	assert_int_equal(tree_copy_out(from, to, &sock, -1, -1), 1);
	assert_int_equal(mode_of(to, "fifo"), 0);
}

static void links_that_stay_go(void **state)
{
	static const struct {
		const char *path, *target;
		int r;
	} cases[] = {
		{"x/y/1", "f", 0},
		{"x/y/2", "../f", 0},
		{"x/y/3", "../../f", 0},
		{"x/y/4", "./f", 0},
		{"x/y/5", "missing", 0},
		{"6", "x/y", 0},
		{"x/y/7", "../../../f", 1},
		{"8", "..", 1},
		{"9", "/etc/passwd", 1},
		{"x/y/10", "/", 1},
		{"11", "x/../../f", 1},
		{"x/12", "..//../f", 1},
		{"x/y/13", "./.././../../f", 1},
		{"14", "x/../..", 1},
	};
	char target[64];

	(void)state;
	assert_int_equal(mkdirat(from, "x", 0755), 0);
	assert_int_equal(mkdirat(from, "x/y", 0755), 0);
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		ssize_t n;

		assert_int_equal(symlinkat(cases[i].target, from, cases[i].path), 0);
		if (copy_out(cases[i].path) != cases[i].r)
			fail_msg("%s -> %s is not %d", cases[i].path, cases[i].target, cases[i].r);
		n = readlinkat(to, cases[i].path, target, sizeof(target) - 1);
		assert_int_equal(n > 0, cases[i].r == 0);
		if (n > 0)
			target[n] = '\0';
		if (n > 0)
			assert_string_equal(target, cases[i].target);
	}
}

/* Each of the two stays inside for itself; together they would lead out. */
static void links_do_not_escape_in_pairs(void **state)
{
	(void)state;
	test_write(dir->fd, "secret", "outside");
	assert_int_equal(mkdirat(from, "x", 0755), 0);
	assert_int_equal(mkdirat(from, "x/y", 0755), 0);
	assert_int_equal(symlinkat("../..", from, "x/y/d"), 0);
	assert_int_equal(symlinkat("d/../secret", from, "x/y/l"), 0);
	assert_true(copy_out("x/y/d") >= 0);
	assert_true(copy_out("x/y/l") >= 0);
	assert_string_not_equal(test_read(to, "x/y/l"), "outside");
}

static void links_of_the_receiver_are_not_followed(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(dir->fd, "outside", 0755), 0);
	test_write(dir->fd, "outside/f", "kept");
	assert_int_equal(mkdirat(from, "d", 0755), 0);
	test_write(from, "d/f", "poison");
	test_write(from, "f", "poison");
	assert_int_equal(symlinkat("../outside", to, "d"), 0);
	assert_int_equal(symlinkat("../outside/f", to, "f"), 0);
	assert_int_equal(copy_out("d/f"), -ELOOP);
	assert_int_equal(copy_out("f"), 0); /* the link is replaced */
	assert_int_equal(mode_of(to, "f"), S_IFREG | 0644);
	assert_string_equal(test_read(dir->fd, "outside/f"), "kept");
}

/* The entry was looked at earlier: what lies there now is another thing. */
static void a_swapped_source_is_refused(void **state)
{
	struct tree_entry file = {.path = (char *)(uintptr_t) "f", .mode = S_IFREG | 0644};
	struct tree_entry link = {.path = (char *)(uintptr_t) "f", .mode = S_IFLNK | 0777};
	struct tree_entry below = {.path = (char *)(uintptr_t) "d/passwd", .mode = S_IFREG | 0644};

	(void)state;
	assert_int_equal(symlinkat("/etc/passwd", from, "f"), 0);
	assert_int_equal(symlinkat("/etc", from, "d"), 0);
	assert_int_equal(tree_copy_out(from, to, &file, -1, -1), -ELOOP);
	assert_int_equal(tree_copy_out(from, to, &below, -1, -1), -ELOOP);
	assert_int_equal(unlinkat(from, "f", 0), 0);
	assert_int_equal(mkfifoat(from, "f", 0600), 0);
	assert_int_equal(tree_copy_out(from, to, &file, -1, -1), -EINVAL);
	assert_int_equal(tree_copy_out(from, to, &link, -1, -1), -EINVAL);
	assert_int_equal(unlinkat(from, "f", 0), 0);
	assert_int_equal(tree_copy_out(from, to, &file, -1, -1), -ENOENT);
	assert_int_equal(mode_of(to, "f"), 0);
}

static void trees_come_in(void **state)
{
	char path[128], target[64] = "";
	struct err err;

	(void)state;
	assert_int_equal(mkdirat(from, "d", 0755), 0);
	test_write(from, "d/f", "data");
	assert_int_equal(fchmodat(from, "d/f", 04751, 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", from, "d/link"), 0);
	assert_int_equal(mkfifoat(from, "d/fifo", 0600), 0);
	assert_int_equal(mkdirat(from, "d/closed", 0500), 0);
	snprintf(path, sizeof(path), "%s/from/d", dir->path);
	assert_int_equal(tree_copy_in(path, to, "new", getuid(), getgid(), &err), 0);
	assert_string_equal(test_read(to, "new/f"), "data");
	assert_int_equal(mode_of(to, "new/f"), S_IFREG | 0751);
	assert_true(readlinkat(to, "new/link", target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "/etc/passwd"); /* as text; it will mean the sandbox's */
	assert_int_equal(mode_of(to, "new/fifo"), 0);
	assert_int_equal(mode_of(to, "new/closed"), S_IFDIR | 0700);
	assert_int_equal(tree_copy_in(path, to, "new", getuid(), getgid(), &err), -EEXIST);
	assert_non_null(strstr(err.text, path));
	snprintf(path, sizeof(path), "%s/from/none", dir->path);
	assert_int_equal(tree_copy_in(path, to, "none", getuid(), getgid(), &err), -ENOENT);
}

static void a_named_link_comes_in_as_its_file(void **state)
{
	char path[128];
	struct err err;

	(void)state;
	test_write(from, "f", "data");
	assert_int_equal(symlinkat("f", from, "link"), 0);
	snprintf(path, sizeof(path), "%s/from/link", dir->path);
	assert_int_equal(tree_copy_in(path, to, "got", getuid(), getgid(), &err), 0);
	assert_int_equal(mode_of(to, "got"), S_IFREG | 0644);
	assert_string_equal(test_read(to, "got"), "data");
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(files_go_with_their_directories),
		WITH_DIR(only_permission_bits_go),
		WITH_DIR(other_kinds_are_left_out),
		WITH_DIR(links_that_stay_go),
		WITH_DIR(links_do_not_escape_in_pairs),
		WITH_DIR(links_of_the_receiver_are_not_followed),
		WITH_DIR(a_swapped_source_is_refused),
		WITH_DIR(trees_come_in),
		WITH_DIR(a_named_link_comes_in_as_its_file),
	};

	umask(022);
	return cmocka_run_group_tests_name("copy", tests, NULL, NULL);
}
