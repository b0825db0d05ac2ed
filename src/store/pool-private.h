/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * pool-private.h: what the parts of the pool share: pool-btrfs.c (ioctls), pool-image.c (the file),
 * pool-loop.c (its device), pool-mount.c (where it is seen), pool-trash.c (deletion), pool.c (the
 * rest).
 */
#include "ceilings.h"
#include "pool.h"

#include <sys/stat.h>

#define POOL_TRASH ".trash"
#define MIB	   (1024ull * 1024)

struct pool {
	char data[CEIL_PATH], path[CEIL_PATH]; /* path: of the pool's root */
	int fd;				       /* the pool's root */
	bool native;
};

/* pool-btrfs.c: fd is any of the filesystem's, unless it is named for what it has to be. */

/* fd is the root of a subvolume, be it O_PATH. */
bool btrfs_is_subvolume(int fd);
bool btrfs_is_here(int fd);
_must_check_ int btrfs_subvolume_id(int subvol, uint64_t *ret_id);
/* The limit is there from the first moment. -EEXIST. */
_must_check_ int btrfs_create(int dirfd, const char *name, uint64_t limit);
/* With the limit of its source. */
_must_check_ int btrfs_snapshot(int subvol, int dirfd, const char *name);
_must_check_ int btrfs_set_readonly(int subvol);
_must_check_ int btrfs_set_writable(int fd, uint64_t id);
_must_check_ int btrfs_limit(int subvol, uint64_t limit);
/* As of the last commit; btrfs_sync() makes one, with all that anybody has written. */
_must_check_ int btrfs_usage(int subvol, struct pool_usage *ret_usage);
_must_check_ int btrfs_sync(int fd);
/* One subvolume by its number, wherever it lies. -ENOTEMPTY: others lie in it. -ENOENT: it is gone.
 */
_must_check_ int btrfs_destroy(int fd, uint64_t id);
/* A subvolume that lies in this one. -ENOENT: none. */
_must_check_ int btrfs_first_inside(int fd, uint64_t id, uint64_t *ret_id);
/* Forgets the accounts of subvolumes that are gone: older kernels keep them for ever. */
void btrfs_drop_stale_qgroups(int fd);
/*
 * Has the kernel free the space of deleted subvolumes now, in the background. It would do so up to
 * 30 s later, and not at all if no mount lives that long; at an unmount it stops, to be nudged
 * again.
 */
void btrfs_nudge_cleaner(int fd);

enum btrfs_quota {
	BTRFS_QUOTA_OFF,
	BTRFS_QUOTA_INCONSISTENT,
	BTRFS_QUOTA_COUNTING,
	BTRFS_QUOTA_ON
};

/* One of enum btrfs_quota, or negative. */
_must_check_ int btrfs_quota_state(int fd);
/* Switches quotas on, or counts anew, and waits for the end of it. */
_must_check_ int btrfs_quota_enable(int fd);
_must_check_ int btrfs_quota_recount(int fd);
/* Until a count that is under way has ended. */
_must_check_ int btrfs_quota_wait(int fd);
/*
 * The deletion of a very large snapshot otherwise lets the kernel (6.2 and later) give up counting,
 * and with it all limits, until somebody counts anew.
 */
void btrfs_quota_always(int fd);
/* The size of device 1, and the name by which it was mounted. */
_must_check_ int btrfs_device(int fd, uint64_t *ret_bytes, char *ret_path, size_t size);
_must_check_ int btrfs_fill_device(int fd);
/* Gives unused space back to what is below. */
_must_check_ int btrfs_trim(int fd);

/* pool-image.c */

#define POOL_IMAGE "pool.img"

/* A file of DATA that has to be there. */
_must_check_ int image_open(const char *data, const char *name, int flags);
/* Makes pool.img, or waits for whoever is making it. 1: somebody else did, or try again. */
_must_check_ int image_create(const char *data, struct err *err);
/*
 * Enlarges a file that is nearly full, as far as the disk below allows; returns to the disk what a
 * file takes and does not need, if that is much.
 */
_must_check_ int image_fit(const struct pool *pool, struct err *err);
/* -ENOSPC: the disk below is so full that a write into the pool could fail. */
_must_check_ int image_has_room(const char *data, struct err *err);

/* pool-loop.c */

/*
 * A descriptor of the loop device over DATA/pool.img, which is made if it is missing. While it is
 * open the device stays attached; after the last close, be it of a mount, it goes by itself.
 */
_must_check_ int loop_attach(const char *data, char *ret_device, size_t size, struct err *err);
/* `device` is a loop device over DATA/pool.img. */
bool loop_is_on(const char *data, const char *device);
/* Has the device see that the file has grown. */
_must_check_ int loop_resize(const char *device, const struct stat *image);

/* pool-mount.c */

/* The pool is seen at path in this mount namespace. */
bool mount_is_there(const char *data, const char *path);
/* Mounts device at path: in a mount namespace of this process alone, or in the one it is in. */
_must_check_ int mount_pool(const char *device, const char *path, bool own_namespace,
			    struct err *err);

/* pool-trash.c */

/* The trash, with the promise that nobody sweeps it while it is open: for what is being made. */
_must_check_ int trash_lock(const struct pool *pool);
/* Destroys name in the trash; what resists is left to the next sweep. */
void trash_drop(const struct pool *pool, int trash, const char *name);
/* Moves what is at `name` in dirfd out of the way, and destroys it. */
_must_check_ int trash_take(const struct pool *pool, int dirfd, const char *name);
/* Destroys what was left in the trash, as far as a short time allows. */
void trash_sweep(const struct pool *pool);
