/* SPDX-License-Identifier: Apache-2.0 */
/* test-buf.c: the ceiling is a wall, growth loses nothing, and a NUL always follows the content. */
#include "buf.h"
#include "err.h"

#include "../testing/testing.h"

static void starts_empty(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(10);

	(void)state;
	assert_null(buf.data);
	assert_int_equal(buf_append(&buf, NULL, 0), 0);
	assert_int_equal(buf.len, 0);
	assert_string_equal(buf.data, "");
}

static void grows_and_keeps(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(100000);

	(void)state;
	for (int i = 0; i < 50000; i++) {
		assert_int_equal(buf_putc(&buf, (char)('a' + i % 26)), 0);
		assert_int_equal(buf.data[buf.len], '\0');
	}
	assert_int_equal(buf.len, 50000);
	for (int i = 0; i < 50000; i++)
		assert_int_equal(buf.data[i], 'a' + i % 26);
}

static void ceiling_is_exact(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(5);

	(void)state;
	assert_int_equal(buf_puts(&buf, "12345"), 0);
	assert_int_equal(buf_putc(&buf, '6'), -E2BIG);
	assert_int_equal(buf_append(&buf, "", 0), 0);
	assert_string_equal(buf.data, "12345");
	assert_int_equal(buf.len, 5);
}

static void failed_append_changes_nothing(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(8);
	char *room;

	(void)state;
	assert_int_equal(buf_puts(&buf, "abc"), 0);
	assert_int_equal(buf_puts(&buf, "defghi"), -E2BIG);
	assert_int_equal(buf_printf(&buf, "%d", 123456), -E2BIG);
	assert_int_equal(buf_reserve(&buf, SIZE_MAX, &room), -E2BIG);
	assert_int_equal(buf_reserve(&buf, SIZE_MAX - 2, &room), -E2BIG);
	assert_string_equal(buf.data, "abc");
	assert_int_equal(buf.len, 3);
}

static void ceiling_zero_takes_nothing(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(0);

	(void)state;
	assert_int_equal(buf_putc(&buf, 'x'), -E2BIG);
	assert_int_equal(buf_puts(&buf, ""), 0);
}

static void prints(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(2000);
	char expected[1001];

	(void)state;
	memset(expected, ' ', 999);
	memcpy(expected + 999, "x", 2);
	assert_int_equal(buf_printf(&buf, "%s=%u;", "a", 7u), 0);
	assert_string_equal(buf.data, "a=7;");
	assert_int_equal(buf_printf(&buf, "%1000s", "x"), 0);
	assert_int_equal(buf.len, 1004);
	assert_string_equal(buf.data + 4, expected);
}

static void reserve_gives_room(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(1000);
	char *room;

	(void)state;
	assert_int_equal(buf_puts(&buf, "x"), 0);
	assert_int_equal(buf_reserve(&buf, 999, &room), 0);
	assert_ptr_equal(room, buf.data + 1);
	assert_int_equal(buf.len, 1);
	memset(room, 'y', 999);
	buf.len += 999;
	assert_int_equal(buf_reserve(&buf, 0, &room), 0);
	assert_int_equal(buf.data[1000], '\0');
}

static void done_can_be_used_again(void **state)
{
	struct buf buf = BUF_INIT(4);

	(void)state;
	assert_int_equal(buf_puts(&buf, "abcd"), 0);
	buf_done(&buf);
	assert_null(buf.data);
	assert_int_equal(buf.ceiling, 4);
	assert_int_equal(buf_puts(&buf, "abcd"), 0);
	buf_done(&buf);
	buf_done(&buf);
}

static void binary_is_kept(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(100);

	(void)state;
	assert_int_equal(buf_append(&buf, "a\0b\0", 4), 0);
	assert_int_equal(buf.len, 4);
	assert_memory_equal(buf.data, "a\0b\0", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_empty),
		cmocka_unit_test(grows_and_keeps),
		cmocka_unit_test(ceiling_is_exact),
		cmocka_unit_test(failed_append_changes_nothing),
		cmocka_unit_test(ceiling_zero_takes_nothing),
		cmocka_unit_test(prints),
		cmocka_unit_test(reserve_gives_room),
		cmocka_unit_test(done_can_be_used_again),
		cmocka_unit_test(binary_is_kept),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
