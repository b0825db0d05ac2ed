/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * changes-private.h: what the files of changes.h share.
 *
 * A process of root, or of a user namespace, touches two trees here: upper with all its rights, and
 * DIR with no more than its owner has. The ids for DIR are in force but for the moments in which a
 * file of upper is opened: changes_as_own() to changes_as_host(), and nothing else between them.
 */
#include "changes.h"
#include "tree.h"

/* In BASE while apply works on DIR. */
#define CHANGES_APPLYING "applying"

static inline int64_t changes_ns(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

/* What apply did to an inode of DIR: a ctime that is this one is no change of somebody else. */
struct changes_known {
	uint64_t ino;
	int64_t ctime_ns;
};

struct changes {
	struct changes_meta meta;
	struct changes_ids own, host;
	int base, upper, dir;
	struct tree tree;    /* of upper */
	struct change *list; /* sorted by path */
	size_t n, allocated;
	struct changes_known *known; /* sorted by inode, but for what was added since */
	size_t n_known, known_allocated;
	char stage[CHANGES_NAME_MAX + 16]; /* where apply puts files before they get their names */
	/* An apply was killed: what the ctimes of DIR's directories tell may be its own work. */
	bool interrupted;
};

void changes_as_own(const struct changes *changes);
void changes_as_host(const struct changes *changes);

/*
 * A path of DIR: openat2(2) with no link followed, nothing left and no mount crossed; what lies on
 * a mounted filesystem was not below the overlay (-EXDEV).
 */
_must_check_ int changes_host_open(const struct changes *changes, const char *path, int flags);
_must_check_ int changes_host_stat(const struct changes *changes, const char *path,
				   struct stat *ret_st);
/* Whether git on the host would execute what this file says. */
bool changes_git_runs(const struct changes *changes, const struct change *change);
/* The directory that path is in, and its name there. */
_must_check_ int changes_host_parent(const struct changes *changes, const char *path,
				     const char **ret_name);
_must_check_ int changes_upper_open(const struct changes *changes, const char *path, int flags);

/* Whether somebody else than apply changed what st describes since the run began. */
bool changes_is_foreign(const struct changes *changes, const struct stat *st);
_must_check_ int changes_known_load(struct changes *changes);
_must_check_ int changes_known_add(struct changes *changes, const struct stat *st);
_must_check_ int changes_known_save(struct changes *changes); /* durable */

/* Fills tree and list. */
_must_check_ int changes_scan(struct changes *changes, struct err *err);
/* Removes from upper what is in no change of the list any more. */
_must_check_ int changes_settle(struct changes *changes);

/* The first of the list whose path is not less than this; changes->n if there is none. */
size_t changes_find(const struct changes *changes, const char *path);
/* Whether anything in the list is path or below it. */
bool changes_any_below(const struct changes *changes, const char *path);

void change_done(struct change *change);
