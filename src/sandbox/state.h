/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * state.h: where creel keeps things, and which sandboxes live.
 *
 *   DATA/images/host      the generated host image
 *   DATA/layers/ID        writable layers that are directories
 *   DATA/runs/ID          detached runs: their output and result
 *   RUN/live/ID           one for each living sandbox, locked by its creel; unlocked: left over
 *   RUN/stage             the empty directory over which trees are built
 *   /run/creel/ids        byte N is locked while id range N is in use: one pool for the machine
 *
 * Everything is 0700: what a sandbox wrote can be reached by no other user of the host.
 */
#include "cgroup.h"

#include <stdbool.h>
#include <sys/types.h>

struct err;

#define SANDBOX_ID_LEN 21

struct state {
	char data[400], run[400];
	bool root; /* started by root */
};

/* dir: --state, or NULL for CREEL_STATE and then the standard places. Makes what is missing. */
int state_open(const char *dir, struct state *ret_state, struct err *err);
int state_path(const struct state *state, char *ret, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

struct live {
	char id[SANDBOX_ID_LEN + 1];
	char path[512];
	int fd;	    /* the locked file */
	int ids_fd; /* holds the id range */
	unsigned range;
	char cgroup[64]; /* group path of this sandbox */
};

#define LIVE_INIT ((struct live){.fd = -1, .ids_fd = -1})

/* A new sandbox id and, for root, a free range of 65,536 ids. */
int live_new(const struct state *state, struct live *ret_live, struct err *err);
void live_done(struct live *live);
/* Lets go of it without an end: a sweep will find it and free what is left. */
void live_leave(struct live *live);
uint32_t live_first_id(const struct live *live);
/*
 * Frees what killed runs left: groups, layers, live files. *ret_n: how many; the ids of the first
 * few are written to names.
 */
int live_sweep(const struct state *state, const struct cgroup_host *host, unsigned *ret_n,
	       char *names, size_t size);
