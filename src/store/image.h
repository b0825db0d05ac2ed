/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * image.h: read-only root filesystems that are built, pulled or imported, by name and by digest.
 *
 *   DATA/images/sha256-HEX/root      the tree; ids on disk as store keeps them (see idmap.h)
 *   DATA/images/sha256-HEX/manifest  what it holds, and with what it runs; HEX is its SHA-256
 *   DATA/images/sha256-HEX/stat      how each file was when it was last known to be right
 *   DATA/images/sha256-HEX/image.json  where it came from, for people
 *   DATA/images/names/NAME           sha256-HEX; names are parse_name()'s
 *
 * Whoever uses a tree resolves its name, locks it, and checks it: resolve and lock as the caller,
 * the check where the ids of images can be read (root, or inside the user namespace).
 */
#include "cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define IMAGE_NAME_MAX	  64
#define IMAGE_DIGEST_SIZE 72 /* "sha256-", 64 hex digits, NUL */

struct image {
	char name[IMAGE_NAME_MAX + 1];	/* "" if it was named by its digest */
	char digest[IMAGE_DIGEST_SIZE]; /* sha256-HEX: the directory's name */
	char dir[512], root[520];	/* absolute: DATA/images/sha256-HEX, and its root */
	char user[33];			/* of uid 1000 inside */
	char home[256], workdir[256];	/* workdir "": /workspace */
	uint32_t gid;			/* of uid 1000 inside */
	char **env;			/* NAME=VALUE, NULL at the end; PATH is always there */
};

#define IMAGE_INIT ((struct image){0})

/*
 * name: NAME, or sha256:HEX, sha256-HEX, where at least 12 digits that fit one image are enough.
 * -ENOENT: the message tells the command that makes it.
 */
_must_check_ int image_resolve(const char *data, const char *name, struct image *ret,
			       struct err *err);
void image_done(struct image *image);
/* A descriptor that keeps the image from being removed until it is closed. */
_must_check_ int image_lock(const struct image *image, int *ret_fd, struct err *err);
/*
 * -EUCLEAN: the tree is not what its digest says; the message names the first file and the fix. A
 * sweep of stat(2) in a few processes, which end before it does; only what looks different is read.
 */
_must_check_ int image_check(const struct image *image, struct err *err);

#define _cleanup_image_ _cleanup_(image_done)
