/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tree.h: what is in a directory tree, what changed between two looks, and copies that are
 * harmless. Trees are walked by descriptor without following links or leaving the filesystem;
 * names, sizes and depths are an attacker's.
 */
#include "cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct err;

struct tree_entry {
	char *path; /* relative to the tree */
	mode_t mode;
	dev_t rdev;
	uint64_t size, ino;
	int64_t mtime_ns, ctime_ns;
	bool opaque; /* overlay: hides the lower directory of the same name */
	bool has_children;
};

struct tree {
	struct tree_entry *entries; /* sorted by path */
	size_t n, allocated;
	uint64_t bytes; /* allocated blocks */
	size_t most;	/* set by the caller: entries that are looked at; 0: CEIL_TREE_ENTRIES */
	bool userxattr; /* set by the caller: overlays are mounted with it (rootless) */
	bool truncated; /* more than CEIL_TREE_ENTRIES or CEIL_TREE_PATHS, or too deep */
};

#define TREE_INIT ((struct tree){0})

int tree_scan(int dirfd, struct tree *tree);
void tree_done(struct tree *tree);
const struct tree_entry *tree_find(const struct tree *tree, const char *path);
/*
 * The blocks that a tree takes, without keeping entries: for the disk watchdog. UINT64_MAX: there
 * is more than can be looked at, as in tree.truncated.
 */
uint64_t tree_disk_bytes(int dirfd);

enum tree_kind { TREE_ADDED, TREE_MODIFIED, TREE_DELETED };

struct tree_change {
	const char *path; /* relative to the tree */
	enum tree_kind kind;
	const struct tree_entry *entry; /* as it is now; NULL if deleted */
};

/*
 * Calls fn for every file that differs, in order of path; a negative result of fn ends it.
 * lowerfd >= 0: the tree is the upper layer of an overlay over lowerfd, whose files count as there
 * before; else -1.
 */
int tree_diff(const struct tree *before, const struct tree *now, int lowerfd,
	      int (*fn)(const struct tree_change *change, void *data), void *data);

/*
 * Copies a regular file, or a symbolic link that stays inside the tree, from below `from` to the
 * same path below `to`, making directories. Only the permission bits go along: no setuid, setgid,
 * sticky, no capabilities, no attributes, no devices. owner: of what is made; (uid_t)-1 keeps the
 * caller's. 1: this kind of file is not copied.
 */
int tree_copy_out(int from, int to, const struct tree_entry *entry, uid_t owner, gid_t group);
/* Copies a file or tree of the host, named by path, to `name` below `to`, owned by owner. */
int tree_copy_in(const char *path, int to, const char *name, uid_t owner, gid_t group,
		 struct err *err);

/* All of a file, from the start of both; holes stay holes, so that a copy takes no more room. */
int tree_copy_bytes(int in, int out);
/*
 * Whether a link at path, relative to the tree, is harmless outside: its ".." come first and do not
 * leave the tree. They go through the directories that lie above it, which are real; after a name
 * they could start from where another link leads.
 */
bool tree_link_stays(const char *path, const char *target);
