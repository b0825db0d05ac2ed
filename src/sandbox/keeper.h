/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * keeper.h: a helper process for the files of one sandbox: it copies --in before the start, looks
 * at the trees then and at the end, tells what changed, and copies --out. Rootless it lives in the
 * sandbox's user namespace, where alone the files' owners can be read; and whatever a hostile tree
 * does to it, it does to this process only.
 */
#include "buf.h"
#include "err.h"
#include "sandbox.h"

struct keeper {
	pid_t pid;
	int conn;
};

#define KEEPER_INIT ((struct keeper){.conn = -1})

struct keeper_result {
	int64_t r;	     /* of --out: 0 or a negative errno, with err */
	uint64_t disk_bytes; /* of a layer that is a directory */
	uint64_t skipped;    /* files that --out does not take: devices, links that lead outside */
	uint32_t truncated;  /* there were more changes than are listed */
	uint32_t json_len;
	struct err err;
};

/*
 * Whether the trees must be filled or looked at before the command runs. Else the layer is fresh,
 * and the helper is only started at the end, and not at all if nothing was written.
 */
bool keeper_is_early(const struct sandbox_spec *spec);
bool keeper_sees_nothing(const struct sandbox *sandbox);
/*
 * Early: after sandbox_wait_set(), before sandbox_go(). Late: after sandbox_stop(). look:
 * keeper_finish() is to tell what changed (else the helper only fills, and is not asked again);
 * want_changes: as a list.
 */
int keeper_start(const struct sandbox *sandbox, bool look, bool want_changes,
		 struct keeper *ret_keeper, struct err *err);
/* It has filled and looked; keeper.conn is readable then. */
int keeper_ready(struct keeper *keeper, struct err *err);
/*
 * After sandbox_stop(): lets it look; out_fd: directory for --out, or -1. keeper.conn becomes
 * readable when it is done, which a large tree delays.
 */
int keeper_ask(struct keeper *keeper, int out_fd, struct err *err);
/* The answer; appends the JSON array of changes to json (if they were wanted). */
int keeper_finish(struct keeper *keeper, struct buf *json, struct keeper_result *ret,
		  struct err *err);
void keeper_done(struct keeper *keeper);
