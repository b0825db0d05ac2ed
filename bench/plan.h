/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * plan.h: the commands that spawn measures, read from a file.
 *
 * A plan is text, one word and its value a line, and trusted: bench.py writes it.
 *   cmd NAME           starts a command; the lines below are about it
 *   arg TEXT           one argument, in order
 *   env NAME=VALUE     the environment holds these and nothing else
 *   cwd DIR
 *   ids UID GID        no supplementary groups remain
 *   mntns FILE         a mount namespace to enter
 *   fd NUMBER FILE     open for reading at that number
 *   rounds N           how often it is measured; fewer than others are spread evenly
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define COMMANDS_MAX 64
#define ARGS_MAX     128
#define FDS_MAX	     4
#define ROUNDS_MAX   100000

struct extra_fd {
	int number;
	const char *path;
};

struct command {
	const char *name;
	char *argv[ARGS_MAX + 1];
	char *envp[ARGS_MAX + 1];
	size_t argc, envc, fdc;
	struct extra_fd fds[FDS_MAX];
	const char *cwd, *mntns;
	bool has_ids;
	uid_t uid;
	gid_t gid;
	long rounds;
	int status;	  /* of wait(2); not 0: it failed and is not run again */
	int64_t *samples; /* nanoseconds */
	size_t sample_count;
};

struct plan {
	struct command commands[COMMANDS_MAX];
	size_t count;
};

/* Prints one line and ends the program: a wrong plan or sample makes the whole run worthless. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The whole text must be a decimal number from 0 to max. */
long parse_number(const char *text, long max);

/* The plan points into the lines that were read, which stay allocated until the program ends. */
void plan_read(const char *path, struct plan *ret_plan);
