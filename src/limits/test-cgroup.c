/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-cgroup.c: a limit counts only if it reads back: over plain files, which take what is written
 * at their start and keep the rest, as a kernel would that does nothing with it.
 */
#include "cgroup.c"

#include "../testing/testing.h"

static struct test_dir *dir;

static int setup(void **state)
{
	int r = test_dir_setup(state);

	dir = *state;
	return r;
}

/* Every controller in one directory, as on cgroup v2. */
static int apply(const struct cgroup_limits *limits, struct err *err)
{
	struct cgroup group = {.n_dirs = 1, .oom_fd = -1};
	int r;

	snprintf(group.dirs[0].path, sizeof(group.dirs[0].path), "%s", dir->path);
	group.dirs[0].fd = dir->fd;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		group.version[c] = 2;
	r = cgroup_apply(&group, limits, 2, err);
	fd_close(group.oom_fd);
	return r;
}

static void expect(const struct cgroup_limits *limits, int r, const char *says)
{
	struct err err = {0};
	int got = apply(limits, &err);

	if (got != r || !strstr(err.text, says))
		fail_msg("%d (%s), not %d with \"%s\"", got, err.text, r, says);
}

static void a_limit_that_holds(void **state)
{
	(void)state;
	test_write(dir->fd, "pids.max", "max\n");
	expect(&(struct cgroup_limits){.pids = 512}, 0, "");
	assert_string_equal(test_read(dir->fd, "pids.max"), "512\n");
	test_write(dir->fd, "memory.max", "104857600\n");
	test_write(dir->fd, "memory.swap.max", "9");
	test_write(dir->fd, "memory.oom.group", "0");
	test_write(dir->fd, "memory.events", "");
	expect(&(struct cgroup_limits){.memory_bytes = 209715200}, 0, "");
}

static void a_limit_that_holds_more(void **state)
{
	(void)state;
	test_write(dir->fd, "pids.max", "9999\n");
	expect(&(struct cgroup_limits){.pids = 5}, -EIO, "pids.max was set to 5 but holds 5999");
	test_write(dir->fd, "memory.max", "99999999999\n");
	expect(&(struct cgroup_limits){.memory_bytes = 209715200}, -EIO, "memory.max was set to");
	test_write(dir->fd, "cpu.max", "999999999999 100000\n");
	expect(&(struct cgroup_limits){.cpu_milli = 500}, -EIO, "cpu.max was set to");
}

static void a_limit_that_holds_nothing(void **state)
{
	(void)state;
	assert_int_equal(symlinkat("/dev/null", dir->fd, "pids.max"), 0);
	expect(&(struct cgroup_limits){.pids = 5}, -EIO, "pids.max was set to 5 but holds");
	assert_int_equal(symlinkat("/dev/null", dir->fd, "io.max"), 0);
	expect(&(struct cgroup_limits){.io_bps = 5, .io_devices = {1}, .n_io_devices = 1}, -EIO,
	       "io.max does not hold");
}

static void a_limit_without_its_file(void **state)
{
	(void)state;
	expect(&(struct cgroup_limits){.pids = 5}, -ENOENT, "pids.max to 5");
	expect(&(struct cgroup_limits){.memory_bytes = 1 << 20}, -ENOENT, "memory.max");
	expect(&(struct cgroup_limits){.cpu_milli = 500}, -ENOENT, "cpu.max");
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, setup, test_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(a_limit_that_holds),
		WITH_DIR(a_limit_that_holds_more),
		WITH_DIR(a_limit_that_holds_nothing),
		WITH_DIR(a_limit_without_its_file),
	};

	umask(022);
	return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
