/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_by_handle_at(2) opens an inode of a mounted file system by number, whatever the root
 * directory is (the "shocker" escape from Docker, 2014). Newer kernels added handles for pidfds
 * (6.14) and for namespaces (6.18: the machine's first namespaces have fixed numbers).
 * Two walls: seccomp, and CAP_DAC_READ_SEARCH that no process inside has.
 */
#include "attack.h"

#define HANDLE_BYTES 128
#define PIDFS_ROOT   (-10002)
#define NSFS_ROOT    (-10003)
#define NSFS_TYPE    0xf1

struct handle {
	uint32_t bytes;
	int32_t type;
	unsigned char data[HANDLE_BYTES];
};

struct try_handle {
	const char *path;
};

/* On overlay and tmpfs the handle comes from name_to_handle_at itself. */
static long by_name_call(void *arg)
{
	const struct try_handle *t = arg;
	struct handle handle = {.bytes = HANDLE_BYTES};
	int mount_id, mount_fd = open(t->path, O_RDONLY | O_CLOEXEC);

	if (mount_fd < 0)
		return -1;
	if (syscall(SYS_name_to_handle_at, AT_FDCWD, t->path, &handle, &mount_id, 0) < 0)
		return -1;
	return syscall(SYS_open_by_handle_at, mount_fd, &handle, O_RDONLY);
}

/* ext4 and xfs: 32-bit inode and generation; inode 2 is ext4's root. */
static long by_number_call(void *arg)
{
	const struct try_handle *t = arg;
	struct handle handle = {.bytes = 8, .type = 1, .data = {2}};
	int mount_fd = open(t->path, O_RDONLY | O_CLOEXEC);

	if (mount_fd < 0)
		return -1;
	return syscall(SYS_open_by_handle_at, mount_fd, &handle, O_RDONLY);
}

/* Of an ordinary file that lies on the machine's own file system (the --ro mount). */
static void try_files(void)
{
	static const struct {
		const char *name, *path;
	} places[] = {
		{"root", "/"},		 {"usr", "/usr/bin"},	      {"tmp", "/tmp"},
		{"attacks", "/attacks"}, {"workspace", "/workspace"}, {"null", "/dev/null"},
	};
	static const int cannot[] = {EOPNOTSUPP, 0};
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(places); i++) {
		struct try_handle t = {.path = places[i].path};

		if (access(t.path, F_OK) < 0)
			continue;
		snprintf(name, sizeof(name), "handle.by_name_%s", places[i].name);
		attack_judge(name, attack_try(by_name_call, &t), cannot);
		snprintf(name, sizeof(name), "handle.by_number_%s", places[i].name);
		attack_judge(name, attack_try(by_number_call, &t), NULL);
	}
}

struct first_namespace {
	const char *name;
	uint32_t inode, type;
};

/* A namespace that the process is in anyway (the time namespace is not a new one) is no gain. */
static bool is_own(long fd, const char *kind)
{
	char path[64], own[64] = "", found[64] = "";

	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	if (readlink(path, own, sizeof(own) - 1) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%ld", fd);
	return readlink(path, found, sizeof(found) - 1) > 0 && strcmp(own, found) == 0;
}

/* A handle names a namespace by id, type and inode number; the first ids are counted from 1. */
static long namespace_call(void *arg)
{
	static const uint64_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8, 4098};
	const struct first_namespace *first = arg;
	struct handle handle = {.bytes = 16, .type = NSFS_TYPE};
	long fd = -1;

	memcpy(handle.data + 8, &first->type, sizeof(first->type));
	memcpy(handle.data + 12, &first->inode, sizeof(first->inode));
	for (size_t i = 0; i < ATTACK_LENGTH(ids) && fd < 0; i++) {
		memcpy(handle.data, &ids[i], sizeof(ids[i]));
		fd = syscall(SYS_open_by_handle_at, NSFS_ROOT, &handle, O_RDONLY);
	}
	if (fd >= 0 && is_own(fd, first->name)) {
		errno = EPERM;
		return -1;
	}
	return fd;
}

/* The fixed inode numbers of the first namespaces (include/uapi/linux/nsfs.h, Linux 6.18). */
static void try_namespaces(void)
{
	static struct first_namespace first[] = {
		{"ipc", 0xEFFFFFFFU, 0x08000000U},    {"uts", 0xEFFFFFFEU, 0x04000000U},
		{"user", 0xEFFFFFFDU, 0x10000000U},   {"pid", 0xEFFFFFFCU, 0x20000000U},
		{"cgroup", 0xEFFFFFFBU, 0x02000000U}, {"time", 0xEFFFFFFAU, 0x80U},
		{"net", 0xEFFFFFF9U, 0x40000000U},    {"mnt", 0xEFFFFFF8U, 0x00020000U},
	};
	static const int unknown[] = {EBADF, ESTALE, 0}; /* a kernel without these handles */
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(first); i++) {
		snprintf(name, sizeof(name), "handle.first_%s_namespace", first[i].name);
		attack_judge(name, attack_try(namespace_call, &first[i]), unknown);
	}
}

static long pidfs_call(void *arg)
{
	struct handle handle = {.bytes = 8, .type = 0xf1, .data = {1}};

	(void)arg;
	return syscall(SYS_open_by_handle_at, PIDFS_ROOT, &handle, O_RDONLY);
}

int main(void)
{
	static const int unknown[] = {EBADF, ESTALE, 0};

	attack_begin();
	try_files();
	try_namespaces();
	attack_judge("handle.pidfs", attack_try(pidfs_call, NULL), unknown);
	return attack_done();
}
