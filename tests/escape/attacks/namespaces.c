/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New and foreign namespaces: a fresh user namespace hands out every capability inside it and
 * with that most of the kernel's attack surface (CVE-2022-0185, CVE-2023-0386, CVE-2023-32233).
 * unshare(2), clone(2), clone3(2), setns(2), ioctl_ns(2). Two walls: seccomp refuses the calls,
 * and /proc/sys/user/max_*_namespaces = 0 makes the kernel answer ENOSPC.
 */
#include "attack.h"

#include <sched.h>
#include <sys/ioctl.h>

#define NR_PIDFD_OPEN	434
#define NR_CLONE3	435
#define NSFS_GET_OWNER	_IO(0xb7, 0x1)
#define NSFS_GET_PARENT _IO(0xb7, 0x2)
#define NSFS_MNT_NEXT	_IOR(0xb7, 11, char[16])

static const struct {
	const char *name;
	unsigned long flag;
} namespaces[] = {
	{"user", CLONE_NEWUSER},     {"mnt", CLONE_NEWNS},  {"pid", CLONE_NEWPID},
	{"net", CLONE_NEWNET},	     {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS},
	{"cgroup", CLONE_NEWCGROUP}, {"time", 0x80},
};

/* The second wall's own errno (user_namespaces(7)). */
static const int no_space[] = {ENOSPC, 0};

struct clone3_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

static long unshare_call(void *arg)
{
	return syscall(SYS_unshare, *(unsigned long *)arg);
}

/* Judged by effect too: the grandchild of a clone that got through only leaves. */
static long clone_call(void *arg)
{
	long child = syscall(SYS_clone, *(unsigned long *)arg | SIGCHLD, 0, 0, 0, 0);

	if (child == 0)
		_exit(0);
	return child;
}

static long clone3_call(void *arg)
{
	struct clone3_args args = {.flags = *(unsigned long *)arg, .exit_signal = SIGCHLD};
	long child = syscall(NR_CLONE3, &args, sizeof(args));

	if (child == 0)
		_exit(0);
	return child;
}

/* CLONE_NEWTIME shares its bit with the exit signal of clone, so clone cannot ask for it. */
static void try_new(void)
{
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(namespaces); i++) {
		unsigned long flags = namespaces[i].flag, high = flags | (1UL << 32);
		unsigned long with_user = flags | CLONE_NEWUSER;

		snprintf(name, sizeof(name), "namespaces.unshare_%s", namespaces[i].name);
		attack_judge(name, attack_try(unshare_call, &flags), no_space);
		snprintf(name, sizeof(name), "namespaces.unshare_user_%s", namespaces[i].name);
		attack_judge(name, attack_try(unshare_call, &with_user), no_space);
		snprintf(name, sizeof(name), "namespaces.clone3_%s", namespaces[i].name);
		attack_judge(name, attack_try(clone3_call, &flags), no_space);
		if (flags == 0x80)
			continue;
		snprintf(name, sizeof(name), "namespaces.clone_%s", namespaces[i].name);
		attack_judge(name, attack_try(clone_call, &flags), no_space);
		snprintf(name, sizeof(name), "namespaces.clone_high_%s", namespaces[i].name);
		attack_judge(name, attack_try(clone_call, &high), no_space);
	}
}

/* Without flags clone3 must still say ENOSYS, so that libc falls back to clone. */
static void try_clone3_plain(void)
{
	unsigned long flags = 0;

	attack_judge("namespaces.clone3_plain", attack_try(clone3_call, &flags), NULL);
}

struct setns_arg {
	const char *pid, *kind;
};

static long setns_call(void *arg)
{
	const struct setns_arg *a = arg;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/ns/%s", a->pid, a->kind);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	return syscall(SYS_setns, fd, 0);
}

/* To be in a user namespace already gives EINVAL: only capable callers get that far otherwise. */
static void try_setns(void)
{
	static const char *const kinds[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};
	static const int already[] = {EINVAL, 0};
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(kinds); i++) {
		struct setns_arg init = {"1", kinds[i]}, self = {"self", kinds[i]};
		bool user = strcmp(kinds[i], "user") == 0;

		snprintf(name, sizeof(name), "namespaces.setns_init_%s", kinds[i]);
		attack_judge(name, attack_try(setns_call, &init), NULL);
		snprintf(name, sizeof(name), "namespaces.setns_self_%s", kinds[i]);
		attack_judge(name, attack_try(setns_call, &self), user ? already : NULL);
	}
}

static long setns_pidfd_call(void *arg)
{
	unsigned long flags = *(unsigned long *)arg;
	int fd = (int)syscall(NR_PIDFD_OPEN, 1, 0);

	return fd < 0 ? -1 : syscall(SYS_setns, fd, flags);
}

static long owner_call(void *arg)
{
	const struct setns_arg *a = arg;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", a->kind);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -1
		      : ioctl(fd, strcmp(a->pid, "parent") == 0 ? NSFS_GET_PARENT : NSFS_GET_OWNER);
}

/*
 * An fd of the machine's user or pid namespace by way of "who owns mine" (ioctl_ns(2)). The owner
 * of a namespace may be the sandbox's own user namespace (rootless): that is no way out.
 */
static void try_owner(void)
{
	static const char *const kinds[] = {"user", "mnt", "net", "pid"};
	char name[64], own[64] = "", found[64] = "", link[64];

	if (readlink("/proc/self/ns/user", own, sizeof(own) - 1) < 0)
		own[0] = '\0';
	for (size_t i = 0; i < ATTACK_LENGTH(kinds); i++) {
		struct setns_arg a = {"owner", kinds[i]};
		long fd = owner_call(&a);

		snprintf(name, sizeof(name), "namespaces.owner_of_%s", kinds[i]);
		snprintf(link, sizeof(link), "/proc/self/fd/%ld", fd);
		if (fd >= 0 && readlink(link, found, sizeof(found) - 1) > 0 &&
		    strcmp(own, found) == 0) {
			HELD(name, "only its own user namespace");
			continue;
		}
		attack_expect(name, fd, NULL);
	}
	for (size_t i = 0; i < ATTACK_LENGTH(kinds); i += 3) {
		struct setns_arg a = {"parent", kinds[i]};

		snprintf(name, sizeof(name), "namespaces.parent_of_%s", kinds[i]);
		attack_judge(name, attack_try(owner_call, &a), NULL);
	}
}

/* Linux 6.11: walk to the next mount namespace; wants CAP_SYS_ADMIN over the list. */
static long next_mount_ns_call(void *arg)
{
	char info[16] = {0};
	int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

	(void)arg;
	return fd < 0 ? -1 : ioctl(fd, NSFS_MNT_NEXT, info);
}

static void try_limits(void)
{
	static const char *const kinds[] = {"user", "mnt", "pid",    "net",
					    "ipc",  "uts", "cgroup", "time"};
	char path[96], name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(kinds); i++) {
		snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces", kinds[i]);
		snprintf(name, sizeof(name), "namespaces.raise_max_%s", kinds[i]);
		attack_expect(name, open(path, O_WRONLY | O_CLOEXEC),
			      (const int[]){EROFS, ENOENT, 0});
	}
}

int main(void)
{
	unsigned long pidfd_flags = CLONE_NEWNS | CLONE_NEWPID;
	static const int gone[] = {ENOTTY, 0};

	attack_begin();
	try_new();
	try_clone3_plain();
	try_setns();
	attack_judge("namespaces.setns_pidfd", attack_try(setns_pidfd_call, &pidfd_flags), NULL);
	try_owner();
	attack_judge("namespaces.next_mount_ns", attack_try(next_mount_ns_call, NULL), gone);
	try_limits();
	return attack_done();
}
