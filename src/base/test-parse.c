/* SPDX-License-Identifier: Apache-2.0 */
/* test-parse.c: every unit, the ends of the ranges, and everything that is nearly a number. */
#include "parse.h"

#include "err.h"

#include "../testing/testing.h"

#define UNTOUCHED 0xdeadbeefull

struct parse_case {
	const char *text;
	int r;
	uint64_t value;
};

static void parse_cases(int (*fn)(const char *text, uint64_t *ret), const struct parse_case *cases,
			size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t value = UNTOUCHED;
		int r = fn(cases[i].text, &value);

		if (r != cases[i].r || value != (r == 0 ? cases[i].value : UNTOUCHED))
			fail_msg("'%s' gives %d and %llu", cases[i].text, r,
				 (unsigned long long)value);
	}
}

static void sizes(void **state)
{
	static const struct parse_case cases[] = {
		{"0", 0, 0},
		{"512", 0, 512},
		{"512B", 0, 512},
		{"1K", 0, 1024},
		{"1KB", 0, 1024},
		{"1KiB", 0, 1024},
		{"2M", 0, 2ull << 20},
		{"2MB", 0, 2ull << 20},
		{"2MiB", 0, 2ull << 20},
		{"3G", 0, 3ull << 30},
		{"3GB", 0, 3ull << 30},
		{"3GiB", 0, 3ull << 30},
		{"4T", 0, 4ull << 40},
		{"4TB", 0, 4ull << 40},
		{"4TiB", 0, 4ull << 40},
		{"2g", 0, 2ull << 30},
		{"2gib", 0, 2ull << 30},
		{"1.5K", 0, 1536},
		{"1.5G", 0, 1536ull << 20},
		{"0.5M", 0, 512u << 10},
		{"0.001K", 0, 1},
		{"1.125T", 0, (1ull << 40) + (1ull << 37)},
		{"007", 0, 7},
		{"18446744073709551615", 0, UINT64_MAX},
		{"16777215T", 0, 16777215ull << 40},
		{"18446744073709551616", -ERANGE, 0},
		{"16777216T", -ERANGE, 0},
		{"99999999999999999999999999", -ERANGE, 0},
		{"18446744073709551615.5K", -ERANGE, 0},
	};

	(void)state;
	parse_cases(parse_size, cases, ELEMENTSOF(cases));
}

static void times(void **state)
{
	static const struct parse_case cases[] = {
		{"10", 0, 10000},
		{"0", 0, 0},
		{"500ms", 0, 500},
		{"30s", 0, 30000},
		{"30sec", 0, 30000},
		{"2m", 0, 120000},
		{"2min", 0, 120000},
		{"1h", 0, 3600000},
		{"1d", 0, 86400000},
		{"1.5m", 0, 90000},
		{"0.25", 0, 250},
		{"0.001s", 0, 1},
		{"1.5ms", 0, 1},
		{"0.5d", 0, 43200000},
		{"213503982334d", 0, 213503982334ull * 86400000},
		{"213503982335d", -ERANGE, 0},
		{"18446744073709551616ms", -ERANGE, 0},
		{"1w", -EINVAL, 0},
		{"1M s", -EINVAL, 0},
		{"30 s", -EINVAL, 0},
		{"1h30m", -EINVAL, 0},
	};

	(void)state;
	parse_cases(parse_time_ms, cases, ELEMENTSOF(cases));
}

static void thousandths(void **state)
{
	static const struct parse_case cases[] = {
		{"1", 0, 1000},
		{"1.5", 0, 1500},
		{"0.01", 0, 10},
		{"0.123", 0, 123},
		{"8192", 0, 8192000},
		{"1.5x", -EINVAL, 0},
		{"18446744073709552", -ERANGE, 0},
		{"1.0001", -EINVAL, 0},
	};

	(void)state;
	parse_cases(parse_milli, cases, ELEMENTSOF(cases));
}

/* What strtod(3), strtoull(3) or a shell would take and we must not. */
static const char *const garbage[] = {
	"",	 " ",	"-1",	 "+1",	  " 1",	    "1 ",   "1\n", ".5",    "1.",    "1..5",
	"1.5.5", "1.K", "0x10",	 "1e3",	  "inf",    "nan",  "G",   "1GG",   "1Gi",   "1BB",
	"1KK",	 "1,5", "1'000", "1_000", "1.0000", "1.-5", "١",   "1\xff", "1.5\t", "--",
};

static void garbage_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(garbage); i++) {
		uint64_t value = UNTOUCHED;

		if (parse_size(garbage[i], &value) != -EINVAL ||
		    parse_time_ms(garbage[i], &value) != -EINVAL ||
		    parse_milli(garbage[i], &value) != -EINVAL ||
		    parse_u64(garbage[i], 0, UINT64_MAX, &value) != -EINVAL || value != UNTOUCHED)
			fail_msg("'%s' is taken", garbage[i]);
	}
}

static void whole_numbers(void **state)
{
	uint64_t value = UNTOUCHED;

	(void)state;
	assert_int_equal(parse_u64("0", 0, 0, &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(parse_u64("18446744073709551615", 0, UINT64_MAX, &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(parse_u64("2", 2, 9, &value), 0);
	assert_int_equal(parse_u64("9", 2, 9, &value), 0);
	assert_int_equal(value, 9);
	assert_int_equal(parse_u64("1", 2, 9, &value), -ERANGE);
	assert_int_equal(parse_u64("10", 2, 9, &value), -ERANGE);
	assert_int_equal(parse_u64("18446744073709551616", 0, UINT64_MAX, &value), -ERANGE);
	assert_int_equal(parse_u64("5x", 2, 9, &value), -EINVAL);
	assert_int_equal(parse_u64("5.0", 2, 9, &value), -EINVAL);
	assert_int_equal(parse_u64("5K", 2, 9000, &value), -EINVAL);
	assert_int_equal(value, 9);
}

static void names(void **state)
{
	static const char *const bad[] = {"",	 ".",	"..",  ".a",	   "-a",  "_a",
					  "a/b", "a b", "a\n", "\xc3\xa4", "a:b", "~"};
	char text[66];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[65] = '\0';
	assert_int_equal(parse_name(text), -EINVAL);
	text[64] = '\0';
	assert_int_equal(parse_name(text), 0);
	assert_int_equal(parse_name("a"), 0);
	assert_int_equal(parse_name("Agent-7_b.x"), 0);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		if (parse_name(bad[i]) != -EINVAL)
			fail_msg("'%s' is taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),	 cmocka_unit_test(times),
		cmocka_unit_test(thousandths),	 cmocka_unit_test(garbage_is_refused),
		cmocka_unit_test(whole_numbers), cmocka_unit_test(names),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
