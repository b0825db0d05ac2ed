/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * audit-private.h: what the parts of the log share.
 *
 *   DATA/audit/ORG/
 *     key, key.pub       the signer, in Go's note format; key is 0600
 *     checkpoint         C2SP tlog-checkpoint of the last commit
 *     head               where the log ends (head.h); its lock is the append lock
 *     sync.lock          held by the one process that syncs for all
 *     wal/               the newest records (wal.h)
 *     tile/              full tiles and bundles (tiles.h)
 *     blobs/ab/HASH      side payloads: 32 bytes of salt and the payload
 *
 * Locks, in this order: sync.lock, then head. The append lock is never held over a sync, but when a
 * segment is begun.
 */
#include "audit.h"
#include "head.h"
#include "note.h"
#include "wal.h"

#define TURN_PAGE      4096u
#define AUDIT_PAYLOADS 8u

/* A small side payload on its way into a segment and a file; see settle.c. */
struct audit_payload {
	struct buf data; /* until it is in a segment: hash, salt, payload */
	uint64_t segment, at;
	size_t len;
};

struct audit {
	char path[512]; /* for messages */
	char org[80];
	int dir, wal, head_fd, sync_fd;
	bool reader;
	bool attached; /* the segment's end was compared with the head */
	uint8_t boot[16];
	struct head head; /* as of the last audit_lock() */
	int segment_fd;	  /* of segment head.segment, or -EBADF */
	uint64_t segment; /* the one that segment_fd is of */
	struct note_signer signer;
	bool signer_read;
	struct note_key key;
	const uint32_t *turn; /* of sync.lock, mapped when it is first needed */
	unsigned rotations;   /* since segments were last deleted */
	/* [0, n_framed) are in segments and have no file yet; the rest goes in with what is
	 * appended next.
	 */
	struct audit_payload payloads[AUDIT_PAYLOADS];
	size_t n_payloads, n_framed;
	/* Of the checkpoint that is known to be signed by the key; zeros: of none. */
	struct merkle_hash known;
	/* Leaves of the records [leaves_from, leaves_to) that this process appended, by seq % 256.
	 */
	uint64_t leaves_from, leaves_to;
	struct merkle_hash leaves[256];
};

/* Takes the append lock; log->head is right after it. Recovers what a crash left. */
_must_check_ int audit_lock(struct audit *log, struct err *err);
void audit_unlock(struct audit *log);
/*
 * The lock to sync for all, taken before the append lock; *ret_done: record seq is durable already,
 * and it was not taken.
 */
_must_check_ int audit_take_turn(struct audit *log, uint64_t seq, bool *ret_done, struct err *err);
void audit_end_turn(struct audit *log);
/* Under the append lock. */
_must_check_ int audit_recover(struct audit *log, struct err *err);
/* payloads: those that wait go first. */
_must_check_ int audit_append_locked(struct audit *log, const struct audit_record *records,
				     size_t n, bool payloads, struct err *err);
_must_check_ int audit_segment(struct audit *log, struct err *err); /* segment_fd >= 0 after it */
/* Writes the bundles and tiles that are full. */
_must_check_ int audit_tile(struct audit *log, struct err *err);
/* Deletes segments that nothing needs. */
_must_check_ int audit_trim(struct audit *log, struct err *err);
/* Makes files of the payloads in a segment that have none; not under the append lock. */
_must_check_ int audit_settle_segment(struct audit *log, uint64_t first);

/*
 * The stored checkpoint, checked, and the note that it was. *ret_lost: it is empty or zeros, as a
 * power loss may leave it, and counts as one of size 0.
 */
_must_check_ int audit_load_checkpoint(struct audit *log, struct buf *note, struct checkpoint *ret,
				       bool *ret_lost, struct err *err);
void audit_note_hash(const struct buf *note, struct merkle_hash *ret);
/* The same for those who need one: a lost one is an error. */
_must_check_ int audit_load_signed(struct audit *log, struct buf *note, struct checkpoint *ret,
				   struct err *err);
/* -EUCLEAN: what is wrong, and what to do. */
_printf_(3, 4) int audit_damaged(struct audit *log, struct err *err, const char *fmt, ...);
_must_check_ int audit_load_signer(struct audit *log, struct err *err);

/* Makes a log below parent under a temporary name and gives it its own. -EEXIST is fine. */
_must_check_ int audit_create(const char *dir, const char *org, struct err *err);

/* A blob frame's payload as a file, if it is not there and the payload was not erased. */
_must_check_ int blob_restore(int dir, const uint8_t *data, size_t len);
