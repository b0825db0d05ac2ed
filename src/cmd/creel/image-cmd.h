/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* image-cmd.h: what the files of creel image share. */
#include "err.h"

#include <stdbool.h>

struct state;

struct image_args {
	const char *name;     /* of the subcommand */
	const char *words[2]; /* after it */
	int n_words;
	const char *state, *recipe;
	bool json, dry_run, plain_http, help;
};

int image_ls(const struct image_args *args, struct state *state, struct err *err);
int image_inspect(const struct image_args *args, struct state *state, struct err *err);
