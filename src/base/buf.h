/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * buf.h: the one growable byte buffer. The ceiling is mandatory: an append past it fails with
 * -E2BIG and leaves the buffer as it was. The content is always followed by a NUL byte that is not
 * counted, so that text can be used as a C string.
 */
#include "cleanup.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data;
	size_t len;
	size_t allocated;
	size_t ceiling;
};

#define BUF_INIT(limit) ((struct buf){.ceiling = (limit)})

void buf_done(struct buf *buf);
_must_check_ int buf_append(struct buf *buf, const void *data, size_t len);
_must_check_ int buf_puts(struct buf *buf, const char *text);
_must_check_ int buf_putc(struct buf *buf, char c);
_printf_(2, 3) _must_check_ int buf_printf(struct buf *buf, const char *fmt, ...);
/* Room for len more bytes; *ret_room points to it. buf->len grows when the caller adds to it. */
_must_check_ int buf_reserve(struct buf *buf, size_t len, char **ret_room);

#define _cleanup_buf_ _cleanup_(buf_done)
