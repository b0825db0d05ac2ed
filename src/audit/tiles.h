/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tiles.h: C2SP tlog-tiles as files: tile/L/N holds 256 hashes, tile/entries/N the records below
 * one of level 0. In the log's directory only full ones are written; they never change.
 */
#include "buf.h"
#include "ceilings.h"
#include "merkle.h"

#define TILE_WIDTH	256u
#define TILE_BYTES	(TILE_WIDTH * SHA_LEN)
#define TILE_LEVELS	8u	    /* enough for 2^64 leaves */
#define TILE_ENTRIES	TILE_LEVELS /* the "level" of bundles */
#define TILE_BUNDLE_MAX (TILE_WIDTH * (CEIL_AUDIT_RECORD + 2u))
#define TILE_PATH	64u

/* "tile/0/x001/234", with ".p/W" behind it for width below 256. */
void tile_path(unsigned level, uint64_t index, unsigned width, char ret[TILE_PATH]);

/* The hashes of a full tile. -ENOENT; -EBADMSG: not of a tile's size. */
_must_check_ int tile_read(int dirfd, unsigned level, uint64_t index,
			   struct merkle_hash ret[TILE_WIDTH]);
/* A full bundle; ret is emptied first. */
_must_check_ int tile_read_bundle(int dirfd, uint64_t index, struct buf *ret);
/* By a temporary name and rename(2), directories made. Not synced. */
_must_check_ int tile_write(int dirfd, unsigned level, uint64_t index, unsigned width,
			    const void *data, size_t len);

/* The next record of a bundle at *at, which moves behind it. False: cut short. */
bool tile_entry(const struct buf *bundle, size_t *at, const uint8_t **ret, size_t *ret_len);

/* Collects records in order and writes bundles, tiles and the tiles above whenever one is full. */
struct tiler {
	int dirfd;     /* of the log */
	bool repair;   /* leave alone what is there and right */
	uint64_t next; /* the record that comes next */
	struct buf entries;
	struct merkle_hash leaves[TILE_WIDTH];
};

/* first: a multiple of 256. */
void tiler_init(struct tiler *tiler, int dirfd, uint64_t first);
void tiler_done(struct tiler *tiler);
_must_check_ int tiler_add(struct tiler *tiler, const void *data, size_t len,
			   const struct merkle_hash *leaf);
