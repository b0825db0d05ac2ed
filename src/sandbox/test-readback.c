/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-readback.c: level nano is said only when every mandatory layer is seen; each one that is
 * missing is named. Read from text and from this process, which is no sandbox (readback.c is
 * included, for its parsers are its own).
 */
#include "readback.c"

#include "../testing/testing.h"

static struct sandbox_readback r;

static void nano(void)
{
	r = (struct sandbox_readback){.seccomp = 2,
				      .no_new_privs = 1,
				      .cap_eff = "00000000000001e0",
				      .cap_prm = "00000000000001e0",
				      .cap_bnd = "00000000000001e0",
				      .cap_inh = "0000000000000000",
				      .cap_amb = "0000000000000000",
				      .root_fs = "overlay",
				      .root_flags = "rw,nosuid,nodev,relatime"};
	for (int i = 0; i < 7; i++)
		r.ns_own[i] = true;
}

static void what_is_there_is_not_missing(void **state)
{
	(void)state;
	nano();
	assert_null(readback_missing(&r));
}

static void each_namespace_is_needed(void **state)
{
	static const char *const words[] = {"user", "PID", "mount", "network",
					    "IPC",  "UTS", "cgroup"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		nano();
		r.ns_own[i] = false;
		assert_non_null(readback_missing(&r));
		assert_non_null(strstr(readback_missing(&r), words[i]));
	}
}

static void filters_and_root_are_checked(void **state)
{
	(void)state;
	nano();
	r.seccomp = 0;
	assert_non_null(readback_missing(&r));
	nano();
	r.seccomp = 1; /* strict mode is another thing */
	assert_non_null(readback_missing(&r));
	nano();
	r.no_new_privs = -1;
	assert_non_null(readback_missing(&r));
	nano();
	snprintf(r.root_fs, sizeof(r.root_fs), "ext4");
	assert_non_null(readback_missing(&r));
	nano();
	snprintf(r.root_flags, sizeof(r.root_flags), "rw,nodev");
	assert_non_null(readback_missing(&r));
	nano();
	snprintf(r.root_flags, sizeof(r.root_flags), "rw,nosuid");
	assert_non_null(readback_missing(&r));
}

/* No more than init's and the --root set, in any of the sets. */
static void rights_are_checked(void **state)
{
	char *const sets[] = {r.cap_amb, r.cap_inh, r.cap_eff, r.cap_prm, r.cap_bnd};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(sets); i++) {
		nano();
		snprintf(sets[i], sizeof(r.cap_eff), "000001ffffffffff");
		if (!readback_missing(&r))
			fail_msg("all capabilities in set %zu pass", i);
	}
	nano();
	snprintf(r.cap_bnd, sizeof(r.cap_bnd), "00000000800001fb"); /* --root */
	assert_null(readback_missing(&r));
}

static void words_of_status(void **state)
{
	static const char text[] = "Name:\tx\nSeccomp:\t2\nCapEff:\t00000000a80425fb\nEmpty:\n";
	char word[20];

	(void)state;
	assert_int_equal(readback_number(text, "\nSeccomp:"), 2);
	assert_int_equal(readback_number(text, "\nMissing:"), -1);
	assert_int_equal(readback_number(NULL, "\nSeccomp:"), -1);
	readback_word(text, "\nCapEff:", word, sizeof(word));
	assert_string_equal(word, "00000000a80425fb");
	readback_word(text, "\nEmpty:", word, sizeof(word));
	assert_string_equal(word, "");
	readback_word(text, "\nCapEff:", word, 5);
	assert_string_equal(word, "0000");
}

static void the_root_of_mountinfo(void **state)
{
	static const char text[] = "1 2 0:3 / /proc rw - proc proc rw\n"
				   "4 5 0:6 / / rw,nosuid,nodev - overlay overlay rw,lowerdir=x\n"
				   "7 8 0:9 /x /workspace rw - ext4 /dev/x rw";

	(void)state;
	r = (struct sandbox_readback){0};
	readback_root(text, &r);
	assert_string_equal(r.root_fs, "overlay");
	assert_string_equal(r.root_flags, "rw,nosuid,nodev");
	r = (struct sandbox_readback){0};
	readback_root("", &r);
	readback_root(NULL, &r);
	assert_string_equal(r.root_fs, "");
}

static void this_process_is_no_sandbox(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(readback(getpid(), &r, &err), 0);
	assert_false(r.ns_own[0] || r.ns_own[1]);
	assert_int_equal(strlen(r.cap_eff), 16);
	assert_true(r.uid_map[0]);
	assert_non_null(readback_missing(&r));
	assert_true(readback(-1, &r, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_there_is_not_missing),
		cmocka_unit_test(each_namespace_is_needed),
		cmocka_unit_test(filters_and_root_are_checked),
		cmocka_unit_test(rights_are_checked),
		cmocka_unit_test(words_of_status),
		cmocka_unit_test(the_root_of_mountinfo),
		cmocka_unit_test(this_process_is_no_sandbox),
	};

	return cmocka_run_group_tests_name("readback", tests, NULL, NULL);
}
