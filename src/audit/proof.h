/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* proof.h: the text form of proofs, C2SP tlog-proof. Foreign bytes when they are read. */
#include "buf.h"
#include "merkle.h"

#define PROOF_TEXT_MAX (128u << 10)

struct proof {
	uint64_t index;
	struct merkle_proof path;
	const char *note; /* the checkpoint, within the text */
	size_t note_len;
};

/* An `extra` line is passed over: nothing vouches for it. -EINVAL. */
_must_check_ int proof_parse(const char *text, size_t len, struct proof *ret);
_must_check_ int proof_format(const struct proof *proof, struct buf *ret);
