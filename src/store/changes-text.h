/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * changes-text.h: a change (changes.h) as a patch that people and `git apply` read.
 */
#include "buf.h"
#include "changes.h"

struct changes_text {
	struct buf patch;
	uint64_t added, removed; /* lines */
	bool binary;		 /* or larger than CEIL_DIFF_TEXT: no lines are shown */
};

#define CHANGES_TEXT_INIT ((struct changes_text){.patch = BUF_INIT(CEIL_PATCH)})

/*
 * Fills *ret anew. Lines of files are as they are: what shows them on a terminal must make control
 * characters harmless. Files that were modified go through diff(1), which must be there; what it
 * reads are copies in memory.
 */
_must_check_ int changes_text(const struct changes *changes, const struct change *change,
			      struct changes_text *ret, struct err *err);
void changes_text_done(struct changes_text *text);

/*
 * Appends a name as git quotes it: as it is, or, if it holds what would not show as itself (control
 * characters, quotes, backslashes, bytes that are no UTF-8, marks that turn the direction of
 * writing), in quotes with escapes. prefix comes before the name, inside the quotes.
 */
_must_check_ int changes_quote(struct buf *out, const char *prefix, const char *name);
/* The length of what must not reach a terminal at the start of text (0: nothing), up to len. */
size_t changes_unsafe(const char *text, size_t len);
