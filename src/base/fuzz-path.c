/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-path.c: whatever path a user names, its canonical form is absolute, has no "." or "..", and
 * is its own canonical form. The first byte chooses the room that the result has.
 */
#include "fs.h"

#include "../testing/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room = size ? (size_t)data[0] * 8 + 1 : 64;
	char *text = fuzz_text(data + (size ? 1 : 0), size ? size - 1 : 0);
	char *first = malloc(room), *second = malloc(room);
	int r;

	FUZZ_MUST(first && second);
	r = fs_canonical(text, first, room);
	FUZZ_MUST(r == 0 || r == -EINVAL || r == -ENAMETOOLONG);
	if (r == 0) {
		size_t len = strlen(first);

		FUZZ_MUST(len < room && first[0] == '/' && len <= strlen(text));
		FUZZ_MUST(!strstr(first, "//") && !strstr(first, "/./") && !strstr(first, "/../"));
		FUZZ_MUST(len == 1 || first[len - 1] != '/');
		FUZZ_MUST(len < 2 || strcmp(first + len - 2, "/.") != 0);
		FUZZ_MUST(len < 3 || strcmp(first + len - 3, "/..") != 0);
		FUZZ_MUST(fs_canonical(first, second, room) == 0 && strcmp(first, second) == 0);
		FUZZ_MUST(fs_is_below(first, "/") && fs_is_below(first, first));
	}
	free(text);
	free(first);
	free(second);
	return 0;
}
