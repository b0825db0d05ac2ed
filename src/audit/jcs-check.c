/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jcs-check.c: tells canonical JSON from all else. It judges every record before it is appended:
 * the tree is over bytes, and two texts for one meaning would be two records. One pass, no
 * recursion, no memory but one slot for each level.
 */
#include "banned.h"
#include "jcs-private.h"
#include "jcs.h"
#include "jsonw.h"

struct check {
	const unsigned char *p, *end;
	struct {
		const unsigned char *key; /* the last one; NULL: none yet */
		size_t key_len;
		bool object;
	} levels[JCS_DEPTH + 1];
	unsigned depth;
};

/* The next byte of UTF-8 that the text means; *p moves behind it. */
static unsigned next_byte(const unsigned char **p)
{
	const unsigned char *at = *p;
	const char *letter;

	if (at[0] != '\\') {
		*p += 1;
		return at[0];
	}
	if (at[1] == 'u') {
		unsigned high = at[4] - '0';
		unsigned low = at[5] <= '9' ? at[5] - (unsigned)'0' : at[5] - (unsigned)'a' + 10;

		*p += 6;
		return high * 16 + low;
	}
	*p += 2;
	letter = strchr(jcs_letters, at[1]);
	return letter ? (unsigned char)jcs_escaped[letter - jcs_letters] : 0;
}

/* A byte's place: surrogates (from 0xf0 on) stand before U+E000–FFFF (0xee, 0xef) in UTF-16. */
static int place(unsigned byte)
{
	return byte >= 0xf0 ? (int)byte - 2 : byte >= 0xee ? (int)byte + 6 : (int)byte;
}

int jcs_key_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	const unsigned char *p = (const unsigned char *)a, *q = (const unsigned char *)b;
	const unsigned char *p_end = p + a_len, *q_end = q + b_len;

	while (p < p_end && q < q_end) {
		unsigned x = next_byte(&p), y = next_byte(&q);

		if (x != y)
			return place(x) - place(y);
	}
	return (p < p_end) - (q < q_end);
}

static bool is_escape(const unsigned char *p, const unsigned char *end)
{
	unsigned code;

	if (end - p < 2)
		return false;
	if (p[1] != 'u')
		return p[1] && strchr(jcs_letters, p[1]) != NULL;
	if (end - p < 6 || p[2] != '0' || p[3] != '0' || (p[4] != '0' && p[4] != '1'))
		return false;
	if (!(p[5] >= '0' && p[5] <= '9') && !(p[5] >= 'a' && p[5] <= 'f'))
		return false;
	code = next_byte(&(const unsigned char *){p});
	/* Those with a short form must use it. */
	return code == 0 || !strchr(jcs_escaped, (int)code);
}

/* The text after an opening quote, and its closing one. */
static bool check_string(struct check *check)
{
	const unsigned char *start = check->p, *p = start;
	bool ascii = true;

	for (; p < check->end && *p != '"'; p++) {
		if (*p < 0x20)
			return false;
		ascii &= *p < 0x80;
		if (*p == '\\') {
			if (!is_escape(p, check->end))
				return false;
			p += p[1] == 'u' ? 5 : 1;
		}
	}
	if (p == check->end || (!ascii && !jsonw_is_utf8(start, (size_t)(p - start))))
		return false;
	check->p = p + 1;
	return true;
}

static bool check_number(struct check *check)
{
	const unsigned char *p = check->p;
	bool minus = *p == '-';
	int64_t value = 0;
	size_t n = 0;

	for (p += minus; p < check->end && *p >= '0' && *p <= '9' && n < 17; p++, n++)
		value = value * 10 + (*p - '0');
	if (n == 0 || value > JCS_INT_MAX || (p[-(ptrdiff_t)n] == '0' && (n > 1 || minus)))
		return false;
	check->p = p;
	return true;
}

static bool check_word(struct check *check, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(check->end - check->p) < len || memcmp(check->p, word, len) != 0)
		return false;
	check->p += len;
	return true;
}

static bool check_char(struct check *check, char c)
{
	if (check->p == check->end || *check->p != (unsigned char)c)
		return false;
	check->p++;
	return true;
}

/* A key and its colon; it stands after the last one. */
static bool check_key(struct check *check)
{
	const unsigned char *last = check->levels[check->depth].key, *key;
	size_t len;

	if (!check_char(check, '"'))
		return false;
	key = check->p;
	if (!check_string(check))
		return false;
	len = (size_t)(check->p - key) - 1;
	if (last && jcs_key_compare((const char *)last, check->levels[check->depth].key_len,
				    (const char *)key, len) >= 0)
		return false;
	check->levels[check->depth].key = key;
	check->levels[check->depth].key_len = len;
	return check_char(check, ':');
}

/* A scalar, or the opening of a level, which is entered; *ret_open tells. */
static bool check_value(struct check *check, bool *ret_open)
{
	bool object;

	*ret_open = false;
	if (check->p == check->end)
		return false;
	object = *check->p == '{';
	switch (*check->p) {
	case '"':
		check->p++;
		return check_string(check);
	case 't':
		return check_word(check, "true");
	case 'f':
		return check_word(check, "false");
	case 'n':
		return check_word(check, "null");
	case '{':
	case '[':
		if (check->depth == JCS_DEPTH)
			return false;
		check->p++;
		check->depth++;
		check->levels[check->depth].object = object;
		check->levels[check->depth].key = NULL;
		*ret_open = true;
		return true;
	default:
		return check_number(check);
	}
}

/* Closes all levels that end here. False: something else than a comma stands in an open one. */
static bool check_closings(struct check *check)
{
	while (check->depth) {
		if (check_char(check, ','))
			return true;
		if (!check_char(check, check->levels[check->depth].object ? '}' : ']'))
			return false;
		check->depth--;
	}
	return true;
}

bool jcs_is_canonical(const void *data, size_t len)
{
	struct check check;
	bool open;

	check.p = data;
	check.end = check.p + len;
	check.depth = 0;
	check.levels[0].object = false;
	do {
		if (check.levels[check.depth].object && !check_key(&check))
			return false;
		if (!check_value(&check, &open))
			return false;
		if (open) {
			char close = check.levels[check.depth].object ? '}' : ']';

			if (!check_char(&check, close))
				continue;
			check.depth--;
		}
		if (!check_closings(&check))
			return false;
	} while (check.depth);
	return check.p == check.end;
}
