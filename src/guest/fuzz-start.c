/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-start.c: creel-init's parser of START (init-process.c is included, for it is its own). What
 * it takes is formatted again and must be the same bytes: nothing in a message goes unread.
 */
#include "init-process.c"

#include "../testing/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);
	struct buf payload = {.data = copy, .len = size, .allocated = size + 1, .ceiling = size};
	_cleanup_buf_ struct buf again = BUF_INIT(size + 1);
	struct init_start start = {0};
	int r;

	FUZZ_MUST(copy);
	if (size)
		memcpy(copy, data, size);
	copy[size] = 'x';
	r = init_start_parse(&payload, &start);
	FUZZ_MUST(r == 0 || r == -EPROTO);
	if (r == 0) {
		FUZZ_MUST(start.fixed.n_argv > 0 && start.argv[0]);
		FUZZ_MUST(guest_start_format(&again, start.fixed, start.cwd, start.argv,
					     start.env) == 0);
		FUZZ_MUST(again.len == size && memcmp(again.data, data, size) == 0);
	}
	free(start.argv);
	free(start.env);
	free(copy);
	return 0;
}
