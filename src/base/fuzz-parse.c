/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-parse.c: sizes, times and numbers of any text: an answer or a refusal, never more. */
#include "parse.h"

#include "../testing/fuzz.h"

#define UNTOUCHED 0x1122334455667788ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int (*const parsers[])(const char *text, uint64_t *ret) = {parse_size, parse_time_ms,
									  parse_milli};
	char *text = fuzz_text(data, size);
	uint64_t value;
	int r;

	for (size_t i = 0; i < ELEMENTSOF(parsers); i++) {
		value = UNTOUCHED;
		r = parsers[i](text, &value);
		FUZZ_MUST(r == 0 || r == -EINVAL || r == -ERANGE);
		FUZZ_MUST(r == 0 || value == UNTOUCHED);
		FUZZ_MUST(r != 0 || (text[0] >= '0' && text[0] <= '9'));
	}
	value = UNTOUCHED;
	r = parse_u64(text, 10, 1000, &value);
	FUZZ_MUST(r == 0 ? value >= 10 && value <= 1000 : value == UNTOUCHED);
	FUZZ_MUST(r != 0 || strspn(text, "0123456789") == strlen(text));
	free(text);
	return 0;
}
