/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * jcs.h: JSON in the one form that can be hashed (RFC 8785, JSON Canonicalization Scheme): no white
 * space, keys in the order of their UTF-16 code units, none twice, only the escapes that must be.
 * Numbers are whole and within ±(2^53 - 1), so that every reader gets the same one (RFC 7493); a
 * fraction belongs into a string or a smaller unit.
 *
 * The first failure sticks: jcs_done() returns it, the calls between need no check.
 */
#include "buf.h"

#include <stdbool.h>

#define JCS_DEPTH   32u
#define JCS_INT_MAX ((1ll << 53) - 1)

struct jcs_level {
	size_t key_at, key_len; /* the last key, as it stands in the output; key_at 0: none yet */
	bool object, any;
};

struct jcs {
	struct buf *out;
	int error;
	unsigned depth;
	struct jcs_level levels[JCS_DEPTH + 1];
};

void jcs_init(struct jcs *jcs, struct buf *out);
/*
 * 0, or what went wrong first. -EINVAL: keys out of order or twice, a key where none belongs or
 * none where one does, or something left open; -EILSEQ: a key that is not UTF-8; -ERANGE: a number;
 * -E2BIG: the buffer's ceiling or JCS_DEPTH.
 */
_must_check_ int jcs_done(struct jcs *jcs);

/* key is NULL inside arrays and for the outermost value. */
void jcs_object(struct jcs *jcs, const char *key);
void jcs_object_end(struct jcs *jcs);
void jcs_array(struct jcs *jcs, const char *key);
void jcs_array_end(struct jcs *jcs);
/*
 * A byte that is no part of UTF-8 is written as U+FFFD: names of files and arguments may be any
 * bytes, and a run must not fail for them. Who must tell them apart adds a hash of the bytes.
 */
void jcs_string(struct jcs *jcs, const char *key, const char *text); /* NULL text: null */
void jcs_bytes(struct jcs *jcs, const char *key, const void *data, size_t len);
void jcs_hex(struct jcs *jcs, const char *key, const void *data, size_t len); /* lower case */
void jcs_i64(struct jcs *jcs, const char *key, int64_t value);
void jcs_u64(struct jcs *jcs, const char *key, uint64_t value);
void jcs_bool(struct jcs *jcs, const char *key, bool value);
void jcs_null(struct jcs *jcs, const char *key);

/* Whether data is one value in exactly the form that the writer above would give it. */
bool jcs_is_canonical(const void *data, size_t len);
