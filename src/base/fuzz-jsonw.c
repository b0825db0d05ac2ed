/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-json.c: whatever bytes a sandbox prints or names a file, what we write is JSON. */
#include "jsonw.h"

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
	struct jsonw json;

	FUZZ_MUST(jsonw_is_utf8(text, size) == is_utf8_again(text, size));
	jsonw_init(&json, &out);
	jsonw_object(&json, NULL);
	jsonw_bytes(&json, "bytes", text, size);
	jsonw_string(&json, "string", text);
	jsonw_string(&json, text, text); /* any key */
	jsonw_array(&json, "list");
	jsonw_bytes(&json, NULL, text, size);
	jsonw_array_end(&json);
	jsonw_object_end(&json);
	FUZZ_MUST(jsonw_done(&json) == 0);
	FUZZ_MUST(json_check(out.data, out.len));
	/* Quotes at least do not fit: an error, and not a cut text. */
	jsonw_init(&json, &small);
	jsonw_bytes(&json, NULL, text, size);
	FUZZ_MUST(jsonw_done(&json) == -E2BIG);
	free(text);
	return 0;
}
