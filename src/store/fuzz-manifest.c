/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-manifest.c: the entries of a manifest: pointers stay in the text, numbers in their range. */
#include "manifest.h"

#include "../testing/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size), *at = text;
	struct manifest_entry entry;

	while (manifest_next(&at, &entry) == 1) {
		FUZZ_MUST(at > text && at <= text + size);
		FUZZ_MUST(entry.path > text && entry.path < at && *entry.path);
		FUZZ_MUST(entry.mode <= 07777);
		FUZZ_MUST((entry.kind == 'L') == (entry.target != NULL));
		FUZZ_MUST((entry.kind == 'F') == (entry.sha256 != NULL));
	}
	free(text);
	return 0;
}
