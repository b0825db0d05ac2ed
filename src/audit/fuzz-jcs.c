/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-jcs.c: the input is a record, and a string. What the checker takes is JSON; what the writer
 * makes of any bytes, the checker takes.
 */
#include "jcs.h"

#include "../testing/fuzz.h"
#include "../testing/json-check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1u << 20);
	char *text = fuzz_text(data, size);
	struct jcs jcs;

	if (size > 100000)
		size = 100000;
	if (jcs_is_canonical(text, size))
		FUZZ_MUST(json_check(text, size));
	jcs_init(&jcs, &out);
	jcs_object(&jcs, NULL);
	jcs_bytes(&jcs, "a", text, size);
	jcs_string(&jcs, "b", text);
	jcs_string(&jcs, text, "key");
	jcs_object_end(&jcs);
	if (jcs_done(&jcs) == 0) {
		FUZZ_MUST(jcs_is_canonical(out.data, out.len));
		FUZZ_MUST(json_check(out.data, out.len));
	}
	free(text);
	return 0;
}
