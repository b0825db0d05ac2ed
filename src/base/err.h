/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * err.h: what failed, on what, why and what to do, in one fixed-size record.
 * It needs no heap, so that it can be filled after clone() and under seccomp, and it travels as it
 * is from a set-up child to its parent. Functions return 0 or a negative errno and fill the record
 * where a person or a client will read it.
 */
#include "banned.h"
#include "cleanup.h"

#include <stdarg.h>

#define ERR_TEXT_MAX 480

struct err {
	int code;		 /* positive errno */
	char module[16];	 /* file = module, e.g. "cgroup" */
	char text[ERR_TEXT_MAX]; /* one line, no newline; control characters of the input escaped */
};

/* Fills *err (NULL is fine) and returns -code. A code of 0 is turned into EIO: an error is never 0.
 */
_printf_(4, 5) int err_set(struct err *err, int code, const char *module, const char *fmt, ...);

/* Like err_set with ": strerror(code)" appended. */
_printf_(4, 5) int err_errno(struct err *err, int code, const char *module, const char *fmt, ...);

/* Puts context before the text that is there: "context: text". Returns -err->code. */
_printf_(2, 3) int err_wrap(struct err *err, const char *fmt, ...);
