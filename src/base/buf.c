/* SPDX-License-Identifier: Apache-2.0 */
/* buf.c: see buf.h. */
#include "buf.h"

#include "banned.h"

void buf_done(struct buf *buf)
{
	free(buf->data);
	*buf = BUF_INIT(buf->ceiling);
}

int buf_reserve(struct buf *buf, size_t len, char **ret_room)
{
	size_t need, size;
	char *data;

	if (len > buf->ceiling || buf->len > buf->ceiling - len)
		return -E2BIG;
	need = buf->len + len + 1;
	if (need > buf->allocated) {
		size = buf->allocated ? buf->allocated : 256;
		while (size < need)
			size *= 2;
		data = realloc(buf->data, size);
		if (!data)
			return -ENOMEM;
		buf->data = data;
		buf->allocated = size;
	}
	buf->data[buf->len] = '\0';
	*ret_room = buf->data + buf->len;
	return 0;
}

int buf_append(struct buf *buf, const void *data, size_t len)
{
	char *room;
	int r;

	r = buf_reserve(buf, len, &room);
	if (r < 0)
		return r;
	if (len)
		memcpy(room, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int buf_puts(struct buf *buf, const char *text)
{
	return buf_append(buf, text, strlen(text));
}

int buf_putc(struct buf *buf, char c)
{
	return buf_append(buf, &c, 1);
}

int buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list ap, again;
	char *room;
	int n, r;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	r = n < 0 ? -EINVAL : buf_reserve(buf, (size_t)n, &room);
	if (r == 0) {
		vsnprintf(room, (size_t)n + 1, fmt, again);
		buf->len += (size_t)n;
	}
	va_end(again);
	return r;
}
