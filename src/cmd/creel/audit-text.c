/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit-text.c: records as text for people and programs.
 *
 * Threat: a record whose fields hold terminal control sequences, characters that reverse or hide
 * what stands beside them (CVE-2021-42574), or line breaks that forge other lines. All of them are
 * shown as escapes; nothing is dropped. The signed bytes themselves come out with `export` alone.
 */
#include "audit-cmd.h"

#include "err.h"
#include "io.h"

/* The length of the UTF-8 sequence at p (RFC 3629), 0 if it is none. */
static size_t utf8_next(const unsigned char *p, size_t len, uint32_t *ret)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);

	if (n == 0 || n > len || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) ||
	    (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret = c;
	return n;
}

/* Of Unicode's controls, line breaks and format characters, those that change what is seen. */
static bool deceives(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} ranges[] = {{0, 0x1f},	{0x7f, 0x9f},	  {0xad, 0xad},	     {0x61c, 0x61c},
		      {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},  {0x2060, 0x206f},
		      {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};

	for (size_t i = 0; i < ELEMENTSOF(ranges); i++)
		if (c >= ranges[i].from && c <= ranges[i].to)
			return true;
	return false;
}

static int escape(struct buf *out, uint32_t c)
{
	if (c < 0x10000)
		return buf_printf(out, "\\u%04x", c);
	return buf_printf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
			  0xdc00 + ((c - 0x10000) & 0x3ff));
}

int audit_text(struct buf *out, const char *text, size_t len, enum audit_lines lines)
{
	const unsigned char *p = (const unsigned char *)text;
	uint32_t c = 0;
	size_t n;
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i += n ? n : 1) {
		n = utf8_next(p + i, len - i, &c);
		if (n == 0)
			r = buf_printf(out, "\\x%02x", p[i]);
		else if (deceives(c) && !(c == '\n' && lines == AUDIT_KEEP_LINES))
			r = escape(out, c);
		else
			r = buf_append(out, p + i, n);
	}
	return r;
}

static bool is_plain_word(const json_t *string)
{
	const unsigned char *p = (const unsigned char *)json_string_value(string);
	size_t len = json_string_length(string);

	for (size_t i = 0; i < len; i++)
		if (p[i] <= ' ' || strchr("\"\\=", p[i]))
			return false;
	return len > 0;
}

/* A value that is no object and no list. */
static int plain_value(struct buf *out, const json_t *value)
{
	_cleanup_free_ char *text = NULL;

	if (json_is_string(value) && is_plain_word(value))
		return audit_text(out, json_string_value(value), json_string_length(value),
				  AUDIT_ONE_LINE);
	text = json_dumps(value, JSON_ENCODE_ANY);
	return text ? audit_text(out, text, strlen(text), AUDIT_ONE_LINE) : -ENOMEM;
}

static int plain_field(struct buf *out, const char *name, const json_t *value)
{
	int r = buf_puts(out, "  ");

	if (r == 0)
		r = audit_text(out, name, strlen(name), AUDIT_ONE_LINE);
	if (r == 0)
		r = buf_putc(out, '=');
	return r == 0 ? plain_value(out, value) : r;
}

int audit_line(struct buf *out, uint64_t seq, const json_t *record)
{
	static const char *const first[] = {"time", "type"};
	const char *name;
	json_t *value;
	int r = buf_printf(out, "%7" PRIu64, seq);

	for (size_t i = 0; i < ELEMENTSOF(first) && r == 0; i++) {
		value = json_object_get(record, first[i]);
		r = buf_puts(out, "  ");
		if (r == 0)
			r = json_is_string(value) ? plain_value(out, value) : buf_putc(out, '-');
	}
	json_object_foreach((json_t *)(uintptr_t)record, name, value)
	{
		if (json_is_object(value) || json_is_array(value) || strcmp(name, "time") == 0 ||
		    strcmp(name, "type") == 0 || strcmp(name, "v") == 0)
			continue;
		if (r == 0)
			r = plain_field(out, name, value);
	}
	return r == 0 ? buf_putc(out, '\n') : r;
}

int audit_json_line(struct buf *out, uint64_t seq, const char *text, size_t len)
{
	int r = buf_puts(out, "{\"record\":");

	if (r == 0)
		r = audit_text(out, text, len, AUDIT_ONE_LINE);
	return r == 0 ? buf_printf(out, ",\"seq\":%" PRIu64 "}\n", seq) : r;
}

int audit_pretty(struct buf *out, const json_t *record)
{
	_cleanup_free_ char *text = json_dumps(record, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	int r = text ? audit_text(out, text, strlen(text), AUDIT_KEEP_LINES) : -ENOMEM;

	return r == 0 ? buf_putc(out, '\n') : r;
}

int audit_print(const struct buf *out, struct err *err)
{
	int r = out->len ? io_write_full(STDOUT_FILENO, out->data, out->len) : 0;

	return r < 0 ? err_errno(err, -r, "audit", "cannot write to standard output") : 0;
}
