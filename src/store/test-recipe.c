/* SPDX-License-Identifier: Apache-2.0 */
/* test-recipe.c: the built-in recipes are what they should be, and a bad line is named. */
#include "recipe.h"

#include "err.h"

#include "../testing/testing.h"

static void good(const char *text, struct recipe *recipe)
{
	struct err err = {0};

	if (recipe_parse("x", text, recipe, &err) < 0)
		fail_msg("%s", err.text);
}

static void bad(const char *text, const char *words)
{
	struct recipe recipe;
	struct err err = {0};

	assert_int_equal(recipe_parse("x", text, &recipe, &err), -EINVAL);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

static void keys_are_read(void **state)
{
	struct recipe recipe;

	(void)state;
	good("# c\n\ndescription: what it is \nfrom: base\npackages: a1 b+c\n  \npackages: d.e-f\n"
	     "env: A=b c\nenv: _B=\nrun: echo 'a: b'\ndownload: 60M\ndisk: 1.5G\ntime: 2m",
	     &recipe);
	assert_string_equal(recipe.description, "what it is");
	assert_string_equal(recipe.from, "base");
	assert_string_equal(recipe.packages.data, "a1\nb+c\nd.e-f\n");
	assert_string_equal(recipe.env.data, "A=b c\n_B=\n");
	assert_string_equal(recipe.runs.data, "echo 'a: b'\n");
	assert_int_equal(recipe.download, 60 << 20);
	assert_int_equal(recipe.time_ms, 120000);
	recipe_done(&recipe);
}

static void bad_lines_are_named(void **state)
{
	(void)state;
	bad("packages: ok\nnonsense", "x:2: no line of the form");
	bad("package: a1", "x:1: unknown key 'package'");
	bad("packages:", "x:1: packages needs");
	bad("packages: -o", "x:1");
	bad("packages: aa,bb", "x:1");
	bad("packages: aa $(id)", "x:1");
	bad("packages: Aa", "x:1");
	bad("from: ../x", "x:1: from needs");
	bad("from: aa\nfrom: bb", "x:2: from needs");
	bad("env: 1A=b", "x:1: env needs");
	bad("env: A", "x:1: env needs");
	bad("time: soon", "x:1: time needs");
	bad("disk: -1", "x:1: disk needs");
	bad("run: a\x1b[2J", "x:1: a control character");
}

static bool has(const struct buf *lines, const char *line)
{
	const char *at = strstr(lines->data, line);

	return at && (at == lines->data || at[-1] == '\n') && at[strlen(line)] == '\n';
}

static void all_recipes_load(void **state)
{
	static const char *const names[] = {"base", "node", "data", "r", "sql", "docs", "full"};
	static const char *const wanted[] = {
		"python3-venv",	     "nodejs",	      "python3-pandas", "r-base-core",
		"postgresql-client", "tesseract-ocr", "mariadb-client"};

	(void)state;
	assert_int_equal(n_recipe_texts, ELEMENTSOF(names));
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		struct recipe recipe;
		struct err err = {0};

		assert_true(recipe_exists(names[i]));
		if (recipe_load(names[i], NULL, &recipe, &err) < 0)
			fail_msg("%s", err.text);
		assert_true(has(&recipe.packages, wanted[i]));
		assert_true(has(&recipe.packages, "python3-pip")); /* all are from base */
		assert_true(recipe.disk && recipe.download && recipe.time_ms);
		assert_true(*recipe.description);
		recipe_done(&recipe);
	}
}

static void full_has_all_but_docs(void **state)
{
	static const char *const parts[] = {"node", "data", "r", "sql"};
	struct recipe full, part;
	struct err err = {0};

	(void)state;
	assert_int_equal(recipe_load("full", NULL, &full, &err), 0);
	for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
		assert_int_equal(recipe_load(parts[i], NULL, &part, &err), 0);
		for (char *save, *name = strtok_r(part.packages.data, "\n", &save); name;
		     name = strtok_r(NULL, "\n", &save))
			if (!has(&full.packages, name))
				fail_msg("full lacks %s of %s", name, parts[i]);
		recipe_done(&part);
	}
	assert_false(has(&full.packages, "tesseract-ocr"));
	recipe_done(&full);
}

static void a_file_can_be_from_a_built_in_one(void **state)
{
	struct test_dir *dir = *state;
	struct recipe recipe, base;
	struct err err = {0};
	char path[128];

	snprintf(path, sizeof(path), "%s/my.recipe", dir->path);
	test_write(dir->fd, "my.recipe", "from: base\npackages: tree\n");
	assert_int_equal(recipe_load("my", path, &recipe, &err), 0);
	assert_int_equal(recipe_load("base", NULL, &base, &err), 0);
	assert_true(has(&recipe.packages, "tree") && has(&recipe.packages, "git"));
	assert_string_not_equal(recipe.hash, base.hash);
	recipe_done(&recipe);
	recipe_done(&base);
	test_write(dir->fd, "my.recipe", "from: nothing\n");
	assert_int_equal(recipe_load("my", path, &recipe, &err), -ENOENT);
	assert_non_null(strstr(err.text, "there is no recipe nothing"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_read),
		cmocka_unit_test(bad_lines_are_named),
		cmocka_unit_test(all_recipes_load),
		cmocka_unit_test(full_has_all_but_docs),
		cmocka_unit_test_setup_teardown(a_file_can_be_from_a_built_in_one, test_dir_setup,
						test_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
