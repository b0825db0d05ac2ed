/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * head.h: where the log ends, kept in one small file so that an append need not replay anything.
 * Nothing depends on it: after a crash, another boot or its removal it is made anew from segments
 * and checkpoint. It is read and written only under the append lock, with plain reads and writes:
 * a mapping would turn a full disk into a signal.
 */
#include "merkle.h"

struct head {
	struct merkle_tree tree; /* all that was appended */
	struct merkle_hash last; /* the last record's leaf */
	uint64_t synced;	 /* records known to be durable */
	uint64_t segment, end;	 /* the newest segment, and where its frames end */
	uint64_t last_at;	 /* where in it the last record's frame begins; 0: none there */
	uint64_t tiled;		 /* records in full tiles, a multiple of 256 */
	uint64_t tiled_segment, tiled_at; /* where the frame of record `tiled` lies */
	struct merkle_hash note;	  /* SHA-256 of the checkpoint that the last commit wrote */
};

/* 1: it can be used; 0: it must be made anew. boot: of this machine's start, 16 bytes. */
_must_check_ int head_read(int fd, const uint8_t boot[16], struct head *ret);
/* dirty: something is about to change that head does not tell yet. */
_must_check_ int head_write(int fd, const uint8_t boot[16], const struct head *head, bool dirty);
/* Random number of this boot (proc(5), random/boot_id). */
_must_check_ int head_boot(uint8_t ret[16]);
