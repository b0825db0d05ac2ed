/* SPDX-License-Identifier: Apache-2.0 */
/* jcs.c: the writer; see jcs.h. It puts things where RFC 8785 wants them and never moves them. */
#include "jcs.h"

#include "banned.h"
#include "jcs-private.h"
#include "jsonw.h"

static void raw(struct jcs *jcs, const void *text, size_t len)
{
	if (jcs->error == 0)
		jcs->error = buf_append(jcs->out, text, len);
}

static void fail(struct jcs *jcs, int error)
{
	if (jcs->error == 0)
		jcs->error = error;
}

/* How many bytes at p are one character of UTF-8; 0: none. */
static size_t utf8_len(const unsigned char *p, size_t len)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	return n <= len && jsonw_is_utf8(p, n) ? n : 0;
}

/* RFC 8785, 3.2.2.2: two-character escapes where there are, \u00xx for the other controls. */
static void quoted(struct jcs *jcs, const unsigned char *p, size_t len)
{
	char text[8];
	size_t from = 0, n;

	raw(jcs, "\"", 1);
	for (size_t i = 0; i < len; i += n) {
		const char *short_form;

		n = utf8_len(p + i, len - i);
		if (n && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')
			continue;
		raw(jcs, p + from, i - from);
		if (n == 0) {
			raw(jcs, "\xef\xbf\xbd", 3);
			n = 1;
		} else {
			short_form = p[i] ? strchr(jcs_escaped, p[i]) : NULL;
			if (short_form)
				snprintf(text, sizeof(text), "\\%c",
					 jcs_letters[short_form - jcs_escaped]);
			else
				snprintf(text, sizeof(text), "\\u%04x", (unsigned)p[i]);
			raw(jcs, text, strlen(text));
		}
		from = i + n;
	}
	raw(jcs, p + from, len - from);
	raw(jcs, "\"", 1);
}

static void key_in_order(struct jcs *jcs, struct jcs_level *level, size_t at)
{
	const char *data = jcs->out->data;
	/* Without the quotes. */
	size_t len = jcs->out->len - at - 2;

	if (level->key_at &&
	    jcs_key_compare(data + level->key_at, level->key_len, data + at + 1, len) >= 0)
		fail(jcs, -EINVAL);
	level->key_at = at + 1;
	level->key_len = len;
}

/* What comes before a value: a comma, a key; and whether a key belongs here. */
static void before(struct jcs *jcs, const char *key)
{
	struct jcs_level *level = &jcs->levels[jcs->depth];
	size_t at;

	/* Only one value is outermost. */
	if (level->object != (key != NULL) || (jcs->depth == 0 && level->any))
		fail(jcs, -EINVAL);
	if (level->any)
		raw(jcs, ",", 1);
	level->any = true;
	if (!key || jcs->error)
		return;
	if (!jsonw_is_utf8(key, strlen(key)))
		fail(jcs, -EILSEQ);
	at = jcs->out->len;
	quoted(jcs, (const unsigned char *)key, strlen(key));
	if (jcs->error == 0)
		key_in_order(jcs, level, at);
	raw(jcs, ":", 1);
}

static void open_level(struct jcs *jcs, const char *key, bool object)
{
	before(jcs, key);
	raw(jcs, object ? "{" : "[", 1);
	if (jcs->depth == JCS_DEPTH)
		fail(jcs, -E2BIG);
	else
		jcs->levels[++jcs->depth] = (struct jcs_level){.object = object};
}

static void close_level(struct jcs *jcs, bool object)
{
	if (jcs->depth == 0 || jcs->levels[jcs->depth].object != object) {
		fail(jcs, -EINVAL);
		return;
	}
	jcs->depth--;
	raw(jcs, object ? "}" : "]", 1);
}

void jcs_init(struct jcs *jcs, struct buf *out)
{
	*jcs = (struct jcs){.out = out};
}

int jcs_done(struct jcs *jcs)
{
	if (jcs->depth || !jcs->levels[0].any)
		fail(jcs, -EINVAL);
	return jcs->error;
}

void jcs_object(struct jcs *jcs, const char *key)
{
	open_level(jcs, key, true);
}

void jcs_object_end(struct jcs *jcs)
{
	close_level(jcs, true);
}

void jcs_array(struct jcs *jcs, const char *key)
{
	open_level(jcs, key, false);
}

void jcs_array_end(struct jcs *jcs)
{
	close_level(jcs, false);
}

void jcs_bytes(struct jcs *jcs, const char *key, const void *data, size_t len)
{
	before(jcs, key);
	quoted(jcs, data, len);
}

void jcs_string(struct jcs *jcs, const char *key, const char *text)
{
	if (text)
		jcs_bytes(jcs, key, text, strlen(text));
	else
		jcs_null(jcs, key);
}

void jcs_hex(struct jcs *jcs, const char *key, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	before(jcs, key);
	raw(jcs, "\"", 1);
	for (size_t i = 0; i < len; i++)
		raw(jcs, (const char[]){digits[p[i] >> 4], digits[p[i] & 15]}, 2);
	raw(jcs, "\"", 1);
}

void jcs_i64(struct jcs *jcs, const char *key, int64_t value)
{
	char text[24];

	if (value > JCS_INT_MAX || value < -JCS_INT_MAX)
		fail(jcs, -ERANGE);
	before(jcs, key);
	snprintf(text, sizeof(text), "%lld", (long long)value);
	raw(jcs, text, strlen(text));
}

void jcs_u64(struct jcs *jcs, const char *key, uint64_t value)
{
	if (value > (uint64_t)JCS_INT_MAX)
		fail(jcs, -ERANGE);
	jcs_i64(jcs, key, value > (uint64_t)JCS_INT_MAX ? 0 : (int64_t)value);
}

void jcs_bool(struct jcs *jcs, const char *key, bool value)
{
	before(jcs, key);
	raw(jcs, value ? "true" : "false", value ? 4 : 5);
}

void jcs_null(struct jcs *jcs, const char *key)
{
	before(jcs, key);
	raw(jcs, "null", 4);
}
