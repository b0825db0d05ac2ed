/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.c: see parse.h. Decimal fractions are kept as a count of thousandths: floating point would
 * bring rounding, locales and NaN into limits.
 */
#include "parse.h"

#include "banned.h"

#include <ctype.h>

struct parse_unit {
	const char *suffix;
	uint64_t factor;
};

static int parse_digits(const char **text, uint64_t *ret)
{
	const char *p = *text;
	uint64_t value = 0;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++) {
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	}
	*text = p;
	*ret = value;
	return 0;
}

/* A decimal number as whole part and thousandths; digits past the third are refused. */
static int parse_decimal(const char **text, uint64_t *ret_whole, uint64_t *ret_milli)
{
	uint64_t whole, milli = 0;
	int r;

	r = parse_digits(text, &whole);
	if (r < 0)
		return r;
	if (**text == '.') {
		uint64_t scale = 100;

		(*text)++;
		if (!isdigit((unsigned char)**text))
			return -EINVAL;
		for (; isdigit((unsigned char)**text); (*text)++) {
			if (scale == 0)
				return -EINVAL;
			milli += (uint64_t)(**text - '0') * scale;
			scale /= 10;
		}
	}
	*ret_whole = whole;
	*ret_milli = milli;
	return 0;
}

static int parse_scaled(const char *text, const struct parse_unit *units, size_t n_units,
			uint64_t *ret)
{
	uint64_t whole, milli, value;
	int r;

	r = parse_decimal(&text, &whole, &milli);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_units; i++) {
		uint64_t factor = units[i].factor;

		if (strcasecmp(text, units[i].suffix) != 0)
			continue;
		if (__builtin_mul_overflow(whole, factor, &value) ||
		    __builtin_add_overflow(
			    value, factor / 1000 * milli + factor % 1000 * milli / 1000, &value))
			return -ERANGE;
		*ret = value;
		return 0;
	}
	return -EINVAL;
}

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t value;
	int r;

	r = parse_digits(&text, &value);
	if (r < 0)
		return r;
	if (*text)
		return -EINVAL;
	if (value < min || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	static const struct parse_unit units[] = {
		{"", 1},
		{"B", 1},
		{"K", 1ull << 10},
		{"KB", 1ull << 10},
		{"KiB", 1ull << 10},
		{"M", 1ull << 20},
		{"MB", 1ull << 20},
		{"MiB", 1ull << 20},
		{"G", 1ull << 30},
		{"GB", 1ull << 30},
		{"GiB", 1ull << 30},
		{"T", 1ull << 40},
		{"TB", 1ull << 40},
		{"TiB", 1ull << 40},
	};

	return parse_scaled(text, units, ELEMENTSOF(units), ret_bytes);
}

int parse_time_ms(const char *text, uint64_t *ret_ms)
{
	static const struct parse_unit units[] = {
		{"", 1000},   {"ms", 1},      {"s", 1000},    {"sec", 1000},
		{"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000},
	};

	return parse_scaled(text, units, ELEMENTSOF(units), ret_ms);
}

int parse_milli(const char *text, uint64_t *ret_milli)
{
	static const struct parse_unit units[] = {{"", 1000}};

	return parse_scaled(text, units, ELEMENTSOF(units), ret_milli);
}

int parse_name(const char *text)
{
	size_t len =
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	if (len == 0 || len > 64 || text[len] || strchr("._-", text[0]))
		return -EINVAL;
	return 0;
}
