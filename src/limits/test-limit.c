/* SPDX-License-Identifier: Apache-2.0 */
/* test-limit.c: the tables are whole: no limit and no controller without its name. */
#include "buf.h"
#include "cgroup.h"
#include "limit.h"

#include "err.h"

#include <ctype.h>

#include "../testing/testing.h"

static void every_limit_has_its_names(void **state)
{
	(void)state;
	for (int i = 0; i < LIMIT_MAX; i++) {
		char option[40];

		assert_non_null(limit_names[i]);
		assert_non_null(limit_options[i]);
		snprintf(option, sizeof(option), "--%s", limit_names[i]);
		for (char *p = option; *p; p++)
			*p = *p == '_' ? '-' : *p;
		assert_string_equal(option, limit_options[i]);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(limit_names[i], limit_names[k]);
	}
}

static void every_controller_has_a_name(void **state)
{
	(void)state;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		struct cgroup_host host = {0};

		assert_null(cgroup_name(&host, (enum cgroup_controller)c));
		host.version[c] = 1;
		assert_memory_equal(cgroup_name(&host, (enum cgroup_controller)c), "cgroup v1 ",
				    10);
		host.version[c] = 2;
		assert_memory_equal(cgroup_name(&host, (enum cgroup_controller)c), "cgroup v2", 9);
	}
}

static void nothing_is_freed_twice(void **state)
{
	(void)state;
	assert_null(cgroup_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_limit_has_its_names),
		cmocka_unit_test(every_controller_has_a_name),
		cmocka_unit_test(nothing_is_freed_twice),
	};

	return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
