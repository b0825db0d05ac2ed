/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-config.c: profiles of the configuration file: the right one is applied, below what the
 * command line says, and a file with anything wrong in it is refused as a whole, with the line.
 */
#include "config.h"

#include "ceilings.h"
#include "err.h"
#include "options.h"

#include "../../testing/testing.h"
#include "test-argv.h"

static struct options o;
static struct err err;
static struct test_dir *dir;

/* An ordinary user's file is read, as root too. */
uid_t geteuid(void)
{
	return 1234;
}

#define PARSE(...) parse_words((const char *const[]){"run", __VA_ARGS__, NULL}, &o, &err)

static int setup(void **state)
{
	if (test_dir_setup(state) < 0)
		return -1;
	dir = *state;
	return mkdirat(dir->fd, "creel", 0755) || setenv("XDG_CONFIG_HOME", dir->path, 1);
}

static void config(const char *text)
{
	test_write(dir->fd, "creel/creel.yaml", text);
}

static void a_profile_is_applied(void **state)
{
	(void)state;
	config("profiles:\n  heavy:\n    memory: 8G\n    cpus: 4\n    env: [A=1, 'B=x y']\n"
	       "    root: true\n  light: {memory: 64M}\n");
	assert_int_equal(PARSE("--profile", "heavy", "true"), 0);
	assert_int_equal(o.limits.of[LIMIT_MEMORY].value, 8ull << 30);
	assert_true(o.limits.of[LIMIT_MEMORY].named);
	assert_int_equal(o.limits.of[LIMIT_CPUS].value, 4000);
	assert_true(o.as_root);
	assert_int_equal(o.n_env, 2);
	assert_string_equal(o.env[1], "B=x y");
	assert_int_equal(PARSE("--profile=light", "true"), 0);
	assert_int_equal(o.limits.of[LIMIT_MEMORY].value, 64u << 20);
	assert_false(o.as_root);
	assert_int_equal(o.n_env, 0);
}

static void the_command_line_wins(void **state)
{
	(void)state;
	config("profiles: {p: {memory: 8G, root: true, env: [A=1]}}\n");
	assert_int_equal(
		PARSE("--memory", "1G", "--user", "--env", "A=2", "--profile", "p", "true"), 0);
	assert_int_equal(o.limits.of[LIMIT_MEMORY].value, 1ull << 30);
	assert_false(o.as_root);
	assert_int_equal(o.n_env, 1);
	assert_string_equal(o.env[0], "A=2");
}

static void only_options_name_a_profile(void **state)
{
	(void)state;
	config("profiles: {p: {root: true}}\n");
	assert_int_equal(PARSE("--env", "A=--profile", "echo", "--profile", "p"), 0);
	assert_false(o.as_root);
	assert_int_equal(PARSE("--", "--profile", "p"), 0);
	assert_false(o.as_root);
	assert_int_equal(PARSE("-", "--profile", "p"), 0);
	assert_false(o.as_root);
	assert_int_equal(PARSE("--hostname", "--profile", "p"), -EINVAL);
	assert_int_equal(PARSE("--profile"), -EINVAL);
	assert_int_equal(PARSE("--profile", "other", "true"), -ENOENT);
	assert_non_null(strstr(err.text, "other"));
}

static void a_wrong_file_is_refused(void **state)
{
	static const struct {
		const char *text, *line;
	} cases[] = {
		{"", NULL},
		{"# nothing\n", NULL},
		{"[]\n", ":1:"},
		{"word\n", ":1:"},
		{"other: {}\n", ":1:"},
		{"profiles: {p: {}}\nmore: 1\n", NULL},
		{"profiles: word\n", ":1:"},
		{"profiles:\n  p: word\n", ":2:"},
		{"profiles:\n  p:\n", NULL},
		{"profiles:\n  p: {}\n  p: {}\n", ":3:"},
		{"profiles:\n  p:\n    memory: 1G\n    memory: 2G\n", ":4:"},
		{"profiles:\n  p:\n    nonsense: 1\n", ":3:"},
		{"profiles:\n  p:\n    memory: lots\n", ":3:"},
		{"profiles:\n  p:\n    memory: {a: b}\n", ":3:"},
		{"profiles:\n  p:\n    env: [[A=1]]\n", ":3:"},
		{"profiles:\n  p:\n    profile: q\n", ":3:"},
		{"profiles:\n  p:\n    root: no\n", ":3:"},
		{"profiles:\n  p:\n    root: 0\n", ":3:"},
		{"profiles:\n  p:\n    hostname: ''\n", ":3:"},
		{"profiles:\n  p: {}\n  q:\n    memory: lots\n", ":4:"},
		{"profiles: {p: {memory: 1G\n", NULL},
		{"profiles:\n\t p: x\n", NULL},
		{"profiles: {? [a] : {}}\n", NULL},
		{"profiles: {p: *anchor}\n", NULL},
		{"\xff\xfe\x00", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		config(cases[i].text);
		if (PARSE("--profile", "p", "true") != -EINVAL)
			fail_msg("case %zu is taken: %s", i, err.text);
		if (cases[i].line && !strstr(err.text, cases[i].line))
			fail_msg("case %zu does not say %s: %s", i, cases[i].line, err.text);
	}
}

static void false_switches_nothing_on(void **state)
{
	(void)state;
	config("profiles: {p: {root: false, json: true}}\n");
	assert_int_equal(PARSE("--profile", "p", "true"), 0);
	assert_false(o.as_root);
	assert_true(o.json);
}

/* Aliases may refer to their own parent: it must end, however it ends. */
static void cycles_end(void **state)
{
	(void)state;
	config("profiles: &a {p: *a}\n");
	assert_int_equal(PARSE("--profile", "p", "true"), -EINVAL);
	config("profiles: {p: {env: &b [*b]}}\n");
	assert_int_equal(PARSE("--profile", "p", "true"), -EINVAL);
}

static void no_file(void **state)
{
	(void)state;
	unlinkat(dir->fd, "creel/creel.yaml", 0);
	assert_int_equal(PARSE("--profile", "p", "true"), -ENOENT);
	assert_non_null(strstr(err.text, "creel.yaml"));
	assert_int_equal(PARSE("true"), 0); /* nobody asked for it */
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("HOME");
	assert_int_equal(PARSE("--profile", "p", "true"), -ENOENT);
	assert_non_null(strstr(err.text, "HOME"));
}

/* A comment may fill the file up to the ceiling; one byte more, and nothing of it is taken. */
static void a_large_file_is_refused(void **state)
{
	static const char start[] = "profiles: {p: {memory: 1G}}\n#";
	char *text = malloc(CEIL_CONFIG + 2);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', CEIL_CONFIG + 1);
	memcpy(text, start, sizeof(start) - 1);
	text[CEIL_CONFIG] = '\0';
	config(text);
	assert_int_equal(PARSE("--profile", "p", "true"), 0);
	assert_int_equal(o.limits.of[LIMIT_MEMORY].value, 1u << 30);
	text[CEIL_CONFIG] = 'x';
	text[CEIL_CONFIG + 1] = '\0';
	config(text);
	assert_int_equal(PARSE("--profile", "p", "true"), -E2BIG);
	assert_non_null(strstr(err.text, "creel.yaml is larger than 1024 KiB"));
	free(text);
}

/* Not the file whose path the long one begins with. */
static void a_long_path_is_refused(void **state)
{
	static const char *const names[] = {"XDG_CONFIG_HOME", "HOME"};
	char path[600] = "/";

	(void)state;
	memset(path + 1, 'x', sizeof(path) - 2);
	path[sizeof(path) - 1] = '\0';
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		unsetenv(names[0]);
		assert_int_equal(setenv(names[i], path, 1), 0);
		assert_int_equal(PARSE("--profile", "p", "true"), -ENAMETOOLONG);
		assert_non_null(strstr(err.text, names[i]));
	}
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, setup, test_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(a_profile_is_applied),
		WITH_DIR(the_command_line_wins),
		WITH_DIR(only_options_name_a_profile),
		WITH_DIR(a_wrong_file_is_refused),
		WITH_DIR(false_switches_nothing_on),
		WITH_DIR(cycles_end),
		WITH_DIR(no_file),
		WITH_DIR(a_large_file_is_refused),
		WITH_DIR(a_long_path_is_refused),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
