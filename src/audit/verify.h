/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* verify.h: the state of one verification; see verify.c. */
#include "audit.h"
#include "note.h"
#include "tiles.h"

struct verify_point {
	uint64_t size;
	bool own; /* the log's own checkpoint; else a remembered one */
	struct checkpoint checkpoint;
};

struct verify_tile {
	struct merkle_hash hashes[TILE_WIDTH];
};

struct verify {
	const char *path;
	int dir, wal;
	uint64_t *firsts; /* the segments */
	size_t n_firsts;
	struct merkle_tree oldest; /* the tree where the oldest segment begins */
	void (*report)(const struct audit_problem *problem, void *data);
	void *data;
	struct audit_stats stats;
	struct note_key key;
	struct checkpoint signed_;
	bool unsigned_only;	     /* there is no checkpoint to go by */
	struct verify_point *points; /* ascending */
	size_t n_points, next_point;
	struct merkle_tree tree;
	struct verify_tile upper[TILE_LEVELS + 1]; /* being filled */
	struct merkle_hash scratch[TILE_WIDTH];
	struct buf bundle;
	uint8_t chunk[64u << 10]; /* of a payload */
	uint64_t missing_upper, missing_at;
	unsigned missing_level;
};

_printf_(4, 5) void verify_tell(struct verify *v, uint64_t seq, const char *file, const char *fmt,
				...);
/* The record that comes next in the tree. */
void verify_add(struct verify *v, const struct merkle_hash *leaf, size_t len);
/* The segments, whose records up to the tree's size are in bundles, too. */
_must_check_ int verify_segments(struct verify *v, struct err *err);
/* The side payloads that are there. */
_must_check_ int verify_blobs(struct verify *v, struct err *err);
