/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes and descriptors: fork bomb, zombies, orphans for init to reap, threads, open files,
 * files in flight through unix sockets (unix(7)), inotify and timer objects; and processes that
 * do not want to end: stopped, deaf to SIGTERM, daemonised, holding stdout after their parent.
 * The driver sets --pids 64; the ceiling here is 2,000 processes.
 */
#include "bomb.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define CEILING 2000

static atomic_long *counter; /* shared by all the processes of a bomb */

__attribute__((noreturn)) static void wait_forever(void)
{
	for (;;)
		pause();
}

static void make_counter(void)
{
	counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counter == MAP_FAILED)
		exit(bomb_refused("counter", errno, 0));
}

/* Counts until fork refuses, then leaves; the children wait to be killed. */
static int run_fork(void)
{
	for (unsigned long done = 0; done < CEILING; done++) {
		pid_t child = fork();

		if (child < 0)
			return bomb_refused("fork", errno, done);
		if (child == 0) {
			pause();
			_exit(0);
		}
	}
	return bomb_unlimited("pids.fork", CEILING);
}

/* The real thing: each process forks for ever, and goes on when it is refused. */
static int run_endless_fork(void)
{
	make_counter();
	puts("READY");
	fflush(stdout);
	for (;;) {
		if (atomic_load(counter) > 10 * CEILING)
			return bomb_unlimited("pids.endless_fork", 10 * CEILING);
		if (fork() == 0)
			atomic_fetch_add(counter, 1);
		else
			usleep(100);
	}
}

/* Children that nobody waits for; far fewer than the machine's own limit if none is set. */
static int run_zombies(void)
{
	for (unsigned long done = 0; done < 2 * CEILING; done++) {
		pid_t child = fork();

		if (child < 0)
			return bomb_refused("zombies", errno, done);
		if (child == 0)
			_exit(0);
	}
	return bomb_unlimited("pids.zombies", 2 * CEILING);
}

/* 100,000 orphans, one after another: init must reap each, or the pids run out. */
static int run_orphans(void)
{
	for (unsigned long done = 0, refused = 0; done < 100000; done++) {
		pid_t child = fork();

		if (child == 0)
			_exit(fork() < 0);
		if (child < 0) {
			if (++refused > 5000)
				return bomb_refused("orphans", errno, done);
			usleep(1000);
			done--;
			continue;
		}
		waitpid(child, NULL, 0);
	}
	puts("DONE orphans");
	return 0;
}

static void *thread_main(void *arg)
{
	pause();
	return arg;
}

static int run_threads(void)
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	for (unsigned long done = 0; done < CEILING; done++) {
		pthread_t thread;
		int err = pthread_create(&thread, &attributes, thread_main, NULL);

		if (err != 0)
			return bomb_refused("threads", err, done);
	}
	return bomb_unlimited("pids.threads", CEILING);
}

static void raise_files(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int run_files(void)
{
	raise_files();
	for (unsigned long done = 0; done < 1100000; done++)
		if (open("/dev/null", O_RDONLY) < 0)
			return bomb_refused("files", errno, done);
	return bomb_unlimited("files.open", 1100000);
}

static int send_fd(int socket_fd, int fd)
{
	char data = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&data, 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(socket_fd, &message, MSG_DONTWAIT) < 0 ? -1 : 0;
}

/* Open files that no process has open: sent through sockets, which are sent themselves. */
static int run_in_flight(void)
{
	raise_files();
	for (unsigned long done = 0; done < 500000;) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
			return bomb_refused("in_flight", errno, done);
		while (done < 500000) {
			int fd = open("/dev/null", O_RDONLY),
			    sent = fd < 0 ? -1 : send_fd(pair[0], fd);

			if (sent < 0 && errno != EAGAIN)
				return bomb_refused("in_flight", errno, done);
			if (fd >= 0)
				close(fd);
			if (sent < 0)
				break;
			done++;
		}
	}
	return bomb_unlimited("files.in_flight", 500000);
}

static int run_stop(void)
{
	puts("READY");
	fflush(stdout);
	kill(getpid(), SIGSTOP);
	wait_forever();
}

static int run_deaf(void)
{
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_IGN);
	puts("READY");
	fflush(stdout);
	wait_forever();
}

/* Forks away, new session, no std fds: must end with its sandbox all the same. */
static int run_daemon(void)
{
	if (fork() == 0) {
		setsid();
		if (fork() == 0) {
			for (int number = 1; number < NSIG; number++)
				signal(number, SIG_IGN);
			for (int fd = 0; fd < 3; fd++)
				close(fd);
			wait_forever();
		}
		_exit(0);
	}
	puts("DONE daemon");
	return 0;
}

/* The child keeps stdout open after its parent's exit. */
static int run_holder(void)
{
	if (fork() == 0) {
		setsid();
		wait_forever();
	}
	puts("DONE holder");
	return 0;
}

static int run_burn(void)
{
	volatile unsigned long spins = 0;

	while (spins + 1 > 0)
		spins++;
	return 1;
}

/*
 * Children that burn a third of a second each and are never waited for: with SIGCHLD ignored their
 * time is added to nobody (wait(2)), so whoever sums up living processes does not see it.
 */
static int run_burn_unwaited(void)
{
	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 60; i++) {
		if (fork() == 0) {
			clock_t end = clock() + CLOCKS_PER_SEC / 3;

			while (clock() < end)
				;
			_exit(0);
		}
		usleep(350 * 1000);
	}
	return bomb_unlimited("cpu.burn_unwaited", 20);
}

/*
 * A flood of calls that the supervisor outside answers one by one (seccomp_unotify(2)): its time
 * is not the sandbox's, so it must be capped.
 */
static int run_notify(void)
{
	unsigned long calls = 0;

	for (int i = 0; i < 16 && fork() != 0; i++)
		;
	for (time_t end = time(NULL) + 3; time(NULL) < end; calls++)
		syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, 0);
	printf("DONE notify %lu\n", calls);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct bomb bombs[] = {
		{"fork", run_fork},
		{"endless_fork", run_endless_fork},
		{"zombies", run_zombies},
		{"orphans", run_orphans},
		{"threads", run_threads},
		{"files", run_files},
		{"in_flight", run_in_flight},
		{"stop", run_stop},
		{"deaf", run_deaf},
		{"daemon", run_daemon},
		{"holder", run_holder},
		{"burn", run_burn},
		{"burn_unwaited", run_burn_unwaited},
		{"notify", run_notify},
	};

	bomb_begin();
	return bomb_dispatch(bombs, ATTACK_LENGTH(bombs), argc, argv);
}
