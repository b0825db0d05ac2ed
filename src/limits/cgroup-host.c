/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup-host.c: finds where groups can be made: which hierarchy has which controller, what this
 * process' own group is in it, and whether children there can have limits.
 */
#include "buf.h"
#include "ceilings.h"
#include "cgroup-private.h"
#include "cgroup.h"
#include "err.h"
#include "io.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define CGROUP_LEAF "creel.self"

static const char *const cgroup_v1_names[CGROUP_CONTROLLER_MAX] = {
	[CGROUP_CORE] = "cpuacct", [CGROUP_MEMORY] = "memory", [CGROUP_CPU] = "cpu",
	[CGROUP_PIDS] = "pids",	   [CGROUP_IO] = "blkio",
};

static const char *const cgroup_v2_names[CGROUP_CONTROLLER_MAX] = {
	[CGROUP_MEMORY] = "memory",
	[CGROUP_CPU] = "cpu",
	[CGROUP_PIDS] = "pids",
	[CGROUP_IO] = "io",
};

/* word is one of the elements of a list with separators. */
static bool cgroup_in_list(const char *list, size_t len, const char *word, const char *separators)
{
	size_t word_len = strlen(word);

	for (size_t i = 0; i < len;) {
		size_t part = strcspn(list + i, separators);

		if (part > len - i)
			part = len - i;
		if (part == word_len && memcmp(list + i, word, part) == 0)
			return true;
		i += part + 1;
	}
	return false;
}

/*
 * This process' group in the hierarchy of a v1 controller, or of v2 (controller NULL), from
 * /proc/self/cgroup: lines "ID:CONTROLLERS:PATH", v2's with an empty list.
 */
static int cgroup_own_path(const char *self, const char *controller, char *ret, size_t size)
{
	for (const char *line = self; line && *line;) {
		const char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
		size_t len;

		if (!path)
			break;
		len = strcspn(path + 1, "\n");
		if (controller
			    ? cgroup_in_list(list + 1, (size_t)(path - list - 1), controller, ",")
			    : path == list + 1) {
			if (len >= size)
				return -ENAMETOOLONG;
			memcpy(ret, path + 1, len);
			ret[len] = '\0';
			return 0;
		}
		line = path[1 + len] ? path + 2 + len : NULL;
	}
	return -ENOENT;
}

/*
 * One line of mountinfo (proc_pid_mountinfo(5)): "… … … ROOT MOUNTPOINT … - TYPE SOURCE SUPER".
 * Points into the line.
 */
struct cgroup_mount {
	const char *root, *point, *type, *super;
	size_t root_len, point_len, type_len, super_len;
};

static bool cgroup_mount_parse(const char *line, size_t len, struct cgroup_mount *m)
{
	const char *field[5], *end = line + len, *dash = memmem(line, len, " - ", 3), *p = line;

	if (!dash)
		return false;
	for (int i = 0; i < 5; i++) {
		field[i] = p;
		p = memchr(p, ' ', (size_t)(end - p));
		if (!p)
			return false;
		p++;
	}
	if (p > dash + 1)
		return false;
	m->root = field[3];
	m->root_len = (size_t)(field[4] - field[3] - 1);
	m->point = field[4];
	m->point_len = (size_t)(p - field[4] - 1);
	m->type = dash + 3;
	p = memchr(m->type, ' ', (size_t)(end - m->type));
	if (!p)
		return false;
	m->type_len = (size_t)(p - m->type);
	p = memchr(p + 1, ' ', (size_t)(end - p - 1));
	m->super = p ? p + 1 : end;
	m->super_len = (size_t)(end - m->super);
	return true;
}

/* The directory of the own group below this mount; what lies above a bind mount's root is cut. */
static int cgroup_directory(const struct cgroup_mount *m, const char *own, char *ret, size_t size)
{
	int n;

	if (m->root_len > 1 && strncmp(own, m->root, m->root_len) == 0 &&
	    (own[m->root_len] == '/' || own[m->root_len] == '\0'))
		own += m->root_len;
	n = snprintf(ret, size, "%.*s%s", (int)m->point_len, m->point, strcmp(own, "/") ? own : "");
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* How many of memory, cpu and pids a group can hand to its children; io alone is worth no detour.
 */
static int cgroup_v2_offer(const char *dir, char *ret_controllers, size_t size)
{
	_cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_buf_ struct buf have = BUF_INIT(CEIL_SMALL_FILE);
	int n = 0, r = fd < 0 ? -errno : io_read_file(fd, "cgroup.controllers", &have);

	if (r < 0)
		return r;
	snprintf(ret_controllers, size, "%s", have.data);
	for (int c = CGROUP_MEMORY; c <= CGROUP_PIDS; c++)
		n += cgroup_in_list(ret_controllers, strlen(ret_controllers), cgroup_v2_names[c],
				    " \n");
	return n;
}

/* Switches on for the children of dir what it offers. */
static int cgroup_v2_enable(const char *dir, const char *controllers)
{
	_cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_buf_ struct buf on = BUF_INIT(CEIL_SMALL_FILE);
	char add[128] = "";
	size_t len = 0;
	int r = fd < 0 ? -errno : io_read_file(fd, "cgroup.subtree_control", &on);

	for (int c = CGROUP_MEMORY; r == 0 && c < CGROUP_CONTROLLER_MAX; c++)
		if (cgroup_in_list(controllers, strlen(controllers), cgroup_v2_names[c], " \n") &&
		    !cgroup_in_list(on.data, on.len, cgroup_v2_names[c], " \n"))
			len += (size_t)snprintf(add + len, sizeof(add) - len, "+%s ",
						cgroup_v2_names[c]);
	if (r == 0 && access(dir, W_OK) < 0)
		r = -errno;
	return r == 0 && len ? io_write_file(fd, "cgroup.subtree_control", add) : r;
}

int cgroup_v2_delegate(const char *dir)
{
	char controllers[256] = "";
	int r = cgroup_v2_offer(dir, controllers, sizeof(controllers));

	return r < 0 ? r : cgroup_v2_enable(dir, controllers);
}

/*
 * If this process is the only one of its group, it goes into a leaf, so that the group can have
 * limited children (what systemd's CGROUP_DELEGATION page asks of whoever gets a delegated group).
 */
static int cgroup_v2_make_room(struct cgroup_host *host, const char *dir)
{
	_cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_buf_ struct buf pids = BUF_INIT(CEIL_SMALL_FILE);
	char *end;

	if (fd < 0 || io_read_file(fd, "cgroup.procs", &pids) < 0 ||
	    strtol(pids.data, &end, 10) != getpid() || strcmp(end, "\n") != 0)
		return -EBUSY;
	if (mkdirat(fd, CGROUP_LEAF, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(host->left, sizeof(host->left), "%s", dir);
	return io_write_file(fd, CGROUP_LEAF "/cgroup.procs", "0");
}

void cgroup_host_leave(struct cgroup_host *host)
{
	_cleanup_close_ int fd =
		*host->left ? open(host->left, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	if (unlinkat(fd, "creel", AT_REMOVEDIR) == 0 || errno == ENOENT)
		for (int c = CGROUP_MEMORY; c < CGROUP_CONTROLLER_MAX; c++) {
			char off[16];

			snprintf(off, sizeof(off), "-%s", cgroup_v2_names[c]);
			if (io_write_file(fd, "cgroup.subtree_control", off) < 0)
				errno = 0; /* it was not on */
		}
	if (io_write_file(fd, "cgroup.procs", "0") == 0)
		unlinkat(fd, CGROUP_LEAF, AT_REMOVEDIR);
	host->left[0] = '\0';
}

/* Takes dir as the parent if it offers more than `best`; the new best. */
static int cgroup_v2_take(struct cgroup_host *host, const char *dir, bool own, int best)
{
	char controllers[256] = "";
	int offer = cgroup_v2_offer(dir, controllers, sizeof(controllers)), r;

	if (offer <= best)
		return best;
	r = cgroup_v2_enable(dir, controllers);
	if (r == -EBUSY && own && cgroup_v2_make_room(host, dir) == 0)
		r = cgroup_v2_enable(dir, controllers);
	if (r < 0) {
		snprintf(host->why, sizeof(host->why), "cgroup v2 at %.80s: %s", dir, strerror(-r));
		return best;
	}
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (c != CGROUP_CORE &&
		    !cgroup_in_list(controllers, strlen(controllers), cgroup_v2_names[c], " \n"))
			continue;
		snprintf(host->parent[c], sizeof(host->parent[c]), "%s", dir);
		host->version[c] = 2;
	}
	if (host->version[CGROUP_IO] != 2)
		snprintf(host->why, sizeof(host->why), "it is not enabled in %.120s", dir);
	return offer;
}

/*
 * From the own group upwards, since a group that has processes cannot limit children (EBUSY) and
 * one may have been given few controllers: the nearest of those that offer most.
 */
static void cgroup_v2_found(struct cgroup_host *host, const struct cgroup_mount *m, const char *own)
{
	int best = -1;
	char dir[512];

	if (cgroup_directory(m, own, dir, sizeof(dir)) < 0)
		return;
	/* A leaf that an earlier probe made: the group above it is the own one. */
	if (strlen(dir) > strlen("/" CGROUP_LEAF) &&
	    strcmp(dir + strlen(dir) - strlen("/" CGROUP_LEAF), "/" CGROUP_LEAF) == 0)
		*strrchr(dir, '/') = '\0';
	for (bool first = true; best < CGROUP_PIDS - CGROUP_MEMORY + 1; first = false) {
		best = cgroup_v2_take(host, dir, first, best);
		if (strlen(dir) <= m->point_len)
			break;
		*strrchr(dir, '/') = '\0';
	}
}

static void cgroup_v1_found(struct cgroup_host *host, const struct cgroup_mount *m,
			    const char *self)
{
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		char own[400], dir[512];

		if (host->version[c] == 2 ||
		    !cgroup_in_list(m->super, m->super_len, cgroup_v1_names[c], ",") ||
		    cgroup_own_path(self, cgroup_v1_names[c], own, sizeof(own)) < 0 ||
		    cgroup_directory(m, own, dir, sizeof(dir)) < 0)
			continue;
		if (access(dir, W_OK) < 0) {
			snprintf(host->why, sizeof(host->why), "cgroup v1 %s: %s",
				 cgroup_v1_names[c], strerror(errno));
			continue;
		}
		snprintf(host->parent[c], sizeof(host->parent[c]), "%s", dir);
		host->version[c] = 1;
	}
}

static bool cgroup_is_mount(const char *path, long magic)
{
	struct statfs st;

	return statfs(path, &st) == 0 && st.f_type == magic;
}

/*
 * Where everybody mounts them, /sys/fs/cgroup with or without a directory for each hierarchy: this
 * needs no mountinfo, which takes as long to read as a group to make. False: look there.
 */
static bool cgroup_usual_places(struct cgroup_host *host, const char *self)
{
	struct cgroup_mount m = {
		.root = "/", .root_len = 1, .point = "/sys/fs/cgroup", .point_len = 14};
	char own[400], dir[512], point[64];
	bool v2 = cgroup_own_path(self, NULL, own, sizeof(own)) == 0;

	if (cgroup_is_mount(m.point, CGROUP2_SUPER_MAGIC)) {
		if (!v2 || cgroup_directory(&m, own, dir, sizeof(dir)) < 0 || access(dir, F_OK) < 0)
			return false;
		cgroup_v2_found(host, &m, own);
		return true;
	}
	if (v2 && cgroup_is_mount("/sys/fs/cgroup/unified", CGROUP2_SUPER_MAGIC)) {
		m.point = "/sys/fs/cgroup/unified";
		m.point_len = strlen(m.point);
		if (cgroup_directory(&m, own, dir, sizeof(dir)) < 0 || access(dir, F_OK) < 0)
			return false;
		cgroup_v2_found(host, &m, own);
	}
	/* Controllers that share a hierarchy have several names for one directory. */
	if (strstr(self, "cpu,cpuacct") || strstr(self, "cpuacct,cpu"))
		return false;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		const char *name = cgroup_v1_names[c];

		if (cgroup_own_path(self, name, own, sizeof(own)) < 0)
			continue;
		snprintf(point, sizeof(point), "/sys/fs/cgroup/%s", name);
		m = (struct cgroup_mount){.root = "/",
					  .root_len = 1,
					  .point = point,
					  .point_len = strlen(point),
					  .super = name,
					  .super_len = strlen(name)};
		if (!cgroup_is_mount(point, CGROUP_SUPER_MAGIC) ||
		    cgroup_directory(&m, own, dir, sizeof(dir)) < 0 || access(dir, F_OK) < 0)
			return false;
		cgroup_v1_found(host, &m, self);
	}
	return true;
}

int cgroup_host_probe(struct cgroup_host *ret_host, struct err *err)
{
	_cleanup_buf_ struct buf self = BUF_INIT(CEIL_SMALL_FILE), info = BUF_INIT(1u << 22);
	char own[400];
	int r;

	*ret_host = (struct cgroup_host){.why = "no cgroup hierarchy is mounted"};
	r = io_read_file(AT_FDCWD, "/proc/self/cgroup", &self);
	if (r == 0 && cgroup_usual_places(ret_host, self.data))
		return 0;
	*ret_host = (struct cgroup_host){.why = "no cgroup hierarchy is mounted"};
	if (r == 0)
		r = io_read_file(AT_FDCWD, "/proc/self/mountinfo", &info);
	if (r < 0)
		return err_errno(err, -r, "cgroup", "cannot read /proc/self");
	/* v2 first: a controller that it has is not in any v1 hierarchy. */
	for (int version = 2; version >= 1; version--) {
		for (const char *line = info.data, *next; *line; line = next) {
			size_t len = strcspn(line, "\n");
			struct cgroup_mount m;

			next = line[len] ? line + len + 1 : line + len;
			if (!memmem(line, len, " - cgroup", 9) ||
			    !cgroup_mount_parse(line, len, &m))
				continue;
			if (version == 2 && m.type_len == 7 &&
			    cgroup_own_path(self.data, NULL, own, sizeof(own)) == 0)
				cgroup_v2_found(ret_host, &m, own);
			if (version == 1 && m.type_len == 6)
				cgroup_v1_found(ret_host, &m, self.data);
		}
	}
	return 0;
}

const char *cgroup_name(const struct cgroup_host *host, enum cgroup_controller controller)
{
	static const char *const names[CGROUP_CONTROLLER_MAX][2] = {
		[CGROUP_CORE] = {"cgroup v1 cpuacct", "cgroup v2"},
		[CGROUP_MEMORY] = {"cgroup v1 memory", "cgroup v2 memory"},
		[CGROUP_CPU] = {"cgroup v1 cpu", "cgroup v2 cpu"},
		[CGROUP_PIDS] = {"cgroup v1 pids", "cgroup v2 pids"},
		[CGROUP_IO] = {"cgroup v1 blkio (direct and synced I/O only)", "cgroup v2 io"},
	};

	if (host->version[controller] == 0)
		return NULL;
	return names[controller][host->version[controller] - 1];
}
