/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * attack.h: what every attack program shares. A program tries its cases, prints one line for each
 * and ends with attack_done(): 0 all held, 1 something broke, 2 nothing could be tried.
 *
 * A case counts as held only for an errno that a wall gives (EPERM, EACCES, ENOSYS, or one that
 * the case names with its reason). Any other errno means that the call reached the kernel's own
 * code for it, which is exactly the attack surface that the sandbox promises to close; so the
 * arguments are chosen to be as valid as they can be.
 *
 * The programs are meant for the inside of a sandbox. attack_begin() refuses to go on as the
 * machine's root: that alone is a broken sandbox, and some calls would then do harm.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define ATTACK_UNUSED	     __attribute__((unused))
#define ATTACK_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum attack_verdict {
	ATTACK_HELD,
	ATTACK_BROKEN,
	ATTACK_SKIP,
	ATTACK_VERDICT_MAX,
};

static int attack_count[ATTACK_VERDICT_MAX];
static FILE *attack_stream; /* where the lines go; NULL: stdout */

__attribute__((format(printf, 3, 4))) ATTACK_UNUSED static void
attack_report(enum attack_verdict verdict, const char *name, const char *format, ...)
{
	static const char *const words[ATTACK_VERDICT_MAX] = {"HELD", "BROKEN", "SKIP"};
	FILE *to = attack_stream ? attack_stream : stdout;
	va_list args;

	attack_count[verdict]++;
	fprintf(to, "%s %s ", words[verdict], name);
	va_start(args, format);
	vfprintf(to, format, args);
	va_end(args);
	fputc('\n', to);
	fflush(to);
}

#define HELD(name, ...)	  attack_report(ATTACK_HELD, name, __VA_ARGS__)
#define BROKEN(name, ...) attack_report(ATTACK_BROKEN, name, __VA_ARGS__)
#define SKIP(name, ...)	  attack_report(ATTACK_SKIP, name, __VA_ARGS__)

ATTACK_UNUSED static int attack_done(void)
{
	if (attack_count[ATTACK_BROKEN] > 0)
		return 1;
	return attack_count[ATTACK_HELD] > 0 ? 0 : 2;
}

ATTACK_UNUSED static const char *attack_errno_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "unknown errno";
}

/* Reads up to size - 1 bytes into a string; returns their number or a negative errno. */
ATTACK_UNUSED static ssize_t attack_read_file(const char *path, char *buffer, size_t size)
{
	ssize_t length;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -errno;
	length = read(fd, buffer, size - 1);
	if (length < 0)
		length = -errno;
	close(fd);
	buffer[length > 0 ? length : 0] = '\0';
	return length;
}

ATTACK_UNUSED static bool attack_in_first_user_namespace(void)
{
	char map[256];
	unsigned long inside, outside, count;

	if (attack_read_file("/proc/self/uid_map", map, sizeof(map)) <= 0)
		return false;
	return sscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3 && inside == 0 &&
	       outside == 0 && count == 4294967295UL;
}

ATTACK_UNUSED static void attack_begin(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (geteuid() != 0 || !attack_in_first_user_namespace())
		return;
	BROKEN("sandbox.user_namespace", "runs as root of the machine; not going on");
	exit(attack_done());
}

/*
 * A host directory maps one id: root of the sandbox cannot make files in it, but can become the
 * user that can, and keep its capabilities (prctl(2) PR_SET_KEEPCAPS). That is the strongest
 * position there is towards such a directory.
 */
ATTACK_UNUSED static void attack_become_owner(const char *directory)
{
	struct {
		uint32_t version;
		int pid;
	} header = {0x20080522, 0};
	uint32_t caps[6] = {0};
	struct stat info;

	if (geteuid() != 0 || stat(directory, &info) < 0 || info.st_uid == 0)
		return;
	if (syscall(SYS_capget, &header, caps) < 0 || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_setresgid, info.st_gid, info.st_gid, info.st_gid) < 0 ||
	    syscall(SYS_setresuid, info.st_uid, info.st_uid, info.st_uid) < 0)
		return;
	caps[0] = caps[1];
	caps[3] = caps[4];
	syscall(SYS_capset, &header, caps);
}

/* What a call did in a child of its own: died of a signal, or returned a value and an errno. */
struct attack_outcome {
	int signal;
	long value;
	int err;
};

typedef long (*attack_call)(void *arg);

/* The child gets 5 s; a call that blocks longer dies of SIGALRM and is judged as such. */
ATTACK_UNUSED static struct attack_outcome attack_try(attack_call call, void *arg)
{
	struct attack_outcome out = {.value = -1, .err = EIO};
	int pipes[2], status = 0;
	pid_t child;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return out;
	child = fork();
	if (child == 0) {
		alarm(5);
		errno = 0;
		out.value = call(arg);
		out.err = out.value < 0 ? errno : 0;
		if (write(pipes[1], &out, sizeof(out)) != (ssize_t)sizeof(out))
			_exit(1);
		_exit(0);
	}
	close(pipes[1]);
	if (child < 0 || read(pipes[0], &out, sizeof(out)) != (ssize_t)sizeof(out))
		out.err = EIO;
	close(pipes[0]);
	if (child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status))
		out.signal = WTERMSIG(status);
	return out;
}

/* Errnos that mean "a wall said no"; more[] is ended by 0 and may be NULL. */
ATTACK_UNUSED static bool attack_is_refusal(int err, const int *more)
{
	if (err == EPERM || err == EACCES || err == ENOSYS)
		return true;
	for (; more && *more; more++)
		if (err == *more)
			return true;
	return false;
}

/* Reports one outcome; true when it was held. */
ATTACK_UNUSED static bool attack_judge(const char *name, struct attack_outcome out, const int *more)
{
	if (out.signal == SIGSYS)
		HELD(name, "SIGSYS");
	else if (out.signal != 0)
		BROKEN(name, "reached the kernel: died of signal %d", out.signal);
	else if (out.value >= 0)
		BROKEN(name, "succeeded (%ld)", out.value);
	else if (attack_is_refusal(out.err, more))
		HELD(name, "%s", attack_errno_name(out.err));
	else
		BROKEN(name, "reached the kernel: %s", attack_errno_name(out.err));
	return out.signal == SIGSYS ||
	       (out.signal == 0 && out.value < 0 && attack_is_refusal(out.err, more));
}

/* Judges value (a call's result in this process) and errno. */
ATTACK_UNUSED static bool attack_expect(const char *name, long value, const int *more)
{
	struct attack_outcome out = {.value = value, .err = value < 0 ? errno : 0};

	return attack_judge(name, out, more);
}

/* One raw system call, tried in a child. */
struct attack_syscall {
	const char *name;
	long number;
	unsigned long args[6];
	int more[4]; /* further errnos that count as held, ended by 0 */
};

ATTACK_UNUSED static long attack_syscall_call(void *arg)
{
	const struct attack_syscall *c = arg;

	return syscall(c->number, c->args[0], c->args[1], c->args[2], c->args[3], c->args[4],
		       c->args[5]);
}

ATTACK_UNUSED static bool attack_syscall_case(struct attack_syscall *c)
{
	return attack_judge(c->name, attack_try(attack_syscall_call, c), c->more);
}

#define ATTACK_PTR(pointer) ((unsigned long)(uintptr_t)(pointer))
