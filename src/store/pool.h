/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * pool.h: the btrfs pool, where writable trees have a hard limit: a subvolume each, with a qgroup.
 *
 * Only root has one. It is DATA itself where that lies on btrfs with quotas already on, else the
 * sparse file DATA/pool.img, made on first need and mounted nosuid,nodev,noatime at RUN/pool in a
 * mount namespace of this process alone: the end of the process, however it comes, is the end of
 * the mount, and the end of the last mount that of the loop device.
 *
 * Names are relative paths whose components are [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
 * A limit counts what the subvolume refers to, shared with a snapshot or not, and its metadata too,
 * so that files of no bytes are bounded as well: 186,000 fit into 64 MiB, 2,900 into each MiB.
 * 0: none. Past it a write fails with EDQUOT; what is full can be emptied.
 *
 * Cost: 0.25 ms where the pool is mounted already (by another process, or by pool_show), else 2.3
 * ms to open and as much again when the last process ends; what was written is on the disk then.
 */
#include "cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct pool;

struct pool_usage {
	uint64_t referenced; /* bytes, metadata included: what the limit is for */
	uint64_t exclusive;  /* of these: shared with no snapshot; what a deletion gives back */
	uint64_t limit;	     /* 0: none */
};

/*
 * To be called by a process of one thread, before it clones a sandbox: it may enter a mount
 * namespace of its own, in which later mounts of the host still arrive. Both directories exist.
 * A second call is cheap. -EOPNOTSUPP: no pool can be had here, and the text says why. -ENOSPC: the
 * disk below is full. -EUCLEAN: pool.img is damaged. -EBUSY: it is in use where it cannot be
 * shared.
 */
_must_check_ int pool_open(const char *data, const char *run, struct pool **ret_pool,
			   struct err *err);
/* Frees the handle; the mount stays until the process ends. NULL is fine; returns NULL. */
struct pool *pool_close(struct pool *pool);
/* Takes the place of DATA in the paths of agents/, workspaces/, overlays/ and kept/. */
const char *pool_path(const struct pool *pool);
/* True: DATA itself is the pool, and is mounted as the host mounts it: nosuid,nodev is the
 * caller's. */
bool pool_is_native(const struct pool *pool);

/*
 * Makes a subvolume, root's and 0700, and its missing parents, 0700; one that exists gets the
 * limit. -EDQUOT: it holds more than the new limit; nothing was changed. -ENOTDIR: there is
 * something else of that name.
 */
_must_check_ int pool_subvolume(struct pool *pool, const char *name, uint64_t limit_bytes,
				struct err *err);
/*
 * A copy-on-write copy; it is there whole and with its limit, or not at all (a crash may only lose
 * readonly). Subvolumes inside `from` are empty directories in it. -EEXIST: there is a `to`.
 * -EDQUOT as above.
 */
_must_check_ int pool_snapshot(struct pool *pool, const char *from, const char *to,
			       uint64_t limit_bytes, bool readonly, struct err *err);
/*
 * Frees the name at once; the kernel frees the space in the background. Takes subvolumes inside
 * along, also when name is a directory of subvolumes. What a crash leaves, the next pool_open or
 * pool_delete ends. Missing: -ENOENT.
 */
_must_check_ int pool_delete(struct pool *pool, const char *name, struct err *err);
/* As of now: it waits until what was written is accounted for (a commit, if there is anything). */
_must_check_ int pool_usage(struct pool *pool, const char *name, struct pool_usage *ret_usage,
			    struct err *err);

/*
 * Mounts the pool at RUN/pool in the mount namespace that the caller is in, to stay, so that a
 * person can use the path that is written to ret_path. Once it is there, nothing more is done;
 * every later pool_open uses it. To be called before pool_open.
 */
_must_check_ int pool_show(const char *data, const char *run, char *ret_path, size_t size,
			   struct err *err);

static inline void cleanup_pool_closep(struct pool **pool)
{
	*pool = pool_close(*pool);
}

#define _cleanup_pool_ _cleanup_(cleanup_pool_closep)
