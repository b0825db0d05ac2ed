/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reaching into PID 1: creel-init was started outside and holds what the sandbox must not have
 * (capabilities to switch users, a channel to the host). ptrace(2), process_vm_readv(2),
 * pidfd_getfd(2), kcmp(2) and proc(5)'s mem, exe, environ, fd, ns, maps, root, cwd all ask
 * ptrace_may_access(). Walls: the filter refuses the calls, and init runs from an unreadable
 * file, so that it is not dumpable and even the sandbox's root is refused (CVE-2019-5736).
 */
#include "attack.h"

#include <dirent.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define NR_PIDFD_OPEN	   434
#define NR_PIDFD_GETFD	   438
#define NR_PROCESS_MADVISE 440

/* Some entries open for anybody and ask at the first read; EIO there means that the asking went
 * well. */
static bool is_refusal(int err)
{
	return attack_is_refusal(err, (const int[]){ENOENT, EROFS, ESRCH, 0});
}

static void try_read(const char *file)
{
	char path[64], name[64], text[512];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/1/%s", file);
	snprintf(name, sizeof(name), "init.read_%s", file);
	length = attack_read_file(path, text, sizeof(text));
	if (length > 0)
		BROKEN(name, "read %zd bytes", length);
	else if (length == 0)
		HELD(name, "empty");
	else
		attack_report(is_refusal((int)-length) ? ATTACK_HELD : ATTACK_BROKEN, name, "%s",
			      attack_errno_name((int)-length));
}

static void try_write(const char *file)
{
	char path[64], name[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/1/%s", file);
	snprintf(name, sizeof(name), "init.write_%s", file);
	if (strchr(name, '/'))
		*strchr(name, '/') = '_';
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1", 1) == 1)
		BROKEN(name, "wrote");
	else
		attack_report(is_refusal(errno) ? ATTACK_HELD : ATTACK_BROKEN, name, "%s",
			      attack_errno_name(errno));
	if (fd >= 0)
		close(fd);
}

/* exe, root, cwd, ns/...: neither readlink, nor open, nor stat through it. */
static void try_link(const char *file)
{
	char path[64], name[64], target[256];
	struct stat info;
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/1/%s", file);
	snprintf(name, sizeof(name), "init.link_%s", file);
	for (char *slash = strchr(name, '/'); slash; slash = strchr(slash, '/'))
		*slash = '_';
	length = readlink(path, target, sizeof(target) - 1);
	if (length >= 0)
		BROKEN(name, "readlink: %.*s", (int)length, target);
	else if (stat(path, &info) == 0)
		BROKEN(name, "stat: inode %lu", (unsigned long)info.st_ino);
	else
		attack_expect(name, open(path, O_PATH | O_CLOEXEC), NULL);
}

/* Numbers alone may be seen by who owns the entry (rootless root); where they lead may not. */
static void try_list(const char *directory)
{
	char path[64], name[64], target[256];
	struct dirent *entry;
	int entries = 0, readable = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/1/%s", directory);
	snprintf(name, sizeof(name), "init.list_%s", directory);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		entries++;
		readable += readlinkat(dirfd(dir), entry->d_name, target, sizeof(target)) >= 0 ||
			    openat(dirfd(dir), entry->d_name, O_RDONLY | O_NONBLOCK) >= 0;
	}
	if (readable > 0)
		BROKEN(name, "%d of %d entries", readable, entries);
	else
		HELD(name, "%s, %d numbers", dir ? "listed" : attack_errno_name(errno), entries);
	if (dir)
		closedir(dir);
}

/* Through the root or working directory of init to files that the command does not see. */
static void try_paths(void)
{
	static const struct {
		const char *name, *path;
	} paths[] = {
		{"init.through_root", "/proc/1/root/etc/passwd"},
		{"init.through_root_dotdot", "/proc/1/root/.."},
		{"init.through_cwd_dotdot", "/proc/1/cwd/.."},
		{"init.through_task_root", "/proc/1/task/1/root/.."},
		{"init.through_task_cwd", "/proc/1/task/1/cwd/."},
		{"init.through_fd_0", "/proc/1/fd/0"},
		{"init.through_fd_3", "/proc/1/fd/3"},
	};

	for (size_t i = 0; i < ATTACK_LENGTH(paths); i++) {
		int fd = open(paths[i].path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

		if (fd >= 0)
			BROKEN(paths[i].name, "opened %s", paths[i].path);
		else
			HELD(paths[i].name, "%s", attack_errno_name(errno));
	}
	for (int i = 0; i < 2; i++) {
		static const char *const files[] = {"/proc/1/root/tmp/creel-planted",
						    "/proc/1/cwd/creel-planted"};
		int fd = open(files[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		attack_expect(i == 0 ? "init.plant_through_root" : "init.plant_through_cwd", fd,
			      NULL);
	}
}

static void try_calls(void)
{
	static char buffer[64];
	static unsigned long nodes[] = {1, 0};
	static struct iovec here = {buffer, sizeof(buffer)}, there = {(void *)0x400000, 64};
	struct attack_syscall cases[] = {
		{"init.ptrace_attach", SYS_ptrace, {PTRACE_ATTACH, 1}, {0}},
		{"init.ptrace_seize", SYS_ptrace, {PTRACE_SEIZE, 1, 0, 0}, {0}},
		{"init.process_vm_readv",
		 SYS_process_vm_readv,
		 {1, ATTACK_PTR(&here), 1, ATTACK_PTR(&there), 1, 0},
		 {0}},
		{"init.process_vm_writev",
		 SYS_process_vm_writev,
		 {1, ATTACK_PTR(&here), 1, ATTACK_PTR(&there), 1, 0},
		 {0}},
		{"init.kcmp", SYS_kcmp, {1, (unsigned long)getpid(), 2, 0, 0}, {0}},
		{"init.move_pages", SYS_move_pages, {1, 0, 0, 0, 0, 0}, {0}},
		{"init.migrate_pages",
		 SYS_migrate_pages,
		 {1, 64, ATTACK_PTR(nodes), ATTACK_PTR(nodes)},
		 {0}},
		{"init.get_robust_list",
		 SYS_get_robust_list,
		 {1, ATTACK_PTR(buffer), ATTACK_PTR(buffer + 8)},
		 {0}},
	};

	for (size_t i = 0; i < ATTACK_LENGTH(cases); i++)
		attack_syscall_case(&cases[i]);
}

static long getfd_call(void *arg)
{
	long fd = syscall(NR_PIDFD_OPEN, 1, 0);

	return fd < 0 ? -1 : syscall(NR_PIDFD_GETFD, fd, *(int *)arg, 0);
}

static long madvise_call(void *arg)
{
	struct iovec range = {(void *)0x400000, 4096};
	long fd = syscall(NR_PIDFD_OPEN, 1, 0);

	(void)arg;
	return fd < 0 ? -1 : syscall(NR_PROCESS_MADVISE, fd, &range, 1, 20 /* MADV_COLD */, 0);
}

/* The parent of the command is not traceable either, whoever it is. */
static void try_parent(void)
{
	struct attack_syscall attach = {
		"init.ptrace_parent", SYS_ptrace, {PTRACE_ATTACH, (unsigned long)getppid()}, {0}};

	attack_syscall_case(&attach);
}

/* To exec what init is would give a process with init's code and this one's rights. */
static long exec_call(void *arg)
{
	char *argv[] = {"creel-init", NULL}, *envp[] = {NULL};

	return execve(arg, argv, envp);
}

int main(void)
{
	static const char *const reads[] = {"mem",     "environ",   "auxv",	  "maps",
					    "smaps",   "numa_maps", "stack",	  "syscall",
					    "pagemap", "io",	    "personality"};
	static const char *const writes[] = {"mem",	  "uid_map",	  "gid_map",
					     "setgroups", "attr/current", "timerslack_ns"};
	static const char *const links[] = {"exe",    "root",	"cwd",	  "ns/mnt",    "ns/user",
					    "ns/pid", "ns/net", "ns/ipc", "ns/cgroup", "ns/uts"};
	int fds[] = {0, 3, 4, 5};

	attack_begin();
	for (size_t i = 0; i < ATTACK_LENGTH(reads); i++)
		try_read(reads[i]);
	for (size_t i = 0; i < ATTACK_LENGTH(writes); i++)
		try_write(writes[i]);
	for (size_t i = 0; i < ATTACK_LENGTH(links); i++)
		try_link(links[i]);
	try_list("fd");
	try_list("fdinfo");
	try_list("map_files");
	try_paths();
	try_calls();
	for (size_t i = 0; i < ATTACK_LENGTH(fds); i++) {
		char name[64];

		snprintf(name, sizeof(name), "init.pidfd_getfd_%d", fds[i]);
		attack_judge(name, attack_try(getfd_call, &fds[i]), NULL);
	}
	attack_judge("init.process_madvise", attack_try(madvise_call, NULL), NULL);
	try_parent();
	attack_judge("init.exec_exe", attack_try(exec_call, "/proc/1/exe"), NULL);
	return attack_done();
}
