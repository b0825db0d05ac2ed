/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readback.c: what the kernel says of the sandbox's first process when every wall stands and
 * nothing has run: the report is made of this, never of what was meant.
 */
#include "readback.h"

#include "buf.h"
#include "ceilings.h"
#include "err.h"
#include "io.h"
#include "plan.h"

#include <fcntl.h>

const char *const sandbox_ns_names[8] = {"user", "pid", "mnt",	  "net",
					 "ipc",	 "uts", "cgroup", "time"};

static void readback_word(const char *text, const char *key, char *ret, size_t size)
{
	const char *p = text ? strstr(text, key) : NULL;
	size_t len;

	*ret = '\0';
	if (!p)
		return;
	p += strlen(key);
	p += strspn(p, " \t");
	len = strcspn(p, "\n \t");
	snprintf(ret, size, "%.*s", (int)len, p);
}

static int readback_number(const char *text, const char *key)
{
	char word[24];

	readback_word(text, key, word, sizeof(word));
	return *word ? (int)strtol(word, NULL, 10) : -1;
}

static int readback_namespaces(pid_t pid, struct sandbox_readback *ret)
{
	for (size_t i = 0; i < ELEMENTSOF(sandbox_ns_names); i++) {
		char path[64], own_path[64], own[32] = "";
		ssize_t n, m;

		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, sandbox_ns_names[i]);
		snprintf(own_path, sizeof(own_path), "/proc/self/ns/%s", sandbox_ns_names[i]);
		n = readlink(path, ret->ns[i], sizeof(ret->ns[i]) - 1);
		m = readlink(own_path, own, sizeof(own) - 1);
		if (n < 0 || m < 0)
			return -errno;
		ret->ns[i][n] = own[m] = '\0';
		ret->ns_own[i] = strcmp(ret->ns[i], own) != 0;
	}
	return 0;
}

/* The line of "/": its options and type (proc_pid_mountinfo(5)). */
static void readback_root(const char *info, struct sandbox_readback *ret)
{
	for (const char *line = info; line && *line;) {
		const char *end = line + strcspn(line, "\n");
		const char *at = memmem(line, (size_t)(end - line), " / / ", 5);
		const char *dash = memmem(line, (size_t)(end - line), " - ", 3);

		if (at && dash && at < dash) {
			const char *options = at + 5, *type = dash + 3;

			snprintf(ret->root_flags, sizeof(ret->root_flags), "%.*s",
				 (int)strcspn(options, " "), options);
			snprintf(ret->root_fs, sizeof(ret->root_fs), "%.*s",
				 (int)strcspn(type, " "), type);
		}
		line = *end ? end + 1 : end;
	}
}

int readback(pid_t pid, struct sandbox_readback *ret, struct err *err)
{
	_cleanup_buf_ struct buf status = BUF_INIT(CEIL_SMALL_FILE),
				 map = BUF_INIT(CEIL_SMALL_FILE), info = BUF_INIT(CEIL_SMALL_FILE);
	char path[64];
	int r;

	*ret = (struct sandbox_readback){0};
	r = readback_namespaces(pid, ret);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (r == 0)
		r = io_read_file(AT_FDCWD, path, &status);
	snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	if (r == 0)
		r = io_read_file(AT_FDCWD, path, &map);
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
	if (r == 0)
		r = io_read_file(AT_FDCWD, path, &info);
	if (r < 0)
		return err_errno(err, -r, "readback", "cannot read back the sandbox's state");
	ret->seccomp = readback_number(status.data, "\nSeccomp:");
	ret->seccomp_filters = readback_number(status.data, "\nSeccomp_filters:");
	ret->no_new_privs = readback_number(status.data, "\nNoNewPrivs:");
	readback_word(status.data, "\nCapEff:", ret->cap_eff, sizeof(ret->cap_eff));
	readback_word(status.data, "\nCapPrm:", ret->cap_prm, sizeof(ret->cap_prm));
	readback_word(status.data, "\nCapBnd:", ret->cap_bnd, sizeof(ret->cap_bnd));
	readback_word(status.data, "\nCapInh:", ret->cap_inh, sizeof(ret->cap_inh));
	readback_word(status.data, "\nCapAmb:", ret->cap_amb, sizeof(ret->cap_amb));
	for (size_t i = 0, len = 0; map.data && map.data[i] && len + 1 < sizeof(ret->uid_map); i++)
		if (map.data[i] != ' ' ||
		    (len && ret->uid_map[len - 1] != ' ' && ret->uid_map[len - 1] != ','))
			ret->uid_map[len++] = map.data[i] == '\n' ? ',' : map.data[i];
	readback_root(info.data, ret);
	ret->landlock_abi = plan_landlock_abi();
	return 0;
}

/* The mandatory layers of level nano; the name of the first that is missing, or NULL. */
const char *readback_missing(const struct sandbox_readback *r)
{
	static const char *const names[] = {"the user namespace",  "the PID namespace",
					    "the mount namespace", "the network namespace",
					    "the IPC namespace",   "the UTS namespace",
					    "the cgroup namespace"};

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (!r->ns_own[i])
			return names[i];
	if (r->seccomp != 2)
		return "the system call filter";
	if (r->no_new_privs != 1)
		return "no_new_privs";
	if (strcmp(r->root_fs, "overlay") != 0 || !strstr(r->root_flags, "nosuid") ||
	    !strstr(r->root_flags, "nodev"))
		return "the nosuid,nodev overlay root";
	if ((strtoull(r->cap_eff, NULL, 16) | strtoull(r->cap_prm, NULL, 16) |
	     strtoull(r->cap_bnd, NULL, 16)) &
	    ~plan_caps(true))
		return "the bound of capabilities";
	if (strtoull(r->cap_amb, NULL, 16) || strtoull(r->cap_inh, NULL, 16))
		return "empty inheritable capabilities";
	return NULL;
}
