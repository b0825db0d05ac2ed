/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * json.h: writes JSON (RFC 8259) into a buffer, no tree in between. Strings must be UTF-8; bytes
 * that are not go through json_bytes(), which writes base64 under another key. The first failure
 * sticks: json_done() returns it, the calls between need no check.
 */
#include "buf.h"

#include <stdbool.h>

struct json {
	struct buf *out;
	int error;
	bool comma; /* the next value needs one before it */
};

void json_init(struct json *json, struct buf *out);
_must_check_ int json_done(struct json *json);

/* key is NULL inside arrays and for the outermost value. */
void json_object(struct json *json, const char *key);
void json_object_end(struct json *json);
void json_array(struct json *json, const char *key);
void json_array_end(struct json *json);
void json_string(struct json *json, const char *key, const char *text); /* NULL text: null */
void json_u64(struct json *json, const char *key, uint64_t value);
void json_i64(struct json *json, const char *key, int64_t value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);
/* "key": "text" if data is UTF-8, else "key_base64": "…". */
void json_bytes(struct json *json, const char *key, const void *data, size_t len);

bool json_is_utf8(const void *data, size_t len);
