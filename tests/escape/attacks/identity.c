/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process is, read back from the kernel: a user namespace that is not the machine's,
 * no capability (or, as root of the sandbox, at most the eight of the design), no_new_privs,
 * a filter, and no way to change user (capabilities(7), user_namespaces(7), credentials(7)).
 */
#include "attack.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>

/* CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETFCAP */
#define ROOT_CAPABILITIES ((1ULL << 31) | 0xfb)

static char status[8192];

static uint64_t status_field(const char *key, int base)
{
	const char *found = strstr(status, key);

	return found ? strtoull(found + strlen(key), NULL, base) : UINT64_MAX;
}

static void try_capabilities(void)
{
	static const char *const sets[] = {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"};
	uint64_t allowed = geteuid() == 0 ? ROOT_CAPABILITIES : 0;
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(sets); i++) {
		uint64_t have = status_field(sets[i], 16);

		snprintf(name, sizeof(name), "identity.%.6s", sets[i]);
		attack_report(have & ~allowed ? ATTACK_BROKEN : ATTACK_HELD, name, "%llx",
			      (unsigned long long)have);
	}
}

static void try_flags(void)
{
	attack_report(status_field("NoNewPrivs:", 10) == 1 ? ATTACK_HELD : ATTACK_BROKEN,
		      "identity.no_new_privs", "%d", (int)status_field("NoNewPrivs:", 10));
	attack_report(status_field("Seccomp:", 10) == 2 ? ATTACK_HELD : ATTACK_BROKEN,
		      "identity.seccomp", "%d", (int)status_field("Seccomp:", 10));
	attack_report(attack_in_first_user_namespace() ? ATTACK_BROKEN : ATTACK_HELD,
		      "identity.user_namespace", "uid %u", geteuid());
}

/* From uid 1000 every change is refused; root inside may become what its map holds, no more. */
static long become_root_call(void *arg)
{
	(void)arg;
	return syscall(SYS_setresuid, 0, 0, 0);
}

static long become_root_group_call(void *arg)
{
	(void)arg;
	return syscall(SYS_setresgid, 0, 0, 0);
}

static long set_groups_call(void *arg)
{
	gid_t groups[] = {0, 27, 42};

	(void)arg;
	return syscall(SYS_setgroups, 3, groups);
}

static long become_unmapped_call(void *arg)
{
	(void)arg;
	return syscall(SYS_setresuid, 4000000000U, 4000000000U, 4000000000U);
}

static long raise_capability_call(void *arg)
{
	struct {
		uint32_t version;
		int pid;
	} header = {0x20080522, 0};
	uint32_t data[6] = {0xffffffff, 0xffffffff, 0, 0x1ff, 0x1ff, 0};

	(void)arg;
	return syscall(SYS_capset, &header, data);
}

static long ambient_call(void *arg)
{
	(void)arg;
	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21 /* SYS_ADMIN */, 0, 0);
}

static long unset_no_new_privs_call(void *arg)
{
	(void)arg;
	return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
}

static long clear_seccomp_call(void *arg)
{
	(void)arg;
	return prctl(PR_SET_SECCOMP, 0, 0, 0, 0);
}

static void try_changes(void)
{
	static const int invalid[] = {EINVAL, 0};

	if (geteuid() != 0) {
		attack_judge("identity.setuid", attack_try(become_root_call, NULL), invalid);
		attack_judge("identity.setgid", attack_try(become_root_group_call, NULL), invalid);
		attack_judge("identity.setgroups", attack_try(set_groups_call, NULL), invalid);
	}
	attack_judge("identity.unmapped_uid", attack_try(become_unmapped_call, NULL), invalid);
	attack_judge("identity.capset", attack_try(raise_capability_call, NULL), NULL);
	attack_judge("identity.ambient", attack_try(ambient_call, NULL), NULL);
	attack_judge("identity.unset_no_new_privs", attack_try(unset_no_new_privs_call, NULL),
		     invalid);
	attack_judge("identity.clear_seccomp", attack_try(clear_seccomp_call, NULL), invalid);
}

static void try_map_writes(void)
{
	static const char *const files[] = {"uid_map", "gid_map", "setgroups"};
	char path[64], name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(files); i++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/self/%s", files[i]);
		snprintf(name, sizeof(name), "identity.write_%s", files[i]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0 && write(fd, "0 0 4294967295\n", 15) > 0)
			BROKEN(name, "wrote");
		else
			HELD(name, "%s", attack_errno_name(errno));
		if (fd >= 0)
			close(fd);
	}
}

/* Supplementary groups of the caller (disk, docker, adm) must not come along. */
static void try_groups(void)
{
	gid_t groups[256];
	int count = getgroups(ATTACK_LENGTH(groups), groups), foreign = 0;

	for (int i = 0; i < count; i++)
		foreign += groups[i] != getegid();
	if (foreign > 0)
		BROKEN("identity.groups", "%d besides its own", foreign);
	else
		HELD("identity.groups", "none");
}

/* The machine's name and environment, which the driver fills with a canary. */
static void try_surroundings(void)
{
	const char *machine = getenv("ATTACK_MACHINE");
	struct utsname names;
	int leaked = 0;

	if (machine && uname(&names) == 0)
		attack_report(strcmp(names.nodename, machine) == 0 ? ATTACK_BROKEN : ATTACK_HELD,
			      "identity.hostname", "%s", names.nodename);
	for (char **entry = environ; *entry; entry++)
		if (strncmp(*entry, "CREEL_CANARY", 12) == 0)
			leaked++;
	attack_report(leaked ? ATTACK_BROKEN : ATTACK_HELD, "identity.environment", "%d leaked",
		      leaked);
}

/* A hard limit that can be raised is none; cores of what ran here stay small or absent. */
static long raise_limit_call(void *arg)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY}, old;
	int resource = *(int *)arg;

	if (getrlimit(resource, &old) == 0 && old.rlim_max == RLIM_INFINITY) {
		errno = EPERM;
		return -1;
	}
	return setrlimit(resource, &limit);
}

int main(void)
{
	int core = RLIMIT_CORE, processes = RLIMIT_NPROC, files = RLIMIT_NOFILE;

	attack_begin();
	if (attack_read_file("/proc/self/status", status, sizeof(status)) <= 0) {
		SKIP("identity.status", "cannot be read");
		return attack_done();
	}
	try_capabilities();
	try_flags();
	try_changes();
	try_map_writes();
	try_groups();
	try_surroundings();
	attack_judge("identity.raise_core", attack_try(raise_limit_call, &core), NULL);
	attack_judge("identity.raise_nproc", attack_try(raise_limit_call, &processes), NULL);
	attack_judge("identity.raise_nofile", attack_try(raise_limit_call, &files), NULL);
	return attack_done();
}
