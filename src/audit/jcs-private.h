/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* jcs-private.h: what writer and checker of canonical JSON share. */
#include <stddef.h>

/* The characters with an escape of two characters, and its second one. */
#define jcs_escaped "\b\f\n\r\t\"\\"
#define jcs_letters "bfnrt\"\\"

/*
 * The order of two keys as they stand in canonical text between the quotes: by UTF-16 code units of
 * what they mean (RFC 8785, 3.2.3).
 */
int jcs_key_compare(const char *a, size_t a_len, const char *b, size_t b_len);
