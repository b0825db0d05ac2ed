/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-tar-check.c: a layer of an image. However it is cut into pieces, the verdict is the same,
 * and a refusal says why.
 */
#include "tar-check.h"

#include "err.h"

#include "../testing/fuzz.h"

static int judge(const uint8_t *data, size_t size, size_t piece, uint64_t *ret_entries)
{
	struct tar_check *check = NULL;
	struct err err = {0};
	int r = tar_check_new(&check);

	FUZZ_MUST(r == 0);
	tar_check_begin(check, "layer");
	for (size_t at = 0; r == 0 && at < size; at += piece)
		r = tar_check_feed(check, data + at, MIN(piece, size - at), &err);
	if (r == 0)
		r = tar_check_end(check, &err);
	FUZZ_MUST(r == 0 || (r < 0 && err.code == -r && err.text[0]));
	*ret_entries = tar_check_entries(check);
	tar_check_free(check);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole, pieces;
	int r = judge(data, size, size ? size : 1, &whole);

	FUZZ_MUST(judge(data, size, 100, &pieces) == r && pieces == whole);
	return 0;
}
