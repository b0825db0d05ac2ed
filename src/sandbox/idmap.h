/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * idmap.h: which ids of the host stand behind the ids inside (user_namespaces(7)).
 *
 * Root: a range of 65,536 of its own for each living sandbox. Rootless: inside 1000 is the caller,
 * everything else comes from the caller's subordinate ids (subuid(5)) through newuidmap(1); without
 * them there is a single id, 1000 (or 0 with --root), which is the caller.
 */
#include "state.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

#define IDMAP_USER 1000u

struct idmap_line {
	uint32_t inside, outside, count;
};

struct idmap {
	struct idmap_line uids[3], gids[3];
	size_t n; /* of each */
	bool rootless;
	bool single;
	uint32_t root_inside; /* what owns the image's files inside: 0, or the single id */
};

/* The map of a new sandbox. */
int idmap_choose(const struct state *state, const struct live *live, bool as_root,
		 struct idmap *ret_map, struct err *err);
/* The host's ids of the sandbox's root and of its user. */
uint32_t idmap_root(const struct idmap *map);
uint32_t idmap_user(const struct idmap *map);

/* A user namespace with this map and no process in it. Root only. */
int idmap_userns(const struct idmap *map, int *ret_fd, struct err *err);
/* A user namespace for an idmapped mount: the file owner's id on disk appears as `appears`. */
int idmap_userns_single(uint32_t on_disk_uid, uint32_t on_disk_gid, uint32_t appears_uid,
			uint32_t appears_gid, int *ret_fd, struct err *err);
/* Writes the map of a rootless sandbox whose first process waits, and opens its user namespace. */
int idmap_open(const struct idmap *map, pid_t pid, int *ret_userns_fd, struct err *err);
/* Writes the map alone. */
int idmap_write(const struct idmap *map, pid_t pid, struct err *err);

/*
 * Runs fn in a child that has all capabilities over the map's ids: a plain fork for root, a child
 * in a user namespace (a new one, or userns_fd if it is one) when rootless. The child's
 * struct err comes back.
 */
int idmap_run(const struct idmap *map, int userns_fd, int (*fn)(void *data, struct err *err),
	      void *data, struct err *err);
/* The same in two halves, with something else to do in between. */
struct idmap_child {
	pid_t pid;
	int conn;
};
#define IDMAP_CHILD_INIT ((struct idmap_child){.conn = -1})
int idmap_start(const struct idmap *map, int userns_fd, int (*fn)(void *data, struct err *err),
		void *data, struct idmap_child *ret_child, struct err *err);
int idmap_finish(struct idmap_child *child, struct err *err);
void idmap_stop(struct idmap_child *child); /* whatever it does */
/* Adds the fix to an error that says namespaces are forbidden; returns -err->code. */
int idmap_explain(struct err *err);
/* The fix: what this machine's settings forbid user namespaces with, as far as they tell. */
const char *idmap_forbidden_fix(void);
/*
 * A kill of the parent is the end of this process, too; _exit(1) if it is dead already. Any change
 * of credentials undoes it: it comes last.
 */
void idmap_die_with(pid_t parent);
/* Removes DATA/kind/name, which may hold files of any id of the map. */
int idmap_remove_tree(const struct state *state, const char *kind, const char *name,
		      struct err *err);
