/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * options.h: the options of `creel run`: one table that parsing, profiles and help share.
 */
#include "ceilings.h"
#include "limit.h"
#include "run.h"
#include "seccomp.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

#define OPTIONS_IN_MAX	      64
#define OPTIONS_ENV_MAX	      1024
#define OPTIONS_WITNESSES_MAX 8

enum options_tty { OPTIONS_TTY_AUTO, OPTIONS_TTY_ON, OPTIONS_TTY_OFF };

/* Strings point into argv, or into the profile's storage, which lives as long as the program. */
struct options {
	const char *image, *workspace, *out, *cwd, *hostname, *lang, *code, *state;
	const char *workspace_name; /* --workspace NAME; `workspace` is a directory's path */
	const char *overlay, *overlay_id, *keep;
	const char *org, *user_id, *agent, *skill, *session;
	const char *witnesses[OPTIONS_WITNESSES_MAX];
	size_t n_witnesses;
	enum audit_keep audit[RUN_PAYLOAD_MAX];
	const char *profile, *level; /* level: NULL if none was named */
	struct sandbox_mount ro[CEIL_MOUNTS];
	size_t n_ro;
	const char *in[OPTIONS_IN_MAX];
	size_t n_in;
	char *env[OPTIONS_ENV_MAX + 1];
	size_t n_env;
	const char *labels[CEIL_LABELS];
	size_t n_labels;
	struct limits limits;
	const struct seccomp_profile *seccomp;
	bool as_root, ephemeral, json, detach, help;
	enum options_tty tty;
	char **argv; /* the command, or the file and arguments with --lang */
	int argc;
};

/* Defaults, then the profile that argv names, then argv, which begins with "run". */
int options_parse(int argc, char **argv, struct options *ret, struct err *err);
/* One option by its name without dashes, as a profile has it; a flag's value is true or false. */
int options_set(struct options *options, const char *name, const char *value, struct err *err);
/* Whether --json is among the options: errors of parsing are told in that form too. */
bool options_wants_json(int argc, char **argv);
