/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init-process.c: from a START message to exec, in the forked child of creel-init: session,
 * terminal, ids, capabilities, working directory. What fails is told to the host by step and errno.
 */
#include "init-process.h"

#include "io.h"
#include "proto.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <termios.h>

#include "banned.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

extern char **environ;

struct init_start {
	struct guest_start fixed;
	const char *cwd;
	char **argv;
	char **env;
};

static _Noreturn void init_fail(int conn, enum guest_step step, int error)
{
	struct guest_failed failed = {.step = (uint32_t)step, .error = (uint32_t)error};

	/* If the host is gone there is nobody to tell. */
	if (guest_send(conn, GUEST_FAILED, &failed, sizeof(failed), NULL, 0) < 0)
		_exit(126);
	_exit(127);
}

/* The user's capabilities: none for a user, the bounding set without SETPCAP for root inside. */
static int init_drop(const struct guest_start *start)
{
	bool root = start->uid == 0;

	for (int cap = 0; cap < 64; cap++) {
		if (root && cap != CAP_SETPCAP)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL && errno != EPERM)
			return -errno;
	}
	/* With a single id mapped, init already is the only user there is, and has no capabilities.
	 */
	if (getuid() == start->uid && getgid() == start->gid && !root)
		return 0;
	if (setgroups(0, NULL) < 0 && getuid() != 0)
		return -errno;
	if (setresgid(start->gid, start->gid, start->gid) < 0 ||
	    setresuid(start->uid, start->uid, start->uid) < 0)
		return -errno;
	return 0;
}

/*
 * A Landlock domain inside init's own: from within, nothing outside it may be traced, whatever
 * rights a process has (landlock(7), "Ptrace restrictions"). It forbids nothing else: REFER has to
 * be handled and allowed, or renames between directories would fail. A kernel without Landlock has
 * one wall less.
 */
static void init_domain(void)
{
	uint64_t handled[3] = {LANDLOCK_ACCESS_FS_MAKE_BLOCK | 1u << 13 /* REFER, ABI 2 */, 0, 0};
	struct landlock_path_beneath_attr rule = {.allowed_access = 1u << 13};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, handled, sizeof(handled), 0);

	rule.parent_fd = open("/", O_PATH | O_CLOEXEC);
	if (ruleset < 0 || rule.parent_fd < 0)
		return;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0)
		syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
	close(rule.parent_fd);
}

/* A new terminal for this session; its master goes to the host. The user owns the slave. */
static int init_terminal(int conn, const struct guest_start *start)
{
	struct winsize size = {.ws_row = start->rows, .ws_col = start->cols};
	int master, slave, unlock = 0, r;

	master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0)
		return -errno;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return -errno;
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	if (start->rows && start->cols)
		ioctl(master, TIOCSWINSZ, &size);
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return -errno;
	for (int fd = 0; fd < 3; fd++)
		if (dup2(slave, fd) < 0)
			return -errno;
	r = guest_send(conn, GUEST_TTY, NULL, 0, &master, 1);
	return r;
}

static int init_stdio(const int *fds)
{
	for (int fd = 0; fd < 3; fd++)
		if (dup2(fds[fd], fd) < 0)
			return -errno;
	return 0;
}

static _Noreturn void init_child(int conn, const struct init_start *start, const int *fds)
{
	sigset_t none;
	int r;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, 0);
	setsid();
	r = init_drop(&start->fixed);
	if (r < 0)
		init_fail(conn, GUEST_STEP_IDS, -r);
	r = start->fixed.flags & GUEST_START_TTY ? init_terminal(conn, &start->fixed)
						 : init_stdio(fds);
	if (r < 0)
		init_fail(conn, GUEST_STEP_TTY, -r);
	if (chdir(start->cwd) < 0)
		init_fail(conn, GUEST_STEP_CWD, errno);
	init_domain();
	environ = start->env;
	execvp(start->argv[0], start->argv);
	init_fail(conn, GUEST_STEP_EXEC, errno);
}

static int init_start_parse(const struct buf *payload, struct init_start *start)
{
	struct guest_reader reader = {payload->data, payload->len};
	int r;

	r = guest_read(&reader, &start->fixed, sizeof(start->fixed));
	if (r == 0)
		r = guest_read_string(&reader, &start->cwd);
	if (r == 0)
		r = guest_read_strings(&reader, start->fixed.n_argv, &start->argv);
	if (r == 0)
		r = guest_read_strings(&reader, start->fixed.n_env, &start->env);
	if (r == 0 && (start->fixed.n_argv == 0 || reader.left))
		r = -EPROTO;
	return r;
}

int init_process_start(int conn, const struct buf *payload, const int *fds, size_t n_fds,
		       pid_t *ret_pid, bool *ret_last)
{
	struct init_start start = {0};
	pid_t pid = 0;
	int r;

	r = init_start_parse(payload, &start);
	if (r == 0 && n_fds != (start.fixed.flags & GUEST_START_TTY ? 0 : 3))
		r = -EPROTO;
	if (r == 0) {
		pid = fork();
		if (pid == 0)
			init_child(conn, &start, fds);
		if (pid < 0)
			r = -errno;
	}
	free(start.argv);
	free(start.env);
	if (r == 0) {
		*ret_pid = pid;
		*ret_last = start.fixed.flags & GUEST_START_LAST;
	}
	return r;
}
