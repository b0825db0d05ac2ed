/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn.c: starts commands and measures how long each takes, from vfork to waitpid.
 *
 *   spawn [-w WARMUP] [-g GAP_MS] PLAN   all commands, alternating; prints the samples as JSON
 *   spawn -j N PLAN                      the first command, N at a time; the wall time, too
 *   spawn -x PLAN                        becomes the first command (to probe or watch it)
 *
 * It is static C because the launcher's own fork counts in every sample: a Python parent would add
 * a millisecond and its noise. For the same reason the child itself takes on the user ids, the
 * mount namespace and the files that a command needs, without a wrapper's second exec.
 *
 * The order is shuffled anew in each round (from a constant seed), because the kernel frees
 * namespaces after waitpid returns: in a fixed order one peer would always pay for the same other.
 * A command whose exit code is not 0, or that hangs, is not run again, and its wait status stands
 * beside its samples: a fast failure is no sample.
 */
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUN_SECONDS    60 /* a command that hangs ends the benchmark */
#define EXIT_SET_UP    126
#define EXIT_NOT_FOUND 127

struct options {
	long warmup, gap_ms, jobs;
	bool become;
};

/* ---- one run ---- */

/* The child_ functions run in a vfork child, whose memory is the parent's: they write nothing. */
static void child_check(int result, const char *what)
{
	if (result >= 0)
		return;
	dprintf(STDERR_FILENO, "spawn: %s: %s\n", what, strerror(errno));
	_exit(EXIT_SET_UP);
}

static void child_open(int number, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	child_check(fd, path);
	if (fd == number) /* dup2 would do nothing and leave it close-on-exec */
		child_check(fcntl(fd, F_SETFD, 0), path);
	else
		child_check(dup2(fd, number), path);
}

static void child_take_ids(const struct command *command)
{
	child_check(setgroups(0, NULL), "setgroups");
	child_check(setresgid(command->gid, command->gid, command->gid), "setresgid");
	child_check(setresuid(command->uid, command->uid, command->uid), "setresuid");
}

static void child_enter(const struct command *command)
{
	if (command->mntns) {
		int fd = open(command->mntns, O_RDONLY | O_CLOEXEC);

		child_check(fd, command->mntns);
		child_check(setns(fd, CLONE_NEWNS), "setns");
	}
	for (size_t i = 0; i < command->fdc; i++)
		child_open(command->fds[i].number, command->fds[i].path, O_RDONLY);
	if (command->has_ids)
		child_take_ids(command);
	if (command->cwd)
		child_check(chdir(command->cwd), command->cwd);
}

static _Noreturn void child_exec(const struct command *command)
{
	execve(command->argv[0], command->argv, command->envp);
	dprintf(STDERR_FILENO, "spawn: %s: %s\n", command->argv[0], strerror(errno));
	_exit(EXIT_NOT_FOUND);
}

static pid_t start(const struct command *command)
{
	pid_t pid = vfork();

	if (pid < 0)
		die("vfork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	child_enter(command);
	/* After the ids, whose change clears it: a benchmark that is stopped leaves nothing
	 * running. */
	child_check(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
	child_open(STDIN_FILENO, "/dev/null", O_RDONLY);
	child_open(STDOUT_FILENO, "/dev/null", O_WRONLY);
	child_open(STDERR_FILENO, "/dev/null", O_WRONLY);
	child_exec(command);
}

/* The alarm only interrupts the wait: no handler runs into the shared memory of a vfork child. */
static void on_alarm(int signal)
{
	(void)signal;
}

static void watch_time(void)
{
	struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART: wait returns EINTR */

	if (sigaction(SIGALRM, &action, NULL) < 0)
		die("sigaction: %s", strerror(errno));
}

/* A command that hangs is killed; its status then says so. */
static int wait_bounded(pid_t pid)
{
	int status;

	alarm(RUN_SECONDS);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			die("waitpid: %s", strerror(errno));
		kill(pid, SIGKILL);
	}
	alarm(0);
	return status;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t run_once(struct command *command)
{
	int64_t begin = now_ns();

	command->status = wait_bounded(start(command));
	return now_ns() - begin;
}

/* ---- the modes ---- */

static void sleep_ms(long ms)
{
	struct timespec gap = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&gap, NULL);
}

static uint64_t next_random(void)
{
	static uint64_t state = 88172645463325252u; /* xorshift64, Marsaglia 2003 */

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void shuffle(size_t *order, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t j = next_random() % i, held = order[i - 1];

		order[i - 1] = order[j];
		order[j] = held;
	}
}

/* True in `rounds` of the `total` rounds, evenly spread. */
static bool is_due(long round, long rounds, long total)
{
	return (round + 1) * rounds / total > round * rounds / total;
}

static void run_round(struct plan *plan, const struct options *options, long round, long total)
{
	size_t order[COMMANDS_MAX];

	for (size_t i = 0; i < plan->count; i++)
		order[i] = i;
	shuffle(order, plan->count);
	for (size_t i = 0; i < plan->count; i++) {
		struct command *command = &plan->commands[order[i]];

		if (command->status || !is_due(round, command->rounds, total))
			continue;
		sleep_ms(options->gap_ms);
		int64_t took = run_once(command);
		if (!command->status)
			command->samples[command->sample_count++] = took;
	}
}

static void prepare(struct plan *plan, const struct options *options, long *ret_total)
{
	long total = 1;

	for (size_t i = 0; i < plan->count; i++) {
		struct command *command = &plan->commands[i];

		for (long k = 0; k < options->warmup && !command->status; k++)
			(void)run_once(command);
		command->samples = calloc((size_t)command->rounds, sizeof(*command->samples));
		if (!command->samples)
			die("no memory for %ld samples", command->rounds);
		if (command->rounds > total)
			total = command->rounds;
	}
	*ret_total = total;
}

static void print_result(const struct command *command)
{
	printf("\"%s\": {\"status\": %d, \"ns\": [", command->name, command->status);
	for (size_t i = 0; i < command->sample_count; i++)
		printf("%s%lld", i ? "," : "", (long long)command->samples[i]);
	printf("]}");
}

static void sample_all(struct plan *plan, const struct options *options)
{
	long total;

	prepare(plan, options, &total);
	for (long round = 0; round < total; round++)
		run_round(plan, options, round, total);
	for (size_t i = 0; i < plan->count; i++) {
		fputs(i ? ",\n" : "{", stdout);
		print_result(&plan->commands[i]);
	}
	puts("}");
}

/* A run under way, when many are at once. */
struct running {
	pid_t pid; /* 0: free */
	int64_t begin;
};

static struct running *find_running(struct running *all, long jobs, pid_t pid)
{
	for (long i = 0; i < jobs; i++)
		if (all[i].pid == pid)
			return &all[i];
	die("process %d was never started", (int)pid);
}

static void end_one(struct command *command, struct running *all, long jobs)
{
	int status;
	pid_t pid = wait(&status);

	if (pid < 0)
		die("%s: wait: %s", command->name, strerror(errno));
	struct running *ended = find_running(all, jobs, pid);
	ended->pid = 0;
	command->samples[command->sample_count++] = now_ns() - ended->begin;
	if (status)
		command->status = status;
}

/* `wall` is the time of all together, the status that of the last that failed. */
static void run_parallel(struct command *command, long jobs)
{
	struct running *all = calloc((size_t)jobs, sizeof(*all));
	long started = 0, running = 0;
	int64_t begin = now_ns();

	command->samples = calloc((size_t)command->rounds, sizeof(*command->samples));
	if (!all || !command->samples)
		die("no memory for %ld samples", command->rounds);
	alarm(RUN_SECONDS);
	while (started < command->rounds || running) {
		if (started < command->rounds && running < jobs) {
			struct running *next = find_running(all, jobs, 0);

			next->begin = now_ns();
			next->pid = start(command);
			started++;
			running++;
			continue;
		}
		end_one(command, all, jobs);
		running--;
	}
	int64_t wall = now_ns() - begin;
	fputs("{", stdout);
	print_result(command);
	printf(",\n\"wall\": %lld}\n", (long long)wall);
	free(all);
}

static void parse_options(int argc, char **argv, struct options *ret_options)
{
	int option;

	while ((option = getopt(argc, argv, "w:g:j:x")) != -1) {
		if (option == 'w')
			ret_options->warmup = parse_number(optarg, ROUNDS_MAX);
		else if (option == 'g')
			ret_options->gap_ms = parse_number(optarg, 60000);
		else if (option == 'j')
			ret_options->jobs = parse_number(optarg, 1024);
		else if (option == 'x')
			ret_options->become = true;
		else
			exit(EXIT_FAILURE);
	}
	if (optind + 1 != argc)
		die("usage: spawn [-w WARMUP] [-g GAP_MS] [-j JOBS] [-x] PLAN");
}

int main(int argc, char **argv)
{
	static struct plan plan; /* too large for the stack */
	struct options options = {0};

	parse_options(argc, argv, &options);
	plan_read(argv[optind], &plan);
	if (options.become) {
		child_enter(&plan.commands[0]);
		child_exec(&plan.commands[0]);
	}
	watch_time();
	if (options.jobs)
		run_parallel(&plan.commands[0], options.jobs);
	else
		sample_all(&plan, &options);
	return 0;
}
