/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * banned.h: library calls that invite memory errors or silent truncation are compile errors.
 * It is included by err.h, and so by every file. Use instead: snprintf with its result checked,
 * buf_*, parse_*.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* glibc makes some of them macros. */
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#undef gets

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok gets
#pragma GCC poison atoi atol atoll mktemp tmpnam
