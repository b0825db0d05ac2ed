/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-pool-root.c: the pool from a shell, for the integration tests: it needs root, a kernel with
 * btrfs, and faults from outside. One process does what its words say, in order, and prints what it
 * took; it ends at the first failure with "module: text" and the errno as its exit status.
 *
 *   open | sub NAME LIMIT | snap FROM TO LIMIT | rosnap FROM TO LIMIT | del NAME | usage NAME |
 * show sh COMMAND   in the pool's directory        hold   until standard input ends kill N       by
 * SIGKILL before the Nth system call from here; exit status 99 if there are fewer
 */
#include "err.h"
#include "parse.h"
#include "pool.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

struct drive {
	const char *data, *run;
	struct pool *pool;
	char **words;
};

static int64_t now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static uint64_t limit_of(const char *text)
{
	uint64_t bytes = 0;

	if (parse_size(text, &bytes) < 0)
		exit(98);
	return bytes;
}

static int do_open(struct drive *drive, struct err *err)
{
	drive->pool = pool_close(drive->pool);
	return pool_open(drive->data, drive->run, &drive->pool, err);
}

static int do_sub(struct drive *drive, struct err *err)
{
	return pool_subvolume(drive->pool, drive->words[0], limit_of(drive->words[1]), err);
}

static int do_snap(struct drive *drive, struct err *err)
{
	return pool_snapshot(drive->pool, drive->words[0], drive->words[1],
			     limit_of(drive->words[2]), false, err);
}

static int do_rosnap(struct drive *drive, struct err *err)
{
	return pool_snapshot(drive->pool, drive->words[0], drive->words[1],
			     limit_of(drive->words[2]), true, err);
}

static int do_del(struct drive *drive, struct err *err)
{
	return pool_delete(drive->pool, drive->words[0], err);
}

static int do_usage(struct drive *drive, struct err *err)
{
	struct pool_usage usage;
	int r = pool_usage(drive->pool, drive->words[0], &usage, err);

	if (r == 0)
		printf("referenced %llu exclusive %llu limit %llu\n",
		       (unsigned long long)usage.referenced, (unsigned long long)usage.exclusive,
		       (unsigned long long)usage.limit);
	return r;
}

static int do_show(struct drive *drive, struct err *err)
{
	char path[4096];
	int r = pool_show(drive->data, drive->run, path, sizeof(path), err);

	if (r == 0)
		printf("path %s\n", path);
	return r;
}

static int do_sh(struct drive *drive, struct err *err)
{
	fflush(stdout);
	if (drive->pool && chdir(pool_path(drive->pool)) < 0)
		return err_errno(err, errno, "test", "chdir");
	return system(drive->words[0]) == 0 ? 0
					    : err_set(err, ECHILD, "test", "the command failed");
}

static int do_hold(struct drive *drive, struct err *err)
{
	char c;

	(void)drive, (void)err;
	printf("holding\n");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

/* The parent stays and steps the child that goes on with the words. */
static int do_kill(struct drive *drive, struct err *err)
{
	unsigned long n = strtoul(drive->words[0], NULL, 10);
	int status;
	pid_t child;

	(void)err;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		return 0;
	}
	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		/* Each call stops twice: at its start and at its end. */
		if (n-- == 0) {
			kill(child, SIGKILL);
			continue;
		}
		ptrace(PTRACE_SYSCALL, child, 0, 0);
	}
	exit(WIFSIGNALED(status) ? 0 : WEXITSTATUS(status) ? WEXITSTATUS(status) : 99);
}

static const struct {
	const char *name;
	int words;
	int (*fn)(struct drive *drive, struct err *err);
} verbs[] = {
	{"open", 0, do_open},	  {"sub", 2, do_sub}, {"snap", 3, do_snap},
	{"rosnap", 3, do_rosnap}, {"del", 1, do_del}, {"usage", 1, do_usage},
	{"show", 0, do_show},	  {"sh", 1, do_sh},   {"hold", 0, do_hold},
	{"kill", 1, do_kill},
};

static int drive_word(struct drive *drive, int left)
{
	struct err err = {0};
	const char *name = *drive->words++;

	for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
		int64_t start = now_us();
		int r;

		if (strcmp(verbs[i].name, name) != 0 || verbs[i].words >= left)
			continue;
		r = verbs[i].fn(drive, &err);
		if (r < 0) {
			fprintf(stderr, "%s: %s\n", err.module, err.text);
			exit(-r);
		}
		printf("%s %lld us\n", name, (long long)(now_us() - start));
		drive->words += verbs[i].words;
		return 1 + verbs[i].words;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct drive drive = {.data = argv[1], .run = argc > 2 ? argv[2] : NULL, .words = argv + 3};
	int used;

	for (int left = argc - 3; left > 0; left -= used) {
		used = drive_word(&drive, left);
		if (used < 0)
			return 98;
	}
	pool_close(drive.pool);
	return 0;
}
