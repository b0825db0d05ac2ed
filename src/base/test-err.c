/* SPDX-License-Identifier: Apache-2.0 */
/* test-err.c: one bounded line whatever an attacker put into the name that it tells. */
#include "err.h"

#include "../testing/testing.h"

static void set_fills_and_returns(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_set(&err, EBUSY, "cgroup", "%s=%d", "memory", 5), -EBUSY);
	assert_int_equal(err.code, EBUSY);
	assert_string_equal(err.module, "cgroup");
	assert_string_equal(err.text, "memory=5");
}

static void null_is_fine(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, EBUSY, "m", "x"), -EBUSY);
	assert_int_equal(err_errno(NULL, EPERM, "m", "x"), -EPERM);
	assert_int_equal(err_wrap(NULL, "x"), -EIO);
}

static void an_error_is_never_zero(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(err_set(&err, 0, "m", "x"), -EIO);
	assert_int_equal(err.code, EIO);
	assert_int_equal(err_errno(&err, -5, "m", "x"), -EIO);
	err.code = 0;
	assert_int_equal(err_wrap(&err, "x"), -EIO);
}

static void errno_is_told(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_errno(&err, ENOENT, "fs", "cannot open %s", "/x"), -ENOENT);
	assert_string_equal(err.text, "cannot open /x: No such file or directory");
}

static void control_characters_are_replaced(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_set(&err, EINVAL, "m", "a\x1b[31mb\nc\rd\te\x7f\x01"), -EINVAL);
	assert_string_equal(err.text, "a?[31mb?c?d?e??");
	assert_int_equal(err_errno(&err, ENOENT, "m", "\n"), -ENOENT);
	assert_string_equal(err.text, "?: No such file or directory");
	assert_int_equal(err_wrap(&err, "\x1b"), -ENOENT);
	assert_string_equal(err.text, "?: ?: No such file or directory");
}

static void text_that_is_not_ascii_stays(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_set(&err, EINVAL, "m", "%s", "über 10 €"), -EINVAL);
	assert_string_equal(err.text, "über 10 €");
}

static void long_texts_are_cut(void **state)
{
	struct err err;
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(err_set(&err, EINVAL, "a-module-with-a-long-name", "%s", text), -EINVAL);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	assert_int_equal(strlen(err.module), sizeof(err.module) - 1);
	assert_int_equal(err_errno(&err, EINVAL, "m", "%s", text), -EINVAL);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	assert_int_equal(err_errno(&err, EINVAL, "m", "%.477s", text), -EINVAL);
	assert_string_equal(err.text + 477, ": ");
}

static void wrap_puts_context_before(void **state)
{
	struct err err;
	char text[2000];

	(void)state;
	assert_int_equal(err_set(&err, ENOSPC, "store", "inner"), -ENOSPC);
	assert_int_equal(err_wrap(&err, "outer %d", 2), -ENOSPC);
	assert_string_equal(err.text, "outer 2: inner");
	assert_string_equal(err.module, "store");
	assert_int_equal(err.code, ENOSPC);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 3; i++)
		assert_int_equal(err_wrap(&err, "%.300s", text), -ENOSPC);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	assert_int_equal(err_wrap(&err, "%s", text), -ENOSPC);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
}

/* It is sent over a pipe from a set-up child as it is: the whole record must be plain bytes. */
static void it_travels(void **state)
{
	struct err err = {0}, copy;

	(void)state;
	assert_int_equal(err_set(&err, EPERM, "cell", "step"), -EPERM);
	memcpy(&copy, &err, sizeof(copy));
	assert_memory_equal(&copy, &err, sizeof(copy));
	assert_true(sizeof(struct err) <= 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_fills_and_returns),
		cmocka_unit_test(null_is_fine),
		cmocka_unit_test(an_error_is_never_zero),
		cmocka_unit_test(errno_is_told),
		cmocka_unit_test(control_characters_are_replaced),
		cmocka_unit_test(text_that_is_not_ascii_stays),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(wrap_puts_context_before),
		cmocka_unit_test(it_travels),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
