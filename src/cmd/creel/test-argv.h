/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* test-argv.h: an argument vector from constant words, for options_parse(). */
#include "options.h"

#include "err.h"

#include <stdint.h>

/* words end with NULL; the first is "run". The vector stays, because options point into it. */
static inline int parse_words(const char *const *words, struct options *ret, struct err *err)
{
	static char *argv[300];
	int argc = 0;

	for (; words[argc] && argc < 299; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc];
	argv[argc] = NULL;
	*err = (struct err){0};
	return options_parse(argc, argv, ret, err);
}
