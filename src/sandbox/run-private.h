/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * run-private.h: what the three files of a run share: run.c (the loop and its events),
 * run-streams.c (standard streams and the terminal), run-limits.c (what creel enforces itself, and
 * what an end means).
 */
#include "access.h"
#include "keeper.h"
#include "record.h"
#include "relay.h"
#include "run.h"

#include <termios.h>

struct run {
	const struct run_spec *spec;
	struct sandbox *sandbox;
	struct run_result *result;
	int conn; /* the command's */
	int signals;
	int master;			  /* of the terminal inside, or -1 */
	struct relay *in, *out, *err_out; /* NULL: passed directly */
	int to_close[3];		  /* the sandbox's ends, after the spawn */
	int out_fd;			  /* --out, or -1 */
	int again[3];			  /* the caller's streams, opened again */
	struct keeper keeper;
	struct record record;
	struct access access;
	int64_t started_ms, deadline_ms, kill_ms, cpu_check_ms, watch_ms, disk_ms, oom_ms;
	int64_t full_ms;	 /* since then every sample had as many processes as may be, or 0 */
	uint64_t full_system_us; /* CPU time in the kernel at that moment */
	unsigned oom_looks;	 /* that are left */
	bool ending;		 /* SIGTERM was sent because of ended_by */
	bool done;
	bool exited;
	int status;
	unsigned interrupts;
	struct cgroup_usage peak;
	struct termios saved;
	bool raw;
};

uint64_t run_limit(const struct run *run, enum limit_kind kind);
/* Asks init to signal the command's group or everything. */
void run_signal(struct run *run, int number, enum guest_scope scope);
/* The run ends because of `why`; gently: SIGTERM and the grace period first. The first cause
 * counts. */
void run_end(struct run *run, enum run_end why, bool gently);

/* One standard stream: *ret_fd is what the sandbox gets; a relay is made if it is not passed. */
int run_stream(struct run *run, int i, int *ret_fd, struct err *err);
/* The terminal inside has this master, which becomes the run's. */
int run_terminal(struct run *run, int master, struct err *err);
void run_window_size(struct run *run);
void run_raw(struct run *run, bool on);	  /* the caller's terminal */
void run_input_end(struct run *run);	  /* passes the end of the caller's input on */
bool run_owes_end(const struct run *run); /* the terminal inside had no room for it yet */
void run_streams_free(struct run *run);

void run_clocks(struct run *run);	/* the command starts now */
void run_timers(struct run *run);	/* enforces what is due */
int run_poll_ms(const struct run *run); /* until then, or -1 */
void run_oom(struct run *run);		/* the kernel told of an out-of-memory kill */
void run_judge(struct run *run); /* what the end means, when everything is dead and counted */
