/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc and /sys as a window on the machine or a lever on it: core_pattern and modprobe helpers,
 * sysrq-trigger, kcore, kallsyms, keys, interrupts (proc(5); CVE-2022-0492, CVE-2025-31133).
 * A masked file reads as empty or is refused, a masked directory is empty, and what can be
 * written on the machine cannot be written here.
 */
#include "attack.h"

#include <dirent.h>

/* Secret or misleading content: containerd's masks, kallsyms, interrupts, other tenants' locks. */
static const char *const masked_files[] = {
	"/proc/kcore",	     "/proc/keys",	  "/proc/latency_stats", "/proc/timer_list",
	"/proc/timer_stats", "/proc/sched_debug", "/proc/kallsyms",	 "/proc/interrupts",
	"/proc/kmsg",	     "/proc/kpagecount",  "/proc/kpageflags",	 "/proc/kpagecgroup",
	"/proc/vmcore",	     "/proc/slabinfo",	  "/proc/pagetypeinfo",	 "/proc/vmallocinfo",
	"/proc/locks",
};

static const char *const masked_directories[] = {
	"/proc/acpi",
	"/proc/asound",
	"/proc/scsi",
	"/sys/firmware",
	"/sys/devices/virtual/powercap",
	"/sys/kernel",
	"/sys/class",
	"/sys/block",
	"/sys/module",
	"/sys/fs/bpf",
	"/sys/fs/selinux",
};

/* Levers, with their value if it can be read; written back as it was, so that nothing changes. */
static const char *const levers[] = {
	"/proc/sys/kernel/core_pattern",
	"/proc/sys/kernel/modprobe",
	"/proc/sys/kernel/hotplug",
	"/proc/sys/kernel/poweroff_cmd",
	"/proc/sys/kernel/hostname",
	"/proc/sys/kernel/domainname",
	"/proc/sys/kernel/sysrq",
	"/proc/sys/kernel/ns_last_pid",
	"/proc/sys/kernel/shmmax",
	"/proc/sys/kernel/randomize_va_space",
	"/proc/sys/kernel/unprivileged_bpf_disabled",
	"/proc/sys/fs/file-max",
	"/proc/sys/fs/suid_dumpable",
	"/proc/sys/fs/protected_symlinks",
	"/proc/sys/fs/mqueue/msg_max",
	"/proc/sys/vm/overcommit_memory",
	"/proc/sys/vm/drop_caches",
	"/proc/sys/vm/panic_on_oom",
	"/proc/sys/net/ipv4/ip_forward",
	"/proc/sys/net/ipv4/ping_group_range",
	"/proc/sys/net/ipv4/ip_unprivileged_port_start",
	"/proc/sys/fs/binfmt_misc/register",
	"/proc/sys/user/max_user_namespaces",
	"/proc/sysrq-trigger",
	"/proc/irq/default_smp_affinity",
	"/proc/bus/pci/00/00.0",
	"/proc/mtrr",
	"/sys/kernel/uevent_helper",
	"/sys/fs/cgroup/release_agent",
	"/sys/fs/cgroup/cgroup.procs",
	"/sys/power/state",
};

static void case_name(char *name, size_t size, const char *prefix, const char *path)
{
	snprintf(name, size, "%s_%s", prefix,
		 strncmp(path, "/proc/", 6) == 0 ? path + 6 : path + 1);
	for (char *c = name; *c; c++)
		if (*c == '/')
			*c = '_';
}

static void try_files(void)
{
	char text[256], name[96];

	for (size_t i = 0; i < ATTACK_LENGTH(masked_files); i++) {
		ssize_t length = attack_read_file(masked_files[i], text, sizeof(text));

		case_name(name, sizeof(name), "mask.read", masked_files[i]);
		if (length > 0)
			BROKEN(name, "read %zd bytes", length);
		else
			HELD(name, "%s", length == 0 ? "empty" : attack_errno_name((int)-length));
	}
}

static void try_directories(void)
{
	char name[96];

	for (size_t i = 0; i < ATTACK_LENGTH(masked_directories); i++) {
		DIR *dir = opendir(masked_directories[i]);
		int entries = 0;

		case_name(name, sizeof(name), "mask.list", masked_directories[i]);
		while (dir && readdir(dir))
			entries++;
		if (entries > 2)
			BROKEN(name, "%d entries", entries - 2);
		else
			HELD(name, "%s", dir ? "empty" : "absent or refused");
		if (dir)
			closedir(dir);
	}
}

/* Opening for writing is the attack; sysrq and the like are never written. */
static void try_levers(void)
{
	static const int more[] = {EROFS, ENOENT, ENOTDIR, 0};
	char name[96];

	for (size_t i = 0; i < ATTACK_LENGTH(levers); i++) {
		int fd = open(levers[i], O_WRONLY | O_CLOEXEC);

		case_name(name, sizeof(name), "mask.write", levers[i]);
		attack_expect(name, fd, more);
		if (fd >= 0)
			close(fd);
	}
}

/* proc's own ways in: attributes by chmod or chown, and files that look harmless. */
static void try_attributes(void)
{
	static const int more[] = {EROFS, ENOENT, EINVAL, 0};

	attack_expect("mask.chmod_core_pattern", chmod("/proc/sys/kernel/core_pattern", 0666),
		      more);
	attack_expect("mask.chown_core_pattern",
		      chown("/proc/sys/kernel/core_pattern", geteuid(), getegid()), more);
	attack_expect("mask.chmod_sysrq", chmod("/proc/sysrq-trigger", 0666), more);
	attack_expect("mask.chown_sysrq", chown("/proc/sysrq-trigger", geteuid(), getegid()), more);
}

/* No /sys at all, or at most one's own group, read-only. */
static void try_sys(void)
{
	DIR *dir = opendir("/sys");
	struct dirent *entry;
	int more = 0;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "fs") == 0)
			continue;
		more++;
		BROKEN("mask.sys", "/sys/%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (more == 0)
		HELD("mask.sys", "%s", dir ? "nothing but fs" : "absent");
}

/* A fresh /proc shows this PID namespace only: pid 1 is init, and numbers are small. */
static void try_processes(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir)))
		if (strtol(entry->d_name, NULL, 10) > 0)
			count++;
	if (dir)
		closedir(dir);
	if (count > 0 && count < 10)
		HELD("mask.processes", "%d processes", count);
	else
		BROKEN("mask.processes", "%d processes", count);
}

int main(void)
{
	attack_begin();
	try_files();
	try_directories();
	try_levers();
	try_attributes();
	try_sys();
	try_processes();
	return attack_done();
}
