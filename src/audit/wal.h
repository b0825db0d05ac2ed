/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * wal.h: the newest records, as one file of frames after the other.
 *
 *   wal/00000000000000000000.seg   named after its first record; a header of WAL_HEADER bytes, then
 *   frames                         {len u32, crc32c u32, seq u64, synced u64} data, little-endian
 *
 * Behind the last frame stand zeros, written ahead in chunks: an append changes neither the file's
 * size nor its blocks, so that fdatasync(2) has no journal to wait for. `synced` is how many
 * records were known to be durable when the frame was written. With it a hole can be judged:
 * records that a later frame calls durable were acknowledged, and their loss is damage; others were
 * under way when the power failed, and a disk may have written their pages in any order.
 *
 * A frame with WAL_BLOB set carries a small side payload, {hash, salt, payload}, that becomes
 * durable with the record behind it. Its checksum covers the hash alone, which covers the rest, so
 * that the payload can be erased later.
 */
#include "merkle.h"

#include "buf.h"

#include <sys/types.h>

struct err;

#define WAL_HEADER	    4096u
#define WAL_FRAME	    24u
#define WAL_BLOB	    (1u << 31)
#define WAL_BLOB_MAX	    (16u << 10)
#define WAL_CHUNK	    (1u << 20)
#define WAL_SEGMENT_RECORDS 65536u
#define WAL_SEGMENT_BYTES   (64u << 20)

uint32_t wal_crc(uint32_t crc, const void *data, size_t len); /* CRC-32C (RFC 3720) */

/* "00000000000000000042.seg" */
#define WAL_NAME 25u
void wal_name(uint64_t first, char ret[WAL_NAME]);

struct wal_frame {
	uint64_t seq; /* a blob's: of the record that comes next */
	uint64_t synced;
	const uint8_t *data;
	size_t len;
	bool blob;
	uint64_t at, end; /* where it lies in its file */
};

/* Appends the frame's bytes; of frame only seq, synced, data, len and blob count. */
_must_check_ int wal_encode(const struct wal_frame *frame, struct buf *ret);

/* Makes a segment that begins after tree's leaves: durable, with room for `room` bytes of frames.
 */
_must_check_ int wal_create(int waldir, const struct merkle_tree *tree, uint64_t room);
/* Room up to end; what is new is zeros. -ENOSPC: nothing has changed. */
_must_check_ int wal_reserve(int fd, uint64_t end);
_must_check_ int wal_zero(int fd, uint64_t from, uint64_t to);
/* -EBADMSG: not a header; it was written whole before the segment got its name. */
_must_check_ int wal_read_header(int fd, struct merkle_tree *ret);

/* The first record of each segment, ascending; free *ret. */
_must_check_ int wal_list(int waldir, uint64_t **ret, size_t *ret_n);

/* Frames of one segment, one after the other; what it reads may be anything. */
struct wal_reader {
	int fd;	       /* borrowed */
	uint64_t from; /* where in the file the buffer begins */
	uint8_t *buffer;
	size_t have, used;
};

#define WAL_READER_INIT ((struct wal_reader){.fd = -1})

_must_check_ int wal_reader_init(struct wal_reader *reader, int fd, uint64_t at);
void wal_reader_done(struct wal_reader *reader);
/* 1: a frame, valid until the next call. 0: zeros or the file's end. -EBADMSG: neither. */
_must_check_ int wal_reader_next(struct wal_reader *reader, struct wal_frame *ret);
/* 1: the frame at `at`, which ends at `end` or before; valid as long as buf. Else -EBADMSG. */
_must_check_ int wal_read_frame(int fd, uint64_t at, uint64_t end, struct buf *buf,
				struct wal_frame *ret);
static inline uint64_t wal_reader_at(const struct wal_reader *reader)
{
	return reader->from + reader->used;
}

struct wal_tail {
	uint64_t dirty_end; /* behind the last byte that is not zero; the given start: there is none
			     */
	uint64_t synced;    /* the highest of whole frames in it: these records were acknowledged */
};

/* What stands behind the last good frame, which ends at `from` and after which seq would come. */
_must_check_ int wal_tail_scan(int fd, uint64_t from, uint64_t seq, struct wal_tail *ret);
