/* SPDX-License-Identifier: Apache-2.0 */
/* test-tree.c: a scan sees everything once and no link's target; a diff tells exactly what changed.
 */
#include "tree.h"

#include "buf.h"
#include "ceilings.h"
#include "err.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "../testing/testing.h"

static struct test_dir *dir;

static int setup(void **state)
{
	int r = test_dir_setup(state);

	dir = *state;
	return r;
}

static struct tree scan_with(const char *name, bool userxattr)
{
	struct tree tree = {.userxattr = userxattr};
	int fd = openat(dir->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(tree_scan(fd, &tree), 0);
	close(fd);
	return tree;
}

static struct tree scan(const char *name)
{
	return scan_with(name, false);
}

static int tell(const struct tree_change *change, void *data)
{
	static const char kinds[] = "+~-";

	assert_int_equal(change->entry == NULL, change->kind == TREE_DELETED);
	return buf_printf(data, "%c%s ", kinds[change->kind], change->path);
}

/* What differs, as "+added ~modified -deleted " in order. */
static void expect(struct tree *before, const char *name, int lowerfd, const char *wanted)
{
	_cleanup_buf_ struct buf told = BUF_INIT(10000);
	struct tree now = scan_with(name, before->userxattr);

	assert_int_equal(buf_puts(&told, ""), 0);
	assert_int_equal(tree_diff(before, &now, lowerfd, tell, &told), 0);
	assert_string_equal(told.data, wanted);
	tree_done(&now);
}

static void make(const char *path)
{
	assert_int_equal(mkdirat(dir->fd, path, 0755), 0);
}

static void a_scan_sees_everything(void **state)
{
	struct tree tree;

	(void)state;
	make("t");
	make("t/a");
	test_write(dir->fd, "t/a/f", "12345");
	test_write(dir->fd, "t/a-b", "");
	assert_int_equal(symlinkat("/etc", dir->fd, "t/link"), 0);
	assert_int_equal(mkfifoat(dir->fd, "t/z", 0600), 0);
	tree = scan("t");
	assert_int_equal(tree.n, 5);
	assert_string_equal(tree.entries[0].path, "a");
	assert_string_equal(tree.entries[1].path, "a-b");
	assert_string_equal(tree.entries[2].path, "a/f");
	assert_int_equal(tree_find(&tree, "a/f")->size, 5);
	assert_true(S_ISLNK(tree_find(&tree, "link")->mode));
	assert_true(S_ISFIFO(tree_find(&tree, "z")->mode));
	assert_null(tree_find(&tree, "link/passwd"));
	assert_null(tree_find(&tree, ""));
	assert_false(tree.truncated);
	assert_true(tree.bytes > 0);
	tree_done(&tree);
	tree_done(&tree);
	assert_null(tree_find(&tree, "a"));
}

static void nothing_changed(void **state)
{
	struct tree before;

	(void)state;
	make("t");
	make("t/d");
	test_write(dir->fd, "t/d/f", "x");
	before = scan("t");
	expect(&before, "t", -1, "");
	tree_done(&before);
	before = TREE_INIT;
	expect(&before, "t", -1, "+d/f ");
}

static void every_kind_of_change(void **state)
{
	static const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	struct tree before;

	(void)state;
	make("t");
	make("t/d");
	make("t/gone");
	test_write(dir->fd, "t/a", "x");
	test_write(dir->fd, "t/chmod", "x");
	test_write(dir->fd, "t/d/same", "x");
	test_write(dir->fd, "t/d/write", "x");
	test_write(dir->fd, "t/gone/f", "x");
	test_write(dir->fd, "t/replaced", "x");
	before = scan("t");
	assert_int_equal(unlinkat(dir->fd, "t/a", 0), 0);
	assert_int_equal(fchmodat(dir->fd, "t/chmod", 0600, 0), 0);
	test_write(dir->fd, "t/d/new", "x");
	test_write(dir->fd, "t/d/write", "longer");
	assert_int_equal(unlinkat(dir->fd, "t/gone/f", 0), 0);
	assert_int_equal(unlinkat(dir->fd, "t/gone", AT_REMOVEDIR), 0);
	test_write(dir->fd, "t/other", "x");
	assert_int_equal(renameat(dir->fd, "t/other", dir->fd, "t/replaced"), 0);
	assert_int_equal(utimensat(dir->fd, "t/d", times, 0), 0);
	make("t/empty");
	make("t/full");
	make("t/full/empty");
	assert_int_equal(symlinkat("x", dir->fd, "t/link"), 0);
	expect(&before, "t", -1,
	       "-a ~chmod +d/new ~d/write +empty +full/empty -gone/f +link ~replaced ");
	tree_done(&before);
}

/* The same size and the same time of modification: the time of the change still tells. */
static void a_hidden_change_is_seen(void **state)
{
	struct tree before;
	struct timespec times[2];
	struct stat st;

	(void)state;
	make("t");
	test_write(dir->fd, "t/f", "before");
	assert_int_equal(fstatat(dir->fd, "t/f", &st, 0), 0);
	before = scan("t");
	usleep(20000); /* a tick of the filesystem's clock */
	test_write(dir->fd, "t/f", "after!");
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	assert_int_equal(utimensat(dir->fd, "t/f", times, 0), 0);
	expect(&before, "t", -1, "~f ");
	tree_done(&before);
}

static void files_and_directories_swap(void **state)
{
	struct tree before;

	(void)state;
	make("t");
	make("t/d");
	test_write(dir->fd, "t/d/f", "x");
	test_write(dir->fd, "t/e", "x");
	before = scan("t");
	assert_int_equal(unlinkat(dir->fd, "t/d/f", 0), 0);
	assert_int_equal(unlinkat(dir->fd, "t/d", AT_REMOVEDIR), 0);
	test_write(dir->fd, "t/d", "x");
	assert_int_equal(unlinkat(dir->fd, "t/e", 0), 0);
	make("t/e");
	expect(&before, "t", -1, "~d -d/f -e ");
	/* What was a file and now is a directory is no longer there as a file. */
	test_write(dir->fd, "t/e/f", "x");
	expect(&before, "t", -1, "~d -d/f -e +e/f ");
	tree_done(&before);
}

static void what_the_lower_has_is_modified(void **state)
{
	struct tree before = TREE_INIT;
	int lower;

	(void)state;
	make("lower");
	make("lower/etc");
	test_write(dir->fd, "lower/etc/passwd", "x");
	make("t");
	make("t/etc");
	test_write(dir->fd, "t/etc/passwd", "y");
	test_write(dir->fd, "t/etc/new", "y");
	lower = openat(dir->fd, "lower", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect(&before, "t", lower, "+etc/new ~etc/passwd ");
	close(lower);
}

static void whiteouts_are_deletions(void **state)
{
	struct tree before = TREE_INIT;
	int lower;

	(void)state;
	make("lower");
	test_write(dir->fd, "lower/f", "x");
	make("t");
	if (mknodat(dir->fd, "t/f", S_IFCHR | 0600, makedev(0, 0)) < 0 ||
	    mknodat(dir->fd, "t/g", S_IFCHR | 0600, makedev(0, 0)) < 0)
		skip(); /* a kernel before 5.8, or a container's rule */
	lower = openat(dir->fd, "lower", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect(&before, "t", lower, "-f "); /* g was never there */
	close(lower);
}

static void opaque_directories_hide(void **state)
{
	struct tree before = TREE_INIT;
	char path[128];
	int lower;

	(void)state;
	make("lower");
	make("lower/d");
	test_write(dir->fd, "lower/d/f", "x");
	make("t");
	make("t/d");
	test_write(dir->fd, "t/d/g", "x");
	snprintf(path, sizeof(path), "%s/t/d", dir->path);
	if (setxattr(path, "user.overlay.opaque", "y", 1, 0) < 0)
		skip(); /* no user attributes on this filesystem */
	lower = openat(dir->fd, "lower", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Of root's overlays it is no mark: a sandbox can write it. */
	expect(&before, "t", lower, "+d/g ");
	before.userxattr = true;
	expect(&before, "t", lower, "-d +d/g ");
	close(lower);
}

static int stop(const struct tree_change *change, void *data)
{
	(void)change;
	return ++*(int *)data == 2 ? -ENOSPC : 0;
}

static void a_negative_result_ends_it(void **state)
{
	struct tree before = TREE_INIT, now;
	int n = 0;

	(void)state;
	make("t");
	for (char name[] = "t/a"; name[2] < 'f'; name[2]++)
		test_write(dir->fd, name, "x");
	now = scan("t");
	assert_int_equal(tree_diff(&before, &now, -1, stop, &n), -ENOSPC);
	assert_int_equal(n, 2);
	n = 0;
	assert_int_equal(tree_diff(&now, &before, -1, stop, &n), -ENOSPC);
	tree_done(&now);
}

static void too_deep_is_truncated(void **state)
{
	struct tree tree;
	int fd = dir->fd, below;

	(void)state;
	for (unsigned i = 0; i < CEIL_TREE_DEPTH + 5; i++) {
		assert_int_equal(mkdirat(fd, i ? "d" : "t", 0755), 0);
		below = openat(fd, i ? "d" : "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (i)
			close(fd);
		fd = below;
	}
	close(fd);
	tree = scan("t");
	assert_true(tree.truncated);
	assert_in_range(tree.n, CEIL_TREE_DEPTH, CEIL_TREE_DEPTH + 1);
	tree_done(&tree);
}

static void disk_use_is_counted(void **state)
{
	struct tree tree;
	int fd;

	(void)state;
	make("t");
	make("t/d");
	test_write(dir->fd, "t/d/f", "some bytes");
	tree = scan("t");
	fd = openat(dir->fd, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(tree_disk_bytes(fd), tree.bytes);
	close(fd);
	tree_done(&tree);
	assert_int_equal(tree_disk_bytes(-1), 0);
	assert_int_equal(tree_scan(-1, &tree), -EBADF);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, setup, test_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(a_scan_sees_everything),     WITH_DIR(nothing_changed),
		WITH_DIR(every_kind_of_change),	      WITH_DIR(a_hidden_change_is_seen),
		WITH_DIR(files_and_directories_swap), WITH_DIR(what_the_lower_has_is_modified),
		WITH_DIR(whiteouts_are_deletions),    WITH_DIR(opaque_directories_hide),
		WITH_DIR(a_negative_result_ends_it),  WITH_DIR(too_deep_is_truncated),
		WITH_DIR(disk_use_is_counted),
	};

	umask(022);
	return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
