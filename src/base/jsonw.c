/* SPDX-License-Identifier: Apache-2.0 */
/* jsonw.c: see jsonw.h. */
#include "jsonw.h"

#include "banned.h"

static void json_raw(struct jsonw *json, const char *text, size_t len)
{
	if (json->error == 0)
		json->error = buf_append(json->out, text, len);
}

static void json_text(struct jsonw *json, const char *text)
{
	json_raw(json, text, strlen(text));
}

static void json_quoted(struct jsonw *json, const unsigned char *p, size_t len)
{
	static const char escaped[] = "\b\f\n\r\t\"\\";
	static const char letters[] = "bfnrt\"\\";
	size_t from = 0;

	json_raw(json, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		char text[8];
		const char *e = p[i] ? strchr(escaped, p[i]) : NULL;

		if (!e && p[i] >= 0x20 && p[i] != 0x7f)
			continue;
		if (e)
			snprintf(text, sizeof(text), "\\%c", letters[e - escaped]);
		else
			snprintf(text, sizeof(text), "\\u%04x", (unsigned)p[i]);
		json_raw(json, (const char *)p + from, i - from);
		json_text(json, text);
		from = i + 1;
	}
	json_raw(json, (const char *)p + from, len - from);
	json_raw(json, "\"", 1);
}

static void json_key_suffix(struct jsonw *json, const char *key, const char *suffix)
{
	char name[256];
	size_t len = 0;

	if (json->comma)
		json_raw(json, ",", 1);
	json->comma = true;
	if (!key)
		return;
	/* A key must be UTF-8 and whole: a byte that is not ASCII in one that is not gets a '?'. */
	for (bool text = jsonw_is_utf8(key, strlen(key)); *key && len < sizeof(name) - 16; key++)
		name[len++] = text || (unsigned char)*key < 0x80 ? *key : '?';
	while (len && !jsonw_is_utf8(name, len))
		len--;
	len += (size_t)snprintf(name + len, sizeof(name) - len, "%s", suffix);
	json_quoted(json, (const unsigned char *)name, len);
	json_raw(json, ":", 1);
}

static void json_key(struct jsonw *json, const char *key)
{
	json_key_suffix(json, key, "");
}

static void json_base64(struct jsonw *json, const unsigned char *p, size_t len)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	json_raw(json, "\"", 1);
	for (size_t i = 0; i < len; i += 3) {
		size_t have = MIN((size_t)3, len - i);
		unsigned v = (unsigned)p[i] << 16;
		char out[4];

		v |= have > 1 ? (unsigned)p[i + 1] << 8 : 0;
		v |= have > 2 ? (unsigned)p[i + 2] : 0;
		out[0] = alphabet[v >> 18];
		out[1] = alphabet[v >> 12 & 63];
		out[2] = have > 1 ? alphabet[v >> 6 & 63] : '=';
		out[3] = have > 2 ? alphabet[v & 63] : '=';
		json_raw(json, out, sizeof(out));
	}
	json_raw(json, "\"", 1);
}

/* The length of the UTF-8 sequence at p (RFC 3629: no overlong forms, no surrogates), 0 if none. */
static size_t json_utf8_len(const unsigned char *p, size_t len)
{
	static const struct {
		unsigned char lead_mask, lead, min2, max2;
		size_t len;
	} forms[] = {
		{0xff, 0xe0, 0xa0, 0xbf, 3}, {0xff, 0xed, 0x80, 0x9f, 3},
		{0xf0, 0xe0, 0x80, 0xbf, 3}, {0xff, 0xf0, 0x90, 0xbf, 4},
		{0xff, 0xf4, 0x80, 0x8f, 4}, {0xfc, 0xf0, 0x80, 0xbf, 4},
	};

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		return len >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
	for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
		if ((p[0] & forms[i].lead_mask) != forms[i].lead)
			continue;
		if (len < forms[i].len || p[1] < forms[i].min2 || p[1] > forms[i].max2)
			return 0;
		for (size_t k = 2; k < forms[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].len;
	}
	return 0;
}

bool jsonw_is_utf8(const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len;) {
		size_t n = json_utf8_len(p + i, len - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

void jsonw_init(struct jsonw *json, struct buf *out)
{
	*json = (struct jsonw){.out = out};
}

int jsonw_done(struct jsonw *json)
{
	return json->error;
}

static void json_open(struct jsonw *json, const char *key, const char *bracket)
{
	json_key(json, key);
	json_text(json, bracket);
	json->comma = false;
}

static void json_close(struct jsonw *json, const char *bracket)
{
	json_text(json, bracket);
	json->comma = true;
}

void jsonw_object(struct jsonw *json, const char *key)
{
	json_open(json, key, "{");
}

void jsonw_object_end(struct jsonw *json)
{
	json_close(json, "}");
}

void jsonw_array(struct jsonw *json, const char *key)
{
	json_open(json, key, "[");
}

void jsonw_array_end(struct jsonw *json)
{
	json_close(json, "]");
}

void jsonw_string(struct jsonw *json, const char *key, const char *text)
{
	if (!text) {
		jsonw_null(json, key);
		return;
	}
	if (!jsonw_is_utf8(text, strlen(text))) {
		jsonw_bytes(json, key, text, strlen(text));
		return;
	}
	json_key(json, key);
	json_quoted(json, (const unsigned char *)text, strlen(text));
}

void jsonw_u64(struct jsonw *json, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	json_key(json, key);
	json_text(json, text);
}

void jsonw_i64(struct jsonw *json, const char *key, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	json_key(json, key);
	json_text(json, text);
}

void jsonw_bool(struct jsonw *json, const char *key, bool value)
{
	json_key(json, key);
	json_text(json, value ? "true" : "false");
}

void jsonw_null(struct jsonw *json, const char *key)
{
	json_key(json, key);
	json_text(json, "null");
}

void jsonw_bytes(struct jsonw *json, const char *key, const void *data, size_t len)
{
	if (jsonw_is_utf8(data, len)) {
		json_key(json, key);
		json_quoted(json, data, len);
		return;
	}
	json_key_suffix(json, key, "_base64");
	json_base64(json, data, len);
}
