/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.c: see err.h. Texts can hold names that an attacker chose (paths, arguments), and they end on
 * a terminal: every control byte is replaced when the record is filled, in this one place.
 */
#include "err.h"

#include <errno.h>

/* Control characters, among them U+0080 to U+009F, and what a cut left of a last character. */
static void err_clean(char *text)
{
	unsigned char *p = (unsigned char *)text, *last = NULL;
	int follow = 0;

	for (; *p; p++) {
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			p[0] = p[1] = '?';
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		if (*p >= 0xc0) {
			last = p;
			follow = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
		}
	}
	if (last && p - last <= follow)
		*last = '\0';
}

static void err_fill(struct err *err, int code, const char *module)
{
	err->code = code;
	snprintf(err->module, sizeof(err->module), "%s", module);
}

int err_set(struct err *err, int code, const char *module, const char *fmt, ...)
{
	if (code <= 0)
		code = EIO;
	if (err) {
		va_list ap;

		err_fill(err, code, module);
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
		err_clean(err->text);
	}
	return -code;
}

int err_errno(struct err *err, int code, const char *module, const char *fmt, ...)
{
	if (code <= 0)
		code = EIO;
	if (err) {
		va_list ap;
		int n;

		err_fill(err, code, module);
		va_start(ap, fmt);
		n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
		if (n >= 0 && (size_t)n < sizeof(err->text))
			snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s",
				 strerror(code));
		err_clean(err->text);
	}
	return -code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char context[ERR_TEXT_MAX];
	char joined[2 * ERR_TEXT_MAX];
	va_list ap;

	if (!err)
		return -EIO;
	va_start(ap, fmt);
	vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	snprintf(joined, sizeof(joined), "%s: %s", context, err->text);
	snprintf(err->text, sizeof(err->text), "%.*s", ERR_TEXT_MAX - 1, joined);
	err_clean(err->text);
	return err->code > 0 ? -err->code : -EIO;
}
