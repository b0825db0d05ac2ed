/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c: creel-init, PID 1 of a sandbox. It reaps, starts processes, passes signals and tells how
 * processes ended. Everything inside may attack it: it holds no secret, reads nothing that the
 * sandbox wrote, and its answers are not trusted outside. It runs under the sandbox's own system
 * call filter, from a sealed memfd that nobody can read or trace. It keeps SETUID, SETGID, KILL and
 * SETPCAP to become the user that a process is started for; the process gets none of them, or the
 * --root set.
 *
 * Single-threaded: poll(2) over the control connection, one connection for each process, and
 * SIGCHLD through a signalfd.
 */
#include "ceilings.h"
#include "init-process.h"
#include "io.h"
#include "proto.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "banned.h"

#define INIT_PROCESSES_MAX 1024

struct init_process {
	int conn;  /* -EBADF: the host closed it */
	pid_t pid; /* 0: not started yet */
	bool last;
};

struct init {
	int signals;
	size_t n;
	struct init_process process[INIT_PROCESSES_MAX];
	struct pollfd poll[INIT_PROCESSES_MAX + 2];
	struct buf payload;
};

static void init_forget(struct init *init, size_t i)
{
	fd_close(init->process[i].conn);
	init->process[i] = init->process[--init->n];
}

static void init_tell_exit(struct init *init, pid_t pid, int status)
{
	struct guest_exited exited = {.status = status};

	for (size_t i = 0; i < init->n; i++) {
		if (init->process[i].pid != pid)
			continue;
		if (init->process[i].conn >= 0 && guest_send(init->process[i].conn, GUEST_EXITED,
							     &exited, sizeof(exited), NULL, 0) < 0)
			init->process[i].conn = fd_close(init->process[i].conn);
		if (init->process[i].last)
			_exit(0); /* the kernel kills what is left in the namespace */
		init_forget(init, i);
		return;
	}
}

static void init_reap(struct init *init)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(init->signals, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		init_tell_exit(init, pid, status);
}

/* The control connection: one OPEN for each new process. */
static int init_control(struct init *init)
{
	int conn = -EBADF;
	size_t n_fds = 0;
	uint16_t type;
	int r;

	r = guest_recv(GUEST_CONTROL_FD, GUEST_REPLY_MAX, &type, &init->payload, &conn, 1, &n_fds);
	if (r < 0)
		return r;
	if (type != GUEST_OPEN || n_fds != 1 || init->n >= INIT_PROCESSES_MAX) {
		fd_close(n_fds ? conn : -EBADF);
		return n_fds ? 0 : -EPROTO;
	}
	init->process[init->n++] = (struct init_process){.conn = conn};
	return 0;
}

/* The group that a process leads, or the process itself before it leads one. */
static void init_kill(pid_t pid, int number)
{
	if (kill(-pid, number) < 0)
		kill(pid, number);
}

static int init_signal(const struct init_process *process, const struct buf *payload)
{
	struct guest_reader reader = {payload->data, payload->len};
	struct guest_signal signal;
	int r = guest_read(&reader, &signal, sizeof(signal));

	if (r < 0)
		return r;
	if (process->pid <= 0 || signal.number == 0 || signal.number > 64)
		return 0;
	if (signal.scope == GUEST_SCOPE_ALL)
		kill(-1, (int)signal.number);
	else
		init_kill(process->pid, (int)signal.number);
	return 0;
}

/* One message of a process' connection. A negative result ends the connection. */
static int init_message(struct init *init, struct init_process *process)
{
	int fds[3] = {-EBADF, -EBADF, -EBADF};
	size_t n_fds = 0;
	uint16_t type;
	int r;

	r = guest_recv(process->conn, CEIL_FRAME, &type, &init->payload, fds, 3, &n_fds);
	if (r < 0)
		return r;
	switch (type) {
	case GUEST_START:
		r = process->pid ? -EPROTO
				 : init_process_start(process->conn, &init->payload, fds, n_fds,
						      &process->pid, &process->last);
		break;
	case GUEST_SIGNAL:
		r = init_signal(process, &init->payload);
		break;
	default:
		r = -EPROTO;
	}
	for (size_t i = 0; i < n_fds; i++)
		fd_close(fds[i]);
	return r;
}

static void init_connection(struct init *init, size_t i)
{
	struct init_process *process = &init->process[i];

	if (init_message(init, process) >= 0)
		return;
	if (process->pid <= 0) {
		init_forget(init, i);
		return;
	}
	init_kill(process->pid, SIGKILL);
	process->conn = fd_close(process->conn);
}

static int init_turn(struct init *init)
{
	size_t n = init->n;

	init->poll[0] = (struct pollfd){.fd = GUEST_CONTROL_FD, .events = POLLIN};
	init->poll[1] = (struct pollfd){.fd = init->signals, .events = POLLIN};
	for (size_t i = 0; i < n; i++)
		init->poll[2 + i] = (struct pollfd){.fd = init->process[i].conn, .events = POLLIN};
	if (poll(init->poll, 2 + n, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	/* From the last to the first: init_forget() moves the last one down. */
	for (size_t i = n; i-- > 0;)
		if (init->poll[2 + i].revents)
			init_connection(init, i);
	if (init->poll[0].revents) {
		int r = init_control(init);

		if (r < 0)
			return r;
	}
	if (init->poll[1].revents)
		init_reap(init);
	return 0;
}

int main(void)
{
	static struct init init;
	sigset_t mask;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* What creel or its caller ignored is not to be ignored by every command inside. */
	for (int number = 1; number < 32; number++)
		signal(number, SIG_DFL);
	/* It came through our exec; it must not go through a command's. */
	fcntl(GUEST_CONTROL_FD, F_SETFD, FD_CLOEXEC);
	init.payload = BUF_INIT(CEIL_FRAME);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	init.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (init.signals < 0)
		return 1;
	while (init_turn(&init) >= 0)
		;
	return 0;
}
