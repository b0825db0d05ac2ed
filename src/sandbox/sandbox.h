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
#include "idmap.h"
#include "limit.h"
#include "proto.h"
#include "seccomp.h"
#include "state.h"

struct err;

struct sandbox_mount {
	const char *source, *target; /* target canonical */
};

struct sandbox_spec {
	bool as_root; /* --root: uid 0 inside */
	const struct seccomp_profile *seccomp;
	const char *hostname;
	const char *workspace; /* host directory, or NULL: a fresh one in the layer */
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
	int control;   /* to init */
	int layer_fd;  /* the writable layer's root */
	int notify_fd; /* recorded system calls */
	bool layer_is_directory;
	bool memory_by_watch, pids_by_watch;
	int workspace_fd; /* the host directory that was looked at, or -1 */
	struct sandbox_readback readback;
	struct cgroup_usage usage; /* after sandbox_stop() */
	uint64_t disk_bytes;
	bool disk_full;
	bool set, going, stopped;
};

int sandbox_start(const struct state *state, const struct sandbox_spec *spec,
		  struct sandbox **ret_sandbox, struct err *err);

/*
 * Needed before the layer or the listener is used. It may come after sandbox_go(), which then lets
 * the child go on without a pause; with spec.read_back or a workspace sandbox_start() has done it.
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
uint64_t sandbox_disk_bytes(const struct sandbox *sandbox);
