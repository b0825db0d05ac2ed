/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sandbox.h: the life of one sandbox: the only place that joins cell, limits, store and guest.
 *
 *   sandbox_start()  registers, makes groups, ids and layer, lets the child raise every wall
 *   sandbox_wait_set()  waits until they stand; nothing runs yet
 *   sandbox_spawn()  starts a process inside and gives its connection
 *   sandbox_stop()   kills everything, reads the usage
 *   sandbox_free()   removes everything
 *
 * Each may be called after the one before failed; free undoes whatever was done.
 */
#include "cell.h"
#include "cgroup.h"
#include "err.h"
#include "idmap.h"
#include "image.h"
#include "limit.h"
#include "places.h"
#include "proto.h"
#include "seccomp.h"
#include "state.h"

struct err;

struct sandbox_mount {
	const char *source, *target; /* target canonical */
	const char *stated; /* sha256 that the caller states of it, for the record; or NULL */
};

/* What a run keeps, by names that parse_name() takes; NULL: nothing of that kind. */
struct sandbox_keeps {
	const char *org;	/* always */
	const char *owner;	/* the agent for whom a layer or an overlay is kept */
	const char *agent;	/* its home and workspace */
	const char *workspace;	/* a named one */
	const char *layer;	/* everything that the command writes into the image */
	const char *overlay;	/* host directory, copy-on-write at /workspace */
	const char *overlay_id; /* the earlier run whose changes it goes on with */
};

struct sandbox_spec {
	bool as_root;		   /* --root: uid 0 inside */
	const struct image *image; /* NULL: the host's */
	struct sandbox_keeps keeps;
	const struct seccomp_profile *seccomp;
	const char *hostname;
	const char *workspace; /* host directory, or NULL */
	const struct sandbox_mount *ro;
	size_t n_ro;
	const char *const *in; /* host paths to copy into /workspace */
	size_t n_in;
	const char *script;	 /* host file to copy to /run/script, or NULL */
	const char *script_name; /* its name there */
	bool read_back; /* the whole report: which walls stand, refusing less than nano; all usage
			 */
	bool helper;	/* a process of the caller lives in the user namespace beside it */
	struct limits *limits; /* enforced_by is filled in */
};

/* What the kernel says of a sandbox' first process. */
struct sandbox_readback {
	char ns[8][32]; /* "pid:[4026532…]", in the order of sandbox_ns_names */
	bool ns_own[8]; /* not the one of this process */
	int seccomp, seccomp_filters, no_new_privs;
	char cap_eff[20], cap_prm[20], cap_bnd[20], cap_inh[20], cap_amb[20];
	char uid_map[200];
	char root_fs[16], root_flags[128];
	int landlock_abi; /* 0: none */
};

extern const char *const sandbox_ns_names[8];

/* The caller's directory that is shown at /workspace, as it is or below an overlay; or NULL. */
const char *sandbox_host_directory(const struct sandbox_spec *spec);
/* Home of whom the command runs as. */
const char *sandbox_home(const struct sandbox_spec *spec);

struct sandbox {
	const struct sandbox_spec *spec;
	const struct state *state;
	struct live live;
	struct cgroup_host host;
	struct cgroup *cgroup;
	struct cgroup_limits cgroup_limits;
	struct idmap idmap;
	struct cell cell;
	int userns_fd, workspace_userns_fd;
	struct idmap_child image_check; /* goes on while the walls are raised */
	int control;			/* to init */
	int layer_fd;			/* the writable layer's root */
	int notify_fd;			/* recorded system calls */
	bool layer_is_directory;
	bool memory_by_watch, pids_by_watch;
	struct places places;
	int workspace_fd; /* the directory of the host behind /workspace, or -1: in the layer */
	struct sandbox_readback readback;
	struct cgroup_usage usage; /* after sandbox_stop() */
	struct err why;		   /* code > 0: the walls do not stand */
	bool disk_full;		   /* the layer in memory was, at the end */
	bool set, going, stopped;
};

int sandbox_start(const struct state *state, const struct sandbox_spec *spec,
		  struct sandbox **ret_sandbox, struct err *err);

/*
 * Needed before the layer or the listener is used. It may come after sandbox_go(), which then lets
 * the child go on without a pause; with spec.read_back sandbox_go() does it first.
 */
int sandbox_wait_set(struct sandbox *sandbox, struct err *err);

/* fds: stdin, stdout, stderr, or NULL with GUEST_START_TTY in start.flags. */
int sandbox_spawn(struct sandbox *sandbox, struct guest_start start, const char *cwd,
		  char *const *argv, char *const *env, const int *fds, int *ret_conn,
		  struct err *err);

/* Lets init run: only now does anything of the sandbox execute. A second call does nothing. */
int sandbox_go(struct sandbox *sandbox, struct err *err);

void sandbox_stop(struct sandbox *sandbox);
struct sandbox *sandbox_free(struct sandbox *sandbox);

/* Samples for limits that no controller enforces and for --write-total. */
void sandbox_sample(const struct sandbox *sandbox, struct cgroup_usage *ret_usage);
/* Of a layer in memory; 0 for one on a disk. */
uint64_t sandbox_disk_bytes(const struct sandbox *sandbox);
/* A plain directory of the store is above its limit: for the watchdog. */
bool sandbox_over_disk(const struct sandbox *sandbox);
/* Before the start: what is kept must not grow a little with each run that is ended. */
int sandbox_has_room(const struct sandbox *sandbox, struct err *err);
