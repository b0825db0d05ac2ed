/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-json.c: whatever bytes a sandbox prints or names a file, what we write is JSON. */
#include "json.h"

#include "../testing/fuzz.h"
#include "../testing/json-check.h"

/* The same question, answered by the test's own reader: in quotes it is a string or it is not. */
static int is_utf8_again(const char *data, size_t size)
{
	char *quoted = malloc(size + 2);
	int yes;

	FUZZ_MUST(quoted);
	quoted[0] = quoted[size + 1] = '"';
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)data[i];

		quoted[1 + i] = c < 0x20 || c == '"' || c == '\\' ? 'x' : data[i];
	}
	yes = json_check(quoted, size + 2);
	free(quoted);
	return yes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	_cleanup_buf_ struct buf out = BUF_INIT(32 * size + 2000);
	_cleanup_buf_ struct buf small = BUF_INIT(size);
	struct json json;

	FUZZ_MUST(json_is_utf8(text, size) == is_utf8_again(text, size));
	json_init(&json, &out);
	json_object(&json, NULL);
	json_bytes(&json, "bytes", text, size);
	json_string(&json, "string", text);
	json_string(&json, text, text); /* any key */
	json_array(&json, "list");
	json_bytes(&json, NULL, text, size);
	json_array_end(&json);
	json_object_end(&json);
	FUZZ_MUST(json_done(&json) == 0);
	FUZZ_MUST(json_check(out.data, out.len));
	/* Quotes at least do not fit: an error, and not a cut text. */
	json_init(&json, &small);
	json_bytes(&json, NULL, text, size);
	FUZZ_MUST(json_done(&json) == -E2BIG);
	free(text);
	return 0;
}
