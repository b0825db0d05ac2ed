/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walls.c: what a process in the tree may still do: ids, namespace maxima, rlimits, Landlock,
 * seccomp, capabilities. Landlock and seccomp come before the capabilities go, the capabilities
 * before PR_SET_PDEATHSIG: any change of credentials clears it (prctl(2)).
 */
#include "cell-private.h"
#include "err.h"
#include "io.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int walls_enter_ids(const struct cell_plan *plan, struct err *err)
{
	if (!plan->rootless && setns(plan->fds[0], CLONE_NEWUSER) < 0)
		return FAIL("cannot enter the user namespace");
	if (plan->drop_groups && setgroups(0, NULL) < 0)
		return FAIL("setgroups");
	/* Root of a user namespace keeps its capabilities when it is not uid 0 there (single id).
	 */
	if (setresgid(plan->gid, plan->gid, plan->gid) < 0 ||
	    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ||
	    setresuid(plan->uid, plan->uid, plan->uid) < 0)
		return FAIL("cannot become %u, group %u", plan->uid, plan->gid);
	return 0;
}

/* 0 to all eight maxima (namespaces(7)): no new namespace even if a system call slipped through. */
static int forbid_namespaces(int sysctl, struct err *err)
{
	static const char *const kinds[] = {"user", "pid", "mnt",    "net",
					    "ipc",  "uts", "cgroup", "time"};
	char name[32];

	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		int r;

		snprintf(name, sizeof(name), "max_%s_namespaces", kinds[i]);
		r = io_write_file(sysctl, name, "0");
		if (r < 0)
			return err_errno(err, -r, "cell", "cannot set user/%s to 0", name);
	}
	return 0;
}

/* One rule: everything below the sandbox's own root. An escaped process can open nothing else. */
static int landlock(const struct cell_plan *plan, struct err *err)
{
	/* The kernel's struct grew; older ones take the longer form if what they lack is 0. */
	struct {
		uint64_t fs, net, scoped;
	} attr = {plan->landlock_fs, 0, plan->landlock_scoped};
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = {.allowed_access = plan->landlock_fs,
						  .parent_fd = root};
	_cleanup_close_ int ruleset =
		(int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	if (ruleset < 0 ||
	    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return FAIL("Landlock");
	return 0;
}

static int capabilities(uint64_t keep, struct err *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)keep, .permitted = (uint32_t)keep},
		{.effective = (uint32_t)(keep >> 32), .permitted = (uint32_t)(keep >> 32)},
	};

	/* Ends at the first number that this kernel does not know. */
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return FAIL("cannot drop capability %d", cap);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &header, data) < 0)
		return FAIL("capset");
	return 0;
}

int walls_raise(const struct cell_plan *plan, int sysctl, int *ret_notify, struct err *err)
{
	int notify = -1;

	if (CELL_STANDS(plan, CELL_WALL_NSMAX) && forbid_namespaces(sysctl, err) < 0)
		return -EIO;
	for (unsigned i = 0; i < RLIM_NLIMITS; i++)
		if (plan->rlimits_set >> i & 1 && setrlimit(i, &plan->rlimits[i]) < 0)
			return FAIL("rlimit %u", i);
	if (CELL_STANDS(plan, CELL_WALL_NNP) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return FAIL("no_new_privs");
	if (CELL_STANDS(plan, CELL_WALL_LANDLOCK) && plan->landlock_fs && landlock(plan, err) < 0)
		return -EIO;
	if (CELL_STANDS(plan, CELL_WALL_SECCOMP) &&
	    (notify = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				   SECCOMP_FILTER_FLAG_NEW_LISTENER, &plan->seccomp)) < 0)
		return FAIL("seccomp");
	if (CELL_STANDS(plan, CELL_WALL_CAPS) && capabilities(plan->caps, err) < 0)
		return -EIO;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return FAIL("PR_SET_PDEATHSIG");
	*ret_notify = notify;
	return 0;
}
