/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include "cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "banned.h"

/* Beside gmtime_r(3), which is right and slow: every day of the first days of each century, leap
 * days, and the ends of time. */
static void as_the_libc_has_it(void **state)
{
	static const int64_t also[] = {0,	   -1,		 951782399,   951782400,
				       4107542399, 253402300799, -62135596800};
	char text[CLOCK_TEXT], wanted[CLOCK_TEXT];

	(void)state;
	for (int64_t i = 0; i < 20000 + (int64_t)ELEMENTSOF(also); i++) {
		struct timespec at = {.tv_sec = i < 20000
							? i * 86400 * 17 + i * 61 - 86400ll * 36500
							: also[i - 20000],
				      .tv_nsec = i * 49999 % 1000000000};
		struct tm tm;
		size_t n;

		assert_non_null(gmtime_r(&at.tv_sec, &tm));
		n = strftime(wanted, sizeof(wanted), "%Y-%m-%dT%H:%M:%S", &tm);
		if (tm.tm_year + 1900 < 1000)
			n = (size_t)snprintf(wanted, sizeof(wanted),
					     "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
					     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
					     tm.tm_sec);
		snprintf(wanted + n, sizeof(wanted) - n, ".%03ldZ", at.tv_nsec / 1000000);
		clock_text(&at, text);
		assert_string_equal(text, wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(as_the_libc_has_it)};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
