/* SPDX-License-Identifier: Apache-2.0 */
/* json-check.c: see json-check.h. */
#include "json-check.h"

#include <string.h>

struct check {
	const unsigned char *p, *end;
	int depth;
};

static bool check_value(struct check *c);

static void check_blank(struct check *c)
{
	while (c->p < c->end && *c->p && strchr(" \t\r\n", *c->p))
		c->p++;
}

static bool check_char(struct check *c, char wanted)
{
	check_blank(c);
	if (c->p >= c->end || *c->p != (unsigned char)wanted)
		return false;
	c->p++;
	return true;
}

static bool check_hex(struct check *c)
{
	for (int i = 0; i < 4; i++, c->p++)
		if (c->p >= c->end || !*c->p || !strchr("0123456789abcdefABCDEF", *c->p))
			return false;
	return true;
}

/* One multi-byte character, decoded and compared with the range that its length is for. */
static bool check_utf8(struct check *c)
{
	unsigned lead = *c->p++, value;
	int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
	static const unsigned least[] = {0, 0x80, 0x800, 0x10000};

	if (lead < 0xc0 || lead > 0xf7)
		return false;
	value = lead & (0x3fu >> more);
	for (int i = 0; i < more; i++, c->p++) {
		if (c->p >= c->end || (*c->p & 0xc0) != 0x80)
			return false;
		value = value << 6 | (*c->p & 0x3f);
	}
	return value >= least[more] && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
}

static bool check_string(struct check *c)
{
	if (!check_char(c, '"'))
		return false;
	while (c->p < c->end && *c->p != '"') {
		if (*c->p < 0x20)
			return false;
		if (*c->p >= 0x80) {
			if (!check_utf8(c))
				return false;
			continue;
		}
		if (*c->p++ != '\\')
			continue;
		if (c->p >= c->end || !*c->p || !strchr("\"\\/bfnrtu", *c->p))
			return false;
		if (*c->p++ == 'u' && !check_hex(c))
			return false;
	}
	return c->p++ < c->end;
}

static bool check_digits(struct check *c)
{
	const unsigned char *from = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > from && (*from != '0' || c->p == from + 1);
}

static bool check_word(struct check *c, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(c->end - c->p) < len || memcmp(c->p, word, len) != 0)
		return false;
	c->p += len;
	return true;
}

/* The members of an object or the elements of an array, to the closing bracket. */
static bool check_list(struct check *c, bool keys, char close)
{
	if (++c->depth > 200)
		return false;
	if (!check_char(c, close)) {
		do {
			if (keys && (!check_string(c) || !check_char(c, ':')))
				return false;
			if (!check_value(c))
				return false;
		} while (check_char(c, ','));
		if (!check_char(c, close))
			return false;
	}
	c->depth--;
	return true;
}

/* No fractions and exponents: creel writes none. */
static bool check_value(struct check *c)
{
	check_blank(c);
	if (c->p >= c->end)
		return false;
	if (check_char(c, '{'))
		return check_list(c, true, '}');
	if (check_char(c, '['))
		return check_list(c, false, ']');
	if (*c->p == '"')
		return check_string(c);
	if (check_word(c, "true") || check_word(c, "false") || check_word(c, "null"))
		return true;
	if (*c->p == '-')
		c->p++;
	return check_digits(c);
}

bool json_check(const char *text, size_t len)
{
	struct check c = {.p = (const unsigned char *)text,
			  .end = (const unsigned char *)text + len};

	if (!check_value(&c))
		return false;
	check_blank(&c);
	return c.p == c.end;
}
