/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * image-private.h: how images come and go (image.h): for the commands that make and remove them.
 *
 * DATA/images/.new-NAME is where NAME is being made; whoever makes it holds a lock on the
 * directory. DATA/images/.old-… is being removed. Either, unlocked, was left by a killed creel.
 */
#include "buf.h"
#include "image.h"
#include "manifest.h"

#include <sys/types.h>

/* What a program of an image is looked for in, unless the image says otherwise. */
#define IMAGE_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* How to act on files with the ids of images, which folder `sandbox` knows. */
struct image_ids {
	/* Runs fn in a child with all capabilities over those ids; its struct err comes back. */
	int (*run)(void *ctx, int (*fn)(void *data, struct err *err), void *data, struct err *err);
	void *ctx;
	int userns_fd; /* root: where the ids of programs come from; else -1, run() has entered it
			*/
};

struct image_store {
	const char *data; /* DATA */
	const struct image_ids *ids;
	bool terminal; /* progress on one line of stderr */
};

/* DATA/images, with its `names`. */
_must_check_ int image_open_dir(const char *data, int *ret_fd, struct err *err);
/* One image for each name, then those without a name; fn's negative result ends it. */
_must_check_ int image_each(const char *data, int (*fn)(const struct image *image, void *data),
			    void *fn_data, struct err *err);

struct image_info {
	char created[32], kind[16], reference[512], digest[80], suite[64];
	uint64_t size, files;
};

/* What image.json says; empty what it does not. */
void image_info_read(const struct image *image, struct image_info *ret);
/*
 * Takes the name away, and the tree with the last one; named by its digest, the tree that has no
 * name. -EBUSY: a run uses it.
 */
_must_check_ int image_remove(const struct image_store *store, const char *name, bool *ret_tree,
			      struct err *err);
/* Removes what killed calls left. *ret_n: how much. */
_must_check_ int image_sweep(const struct image_store *store, unsigned *ret_n, struct err *err);

/* ---- making one ---- */

struct image_work {
	const struct image_store *store;
	char name[IMAGE_NAME_MAX + 1];
	char path[512];	      /* DATA/images/.new-NAME */
	int images_fd, dirfd; /* dirfd is locked */
};

/* -EBUSY: another creel makes it. */
_must_check_ int image_work_begin(const struct image_store *store, const char *name,
				  struct image_work *ret, struct err *err);
/* Removes what an earlier call left in it. */
_must_check_ int image_work_clear(struct image_work *work, struct err *err);
/* Removes what is there if it was not published. */
void image_work_end(struct image_work *work);

struct image_source {
	const char *kind, *reference, *digest, *suite; /* for image.json; suite may be NULL */
};

struct image_made {
	char hex[65]; /* of the manifest */
	struct manifest_totals totals;
};

/*
 * Gives work/root with its manifest the name. *ret_before: the digest that had it, "" if none or
 * the same.
 */
_must_check_ int image_publish(struct image_work *work, const struct image_source *source,
			       const struct image_made *made, char *ret_digest, char *ret_before,
			       struct err *err);

/* ---- names ---- */

_must_check_ int image_name_read(int images, const char *name, char *ret_digest);
/* The digest of NAME or sha256:…; *ret_by_name: which of them it was. */
_must_check_ int image_find(int images, const char *name, char *ret_digest, bool *ret_by_name,
			    struct err *err);
unsigned image_names_of(int images, const char *digest);
