/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-cgroup-host.c: reading /proc/self/cgroup and mountinfo of machines that are not this one
 * (cgroup-host.c is included: its parsers are its own).
 */
#include "cgroup-host.c"

#include "../testing/testing.h"

static void own_paths(void **state)
{
	static const char self[] = "12:pids:/docker/a\n4:cpu,cpuacct:/docker/b\n"
				   "1:name=systemd:/docker/c\n0::/docker/d\n";
	char path[64];

	(void)state;
	assert_int_equal(cgroup_own_path(self, "pids", path, sizeof(path)), 0);
	assert_string_equal(path, "/docker/a");
	assert_int_equal(cgroup_own_path(self, "cpuacct", path, sizeof(path)), 0);
	assert_string_equal(path, "/docker/b");
	assert_int_equal(cgroup_own_path(self, "cpu", path, sizeof(path)), 0);
	assert_string_equal(path, "/docker/b");
	assert_int_equal(cgroup_own_path(self, NULL, path, sizeof(path)), 0);
	assert_string_equal(path, "/docker/d");
	assert_int_equal(cgroup_own_path(self, "memory", path, sizeof(path)), -ENOENT);
	assert_int_equal(cgroup_own_path(self, "systemd", path, sizeof(path)), -ENOENT);
	assert_int_equal(cgroup_own_path(self, "pids", path, 9), -ENAMETOOLONG);
	assert_int_equal(cgroup_own_path("", "pids", path, sizeof(path)), -ENOENT);
	assert_int_equal(cgroup_own_path("nonsense\n", NULL, path, sizeof(path)), -ENOENT);
	assert_int_equal(cgroup_own_path("0::/last", NULL, path, sizeof(path)), 0);
	assert_string_equal(path, "/last");
}

static bool parse(const char *line, struct cgroup_mount *m)
{
	return cgroup_mount_parse(line, strlen(line), m);
}

#define IS(m, part, text)                                                                          \
	do {                                                                                       \
		assert_int_equal((m).part##_len, strlen(text));                                    \
		assert_memory_equal((m).part, text, strlen(text));                                 \
	} while (0)

static void mount_lines(void **state)
{
	struct cgroup_mount m = {0};

	(void)state;
	assert_true(
		parse("30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw", &m));
	IS(m, root, "/");
	IS(m, point, "/sys/fs/cgroup");
	IS(m, type, "cgroup2");
	IS(m, super, "rw");
	assert_true(parse("35 31 0:30 /docker/a /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
			  &m));
	IS(m, root, "/docker/a");
	IS(m, point, "/sys/fs/cgroup/memory");
	IS(m, type, "cgroup");
	IS(m, super, "rw,memory");
	assert_true(parse("1 2 3:4 / /x rw - cgroup none", &m));
	IS(m, super, "");
	assert_false(parse("", &m));
	assert_false(parse("1 2 3:4 / /x rw cgroup none rw", &m));
	assert_false(parse("1 2 3:4 / /x rw - ", &m));
}

static void lists(void **state)
{
	(void)state;
	assert_true(cgroup_in_list("cpu,cpuacct", 11, "cpuacct", ","));
	assert_true(cgroup_in_list("cpu,cpuacct", 11, "cpu", ","));
	assert_false(cgroup_in_list("cpuset,cpuacct", 14, "cpu", ","));
	assert_false(cgroup_in_list("cpuacct", 3, "cpuacct", ","));
	assert_true(cgroup_in_list("memory pids\n", 12, "pids", " \n"));
	assert_false(cgroup_in_list("", 0, "pids", " \n"));
}

static void directories(void **state)
{
	static const struct {
		const char *root, *own, *dir;
	} cases[] = {
		{"/", "/", "/cg"},
		{"/", "/a/b", "/cg/a/b"},
		{"/docker/a", "/docker/a", "/cg"},
		{"/docker/a", "/docker/a/b", "/cg/b"},
	};
	char dir[64];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct cgroup_mount m = {.root = cases[i].root,
					 .root_len = strlen(cases[i].root),
					 .point = "/cg and more",
					 .point_len = 3};

		assert_int_equal(cgroup_directory(&m, cases[i].own, dir, sizeof(dir)), 0);
		assert_string_equal(dir, cases[i].dir);
		assert_int_equal(cgroup_directory(&m, cases[i].own, dir, 3), -ENAMETOOLONG);
	}
}

/* "/foo" is no parent of "/foobar": the bind mount does not show that group. */
static void directories_end_at_components(void **state)
{
	struct cgroup_mount m = {.root = "/foo", .root_len = 4, .point = "/cg", .point_len = 3};
	char dir[64] = "";

	(void)state;
	if (cgroup_directory(&m, "/foobar", dir, sizeof(dir)) == 0)
		assert_string_not_equal(dir, "/cgbar");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_paths),
		cmocka_unit_test(mount_lines),
		cmocka_unit_test(lists),
		cmocka_unit_test(directories),
		cmocka_unit_test(directories_end_at_components),
	};

	return cmocka_run_group_tests_name("cgroup-host", tests, NULL, NULL);
}
