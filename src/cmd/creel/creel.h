/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * creel.h: what the files of the command line share: exit codes and the subcommands.
 */
#include "err.h"

#include <stdbool.h>

enum {
	CREEL_EXIT_FAILED = 125, /* creel itself */
};

/* Each takes argv from its own name on and returns what creel exits with. */
int cmd_run(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_wait(int argc, char **argv);
int cmd_logs(int argc, char **argv);
int cmd_kill(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_rerun(int argc, char **argv);
int cmd_image(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_apply(int argc, char **argv);
int cmd_discard(int argc, char **argv);
int cmd_kept(int argc, char **argv); /* argv[0]: workspace, agent or layer */
int cmd_help(int argc, char **argv);

/* "creel: …", or with json one object {"error": …} on stdout; returns CREEL_EXIT_FAILED. */
int creel_fail(const struct err *err, bool json);
extern const char image_usage[];
extern const char diff_usage[], apply_usage[], discard_usage[];
extern const char workspace_usage[], agent_usage[], layer_usage[];
void help_run(FILE *out); /* run's options, from the table */
