/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scope.c: see scope.h. The call goes through busctl(1): a D-Bus library cannot be linked
 * statically, and this is asked for once, where the session's own group is not delegated.
 */
#include "scope.h"

#include "buf.h"
#include "ceilings.h"
#include "cgroup.h"
#include "err.h"
#include "io.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <spawn.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

#define SCOPE_BUSCTL  "/usr/bin/busctl"
#define SCOPE_WAIT_MS 2000

extern char **environ;

static int scope_call(const char *unit, const char *pid)
{
	const char *const words[] = {SCOPE_BUSCTL,
				     "--user",
				     "--quiet",
				     "--timeout=2",
				     "call",
				     "org.freedesktop.systemd1",
				     "/org/freedesktop/systemd1",
				     "org.freedesktop.systemd1.Manager",
				     "StartTransientUnit",
				     "ssa(sv)a(sa(sv))",
				     unit,
				     "fail",
				     "2",
				     "PIDs",
				     "au",
				     "1",
				     pid,
				     "Delegate",
				     "b",
				     "true",
				     "0",
				     NULL};
	char *argv[ELEMENTSOF(words)];
	posix_spawn_file_actions_t files;
	int status = -1, r;
	pid_t child;

	for (size_t i = 0; i < ELEMENTSOF(words); i++)
		argv[i] = (char *)(uintptr_t)words[i];
	posix_spawn_file_actions_init(&files);
	for (int fd = 0; fd < 3; fd++)
		posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
	r = posix_spawn(&child, SCOPE_BUSCTL, &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	if (r != 0)
		return -r;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? 0 : -EAGAIN;
}

/* Waits until this process is in the unit. */
static int scope_wait(const char *unit)
{
	for (int ms = 0; ms < SCOPE_WAIT_MS; ms += 2) {
		_cleanup_buf_ struct buf self = BUF_INIT(CEIL_SMALL_FILE);
		const char *line;

		if (io_read_file(AT_FDCWD, "/proc/self/cgroup", &self) < 0)
			return -EIO;
		line = strstr(self.data, "0::");
		if (line && strstr(line, unit))
			return 0;
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
	return -EAGAIN;
}

/*
 * Moves this process into a new transient scope of the user's systemd with Delegate=yes
 * (org.freedesktop.systemd1(5), StartTransientUnit), so that groups can be made below it. The scope
 * goes when its last process has.
 */
static int scope_enter(void)
{
	char unit[64], pid[16];
	struct statfs st;
	int r;

	/* Only pure v2 can be delegated; and a call that nobody answers costs milliseconds. */
	if (statfs("/sys/fs/cgroup", &st) < 0 || st.f_type != CGROUP2_SUPER_MAGIC ||
	    access(SCOPE_BUSCTL, X_OK) < 0 ||
	    (!getenv("DBUS_SESSION_BUS_ADDRESS") && !getenv("XDG_RUNTIME_DIR")))
		return -ENOENT;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	snprintf(unit, sizeof(unit), "creel-%s.scope", pid);
	r = scope_call(unit, pid);
	return r == 0 ? scope_wait(unit) : r;
}

int scope_host(bool root, struct cgroup_host *ret_host, struct err *err)
{
	int r = cgroup_host_probe(ret_host, err);

	if (r < 0 || root || ret_host->version[CGROUP_MEMORY] || scope_enter() < 0)
		return r;
	return cgroup_host_probe(ret_host, err);
}
