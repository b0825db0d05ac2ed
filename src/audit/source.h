/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * source.h: the roots of subtrees of a log at one size, for proofs: from tiles where they are
 * written, from records where they are not yet. What it gives is only as good as the files; who
 * makes a proof of it checks that against the signed root.
 */
#include "audit.h"
#include "merkle.h"
#include "tiles.h"

struct source {
	struct audit *log;
	uint64_t size;
	struct {
		uint64_t index;
		unsigned width; /* 0: nothing is kept */
		struct merkle_hash hashes[TILE_WIDTH];
	} tiles[TILE_LEVELS]; /* the last one of each level */
	struct err *err;
};

/* size: at most audit_size(). Free with source_free(). err is filled by what fails later, too. */
_must_check_ int source_new(struct audit *log, uint64_t size, struct source **ret, struct err *err);
struct source *source_free(struct source *source);
struct merkle_source source_merkle(struct source *source);
