/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * kept.h: what runs have kept, for the commands that look at it: in the pool or in DATA.
 */
#include "state.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct pool;

struct kept {
	struct state state;
	struct pool *pool; /* NULL: plain directories */
	char root[512];	   /* of overlays/ and workspaces/ */
	uint32_t caller;   /* rootless: who called creel, as kept_run() sees the uid and gid */
};

/* Where a run would have kept things: pool.img is made on first need, a native pool is DATA. */
bool kept_has_pool(const struct state *state);
/* dir: --state. The pool is used if there is one; none is made for a look. */
int kept_open(const char *dir, struct kept *ret_kept, struct err *err);
void kept_close(struct kept *kept);
/* KIND/ORG/NAME, locked exclusively or not; -ENOENT without a message; -EBUSY: it is in use. */
int kept_lock(const struct kept *kept, const char *kind, const char *org, const char *name,
	      bool exclusive, int *ret_fd, struct err *err);
int kept_remove(const struct kept *kept, const char *kind, const char *org, const char *name,
		struct err *err);
/* Calls fn for each name in KIND/ORG, in order; a result other than 0 ends it. */
int kept_each(const struct kept *kept, const char *kind, const char *org,
	      int (*fn)(const struct kept *kept, const char *name, void *data), void *data,
	      struct err *err);
/* Runs fn where every file that a sandbox wrote can be read (idmap_run()). */
int kept_run(const struct kept *kept, int (*fn)(void *data, struct err *err), void *data,
	     struct err *err);
