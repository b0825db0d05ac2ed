/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor.c: the least that the kernel asks for one sandboxed command: floor CMD [ARG...]
 *
 * Every namespace but the user namespace, a tmpfs, an overlay over the host's root, a fresh /proc,
 * pivot_root, exec, wait. It is the yardstick under the peers in the benchmark table and nothing
 * else: it drops no privilege, filters no system call, limits nothing, and so protects against
 * nothing. Needs root.
 */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_FLOOR 125 /* as creel and env: the launcher failed, not the command */

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	dprintf(STDERR_FILENO, "floor: %s: %s\n", what, strerror(errno));
	_exit(EXIT_FLOOR);
}

/* Works under /tmp, which exists everywhere; the tmpfs over it lives in the child's mount namespace
 * only. */
static void build_root(void)
{
	check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make / private");
	check(mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, NULL), "mount tmpfs");
	check(mkdir("/tmp/upper", 0755), "mkdir upper");
	check(mkdir("/tmp/work", 0755), "mkdir work");
	check(mkdir("/tmp/root", 0755), "mkdir root");
	check(mount("overlay", "/tmp/root", "overlay", MS_NOSUID | MS_NODEV,
		    "lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work"),
	      "mount overlay");
	check(mount("proc", "/tmp/root/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL),
	      "mount proc");
}

/* With old and new root the same directory, the old one ends up stacked on top (pivot_root(2),
 * "pivot_root(".", ".")"). */
static void enter_root(void)
{
	check(chdir("/tmp/root"), "chdir");
	check((int)syscall(SYS_pivot_root, ".", "."), "pivot_root");
	check(umount2(".", MNT_DETACH), "detach the old root");
	check(chdir("/"), "chdir /");
}

int main(int argc, char **argv)
{
	struct clone_args args = {
		.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			 CLONE_NEWCGROUP,
		.exit_signal = SIGCHLD,
	};
	int status;

	if (argc < 2) {
		fputs("usage: floor CMD [ARG...]\n", stderr);
		return EXIT_FLOOR;
	}
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	check(pid, "clone3");
	if (pid == 0) {
		build_root();
		enter_root();
		execv(argv[1], argv + 1);
		check(-1, argv[1]);
	}
	check(waitpid(pid, &status, 0), "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
