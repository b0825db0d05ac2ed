/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-audit-options.c: every command and option of `creel audit`, taken and refused; times as
 * people write them.
 */
#include "audit-cmd.h"
#include "err.h"

#include "../../testing/testing.h"

static struct audit_options o;
static struct err err;

static int parse(const char *const *words)
{
	int argc = 0;

	while (words[argc])
		argc++;
	memset(&err, 0, sizeof(err));
	memset(&o, 0x5a, sizeof(o));
	return audit_options_parse(argc, (char **)(uintptr_t)words, &o, &err);
}

#define PARSE(...) parse((const char *const[]){"audit", __VA_ARGS__, NULL})
#define OK(...)	   assert_int_equal(PARSE(__VA_ARGS__), 0)
#define BAD(...)                                                                                   \
	do {                                                                                       \
		struct audit_options before;                                                       \
		memset(&before, 0x5a, sizeof(before));                                             \
		assert_int_equal(PARSE(__VA_ARGS__), -EINVAL);                                     \
		assert_true(err.text[0]);                                                          \
		assert_memory_equal(&o, &before, sizeof(o));                                       \
	} while (0)

static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void defaults(void **state)
{
	(void)state;
	OK("tail");
	assert_string_equal(o.org, "local");
	assert_int_equal(o.lines, 10);
	assert_null(o.state);
	assert_null(o.filter.agent);
	assert_true(o.filter.since == INT64_MIN && o.filter.until == INT64_MAX);
	assert_false(o.json || o.follow || o.help);
}

static void every_option(void **state)
{
	(void)state;
	OK("tail", "-n", "3", "-f", "--json", "--org", "acme", "--state", "/s");
	assert_int_equal(o.lines, 3);
	assert_true(o.follow && o.json);
	assert_string_equal(o.org, "acme");
	assert_string_equal(o.state, "/s");
	OK("tail", "-n7");
	assert_int_equal(o.lines, 7);
	OK("tail", "--lines=0");
	assert_int_equal(o.lines, 0);
	OK("search", "--agent=a", "--user", "u", "--host", "h", "--path", "/w/f", "--hash", hash,
	   "--run", "r", "--type", "t", "--since", "2026-01-01", "--until", "2026-01-02");
	assert_string_equal(o.filter.agent, "a");
	assert_string_equal(o.filter.user, "u");
	assert_string_equal(o.filter.host, "h");
	assert_string_equal(o.filter.path, "/w/f");
	assert_string_equal(o.filter.hash, hash);
	assert_string_equal(o.filter.run, "r");
	assert_string_equal(o.filter.type, "t");
	assert_int_equal(o.filter.until - o.filter.since, 86400000);
	OK("verify", "--against", "f");
	assert_string_equal(o.against, "f");
	OK("verify", "--key", "k");
	assert_string_equal(o.key, "k");
	OK("prove", "-o", "p", "7");
	assert_string_equal(o.out, "p");
	assert_string_equal(o.arg, "7");
	OK("show", "--", "-x");
	assert_string_equal(o.arg, "-x");
	OK("search", "--agent", "--odd");
	assert_string_equal(o.filter.agent, "--odd");
}

static void help(void **state)
{
	(void)state;
	OK("--help");
	assert_true(o.help && !o.command);
	OK("-h");
	OK("show", "--help");
	assert_true(o.help && o.command);
	audit_help(NULL, stdout);
	audit_help(o.command, stdout);
}

static void what_is_refused(void **state)
{
	(void)state;
	BAD("nothing");
	BAD("");
	BAD("tail", "x");
	BAD("tail", "-n");
	BAD("tail", "-n", "-1");
	BAD("tail", "-n", "many");
	BAD("tail", "--follow=yes");
	BAD("tail", "--against", "f");
	BAD("search", "-f");
	BAD("verify", "--agent", "a");
	BAD("show");
	BAD("show", "1", "2");
	BAD("who");
	BAD("search", "--agent");
	BAD("search", "--agent=");
	BAD("search", "--agent", "\xff");
	BAD("search", "--agen", "x");
	BAD("search", "--path", "relative");
	BAD("search", "--path", "/a/../b");
	BAD("search", "--hash", "0123");
	BAD("search", "--since", "yesterday");
	BAD("search", "--since", "2026-02-01", "--until", "2026-01-01");
	BAD("key", "--json");
	BAD("tail", "--org", "../x");
	BAD("tail", "--org", "");
	assert_int_equal(parse((const char *const[]){"audit", NULL}), -EINVAL);
}

static int64_t at(const char *text)
{
	int64_t ms = -1;

	assert_int_equal(audit_time_parse(text, 1000000000, &ms), 0);
	return ms;
}

static void times(void **state)
{
	static const char *const bad[] = {"",
					  "now",
					  "2026",
					  "2026-1-1",
					  "2026-13-01",
					  "2026-04-31",
					  "2026-02-29",
					  "2026-01-01T",
					  "2026-01-01Z",
					  "2026-01-01T12Z",
					  "2026-01-01T24:00Z",
					  "2026-01-01T12:60Z",
					  "-1h",
					  "2026-01-01T12:00",
					  "2026-01-01T12:00+01:00",
					  "2026-01-01 12:00Z",
					  "2026-01-01T12:00:00.1Z",
					  "2026-01-01T12:00:00.250Zx",
					  "999999999999999999999d"};
	int64_t ms = 7;

	(void)state;
	assert_int_equal(at("1970-01-01"), 0);
	assert_int_equal(at("1970-01-01T00:01Z"), 60000);
	assert_int_equal(at("1970-01-02T00:00:01.250Z"), 86401250);
	assert_int_equal(at("2024-02-29"), 1709164800000);
	assert_int_equal(at("2s"), 1000000000 - 2000);
	assert_int_equal(at("1.5m"), 1000000000 - 90000);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_int_equal(audit_time_parse(bad[i], 0, &ms), -EINVAL);
	assert_int_equal(ms, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(every_option), cmocka_unit_test(help),
		cmocka_unit_test(what_is_refused), cmocka_unit_test(times)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
