/* SPDX-License-Identifier: Apache-2.0 */
/* test-lang.c: each row of the table of languages can be found, run and told apart. */
#include "lang.h"

#include "err.h"

#include "../../testing/testing.h"

static void each_row_is_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < lang_count; i++) {
		const struct lang *lang = &lang_table[i];

		assert_non_null(lang->names[0]);
		assert_non_null(lang->programs[0]);
		assert_int_equal(lang->suffix[0], '.');
		assert_true(strlen(lang->suffix) <= 8);
		for (size_t k = 0; k < ELEMENTSOF(lang->programs); k++)
			if (lang->programs[k])
				assert_null(strchr(lang->programs[k], '/'));
	}
}

static void each_name_finds_its_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < lang_count; i++)
		for (size_t k = 0; k < ELEMENTSOF(lang_table[i].names); k++)
			if (lang_table[i].names[k])
				assert_ptr_equal(lang_find(lang_table[i].names[k]), &lang_table[i]);
	assert_null(lang_find(""));
	assert_null(lang_find("cobol"));
	assert_null(lang_find("pytho"));
}

/* Those of the README. */
static void the_promised_ones_are_there(void **state)
{
	static const char *const names[] = {"python", "node", "bash", "r", "sqlite", "perl"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		assert_non_null(lang_find(names[i]));
}

static void programs_are_absolute(void **state)
{
	const struct lang absent = {{"x"}, {"no-such-program"}, {NULL}, NULL, NULL, ".x"};
	char path[128];

	(void)state;
	assert_null(lang_program(&absent, NULL, path, sizeof(path)));
	assert_string_equal(lang_program(lang_find("sh"), NULL, path, sizeof(path)), "/usr/bin/sh");
}

static void the_list_names_all(void **state)
{
	char list[1024], little[20];

	(void)state;
	lang_list(NULL, list, sizeof(list));
	for (size_t i = 0; i < lang_count; i++)
		assert_non_null(strstr(list, lang_table[i].names[0]));
	lang_list(NULL, little, sizeof(little));
	assert_true(strlen(little) < sizeof(little));
	lang_list(NULL, list, 512); /* the room that its callers have */
	assert_true(strlen(list) < 511);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_is_whole),
		cmocka_unit_test(each_name_finds_its_row),
		cmocka_unit_test(the_promised_ones_are_there),
		cmocka_unit_test(programs_are_absolute),
		cmocka_unit_test(the_list_names_all),
	};

	return cmocka_run_group_tests_name("lang", tests, NULL, NULL);
}
