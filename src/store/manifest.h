/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * manifest.h: what an image holds, as text whose SHA-256 is the image's digest, and the sweep that
 * tells fast whether a tree still is what its manifest says.
 *
 * The head says with what it runs (`user`, `workdir`, `env`), then after an empty line comes every
 * entry, a directory before what it holds, names in byte order:
 *
 *   D MODE UID GID PATH
 *   F MODE UID GID SIZE SHA256 PATH
 *   L MODE UID GID PATH TARGET
 *   P MODE UID GID PATH		a named pipe
 *
 * Ids are those seen inside. Times and inodes are not in it: the same content has the same digest.
 * They are in `stat`, which belongs to this copy on this disk and can be made anew.
 */
#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct manifest_totals {
	uint64_t files, bytes;
};

/*
 * Writes DIR/manifest and DIR/stat for DIR/root; head is lines, each ended by a newline. Sockets,
 * devices and what cannot be read are refused: -EINVAL. hex: 65 bytes, of the SHA-256.
 */
_must_check_ int manifest_make(int dirfd, const char *head, char *ret_hex,
			       struct manifest_totals *ret_totals, struct err *err);
/* The head of DIR/manifest. */
_must_check_ int manifest_head(int dirfd, struct buf *ret);
/*
 * -EUCLEAN: DIR/root is not what hex says, err names what differs. DIR/stat is renewed if only it
 * was out of date.
 */
_must_check_ int manifest_check(int dirfd, const char *hex, struct err *err);

/* One entry's line; pointers lead into the text, paths are as on disk. */
struct manifest_entry {
	char kind; /* D, F, L, P */
	uint32_t mode, uid, gid;
	uint64_t size;
	char *sha256, *path, *target;
};

/* Takes the next line off *text, which it changes. 0: the end; 1: an entry; -EBADMSG. */
int manifest_next(char **text, struct manifest_entry *ret);
