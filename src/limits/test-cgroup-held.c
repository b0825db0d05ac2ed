/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-cgroup-held.c: how what a kernel may answer is compared with what was asked of it (cgroup.c
 * is included: its reading back is its own).
 */
#include "cgroup.c"

#include "../testing/testing.h"

static void only_what_was_asked_is_held(void **state)
{
	static const struct {
		const char *asked, *now;
		enum cgroup_controller controller;
		bool held;
	} cases[] = {
		{"512", "512\n", CGROUP_PIDS, true},
		{"512", "512", CGROUP_PIDS, true},
		{"512", "511\n", CGROUP_PIDS, false},
		{"512", "513\n", CGROUP_PIDS, false},
		{"512", "0\n", CGROUP_PIDS, false},
		{"512", "max\n", CGROUP_PIDS, false},
		{"512", "", CGROUP_PIDS, false},
		{"512", "\n", CGROUP_PIDS, false},
		{"512", " 512\n", CGROUP_PIDS, false},
		{"512", "512k\n", CGROUP_PIDS, false},
		{"512", "-512\n", CGROUP_PIDS, false},
		{"50000 100000", "50000 100000\n", CGROUP_CPU, true},
		{"50000 100000", "50000 10000\n", CGROUP_CPU, false},
		{"50000 100000", "50000 1000000\n", CGROUP_CPU, false},
		{"50000 100000", "50000\n", CGROUP_CPU, false},
		{"50000 100000", "max 100000\n", CGROUP_CPU, false},
		{"50000", "-1\n", CGROUP_CPU, false},
		{"50000", "49999\n", CGROUP_CPU, false},
		{"1000000", "1000000\n", CGROUP_MEMORY, true},
		{"1000000", "999424\n", CGROUP_MEMORY, true},
		{"1000000", "983040\n", CGROUP_MEMORY, true}, /* pages of 64 KiB */
		{"1000000", "934464\n", CGROUP_MEMORY, false},
		{"1000000", "1003520\n", CGROUP_MEMORY, false},
		{"1000000", "max\n", CGROUP_MEMORY, false},
		{"8192", "max\n", CGROUP_MEMORY, false},
		{"1000000", "9223372036854771712\n", CGROUP_MEMORY, false},
		{"1000000", "99999999999999999999999\n", CGROUP_MEMORY, false},
		{"0", "0\n", CGROUP_MEMORY, true},
		{"0", "max\n", CGROUP_MEMORY, false}, /* memory.swap.max */
		{"0", "60\n", CGROUP_MEMORY, false},  /* memory.swappiness */
		{"1", "1\n", CGROUP_MEMORY, true},
		{"1", "0\n", CGROUP_MEMORY, false}, /* memory.oom.group */
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		if (cgroup_holds(cases[i].controller, cases[i].asked, cases[i].now) !=
		    cases[i].held)
			fail_msg("asked for %s, '%s' is%s taken", cases[i].asked, cases[i].now,
				 cases[i].held ? " not" : "");
}

static void lines_are_whole(void **state)
{
	static const char v2[] = "18:0 rbps=5 wbps=5 riops=max wiops=max\n"
				 "8:0 rbps=100 wbps=1000 riops=max wiops=max\n";

	(void)state;
	assert_true(cgroup_has_line(v2, "8:0 rbps=100 wbps=1000"));
	assert_true(cgroup_has_line(v2, "18:0 rbps=5 wbps=5"));
	assert_false(cgroup_has_line(v2, "8:0 rbps=5 wbps=5"));
	assert_false(cgroup_has_line(v2, "8:0 rbps=100 wbps=100"));
	assert_true(cgroup_has_line("8:0 1000", "8:0 1000"));
	assert_false(cgroup_has_line("8:0 10000\n", "8:0 1000"));
	assert_false(cgroup_has_line("\n\n", "8:0 1000"));
	assert_false(cgroup_has_line("", "8:0 1000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_was_asked_is_held),
		cmocka_unit_test(lines_are_whole),
	};

	return cmocka_run_group_tests_name("cgroup-held", tests, NULL, NULL);
}
