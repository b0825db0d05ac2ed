/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-proof.c: the input is a proof that somebody hands over. None may hold for a record by
 * chance, and what is taken is written back as it was, but for the line that nothing vouches for.
 */
#include "proof.h"

#include "audit.h"
#include "err.h"

#include "../testing/fuzz.h"

#define VKEY "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1u << 20);
	char *text = fuzz_text(data, size);
	struct proof proof;
	struct err err;
	uint64_t seq;

	if (proof_parse(text, size, &proof) == 0) {
		FUZZ_MUST(proof.note + proof.note_len == text + size);
		FUZZ_MUST(proof_format(&proof, &out) == 0);
		if (!strstr(text, "\nextra "))
			FUZZ_MUST(out.len == size && memcmp(out.data, text, size) == 0);
	}
	FUZZ_MUST(audit_prove_check(text, size, VKEY, "{}", 2, &seq, &err) < 0);
	free(text);
	return 0;
}
