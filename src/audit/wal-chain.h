/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * wal-chain.h: all segments as one sequence of frames: each begins where the one before it ends.
 */
#include "wal.h"

struct wal_chain {
	int waldir;	/* borrowed */
	int fd;		/* the segment that is read */
	uint64_t first; /* its name */
	uint64_t next;	/* the record that comes next */
	bool entered;	/* the last frame is the first one of a segment whose header is below */
	struct merkle_tree header;
	struct wal_reader reader;
};

#define WAL_CHAIN_INIT ((struct wal_chain){.fd = -EBADF, .reader = WAL_READER_INIT})

/*
 * Begins at byte `at` of a segment, where the frame of record next lies or will lie; at 0: at its
 * first frame. -ENOENT: no such segment.
 */
_must_check_ int wal_chain_init(struct wal_chain *chain, int waldir, uint64_t first, uint64_t at,
				uint64_t next);
void wal_chain_done(struct wal_chain *chain);
/*
 * 1: a frame, valid until the next call; 0: the end, for now. -EBADMSG: what stands at
 * wal_reader_at(&chain->reader) of segment chain->first is no frame, or not the one that must come.
 */
_must_check_ int wal_chain_next(struct wal_chain *chain, struct wal_frame *ret);
/* Reads on to record seq; the next wal_chain_next() gives it, or its blob. -ENOENT: not there. */
_must_check_ int wal_chain_seek(struct wal_chain *chain, uint64_t seq);
