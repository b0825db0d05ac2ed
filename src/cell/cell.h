/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * cell.h: the isolation core. It turns a plan, in which every decision is already made, into a
 * process that is PID 1 of its own namespaces behind every wall, and reports the first step that
 * fails. It parses nothing, opens no path that the plan does not name, and knows no policy.
 *
 * The caller is single-threaded. cell_start() clones; while the child makes its network, the caller
 * makes groups and user namespaces and hands them over with cell_continue(); cell_wait() tells when
 * every wall stands; a second cell_continue() lets init run. Until then nothing of the sandbox
 * runs, and the state may be read back from /proc/PID.
 */
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct err;

enum cell_mount_kind {
	CELL_BIND, /* source: a path of the host, or "." for the caller's directory; recursive */
	CELL_FS,   /* source: a filesystem type, with options */
	CELL_MASK, /* target is hidden: a file behind /dev/null, a directory behind an empty one */
	CELL_READONLY, /* target is bound onto itself, read-only */
	CELL_SYMLINK,  /* source: what the link holds */
	CELL_SEAL,     /* the mount at target gets attr, now that it is filled */
};

struct cell_mount {
	enum cell_mount_kind kind;
	const char *source;
	const char *target; /* absolute inside the sandbox; without the leading '/': on the stage */
	const char *options[16]; /* pairs of key and value; value NULL: a flag; key NULL: the end */
	uint64_t attr;		 /* MOUNT_ATTR_* (mount_setattr(2)) */
	int idmap; /* 1 + index of a user namespace in fds, for MOUNT_ATTR_IDMAP; 0: none */
};

struct cell_dir {
	const char *name;
	uint32_t owner, group; /* as the kernel counts ids */
};

#ifdef CREEL_ABLATION /* test builds only: one wall less, to see which attack it held */
#include "cell-ablation.h"
#else
#define CELL_STANDS(plan, wall) true
#endif

#define CELL_FDS_MAX 8

struct cell_plan {
	bool rootless;		 /* user namespace first, around all; else last */
	bool drop_groups;	 /* setgroups(0) is possible: not with a single-id map */
	int cgroup_fd;		 /* v2 group to be born in, or -1 */
	int init_fd;		 /* sealed memfd of creel-init */
	int control_fd;		 /* becomes descriptor 3 */
	const char *stage;	 /* a host directory over which the tree is built; stays empty */
	struct cell_mount layer; /* what the stage shows: the writable layer; target unused */
	/* In the layer, "empty" and the root too; name NULL: end. */
	const struct cell_dir *stage_dirs;
	const char *root;		     /* the stage directory that becomes / */
	const struct cell_mount *mounts;     /* in order */
	struct rlimit rlimits[RLIM_NLIMITS]; /* those with their bit in rlimits_set */
	uint32_t rlimits_set;
	size_t n_mounts;
	uint32_t root_uid, root_gid; /* owner of made directories, as the kernel counts ids */
	uint32_t uid, gid;	     /* what init runs as, inside */
	const char *hostname;
	const unsigned long *cpus; /* affinity mask of cpus_size bytes, or NULL */
	size_t cpus_size;
	uint64_t landlock_fs, landlock_scoped; /* handled rights; 0: the kernel has none */
	uint64_t caps;			       /* kept by init, in the user namespace only */
	struct sock_fprog seccomp;
	unsigned omit; /* CELL_WALL_*; read by test builds only */
	/*
	 * Filled by the child from cell_continue(): the user namespace to enter (unless rootless),
	 * those for mounts, and from first_join on the v1 `tasks` files of the groups to join.
	 */
	int fds[CELL_FDS_MAX];
	size_t n_fds, first_join;
};

struct cell {
	pid_t pid;
	int pidfd;
	int report; /* reports from the child; end of stream after exec */
};

#define CELL_INIT ((struct cell){.pidfd = -1, .report = -1})

/* Clones the child, which makes its network and then waits for the first cell_continue(). */
int cell_start(const struct cell_plan *plan, struct cell *ret_cell, struct err *err);
/* First with the descriptors of cell_plan.fds, when they exist and ids are mapped; then without. */
int cell_continue(struct cell *cell, const int *fds, size_t n_fds, struct err *err);
/*
 * Waits for the child's next report. 0: every wall stands; *ret_layer is the root of the writable
 * layer and *ret_notify the listener of recorded system calls (seccomp_unotify(2), -1 if there is
 * none), both the caller's. 1: init runs. Negative: the step that failed, in *err.
 */
int cell_wait(struct cell *cell, int *ret_layer, int *ret_notify, struct err *err);
/* Kills what still lives, reaps it, closes. */
void cell_done(struct cell *cell);
