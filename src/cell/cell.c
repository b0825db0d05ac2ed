/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cell.c: the clone, the order of the steps, and the talk between the two processes.
 *
 * As root the user namespace comes last: all others belong to the initial one, so that root inside
 * can own and change files but cannot touch mounts, the hostname, or the network. Rootless it has
 * to come first. Everything between is one path. The child is a copy of its parent and holds copies
 * of all its descriptors until it closes what it does not know, before any wall; it runs no code of
 * the sandbox before the second cell_continue().
 */
#include "cell.h"
#include "cell-private.h"
#include "err.h"
#include "io.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CONTROL_FD 3
#define INIT_FD	   4
#define REPORT_FD  5

struct report {
	bool set;
	struct err err; /* !set */
};

/* The parent's word, or its death: then the child has nothing left to do. */
static void wait_for_parent(struct cell_plan *plan, int report)
{
	char byte;

	if (io_recv_fds(report, &byte, 1, plan->fds, CELL_FDS_MAX, &plan->n_fds) < 0)
		_exit(1);
}

static int network(const struct cell_plan *plan, struct err *err)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	_cleanup_close_ int sock = -EBADF;

	if (unshare(CLONE_NEWNET) < 0)
		return FAIL("network namespace");
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || ioctl(sock, SIOCSIFFLAGS, &lo) < 0 ||
	    sethostname(plan->hostname, strlen(plan->hostname)) < 0)
		return FAIL("cannot bring up lo or set the host name");
	return 0;
}

static int join_groups(const struct cell_plan *plan, struct err *err)
{
	/* "0" to `tasks` is this thread: a whole-process move would wait for an RCU period. */
	for (size_t i = plan->first_join; i < plan->n_fds; i++)
		if (write(plan->fds[i], "0", 1) != 1)
			return FAIL("cannot join a control group");
	if (unshare(CLONE_NEWCGROUP) < 0)
		return FAIL("cgroup namespace");
	if (plan->cpus && sched_setaffinity(0, plan->cpus_size, (const cpu_set_t *)plan->cpus) < 0)
		return FAIL("cannot set the CPU affinity");
	return 0;
}

/* 0 to 2 /dev/null, then control, init and report; everything else is closed. */
static int descriptors(const struct cell_plan *plan, int report, struct err *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), high[3];
	const int from[3] = {plan->control_fd, plan->init_fd, report};

	for (int i = 0; i < 3; i++) /* out of the way first: the sources may be 3 to 5 themselves */
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 64);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
	    dup2(high[0], CONTROL_FD) < 0 || dup3(high[1], INIT_FD, O_CLOEXEC) < 0 ||
	    dup3(high[2], REPORT_FD, O_CLOEXEC) < 0 || close_range(REPORT_FD + 1, ~0u, 0) < 0)
		return FAIL("cannot arrange descriptors");
	return 0;
}

static int child_prepare(struct cell_plan *plan, int report, int *fds, struct err *err)
{
	int sysctl = -1;

	if (network(plan, err) < 0)
		return -EIO;
	wait_for_parent(plan, report);
	if ((plan->rootless && walls_enter_ids(plan, err) < 0) ||
	    mounts_build(plan, &fds[0], &sysctl, err) < 0 || join_groups(plan, err) < 0 ||
	    (!plan->rootless && walls_enter_ids(plan, err) < 0))
		return -EIO;
	return walls_raise(plan, sysctl, &fds[1], err);
}

static _Noreturn void child(struct cell_plan *plan, int report)
{
	char *const argv[] = {(char[]){"creel-init"}, NULL}, *const env[] = {NULL};
	struct report message = {.set = true};
	struct err *err = &message.err;
	int fds[2] = {-1, -1};

	setsid();
	if (child_prepare(plan, report, fds, err) == 0) {
		/* For the read-back only: exec of the unreadable init undoes it. */
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		/* The walls stand: the report goes first, for its descriptors are closed next. */
		if (io_send_fds(report, &message, sizeof(message), fds, fds[1] < 0 ? 1 : 2) < 0)
			_exit(1);
		if (descriptors(plan, report, err) == 0) {
			report = REPORT_FD;
			wait_for_parent(plan, report);
			syscall(SYS_execveat, INIT_FD, "", argv, env, AT_EMPTY_PATH);
			FAIL("cannot execute init");
		}
	}
	message.set = false;
	_exit(io_send_fds(report, &message, sizeof(message), NULL, 0) < 0 ? 2 : 1);
}

int cell_start(const struct cell_plan *plan, struct cell *ret_cell, struct err *err)
{
	int pair[2], pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS |
			 (plan->rootless ? CLONE_NEWUSER : 0) |
			 (plan->cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
		.exit_signal = SIGCHLD,
		.pidfd = (uintptr_t)&pidfd,
		.cgroup = (unsigned)plan->cgroup_fd,
	};
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return FAIL("socketpair");
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		struct cell_plan own = *plan;

		close(pair[0]);
		child(&own, pair[1]);
	}
	close(pair[1]);
	if (pid < 0) {
		fd_close(pair[0]);
		return FAIL("cannot create namespaces");
	}
	*ret_cell = (struct cell){.pid = pid, .pidfd = pidfd, .report = pair[0]};
	return 0;
}

int cell_continue(struct cell *cell, const int *fds, size_t n_fds, struct err *err)
{
	int r = io_send_fds(cell->report, "", 1, fds, n_fds);

	return r < 0 ? err_errno(err, -r, "cell", "the sandbox's first process is gone") : 0;
}

int cell_wait(struct cell *cell, int *ret_layer, int *ret_notify, struct err *err)
{
	struct report message = {0};
	int fds[2] = {-1, -1}, r;
	size_t n = 0;

	r = io_recv_fds(cell->report, &message, sizeof(message), fds, 2, &n);
	if (r == -ECONNRESET) /* it ended with our word unread; its report is still in the queue */
		r = io_recv_fds(cell->report, &message, sizeof(message), fds, 2, &n);
	if (r == -ENODATA)
		return 1;
	if (r < 0)
		return err_errno(err, -r, "cell", "no report from the sandbox's first process");
	if (!message.set) {
		*err = message.err;
		return err->code > 0 ? -err->code : -EIO;
	}
	*ret_layer = fds[0];
	*ret_notify = fds[1];
	return 0;
}

void cell_done(struct cell *cell)
{
	if (cell->pidfd >= 0) {
		syscall(SYS_pidfd_send_signal, cell->pidfd, SIGKILL, NULL, 0);
		while (waitpid(cell->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	fd_close(cell->pidfd);
	fd_close(cell->report);
	*cell = CELL_INIT;
}
