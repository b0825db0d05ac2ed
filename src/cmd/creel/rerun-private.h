/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* rerun-private.h: what the two halves of `creel rerun` share: running again, and comparing. */
#include "audit-cmd.h"
#include "audit.h"
#include "ceilings.h"
#include "err.h"
#include "run.h"

#define RERUN_EXIT_DIFFERS 1

struct rerun {
	struct audit *log;
	const char *org, *state;
	char **env; /* NAME=VALUE of the caller: values are not in the record */
	size_t n_env;
	bool json, help;
	json_t *start, *end; /* records of the old run; end may be NULL */
	json_t *differences; /* lines, each of what came out differently */
	struct buf words, code;
};

/* Fills differences. */
int rerun_compare(struct rerun *rerun, const struct run_result *result, struct err *err);
