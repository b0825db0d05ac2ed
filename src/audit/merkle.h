/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * merkle.h: the tree of RFC 6962, section 2.1, over SHA-256: growing it leaf by leaf with only the
 * roots of its complete subtrees in memory, and proofs from any source of such roots.
 */
#include "sha.h"

#include "cleanup.h"

#include <stdbool.h>
#include <string.h>

#define MERKLE_PROOF_MAX 64u

struct merkle_hash {
	uint8_t bytes[SHA_LEN];
};

static inline bool merkle_equal(const struct merkle_hash *a, const struct merkle_hash *b)
{
	return memcmp(a->bytes, b->bytes, SHA_LEN) == 0;
}

void merkle_leaf(const void *data, size_t len, struct merkle_hash *ret);
void merkle_node(const struct merkle_hash *left, const struct merkle_hash *right,
		 struct merkle_hash *ret);
/* The root over n >= 1 hashes of equally large complete subtrees. */
void merkle_subtree(const struct merkle_hash *hashes, size_t n, struct merkle_hash *ret);

/* peaks[h] is the root of a complete subtree of 2^h leaves wherever bit h of size is set. */
struct merkle_tree {
	uint64_t size;
	struct merkle_hash peaks[64];
};

/*
 * Adds one leaf. fn, if there is one, is told the roots of the subtrees of 256, 65,536, … leaves
 * that it completes: level 1, 2, … with their index among those of that size.
 */
void merkle_add(struct merkle_tree *tree, const struct merkle_hash *leaf,
		void (*fn)(void *data, unsigned level, uint64_t index,
			   const struct merkle_hash *root),
		void *data);
void merkle_root(const struct merkle_tree *tree, struct merkle_hash *ret);

/* Gives the root over the leaves [index << height, (index + 1) << height). */
struct merkle_source {
	int (*hash)(void *data, unsigned height, uint64_t index, struct merkle_hash *ret);
	void *data;
};

struct merkle_proof {
	struct merkle_hash hashes[MERKLE_PROOF_MAX];
	size_t n;
};

/* The root over the first size leaves. */
_must_check_ int merkle_root_at(const struct merkle_source *source, uint64_t size,
				struct merkle_hash *ret);
/* seq < size. */
_must_check_ int merkle_inclusion(const struct merkle_source *source, uint64_t seq, uint64_t size,
				  struct merkle_proof *ret);
/* old <= size; empty for 0 and for size itself. */
_must_check_ int merkle_consistency(const struct merkle_source *source, uint64_t old, uint64_t size,
				    struct merkle_proof *ret);
bool merkle_inclusion_check(const struct merkle_proof *proof, uint64_t seq, uint64_t size,
			    const struct merkle_hash *leaf, const struct merkle_hash *root);
bool merkle_consistency_check(const struct merkle_proof *proof, uint64_t old, uint64_t size,
			      const struct merkle_hash *old_root, const struct merkle_hash *root);
