/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: creel's subcommands. */
#include "creel.h"
#include "version.h"

#include <malloc.h>
#include <signal.h>
#include <sys/stat.h>

static const struct {
	const char *name, *what;
	int (*run)(int argc, char **argv);
	const char *usage;
} commands[] = {
	{"run", "run a command in a sandbox", cmd_run, NULL},
	{"doctor", "what this machine can isolate, what is missing, and the fix", cmd_doctor,
	 "usage: creel doctor [--json] [--state DIR]\n\n"
	 "Looks at the kernel and at this user, starts a sandbox as a test, and prints what "
	 "works,\n"
	 "what is missing and the exact fix. Exits with 0 if sandboxes work here, else 1.\n"},
	{"image", "root filesystems: what is there, build, pull, import, remove", cmd_image,
	 image_usage},
	{"diff", "what a run with --overlay changed", cmd_diff, diff_usage},
	{"apply", "take a run's changes over into the directory", cmd_apply, apply_usage},
	{"discard", "forget a run's changes", cmd_discard, discard_usage},
	{"agent", "what agents keep: list, remove, path", cmd_kept, agent_usage},
	{"workspace", "named workspaces: list, remove, path", cmd_kept, workspace_usage},
	{"layer", "layers of --keep: list, remove, path", cmd_kept, layer_usage},
	{"audit", "the log of every run: show, search, verify, prove", cmd_audit,
	 "usage: creel audit COMMAND [OPTION]...; creel audit --help lists them\n"},
	{"rerun", "a run of the log once more, and what comes out differently", cmd_rerun,
	 "usage: creel rerun [--json] [--org ORG] [--state DIR] [--env K=V]... SEQ|RUN\n\n"
	 "Runs the command of a record again: the same image, options, inputs and code, with its\n"
	 "standard input from here. Tells what differs: inputs, exit code, output, changed files.\n"
	 "Values of environment variables are not in the log: give them again. Exits with 0 if\n"
	 "nothing differs, 1 if something does.\n"},
	{"wait", "wait for a detached run; exits with its code", cmd_wait,
	 "usage: creel wait [--json] [--state DIR] ID\n\n"
	 "Waits for the run that creel run --detach started and exits with its exit code.\n"
	 "--json prints its result.\n"},
	{"logs", "print what a detached run has written", cmd_logs,
	 "usage: creel logs [-f] [--state DIR] ID\n\n"
	 "Prints the run's stdout and stderr so far. -f, --follow: until its end.\n"},
	{"kill", "end a detached run", cmd_kill,
	 "usage: creel kill [--state DIR] ID\n\n"
	 "Sends SIGTERM to every process of the run, kills what is left after two seconds, and\n"
	 "returns when nothing is.\n"},
	{"help", "print help for a command", cmd_help, "usage: creel help [COMMAND]\n"},
};

static void usage(FILE *out)
{
	fputs("creel runs the code that AI agents write in sandboxes.\n\n"
	      "usage: creel COMMAND [OPTION]...\n\n",
	      out);
	for (size_t i = 0; i < ELEMENTSOF(commands); i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].what);
	fputs("\ncreel help COMMAND tells more; start with creel doctor. creel --version.\n", out);
}

int cmd_help(int argc, char **argv)
{
	if (argc < 2) {
		usage(stdout);
		return 0;
	}
	for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		if (commands[i].usage)
			fputs(commands[i].usage, stdout);
		else
			help_run(stdout);
		return 0;
	}
	fprintf(stderr, "creel: there is no command %s; see creel help\n", argv[1]);
	return CREEL_EXIT_FAILED;
}

int main(int argc, char **argv)
{
	/* The sandbox's tree has the modes that are asked for, whatever the caller's mask is. */
	umask(022);
	/* What the caller left open is not for a sandbox, and not for us. */
	close_range(3, ~0u, 0);
	/* Ends of children are waited for, whatever the caller did with the signal. */
	signal(SIGCHLD, SIG_DFL);
	/* Buffers come and go: the heap need not be given back and asked for again in between. */
	mallopt(M_TOP_PAD, 1 << 18);
	mallopt(M_TRIM_THRESHOLD, 1 << 24);
	if (argc < 2) {
		usage(stderr);
		return CREEL_EXIT_FAILED;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cmd_help(1, argv + 1);
	if (strcmp(argv[1], "--version") == 0) {
		puts("creel " CREEL_VERSION);
		return 0;
	}
	for (size_t i = 0; i < ELEMENTSOF(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "creel: there is no command %s; see creel help\n", argv[1]);
	return CREEL_EXIT_FAILED;
}
