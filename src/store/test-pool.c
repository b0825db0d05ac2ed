/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-pool.c: what holds without root and btrfs: names, and the trash on plain directories. The
 * rest is in the integration tests, which drive test-pool-root.
 */
#include "err.h"
#include "fs.h"
#include "pool-private.h"

#include "../testing/testing.h"

static struct pool pool;
static struct test_dir *dir;

static int setup(void **state)
{
	int r = test_dir_setup(state);

	dir = *state;
	pool = (struct pool){.fd = dir->fd};
	snprintf(pool.data, sizeof(pool.data), "%s", dir->path);
	snprintf(pool.path, sizeof(pool.path), "%s", dir->path);
	return r;
}

static void make(const char *path)
{
	assert_int_equal(mkdirat(dir->fd, path, 0700), 0);
}

static bool there(const char *path)
{
	return faccessat(dir->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void bad_names_are_refused(void **state)
{
	static const char *const names[] = {
		"",	    "/",   "/a",    "a/", "a//b",  "..",     "a/..",  "a/../b",
		".trash",   ".",   "a/.b",  "-a", "_a",	   "a b",    "a\nb",  "a\\b",
		"\xc3\xa4", "a:b", "a/b/*", "~",  "a\x7f", "%2e%2e", "a/./b", "x/.trash",
	};
	struct pool_usage usage;
	struct err err;

	(void)state;
	make(POOL_TRASH);
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		assert_int_equal(pool_delete(&pool, names[i], &err), -EINVAL);
		assert_int_equal(pool_usage(&pool, names[i], &usage, &err), -EINVAL);
		assert_int_equal(pool_subvolume(&pool, names[i], 0, &err), -EINVAL);
		assert_int_equal(pool_snapshot(&pool, names[i], "a", 0, false, &err), -EINVAL);
	}
	assert_true(there(POOL_TRASH));
	assert_false(there("a"));
}

static void long_names_are_refused(void **state)
{
	char name[CEIL_PATH + 1];
	struct err err;

	(void)state;
	make(POOL_TRASH);
	memset(name, 'a', sizeof(name));
	name[65] = '\0';
	assert_int_equal(pool_delete(&pool, name, &err), -EINVAL);
	name[64] = '\0';
	assert_int_equal(pool_delete(&pool, name, &err), -ENOENT);
	memset(name, 'a', sizeof(name));
	for (size_t i = 1; i < sizeof(name); i += 2)
		name[i] = '/';
	name[CEIL_PATH] = '\0';
	assert_int_equal(pool_delete(&pool, name, &err), -EINVAL);
}

static void a_directory_is_deleted(void **state)
{
	struct err err;

	(void)state;
	make(POOL_TRASH);
	make("agents");
	make("agents/local");
	make("agents/local/maria");
	test_write(dir->fd, "agents/local/maria/f", "x");
	make("keep");
	test_write(dir->fd, "keep/f", "x");
	assert_int_equal(symlinkat("../../keep", dir->fd, "agents/local/link"), 0);
	assert_int_equal(pool_delete(&pool, "agents/local", &err), 0);
	assert_true(there("agents"));
	assert_false(there("agents/local"));
	assert_true(there("keep/f"));
	assert_int_equal(pool_delete(&pool, "agents/local", &err), -ENOENT);
	assert_int_equal(unlinkat(dir->fd, POOL_TRASH, AT_REMOVEDIR), 0);
}

static void a_link_is_not_followed(void **state)
{
	struct err err;

	(void)state;
	make(POOL_TRASH);
	make("keep");
	test_write(dir->fd, "keep/f", "x");
	assert_int_equal(symlinkat("keep", dir->fd, "link"), 0);
	assert_true(pool_delete(&pool, "link", &err) < 0);
	assert_true(pool_delete(&pool, "link/f", &err) < 0);
	assert_true(there("keep/f"));
}

static void the_sweep_ends_what_a_crash_left(void **state)
{
	(void)state;
	make(POOL_TRASH);
	make(POOL_TRASH "/0-77");
	make(POOL_TRASH "/0-77/a");
	test_write(dir->fd, POOL_TRASH "/0-77/a/f", "x");
	test_write(dir->fd, POOL_TRASH "/f", "x");
	trash_sweep(&pool);
	assert_int_equal(unlinkat(dir->fd, POOL_TRASH, AT_REMOVEDIR), 0);
	trash_sweep(&pool); /* no trash at all */
}

static void a_directory_is_no_subvolume(void **state)
{
	struct pool_usage usage;
	struct err err;

	(void)state;
	make("a");
	assert_int_equal(pool_usage(&pool, "a", &usage, &err), -ENOTDIR);
	assert_int_equal(pool_usage(&pool, "b", &usage, &err), -ENOENT);
	assert_int_equal(pool_snapshot(&pool, "a", "b", 0, false, &err), -ENOTDIR);
	assert_false(there("b"));
	assert_false(mount_is_there(dir->path, dir->path));
	assert_false(loop_is_on(dir->path, "/dev/null"));
	assert_null(pool_close(NULL));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, test_dir_teardown)
	const struct CMUnitTest tests[] = {
		TEST(bad_names_are_refused),
		TEST(long_names_are_refused),
		TEST(a_directory_is_deleted),
		TEST(a_link_is_not_followed),
		TEST(the_sweep_ends_what_a_crash_left),
		TEST(a_directory_is_no_subvolume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
