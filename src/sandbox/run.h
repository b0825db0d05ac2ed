/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * run.h: one command in one sandbox from start to result: standard streams, terminal, signals,
 * time-outs, limits that creel itself enforces, and why it ended.
 */
#include "audit.h"
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

/* What a record refers to by its hash: each is kept, only hashed, or left out. */
enum run_payload {
	RUN_PAYLOAD_CODE,
	RUN_PAYLOAD_ARGV,
	RUN_PAYLOAD_ENV,    /* names alone */
	RUN_PAYLOAD_INPUTS, /* kept or hashed: the files' hashes, never the files; off: none is read
			     */
	RUN_PAYLOAD_STDOUT,
	RUN_PAYLOAD_STDERR,
	RUN_PAYLOAD_CHANGES,
	RUN_PAYLOAD_FILES, /* read, written and executed */
	RUN_PAYLOAD_MAX
};

extern const char *const run_payload_names[RUN_PAYLOAD_MAX];

/* What the log is told of a run beyond what the sandbox needs to know of it; NULL: not given. */
struct run_identity {
	const char *user, *agent, *skill, *session;
	const char *const *labels; /* KEY=VALUE */
	size_t n_labels;
	const char *code;   /* of -c, or what --lang runs */
	char *const *words; /* of creel run, that give the same run again; NULL at the end */
	enum audit_keep keep[RUN_PAYLOAD_MAX];
	const char *const *witnesses; /* files and URLs */
	size_t n_witnesses;
};

struct run_spec {
	struct sandbox_spec sandbox;
	struct run_identity identity;
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

struct run_audit {
	uint64_t start, end;   /* sequence numbers; end AUDIT_NONE: not written */
	struct buf checkpoint; /* that covers them */
	struct err err;	       /* code > 0: what could not be written or handed on */
};

struct run_result {
	char id[SANDBOX_ID_LEN + 1];
	enum run_end ended_by;
	int exit_code; /* what creel exits with: 125 for 0 if `files` or `lost` is set */
	int signal;    /* that ended the command, or 0 */
	struct buf out, err_out, changes;
	struct buf
		accessed; /* JSON: files read, written, executed (access.h); no data: not watched */
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
	struct run_audit audit;
	char image[IMAGE_DIGEST_SIZE]; /* its digest; "": the host's */
	char overlay[SANDBOX_ID_LEN +
		     1]; /* what creel diff calls the changes of --overlay; "": none */
};

/* 0: the sandbox ran; ret is filled, and run_result_done() is due. Else nothing ran. */
int run(const struct state *state, const struct run_spec *spec, struct run_result *ret,
	struct err *err);
void run_result_done(struct run_result *result);
