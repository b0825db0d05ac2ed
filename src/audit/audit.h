/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * audit.h: the tamper-evident log of one org, a C2SP tlog: an RFC 6962 tree over records of
 * canonical JSON, tiles as plain files, checkpoints as signed notes.
 *
 * What holds: a record whose audit_commit() returned 0 survives kill -9 and power loss, and a later
 * edit, removal or reordering of it is found by audit_verify(). Who owns the key and the disk can
 * write another history and sign it: only a checkpoint that somebody outside remembers finds that.
 *
 * A struct audit belongs to one thread and must not be used on both sides of a fork(2); any number
 * of processes may have the same log open.
 */
#include "buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct audit;
struct err;
struct jcs;

#define AUDIT_HASH     32u
#define AUDIT_HEX      64u /* characters of a hash, without the NUL */
#define AUDIT_NONE     UINT64_MAX
#define AUDIT_NOTE_MAX (64u << 10) /* ceiling that holds any checkpoint */

/*
 * dir is DATA/audit, org [A-Za-z0-9][A-Za-z0-9._-]{0,63}. Makes the log and its key at first use;
 * cheap afterwards (nothing is replayed). -EINVAL: org; -ENOKEY: a log without its key.
 */
_must_check_ int audit_open(const char *dir, const char *org, struct audit **ret, struct err *err);
/* To read: makes and changes nothing. -ENOENT: there is no log. */
_must_check_ int audit_open_reader(const char *dir, const char *org, struct audit **ret,
				   struct err *err);
/* Deletes segments that are no longer needed. NULL is fine; returns NULL. */
struct audit *audit_close(struct audit *log);

/*
 * Appends one record: canonical JSON (jcs.h) of at most CEIL_AUDIT_RECORD bytes. *ret_seq is its
 * number, from 0 without gaps. Not durable yet, and no sync: microseconds.
 * -EINVAL: not canonical; -E2BIG: too long; -ENOSPC: disk full, nothing was counted, try again;
 * -EUCLEAN: the log is damaged and takes no record until somebody has looked (the text says how).
 */
_must_check_ int audit_append(struct audit *log, const void *record, size_t len, uint64_t *ret_seq,
			      struct err *err);

struct audit_record {
	const void *data;
	size_t len;
};

/* Many at once, one after the other; all or none. *ret_first is the first one's number. */
_must_check_ int audit_append_group(struct audit *log, const struct audit_record *records, size_t n,
				    uint64_t *ret_first, struct err *err);
/* Record seq and all before it are durable and signed from here; one sync serves all who wait. */
_must_check_ int audit_commit(struct audit *log, uint64_t seq, struct err *err);

/* The signed note (C2SP tlog-checkpoint) of the last commit; buf with ceiling AUDIT_NOTE_MAX. */
_must_check_ int audit_checkpoint(struct audit *log, struct buf *ret, struct err *err);
/* The verifier key, "<name>+<hash>+<base64>", without a newline. */
_must_check_ int audit_vkey(struct audit *log, struct buf *ret, struct err *err);
/* How many records the last checkpoint signs: what a reader may rely on. */
_must_check_ int audit_size(struct audit *log, uint64_t *ret_size, struct err *err);

/* Side payloads ---------------------------------------------------------------------------------
 * They are personal or large, and can be erased without breaking the tree: the record holds only a
 * hash salted with 32 random bytes, which go with the payload.
 */
enum audit_keep {
	AUDIT_KEEP_FULL, /* the payload is kept, the salt with it */
	AUDIT_KEEP_HASH, /* only hash and salt, both in the record: proves a payload one still has
			  */
	AUDIT_KEEP_OFF,	 /* nothing */
};

struct audit_ref {
	enum audit_keep mode;
	char sha256[AUDIT_HEX + 1]; /* of salt || payload */
	char salt[AUDIT_HEX + 1];   /* AUDIT_KEEP_HASH only, else "" */
	uint64_t size;		    /* of the payload */
};

/*
 * Call it before the audit_append() of the record that names it, which writes a small one, too: all
 * or none; and that commit covers both.
 */
_must_check_ int audit_blob(struct audit *log, const void *data, size_t len, enum audit_keep mode,
			    struct audit_ref *ret, struct err *err);
/* The same for a payload that comes in pieces or does not fit into memory. */
struct audit_blob;
_must_check_ int audit_blob_new(struct audit *log, enum audit_keep mode, struct audit_blob **ret,
				struct err *err);
_must_check_ int audit_blob_write(struct audit_blob *blob, const void *data, size_t len,
				  struct err *err);
_must_check_ int audit_blob_finish(struct audit_blob *blob, struct audit_ref *ret, struct err *err);
/*
 * Writes what waits for the next record, and the files of small payloads: they can wait until there
 * is time, at the latest for audit_close(). What fails is dropped, and only what was in no record
 * yet is lost by that.
 */
_must_check_ int audit_settle(struct audit *log, struct err *err);
/* Also after audit_blob_finish(); without it the payload is dropped. NULL is fine; returns NULL. */
struct audit_blob *audit_blob_free(struct audit_blob *blob);

/* "key": {"salt":…,"sha256":…,"size":…} or {"off":true} */
void audit_ref_write(struct jcs *jcs, const char *key, const struct audit_ref *ref);

/*
 * A kept payload, checked against its hash while it is read. sha256 is AUDIT_HEX characters.
 * -ENOENT: erased or never kept; -EUCLEAN: not what the hash says; -E2BIG: ret's ceiling.
 */
_must_check_ int audit_blob_read(struct audit *log, const char *sha256, struct buf *ret,
				 struct err *err);
/* The same into a descriptor, for large ones. What was written before -EUCLEAN is not to be used.
 */
_must_check_ int audit_blob_copy(struct audit *log, const char *sha256, int fd, struct err *err);
/* Removes payload and salt wherever they are. -ENOENT: there is nothing left to erase. */
_must_check_ int audit_blob_erase(struct audit *log, const char *sha256, struct err *err);

/* Reading ---------------------------------------------------------------------------------------
 * Only signed records are seen: those below audit_size().
 */
/* buf with ceiling CEIL_AUDIT_RECORD or more; the record is appended. -ENOENT: no such record. */
_must_check_ int audit_read(struct audit *log, uint64_t seq, struct buf *ret, struct err *err);

struct audit_iter;
/* Records from seq on. Later commits are seen when the end was reached and next is called again. */
_must_check_ int audit_iter_new(struct audit *log, uint64_t seq, struct audit_iter **ret,
				struct err *err);
/* 1: *ret_data is valid until the next call; 0: the end. */
_must_check_ int audit_iter_next(struct audit_iter *iter, uint64_t *ret_seq, const void **ret_data,
				 size_t *ret_len, struct err *err);
struct audit_iter *audit_iter_free(struct audit_iter *iter);

/* Proof -----------------------------------------------------------------------------------------
 */
struct audit_against {
	const char *vkey;	  /* as remembered outside; NULL: the log's own key.pub */
	const char *const *notes; /* older checkpoints as signed notes; one text may hold many */
	size_t n_notes;
};

struct audit_problem {
	uint64_t seq;	  /* AUDIT_NONE: of no one record */
	const char *file; /* below the log's directory; "" if it is none */
	const char *text; /* one line */
};

struct audit_stats {
	uint64_t records;   /* signed and checked */
	uint64_t unsigned_; /* appended after the last checkpoint */
	uint64_t bytes;	    /* of all records */
	uint64_t tiles, segments, problems;
	uint64_t blobs;		  /* payloads that are kept and are what their names say */
	uint8_t root[AUDIT_HASH]; /* that the checkpoint signs */
	uint64_t torn; /* bytes behind the last record that a crash left: no problem, the next
			  record cuts them */
};

/* Problems that are told; what is beyond is only counted. */
#define AUDIT_PROBLEMS_TOLD 100u

/*
 * Checks everything below dir (DATA/audit/ORG): signature, every record, tile, bundle and segment,
 * every payload that was not erased, and that each older checkpoint is a prefix. 0: all is well; 1:
 * problems were reported; negative: it could not be checked. Changes nothing and needs no key but
 * the public one.
 */
_must_check_ int audit_verify(const char *dir, const struct audit_against *against,
			      void (*report)(const struct audit_problem *problem, void *data),
			      void *data, struct audit_stats *ret_stats, struct err *err);

/* "c2sp.org/tlog-proof@v1" of a signed record, checked before it is given out. */
_must_check_ int audit_prove(struct audit *log, uint64_t seq, struct buf *ret, struct err *err);
/*
 * Judges such a proof for a record: the note's signature by vkey and the path to its root.
 * -EBADMSG: it does not prove it.
 */
_must_check_ int audit_prove_check(const char *proof, size_t len, const char *vkey,
				   const void *record, size_t record_len, uint64_t *ret_seq,
				   struct err *err);
/* checkpoint, tile/…: a complete static C2SP tlog below dirfd, partial tiles too. */
_must_check_ int audit_export_tiles(struct audit *log, int dirfd, struct err *err);

/*
 * Hands the checkpoint to somebody who remembers it. target: a path (the note is appended to the
 * file and synced) or an http(s) URL (C2SP tlog-witness; curl(1) speaks to it; the cosignatures
 * that it answers are added to the stored checkpoint until the next commit).
 * wait_ms bounds the URL's answer. -ESTALE: the witness has seen another history than this log's.
 */
_must_check_ int audit_witness(struct audit *log, const char *target, unsigned wait_ms,
			       struct err *err);
