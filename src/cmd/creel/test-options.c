/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-options.c: every option of `creel run`, taken and refused; what is not clearly right is an
 * error with the option's name in it.
 */
#include "options.h"

#include "creel.h"
#include "err.h"
#include "lang.h"

#include "../../testing/testing.h"
#include "test-argv.h"

static struct options o;
static struct err err;

#define PARSE(...) parse_words((const char *const[]){"run", __VA_ARGS__, NULL}, &o, &err)
#define OK(...)	   assert_int_equal(PARSE(__VA_ARGS__), 0)
#define BAD(...)                                                                                   \
	do {                                                                                       \
		assert_int_equal(PARSE(__VA_ARGS__), -EINVAL);                                     \
		assert_true(err.text[0]);                                                          \
	} while (0)

static void defaults_are_safe_and_finite(void **state)
{
	(void)state;
	OK("true");
	assert_false(o.as_root || o.json || o.detach || o.help);
	assert_string_equal(o.image, "host");
	assert_string_equal(o.cwd, "/workspace");
	assert_string_equal(o.seccomp->name, "strict");
	assert_string_equal(o.hostname, "creel");
	assert_null(o.workspace);
	assert_int_equal(o.limits.of[LIMIT_MEMORY].value, 2ull << 30);
	assert_int_equal(o.limits.of[LIMIT_CPUS].value, 2000);
	assert_int_equal(o.limits.of[LIMIT_PIDS].value, 512);
	assert_int_equal(o.limits.of[LIMIT_DISK].value, 1ull << 30);
	assert_int_equal(o.limits.of[LIMIT_TIMEOUT].value, 600000);
	assert_int_equal(o.limits.of[LIMIT_OUTPUT].value, 10u << 20);
	for (int i = 0; i < LIMIT_MAX; i++)
		assert_false(o.limits.of[i].named);
	assert_int_equal(o.argc, 1);
	assert_string_equal(o.argv[0], "true");
}

static void the_command_ends_the_options(void **state)
{
	(void)state;
	OK("--json", "ls", "--root", "-x");
	assert_true(o.json);
	assert_false(o.as_root);
	assert_int_equal(o.argc, 3);
	assert_string_equal(o.argv[1], "--root");
	OK("--json", "--", "--root");
	assert_string_equal(o.argv[0], "--root");
	assert_false(o.as_root);
	OK("--", "--", "x");
	assert_string_equal(o.argv[0], "--");
	OK("-", "--root");
	assert_string_equal(o.argv[0], "-");
	assert_false(o.as_root);
	BAD("--json");
	BAD("--");
	assert_int_equal(parse_words((const char *const[]){"run", NULL}, &o, &err), -EINVAL);
}

static void values_come_in_both_forms(void **state)
{
	(void)state;
	OK("--memory=512M", "true");
	assert_int_equal(o.limits.of[LIMIT_MEMORY].value, 512u << 20);
	OK("--memory", "512M", "true");
	assert_int_equal(o.limits.of[LIMIT_MEMORY].value, 512u << 20);
	OK("--env=A=b=c", "true");
	assert_string_equal(o.env[0], "A=b=c");
	OK("--hostname=a", "--hostname", "b", "true");
	assert_string_equal(o.hostname, "b");
	BAD("--hostname=", "true");
	BAD("--org", "", "true");
	BAD("--hostname");
	assert_non_null(strstr(err.text, "--hostname"));
	BAD("--json=1", "true");
	BAD("--root=true", "true");
}

static void what_is_unknown_is_refused(void **state)
{
	(void)state;
	BAD("--nonsense", "true");
	assert_non_null(strstr(err.text, "--nonsense"));
	BAD("-x", "true");
	BAD("-json", "true");
	BAD("-memory", "1G", "true");
	BAD("---json", "true");
	BAD("--JSON", "true");
	BAD("--jso", "true");
	BAD("--=x", "true");
	BAD("--c", "x", "--lang", "python");
	BAD("--memory\n\x1b[31m", "true");
	assert_null(strchr(err.text, '\n'));
	assert_null(strchr(err.text, '\x1b'));
}

/* Each limit: its option, a value, what that is, and values that are refused. */
static void limits_are_parsed(void **state)
{
	static const struct {
		enum limit_kind kind;
		const char *good;
		uint64_t value;
		const char *bad[5];
	} cases[] = {
		{LIMIT_MEMORY, "1.5G", 3ull << 29, {"0", "3M", "x", "-1", "2000T"}},
		{LIMIT_CPUS, "0.5", 500, {"0", "0.001", "9000", "x", "1.5x"}},
		{LIMIT_CPU_TIME, "60s", 60000, {"0", "x", "-5", "367d", "1w"}},
		{LIMIT_PIDS, "64", 64, {"0", "1", "4194305", "1K", "1.5"}},
		{LIMIT_DISK, "1M", 1u << 20, {"0", "1K", "x", "1025T", "1 M"}},
		{LIMIT_WRITE_TOTAL, "10G", 10ull << 30, {"0", "x", "", "1025T", "G"}},
		{LIMIT_IO, "50M", 50u << 20, {"0", "x", "1/s", "-1", "+1"}},
		{LIMIT_TIMEOUT, "500ms", 500, {"0", "none", "367d", "1h30m", "0ms"}},
		{LIMIT_OUTPUT, "4G", 1ull << 32, {"0", "5G", "x", "1B1", "."}},
	};

	(void)state;
	assert_int_equal(ELEMENTSOF(cases), LIMIT_MAX);
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		const char *option = limit_options[cases[i].kind];
		const struct limit *limit = &o.limits.of[cases[i].kind];

		OK(option, cases[i].good, "true");
		assert_true(limit->value == cases[i].value && limit->named);
		for (size_t k = 0; k < ELEMENTSOF(cases[i].bad); k++) {
			if (PARSE(option, cases[i].bad[k], "true") != -EINVAL)
				fail_msg("%s takes '%s'", option, cases[i].bad[k]);
			assert_non_null(strstr(err.text, option));
		}
	}
}

static void words_are_checked(void **state)
{
	static const struct {
		const char *option, *good, *bad[4];
	} cases[] = {
		{"--keep", "k-1", {"a/b", "", "..", "-k"}},
		{"--overlay", "/tmp", {"/proc", "", "/nonexistent", "/etc/passwd"}},
		{"--continue", "iaaaaaaaaaaaaaaaaaaaa", {"i", "", "../aaaaaaaaaaaaaaaaaa", "x y"}},
		{"--witness", "w", {"", "", "", ""}},
		{"--audit", "argv=hash,stdout=off", {"", "argv", "argv=", "none=full"}},
		{"--audit", "all=off", {"all", "all=", "=off", "argv=no"}},
		{"--min-level", "nano", {"wasm", "iron", "vm", "best"}},
		{"--seccomp", "browser", {"none", "", "STRICT", "strict.profile"}},
		{"--tty", "off", {"", "yes", "ON", "autom"}},
		{"--hostname", "a-1.b", {"-a", ".a", "a_b", "a/b"}},
		{"--cwd", "/a//b/.", {"a", "", "/a/../b", "/proc/self/cwd"}},
		{"--label", "k=", {"k", "=v", "", "=="}},
		{"--env", "K=", {"K", "=v", "", "="}},
		{"--org", "acme", {"a b", "a/b", "a\n", ""}},
		{"--workspace", "name-1", {"a b", "", "-n", "\xc3\xa4"}},
		{"--user-id", "u", {"a b", "a/b", "\x7f", ""}},
		{"--agent", "a", {"a b", "a/b", "\t", ""}},
		{"--skill", "s", {"a b", "a/b", "\x01", ""}},
		{"--session", "s", {"a b", "a/b", "/", ""}},
		{"--lang", "python", {"cobol", "", "Python", "../python"}},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		if (PARSE(cases[i].option, cases[i].good, "f") != 0)
			fail_msg("%s %s: %s", cases[i].option, cases[i].good, err.text);
		for (size_t k = 0; k < ELEMENTSOF(cases[i].bad); k++)
			if (PARSE(cases[i].option, cases[i].bad[k], "f") != -EINVAL)
				fail_msg("%s takes '%s'", cases[i].option, cases[i].bad[k]);
	}
	OK("--cwd", "/a//b/.", "true");
	assert_string_equal(o.cwd, "/a/b");
}

static void names_have_a_length(void **state)
{
	char name[200] = "";

	(void)state;
	memset(name, 'a', 63);
	OK("--hostname", name, "true");
	memset(name, 'a', 64);
	BAD("--hostname", name, "true");
	memset(name, 'a', 64);
	OK("--org", name, "true");
	memset(name, 'a', 65);
	BAD("--org", name, "true");
	memset(name, 'a', 128);
	OK("--skill", name, "true");
	memset(name, 'a', 129);
	BAD("--skill", name, "true");
}

static void flags(void **state)
{
	(void)state;
	OK("--root", "--detach", "true");
	assert_true(o.as_root && o.detach);
	OK("--root", "--user", "true");
	assert_false(o.as_root);
	OK("--user", "--root", "true");
	assert_true(o.as_root);
	OK("--help");
	assert_true(o.help);
	OK("-h", "--nonsense");
	assert_true(o.help);
}

static void what_excludes_each_other(void **state)
{
	(void)state;
	BAD("--json", "--detach", "true");
	BAD("--detach", "--tty", "on", "true");
	BAD("-c", "print(1)");
	BAD("--lang", "python");
	OK("--lang", "python", "-c", "print(1)");
	assert_string_equal(o.code, "print(1)");
	assert_int_equal(o.argc, 0);
	OK("--lang", "python", "-c=1", "arg");
	assert_string_equal(o.argv[0], "arg");
	BAD("--lang", "python", "-c");
}

static void json_is_seen_before_parsing(void **state)
{
	static char *const yes[] = {(char *)"run", (char *)"--bad", (char *)"--json", NULL};
	static char *const no[] = {(char *)"run", (char *)"--", (char *)"--json", NULL};

	(void)state;
	assert_true(options_wants_json(3, (char **)(uintptr_t)yes));
	assert_false(options_wants_json(3, (char **)(uintptr_t)no));
	assert_false(options_wants_json(1, (char **)(uintptr_t)yes));
}

static void profiles_cannot_have_everything(void **state)
{
	static const char *const never[] = {"profile", "help",	 "c",	"nonsense",
					    "",	       "--json", "org "};

	(void)state;
	OK("true");
	for (size_t i = 0; i < ELEMENTSOF(never); i++)
		assert_int_equal(options_set(&o, never[i], "x", &err), -EINVAL);
	assert_int_equal(options_set(&o, "root", "no", &err), -EINVAL);
	assert_false(o.as_root);
	assert_int_equal(options_set(&o, "root", "false", &err), 0);
	assert_false(o.as_root);
	assert_int_equal(options_set(&o, "root", "true", &err), 0);
	assert_true(o.as_root);
	assert_int_equal(options_set(&o, "memory", "1G", &err), 0);
	assert_int_equal(options_set(&o, "memory", "x", &err), -EINVAL);
}

/* The help tells of every option that the parser knows, and of none that it does not. */
static void help_is_complete(void **state)
{
	char line[400];
	FILE *file = tmpfile();
	int n = 0;

	(void)state;
	assert_non_null(file);
	help_run(file);
	rewind(file);
	while (fgets(line, sizeof(line), file)) {
		char *end = line + 2 + strcspn(line + 2, " ");

		assert_true(strlen(line) <= 101);
		if (strncmp(line, "  -", 3) != 0)
			continue;
		*end = '\0';
		n++;
		if (PARSE(line + 2, "") == -EINVAL && strstr(err.text, "unknown option"))
			fail_msg("%s is not taken", line);
	}
	fclose(file);
	assert_in_range(n, 30, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_safe_and_finite),
		cmocka_unit_test(the_command_ends_the_options),
		cmocka_unit_test(values_come_in_both_forms),
		cmocka_unit_test(what_is_unknown_is_refused),
		cmocka_unit_test(limits_are_parsed),
		cmocka_unit_test(words_are_checked),
		cmocka_unit_test(names_have_a_length),
		cmocka_unit_test(flags),
		cmocka_unit_test(what_excludes_each_other),
		cmocka_unit_test(json_is_seen_before_parsing),
		cmocka_unit_test(profiles_cannot_have_everything),
		cmocka_unit_test(help_is_complete),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
