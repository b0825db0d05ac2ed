/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * jsonw.h: writes JSON (RFC 8259) into a buffer, no tree in between. Strings must be UTF-8; bytes
 * that are not go through jsonw_bytes(), which writes base64 under another key. The first failure
 * sticks: jsonw_done() returns it, the calls between need no check.
 */
#include "buf.h"

#include <stdbool.h>

struct jsonw {
	struct buf *out;
	int error;
	bool comma; /* the next value needs one before it */
};

void jsonw_init(struct jsonw *json, struct buf *out);
_must_check_ int jsonw_done(struct jsonw *json);

/* key is NULL inside arrays and for the outermost value. */
void jsonw_object(struct jsonw *json, const char *key);
void jsonw_object_end(struct jsonw *json);
void jsonw_array(struct jsonw *json, const char *key);
void jsonw_array_end(struct jsonw *json);
void jsonw_string(struct jsonw *json, const char *key, const char *text); /* NULL text: null */
void jsonw_u64(struct jsonw *json, const char *key, uint64_t value);
void jsonw_i64(struct jsonw *json, const char *key, int64_t value);
void jsonw_bool(struct jsonw *json, const char *key, bool value);
void jsonw_null(struct jsonw *json, const char *key);
/* "key": "text" if data is UTF-8, else "key_base64": "…". */
void jsonw_bytes(struct jsonw *json, const char *key, const void *data, size_t len);

bool jsonw_is_utf8(const void *data, size_t len);
