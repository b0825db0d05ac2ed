/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * changes.h: what a run with --overlay DIR changed, and how it gets into DIR.
 *
 *   BASE/meta        struct changes_meta as text
 *   BASE/upper, work the overlay's (overlayfs.rst); the lower layer is DIR
 *   BASE/applied     inode and ctime of what apply itself did to DIR, a line each
 *
 * BASE is private (0700) and locked by flock(2) on the directory itself: exclusively by whoever has
 * the overlay mounted or changes it, shared by who looks. All of upper was written by a sandbox:
 * names, links, modes, devices and sizes are an attacker's. Of overlay's own marks only those are
 * believed that a sandbox cannot write: trusted.overlay.*, or user.overlay.* with `userxattr`.
 *
 * The overlay must be mounted with redirect_dir=nofollow,metacopy=off,index=off, so that upper has
 * whole files under their names; a file or directory that says otherwise is an error here.
 */
#include "ceilings.h"
#include "cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct buf;
struct err;

#define CHANGES_NAME_MAX 64

struct changes_meta {
	char dir[CEIL_PATH]; /* absolute; any bytes */
	uint64_t dev, ino;   /* of it, and its owner */
	uint32_t uid, gid;
	char org[CHANGES_NAME_MAX + 1], agent[CHANGES_NAME_MAX + 1], run[CHANGES_NAME_MAX + 1];
	char image[160];
	int64_t started_ns; /* CLOCK_REALTIME; the command started later */
	bool userxattr;	    /* the overlay is mounted with it (rootless) */
};

/*
 * Makes upper and work, both the caller's and 0700, and meta in an empty BASE. dirfd is DIR:
 * dev, ino, uid, gid and started_ns are taken from it and the clock and put into meta. `run` and
 * `org` must be there; agent and image may be "". meta is written last; after a power loss it is
 * there if any of the changes is.
 */
_must_check_ int changes_create(int base, int dirfd, struct changes_meta *meta, struct err *err);
/*
 * Returns when no later change of a file can get an earlier ctime than the moment, meta's
 * started_ns: what the host changes before was there when the run began. At most a few ms.
 */
void changes_await(int64_t moment_ns);
/* -ENOENT: BASE has none, it is no kept overlay (or its run was killed before it started). */
_must_check_ int changes_read_meta(int base, struct changes_meta *ret_meta, struct err *err);
/* -EBUSY: a run goes on on it. The lock is that of the description behind base. */
_must_check_ int changes_lock(int base, bool exclusive, struct err *err);

enum changes_kind {
	CHANGES_ADDED,
	CHANGES_MODIFIED, /* another content, perhaps another mode */
	CHANGES_DELETED,
	CHANGES_MODE,	 /* only the permission bits */
	CHANGES_TYPE,	 /* a file became a directory, a link, … or the reverse */
	CHANGES_SYMLINK, /* a link with another target */
	CHANGES_KIND_MAX
};

extern const char *const changes_kind_names[CHANGES_KIND_MAX];

/* Why a change is not applied; all but the last two kinds are overridden by force. */
enum changes_refusal {
	CHANGES_FINE,
	CHANGES_CONFLICT,    /* the host changed the path since the run began */
	CHANGES_GONE,	     /* a host file that the run changed is not there any more */
	CHANGES_LINK_LEAVES, /* a symbolic link out of DIR, which a program outside would follow */
	CHANGES_GIT_RUNS,    /* git on the host would execute what it says */
	CHANGES_SPECIAL,     /* a device, socket or FIFO: never */
	CHANGES_UNREACHABLE, /* another filesystem, or a directory that cannot be written: never */
	CHANGES_REFUSAL_MAX
};

extern const char *const changes_refusal_texts[CHANGES_REFUSAL_MAX];

struct change {
	char *path; /* relative to DIR */
	enum changes_kind kind;
	enum changes_refusal refusal;
	mode_t old_mode, mode; /* 0: was not there, is not there */
	uint64_t size;	       /* as it is now; 0 for directories and what was deleted */
	uint64_t old_size;
	/* A directory that came or went with what is in it, which is listed, too: not worth a line.
	 */
	bool implied;
};

struct changes;

/* Who writes to DIR, as ids of this process; its other rights are used for BASE only. */
struct changes_ids {
	uid_t uid;
	gid_t gid;
};

/*
 * The changes in the open and locked BASE. It must be called by a process that can read every file
 * in it (rootless: in a user namespace with the sandbox's map, see idmap_run()). DIR is read, and
 * later written, with the filesystem ids `host`, NULL: those of DIR's owner at the run's start.
 * any_dir: take what is at DIR's path although it is another directory than the one that the run
 * had. -ESTALE: DIR is gone or another one. -E2BIG: more than tree.h looks at.
 */
_must_check_ int changes_open(int base, const struct changes_ids *host, bool any_dir,
			      struct changes **ret_changes, struct err *err);
/* Calls fn for each in order of path, the implied ones too; a result other than 0 ends it. */
_must_check_ int changes_list(const struct changes *changes,
			      int (*fn)(const struct change *change, void *data), void *data);
size_t changes_count(const struct changes *changes); /* without the implied ones */
const struct changes_meta *changes_meta(const struct changes *changes);
/* NULL is fine; returns NULL. */
struct changes *changes_close(struct changes *changes);

/*
 * The content before and now as descriptors to read, -1 if there was or is no regular file, or it
 * cannot be read.
 */
void changes_contents(const struct changes *changes, const struct change *change, int *ret_old,
		      int *ret_now);
/* A link's target before and now, "" if it was or is none. */
void changes_targets(const struct changes *changes, const struct change *change,
		     char ret_old[CEIL_PATH], char ret_now[CEIL_PATH]);

static inline void cleanup_changes_closep(struct changes **changes)
{
	*changes = changes_close(*changes);
}

#define _cleanup_changes_ _cleanup_(cleanup_changes_closep)
