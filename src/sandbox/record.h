/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * record.h: what the audit log tells of a run. `run.start` is durable before the command executes:
 * if it cannot be written, nothing runs. `run.end` follows when everything is dead and counted.
 * Both are bounded; what is personal or large goes into payloads beside the log (audit.h).
 */
#include "audit.h"
#include "run.h"

struct record {
	struct audit *log;
	char run[SANDBOX_ID_LEN + 1];
	bool started; /* its start is in the log, and its end is not */
	uint64_t inputs_mark;
	uint64_t start_seq;
	struct audit_blob *outputs[2]; /* stdout and stderr as they pass */
	struct buf lost;	       /* payloads that could not be kept: "stdout: why\n" */
	const struct run_spec *spec;
};

/* For each witness that is a URL, after the run. */
#define RECORD_WITNESS_MS 10000

#define RECORD_INIT ((struct record){.lost = BUF_INIT(4096)})

/* After sandbox_start(): the log is written while the sandbox raises its walls. */
int record_start(struct record *record, const struct state *state, const struct run_spec *spec,
		 const struct sandbox *sandbox, struct err *err);
/* When the command runs: what of the log can wait until then. */
void record_settle(struct record *record);
/* After the inputs were copied in: -EAGAIN if they are not what the record says. */
int record_inputs_same(const struct record *record, struct err *err);
/* What passed to the caller's stdout (1) or stderr (2), or was captured for it. */
void record_output(struct record *record, int stream, const void *data, size_t len);
/* Fills ret->audit. ret->audit.err.code > 0: the record or a witness failed. */
void record_end(struct record *record, struct run_result *ret);
/* It could not be started after all, and why: a record that has begun has an end. */
void record_failed(struct record *record, const struct err *why);
void record_done(struct record *record);
