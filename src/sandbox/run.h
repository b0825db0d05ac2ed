/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * run.h: one command in one sandbox from start to result: standard streams, terminal, signals,
 * time-outs, limits that creel itself enforces, and why it ended.
 */
#include "buf.h"
#include "err.h"
#include "sandbox.h"

#define RUN_KILL_GRACE_MS 2000
#define RUN_CODE_FAILED	  125 /* of creel itself */

enum run_end {
	RUN_EXIT,
	RUN_SIGNAL,
	RUN_TIMEOUT,
	RUN_CPU,
	RUN_MEMORY,
	RUN_DISK,
	RUN_PIDS,
	RUN_IO,
	RUN_OUTPUT,
	RUN_KILLED,
	RUN_END_MAX
};

extern const char *const run_end_names[RUN_END_MAX];

struct run_spec {
	struct sandbox_spec sandbox;
	char *const *argv;
	char *const *env;
	const char *cwd;
	bool capture; /* --json: stdout and stderr into the result */
	bool tty;     /* a terminal inside, relayed to descriptors 0 and 1 */
	bool want_changes;
	const char *out; /* --out, or NULL */
	int stdio[3];	 /* the caller's */
	/* Called once when the command starts; NULL: nobody wants to know. A failure ends the run.
	 */
	int (*started)(const char *id, void *data);
	void *started_data;
};

struct run_result {
	char id[SANDBOX_ID_LEN + 1];
	enum run_end ended_by;
	int exit_code; /* what creel exits with: 125 for 0 if `files` or `lost` is set */
	int signal;    /* that ended the command, or 0 */
	struct buf out, err_out, changes;
	bool out_truncated, err_truncated, changes_truncated;
	bool pids_hit, disk_hit;
	uint64_t duration_ms;
	struct cgroup_usage usage;
	uint64_t disk_bytes, skipped;
	struct err files; /* code > 0: --out or the list of changes is not whole, and why */
	int lost; /* errno of a write of output that failed, or 0; a reader that left is none */
	struct sandbox_readback readback;
	bool rootless, single_id;
	struct {
		int number;
		uint32_t count;
	} attempts[64]; /* recorded system calls */
	size_t n_attempts;
};

/* Whether a helper process looks after this run's files (keeper.h). */
bool run_needs_keeper(const struct run_spec *spec);
/* 0: the sandbox ran; ret is filled, and run_result_done() is due. Else nothing ran. */
int run(const struct state *state, const struct run_spec *spec, struct run_result *ret,
	struct err *err);
void run_result_done(struct run_result *result);
