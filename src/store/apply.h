/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * apply.h: takes changes of an overlay run (changes.h) over into DIR.
 *
 * Nothing is touched before all of it is known to be possible and every new file lies complete and
 * synced in a directory of DIR's filesystem; then each path changes by one rename(2), unlink(2),
 * mkdir(2) or chmod(2). Files get nothing but content and permission bits; links are made as they
 * are; a hard link becomes a file of its own. What is applied leaves upper. A killed apply is done
 * again from the start.
 */
#include "changes.h"

enum apply_fate {
	APPLY_DONE,
	APPLY_CONFLICT, /* because of it nothing is applied */
	APPLY_LEFT,	/* refused or failed; the others go on */
};

struct apply_request {
	const char *const *paths; /* these and what is below them, relative to DIR; n = 0: all */
	size_t n_paths;
	bool force;   /* in spite of every refusal that allows it */
	bool dry_run; /* tells only */
	void (*tell)(const struct change *change, enum apply_fate fate, const char *why,
		     void *data); /* why: NULL if done */
	void *data;
};

struct apply_result {
	size_t done, conflicts, left; /* without implied changes */
};

/* 0, with whatever was left; conflicts > 0: nothing was applied. On an error neither was anything.
 */
_must_check_ int apply_changes(struct changes *changes, const struct apply_request *request,
			       struct apply_result *ret_result, struct err *err);
/* Removes what a killed apply left in DIR; before BASE is removed. host as for changes_open(). */
_must_check_ int apply_abandon(int base, const struct changes_ids *host, struct err *err);
