/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-options-paths.c: options that name files: what does not exist, is of the wrong kind, would
 * cover what must stay visible inside, or is too many, is refused.
 */
#include "options.h"

#include "err.h"

#include "../../testing/testing.h"
#include "test-argv.h"

static struct options o;
static struct err err;
static struct test_dir *dir;
static char file[100], directory[100], link_[100];

#define PARSE(...) parse_words((const char *const[]){"run", __VA_ARGS__, NULL}, &o, &err)
#define OK(...)	   assert_int_equal(PARSE(__VA_ARGS__), 0)
#define BAD(...)   assert_int_equal(PARSE(__VA_ARGS__), -EINVAL)

static int setup(void **state)
{
	if (test_dir_setup(state) < 0)
		return -1;
	dir = *state;
	snprintf(file, sizeof(file), "%s/file", dir->path);
	snprintf(directory, sizeof(directory), "%s/dir", dir->path);
	snprintf(link_, sizeof(link_), "%s/link", dir->path);
	test_write(dir->fd, "file", "x");
	test_write(dir->fd, "a:b", "x");
	return mkdirat(dir->fd, "dir", 0755) || symlinkat("dir", dir->fd, "link");
}

static void directories(void **state)
{
	static const char *const options[] = {"--workspace", "--out"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(options); i++) {
		OK(options[i], directory, "true");
		assert_string_equal(i ? o.out : o.workspace, directory);
		OK(options[i], link_, "true");
		assert_string_equal(i ? o.out : o.workspace,
				    directory); /* what it is, not its name */
		BAD(options[i], file, "true");
		assert_non_null(strstr(err.text, "not a directory"));
		BAD(options[i], "/nonexistent", "true");
		BAD(options[i], "/", "true");
		BAD(options[i], "/usr/..", "true");
		BAD(options[i], "", "true");
	}
}

static void read_only_mounts(void **state)
{
	static const char *const bad[] = {
		"/proc",	 "/proc/x",  "/dev",	   "/dev/shm/x",    "/sys",
		"/sys/fs",	 "/",	     "/usr",	   "/workspace",    "/run/script",
		"/run/script/x", "relative", "/a/../proc", "/..",	    "",
		"//proc//x",	 "/./dev",   "/usr/",	   "/workspace/./",
	};
	static const char *const good[] = {"/data", "/usr/share/x", "/workspace/in", "/proc2",
					   "/device"};
	char value[300];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		snprintf(value, sizeof(value), "%s:%s", directory, bad[i]);
		if (PARSE("--ro", value, "true") != -EINVAL)
			fail_msg("--ro takes %s", value);
	}
	for (size_t i = 0; i < ELEMENTSOF(good); i++) {
		snprintf(value, sizeof(value), "%s:%s", link_, good[i]);
		OK("--ro", value, "true");
		assert_int_equal(o.n_ro, 1);
		assert_string_equal(o.ro[0].source, directory);
		assert_string_equal(o.ro[0].target, good[i]);
	}
	snprintf(value, sizeof(value), "%s/a:b:/data/", dir->path); /* the last colon parts it */
	OK("--ro", value, "true");
	assert_string_equal(o.ro[0].target, "/data");
	BAD("--ro", directory, "true");
	BAD("--ro", ":/data", "true");
	BAD("--ro", "/nonexistent:/data", "true");
	snprintf(value, sizeof(value), "%s:", directory);
	BAD("--ro", value, "true");
}

static void the_same_place_twice(void **state)
{
	char one[200], two[200];

	(void)state;
	snprintf(one, sizeof(one), "%s:/data", directory);
	snprintf(two, sizeof(two), "%s://data/", file);
	BAD("--ro", one, "--ro", two, "true");
	assert_non_null(strstr(err.text, "/data"));
	snprintf(two, sizeof(two), "%s:/data2", file);
	OK("--ro", one, "--ro", two, "true");
	assert_int_equal(o.n_ro, 2);
}

static void copied_in(void **state)
{
	char same[120];

	(void)state;
	OK("--in", file, "--in", directory, "true");
	assert_int_equal(o.n_in, 2);
	assert_string_equal(o.in[0], file);
	BAD("--in", "/nonexistent", "true");
	BAD("--in", "/", "true");
	assert_int_equal(mkdirat(dir->fd, "dir/file", 0755), 0);
	snprintf(same, sizeof(same), "%s/file", directory);
	BAD("--in", file, "--in", same, "true");
	BAD("--in", file, "--in", file, "true");
}

static void labels(void **state)
{
	(void)state;
	OK("--label", "a=1", "--label", "ab=2", "--label", "a=3", "true");
	assert_int_equal(o.n_labels, 2);
	assert_string_equal(o.labels[0], "a=3");
	assert_string_equal(o.labels[1], "ab=2");
}

static void environment(void **state)
{
	(void)state;
	OK("--env", "A=1", "--env", "AB=2", "--env", "A=3", "true");
	assert_int_equal(o.n_env, 2);
	assert_string_equal(o.env[0], "A=3");
	assert_string_equal(o.env[1], "AB=2");
}

/* n times an option, each time with another key in its value, then a command. */
__attribute__((format(printf, 2, 0))) static int parse_many(const char *option, const char *fmt,
							    int n)
{
	static char values[100][200];
	const char *words[300] = {"run"};
	int argc = 1;

	for (int i = 0; i < n; i++) {
		snprintf(values[i], sizeof(values[i]), fmt, i);
		words[argc++] = option;
		words[argc++] = values[i];
	}
	words[argc++] = "true";
	return parse_words(words, &o, &err);
}

static void not_too_many(void **state)
{
	char value[200];

	(void)state;
	snprintf(value, sizeof(value), "%s:/data%%d", directory);
	assert_int_equal(parse_many("--label", "k%d=v", CEIL_LABELS), 0);
	assert_int_equal(o.n_labels, CEIL_LABELS);
	assert_int_equal(parse_many("--label", "k%d=v", CEIL_LABELS + 1), -EINVAL);
	assert_non_null(strstr(err.text, "too many"));
	assert_int_equal(parse_many("--ro", value, CEIL_MOUNTS), 0);
	assert_int_equal(parse_many("--ro", value, CEIL_MOUNTS + 1), -EINVAL);
	assert_non_null(strstr(err.text, "too many"));
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, setup, test_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(directories),	WITH_DIR(read_only_mounts), WITH_DIR(the_same_place_twice),
		WITH_DIR(copied_in),	WITH_DIR(environment),	    WITH_DIR(labels),
		WITH_DIR(not_too_many),
	};

	return cmocka_run_group_tests_name("options-paths", tests, NULL, NULL);
}
