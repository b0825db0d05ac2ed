/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * apply-private.h: one apply, for its files: who is chosen, what lies in the stage, what is done.
 */
#include "apply.h"
#include "changes-private.h"

struct apply_item {
	struct change *change;
	bool selected, staged, done;
	bool above_is_ours; /* nobody else changed the directory that it is in */
	uint64_t ino;	    /* of the staged file, and its time */
	int64_t mtime_ns;
};

struct apply {
	struct changes *changes;
	const struct apply_request *request;
	struct apply_result *result;
	struct apply_item *items; /* one for each change */
	int stage;
	bool top_is_ours;
	struct err *err;
};

/* Counts it, and tells the caller; an implied change that is done is not worth telling. */
void apply_tell(struct apply *apply, const struct apply_item *item, enum apply_fate fate,
		const char *why);
/* -ENOSPC: DIR's filesystem has no room for what will be staged. */
_must_check_ int apply_room(struct apply *apply);
/* Every new file and link of the selected changes, complete and durable, under its index. */
_must_check_ int apply_stage(struct apply *apply);
/*
 * Pass 0: what goes; 1: what comes; 2: the modes of directories. A change that fails is told and no
 * longer selected; the others go on.
 */
void apply_pass(struct apply *apply, int pass);
