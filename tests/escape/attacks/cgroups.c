/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups as a lever: release_agent runs a program as the machine's root (CVE-2022-0492),
 * a device cgroup can be opened up, limits raised, lxcfs abused. Held: no cgroup file system
 * inside but (where v2 is all there is) the sandbox's own group read-only; /proc/self/cgroup
 * shows no path of the machine; no mount of one can be made (cgroups(7), cgroup_namespaces(7)).
 */
#include "attack.h"

#include <sys/mount.h>

struct mount_try {
	const char *type, *options;
};

/* The whole of CVE-2022-0492: user and cgroup namespace of one's own, then a v1 mount. */
static long release_agent_call(void *arg)
{
	char place[] = "/tmp/creel-cgroup-XXXXXX", path[96];
	const struct mount_try *t = arg;
	int fd;

	syscall(SYS_unshare, 0x10000000 | 0x02000000 | 0x00020000);
	if (!mkdtemp(place) || syscall(SYS_mount, "none", place, t->type, 0, t->options) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/release_agent", place);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 ? 2 : 1;
}

static void try_mounts(void)
{
	static const char *const controllers[] = {"memory", "pids",    "devices",
						  "cpu",    "freezer", "cpuset",
						  "rdma",   "net_cls", "none,name=creel"};
	struct mount_try two = {"cgroup2", ""};
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(controllers); i++) {
		struct mount_try one = {"cgroup", controllers[i]};

		snprintf(name, sizeof(name), "cgroup.mount_%s",
			 strchr(controllers[i], ',') ? "named" : controllers[i]);
		attack_judge(name, attack_try(release_agent_call, &one), NULL);
	}
	attack_judge("cgroup.mount_v2", attack_try(release_agent_call, &two), NULL);
}

/* "- cgroup" and the like in mountinfo's type field; a read-only cgroup2 of one's own is fine. */
static void try_mountinfo(void)
{
	static char text[65536];
	char *line, *save = NULL;
	int found = 0;

	if (attack_read_file("/proc/self/mountinfo", text, sizeof(text)) <= 0) {
		HELD("cgroup.no_file_system", "mountinfo cannot be read");
		return;
	}
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *kind = strstr(line, " - ");
		bool own = kind && strncmp(kind, " - cgroup2 ", 11) == 0 &&
			   strstr(line, " / /sys/fs/cgroup ro,");

		if (!kind || own ||
		    (strncmp(kind, " - cgroup", 9) != 0 && !strstr(kind, "lxcfs") &&
		     strncmp(kind, " - sysfs", 8) != 0 && strncmp(kind, " - fuse", 7) != 0))
			continue;
		found++;
		BROKEN("cgroup.no_file_system", "%s", line);
	}
	if (found == 0)
		HELD("cgroup.no_file_system", "none");
}

static void try_own_path(void)
{
	char text[4096], *line, *save = NULL;
	int shown = 0;

	if (attack_read_file("/proc/self/cgroup", text, sizeof(text)) <= 0) {
		HELD("cgroup.path", "cannot be read");
		return;
	}
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *path = strrchr(line, ':');

		if (!path || strcmp(path, ":/") == 0)
			continue;
		shown++;
		BROKEN("cgroup.path", "%s", line);
	}
	if (shown == 0)
		HELD("cgroup.path", "/");
}

/* With a cgroup file system in sight none of its files may be opened for writing. */
static void try_files(void)
{
	static const char *const files[] = {
		"/sys/fs/cgroup/cgroup.procs",
		"/sys/fs/cgroup/memory.max",
		"/sys/fs/cgroup/pids.max",
		"/sys/fs/cgroup/cgroup.kill",
		"/sys/fs/cgroup/cgroup.freeze",
		"/sys/fs/cgroup/cgroup.subtree_control",
		"/sys/fs/cgroup/memory/release_agent",
		"/sys/fs/cgroup/memory/memory.limit_in_bytes",
		"/sys/fs/cgroup/devices/devices.allow",
		"/sys/fs/cgroup/pids/pids.max",
		"/sys/fs/cgroup/unified/cgroup.procs",
		"/sys/fs/cgroup/../../../cgroup.procs",
	};
	static const int more[] = {EROFS, ENOENT, ENOTDIR, 0};
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(files); i++) {
		snprintf(name, sizeof(name), "cgroup.write%s", files[i] + strlen("/sys/fs/cgroup"));
		for (char *c = name; *c; c++)
			if (*c == '/')
				*c = '_';
		attack_expect(name, open(files[i], O_WRONLY | O_CLOEXEC), more);
	}
	attack_expect("cgroup.make_group", mkdir("/sys/fs/cgroup/creel-nested", 0755), more);
}

int main(void)
{
	attack_begin();
	try_mounts();
	try_mountinfo();
	try_own_path();
	try_files();
	return attack_done();
}
