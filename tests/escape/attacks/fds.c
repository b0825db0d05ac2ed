/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaked descriptors and the working directory as a way out (CVE-2024-21626, CVE-2016-9962): a
 * directory fd of the machine lets openat(2) walk anywhere, a cwd outside the root likewise.
 * The driver starts creel with spare inheritable fds (7: a directory, 9: a file, 0: a directory).
 * run: extra-fds
 */
#include "attack.h"

#include <dirent.h>
#include <limits.h>

static void try_extra(void)
{
	int extra = 0;

	for (int fd = 3; fd < 1024; fd++) {
		char path[64], target[256];
		ssize_t length;

		if (fcntl(fd, F_GETFD) < 0)
			continue;
		extra++;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target) - 1);
		BROKEN("fds.extra", "fd %d: %.*s", fd, length > 0 ? (int)length : 0, target);
	}
	if (extra == 0)
		HELD("fds.extra", "only 0, 1 and 2");
}

/* A standard fd may be anything but a directory outside the root. */
static void try_standard(void)
{
	char name[64], path[64];

	for (int fd = 0; fd < 3; fd++) {
		struct stat info, up;
		int opened;

		snprintf(name, sizeof(name), "fds.standard_%d", fd);
		snprintf(path, sizeof(path), "/proc/self/fd/%d/..", fd);
		if (fstat(fd, &info) < 0) {
			HELD(name, "closed");
			continue;
		}
		opened = openat(fd, "..", O_PATH | O_CLOEXEC);
		if (opened < 0)
			opened = open(path, O_PATH | O_CLOEXEC);
		if (opened >= 0 && fstat(opened, &up) == 0)
			BROKEN(name, "walked up to inode %lu", (unsigned long)up.st_ino);
		else
			HELD(name, "%s",
			     S_ISDIR(info.st_mode) ? "a directory, but closed in"
						   : "not a directory");
	}
}

/* The descriptors of all other processes; only one's own are to be seen. */
static void try_others(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int seen = 0, opened = 0;

	while (proc && (entry = readdir(proc))) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid <= 0 || pid == getpid())
			continue;
		seen++;
		for (int fd = 0; fd < 64; fd++) {
			char path[64];
			int other;

			snprintf(path, sizeof(path), "/proc/%ld/fd/%d", pid, fd);
			other = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
			if (other < 0)
				continue;
			opened++;
			BROKEN("fds.others", "opened %s", path);
			close(other);
		}
	}
	if (proc)
		closedir(proc);
	if (opened == 0)
		HELD("fds.others", "%d other processes, none of their fds", seen);
}

/* getcwd(2) marks a directory that the root does not reach with "(unreachable)". */
static void try_cwd(void)
{
	char path[PATH_MAX];
	struct stat root, up;
	long length = syscall(SYS_getcwd, path, sizeof(path));

	if (length > 0 && path[0] == '/')
		HELD("fds.cwd", "%s", path);
	else
		BROKEN("fds.cwd", "%s", length > 0 ? path : attack_errno_name(errno));
	if (stat("/", &root) == 0 &&
	    stat("../../../../../../../../../../../../../../../..", &up) == 0 &&
	    root.st_dev == up.st_dev && root.st_ino == up.st_ino)
		HELD("fds.cwd_dotdot", "ends at the root");
	else
		BROKEN("fds.cwd_dotdot", "does not end at the root");
}

/* A process of this sandbox that is not dumpable has no links to follow; init must be so. */
static void try_parent(void)
{
	static const char *const links[] = {"cwd", "root"};
	char path[64], name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(links); i++) {
		struct stat mine, theirs;

		snprintf(path, sizeof(path), "/proc/1/%s", links[i]);
		snprintf(name, sizeof(name), "fds.init_%s", links[i]);
		if (stat(path, &theirs) < 0)
			HELD(name, "%s", attack_errno_name(errno));
		else if (stat("/", &mine) == 0 && mine.st_dev == theirs.st_dev &&
			 mine.st_ino == theirs.st_ino)
			HELD(name, "is the sandbox's root");
		else
			BROKEN(name, "reaches inode %lu", (unsigned long)theirs.st_ino);
	}
}

int main(void)
{
	attack_begin();
	try_extra();
	try_standard();
	try_others();
	try_cwd();
	try_parent();
	return attack_done();
}
