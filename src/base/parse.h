/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * parse.h: numbers, sizes and times as a person writes them, with range and full-match checks.
 * All return 0 or -EINVAL (not of the form) or -ERANGE; outputs stay untouched on failure.
 */
#include "cleanup.h"

#include <stdint.h>

_must_check_ int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* Bytes: a whole or decimal number with K, M, G, T (powers of 1024), optional i, B: 2G, 1.5GiB,
 * 512. */
_must_check_ int parse_size(const char *text, uint64_t *ret_bytes);
/* Milliseconds: a number with ms, s, m, h, d; without a unit seconds: 30s, 1.5m, 10. */
_must_check_ int parse_time_ms(const char *text, uint64_t *ret_ms);
/* Thousandths: "1.5" is 1500. */
_must_check_ int parse_milli(const char *text, uint64_t *ret_milli);
/*
 * A name that becomes a file's: letters, digits, '.', '_' and '-', at most 64, the first a letter
 * or digit. 0 or -EINVAL.
 */
_must_check_ int parse_name(const char *text);
