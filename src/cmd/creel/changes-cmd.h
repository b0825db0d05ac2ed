/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * changes-cmd.h: what the files of `creel diff`, `apply` and `discard` share.
 */
#include "changes.h"

#include <stdio.h>

struct changes_show {
	bool stat, json, zero; /* else patches */
	const char *const *paths;
	size_t n_paths; /* 0: everything */
};

/* What path names: itself and what is below it. */
bool changes_cmd_wants(const char *const *paths, size_t n_paths, const char *path);
/* Prints to stdout. -ENOENT: paths are given and none has a change. */
_must_check_ int changes_cmd_show(const struct changes *changes, const char *id,
				  const struct changes_show *show, struct err *err);
/* 0, also for a reader that has left, or an error of stdout. */
_must_check_ int changes_cmd_flush(struct err *err);
/* A name that may go to a terminal, quoted if it must be. */
void changes_cmd_name(FILE *out, const char *name);
