/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.c: creel audit: reads, checks and proves the log of one organisation.
 *
 * All commands but `erase` open the log to read and change nothing, so that they work on a log that
 * is damaged, on a copy, and beside runs that append to it.
 */
#include "audit.h"

#include "audit-cmd.h"
#include "creel.h"
#include "state.h"

#include <signal.h>

static void audit_closep(struct audit **log)
{
	audit_close(*log);
}

static int run(const struct audit_options *options, struct err *err)
{
	_cleanup_(audit_closep) struct audit *log = NULL;
	const struct audit_command *command = options->command;
	struct state state;
	char dir[512];
	int r = state_open(options->state, &state, err);

	if (r < 0)
		return r;
	r = state_path(&state, dir, sizeof(dir), "audit");
	if (r < 0)
		return err_errno(err, -r, "audit", "the state's path");
	if (command->opens != AUDIT_OPENS_ITSELF)
		r = audit_open_reader(dir, options->org, &log, err);
	if (r == 0 && command->opens == AUDIT_OPENS_TO_WRITE) {
		log = audit_close(log); /* it exists: none is made by asking */
		r = audit_open(dir, options->org, &log, err);
	}
	return r == 0 ? command->run(log, dir, options, err) : r;
}

int cmd_audit(int argc, char **argv)
{
	struct audit_options options;
	struct err err = {0};
	int r = audit_options_parse(argc, argv, &options, &err);

	if (r < 0)
		return creel_fail(&err, false);
	if (options.help) {
		audit_help(options.command, stdout);
		return 0;
	}
	r = run(&options, &err);
	return r < 0 ? creel_fail(&err, options.json) : r;
}
