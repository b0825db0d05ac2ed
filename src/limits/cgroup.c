/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.c: one sandbox's groups. Every limit is read back after it was written: some kernels take
 * a value and do nothing with it. No process is ever moved by writing to cgroup.procs: that waits
 * for an RCU grace period, 11 ms on an idle machine.
 */
#include "cgroup.h"

#include "buf.h"
#include "ceilings.h"
#include "cgroup-private.h"
#include "err.h"
#include "io.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

struct cgroup_dir {
	char path[768];
	int fd;
};

struct cgroup {
	struct cgroup_dir dirs[CGROUP_CONTROLLER_MAX]; /* distinct directories */
	size_t n_dirs;
	int of[CGROUP_CONTROLLER_MAX]; /* index into dirs, or -1 */
	uint8_t version[CGROUP_CONTROLLER_MAX];
	int join[CGROUP_CONTROLLER_MAX];
	size_t n_join;
	int oom_fd;
};

static int cgroup_fd(const struct cgroup *group, enum cgroup_controller controller)
{
	return group->of[controller] < 0 ? -1 : group->dirs[group->of[controller]].fd;
}

bool cgroup_has(const struct cgroup *group, enum cgroup_controller controller)
{
	return group->of[controller] >= 0;
}

/* Makes every directory of path below parent; each but the last passes its controllers on if asked.
 */
static int cgroup_make(const char *parent, bool delegate, const char *path, char *ret, size_t size,
		       struct err *err)
{
	size_t len = strlen(parent);
	int n = snprintf(ret, size, "%s/%s", parent, path);

	if (n < 0 || (size_t)n >= size)
		return err_set(err, ENAMETOOLONG, "cgroup", "the group %s is too deep", path);
	for (char *p = ret + len + 1;; p++) {
		bool last = *p == '\0';
		int r;

		if (*p != '/' && !last)
			continue;
		*p = '\0';
		if (mkdir(ret, 0755) < 0 && (last || errno != EEXIST))
			return err_errno(err, errno, "cgroup", "cannot make %s", ret);
		if (last)
			return 0;
		r = delegate ? cgroup_v2_delegate(ret) : 0;
		if (r < 0)
			return err_errno(err, -r, "cgroup", "cannot delegate controllers in %s",
					 ret);
		*p = '/';
	}
}

/*
 * The file of a limit holds what was written to it. Bytes of memory are rounded down to a page (of
 * 64 KiB at most), nothing else is; "max" is no limit.
 */
static bool cgroup_holds(enum cgroup_controller controller, const char *value, const char *now)
{
	char *rest, *end;
	uint64_t asked = strtoull(value, &rest, 10), held;
	uint64_t slack = controller == CGROUP_MEMORY ? 65535 : 0;

	if (*now < '0' || *now > '9')
		return false;
	held = strtoull(now, &end, 10); /* one too large is UINT64_MAX: more than was asked */
	if (held > asked || asked - held > slack || (asked && !held))
		return false;
	/* The period after a quota, and the end of the line. */
	return strncmp(end, rest, strlen(rest)) == 0 && strchr("\n", end[strlen(rest)]);
}

/* Writes a limit and checks that the kernel holds it. */
static int cgroup_set(const struct cgroup *group, enum cgroup_controller controller,
		      const char *file, const char *value, struct err *err)
{
	const char *path = group->dirs[group->of[controller]].path;
	_cleanup_buf_ struct buf now = BUF_INIT(CEIL_SMALL_FILE);
	int r = io_write_file(cgroup_fd(group, controller), file, value);

	if (r == 0)
		r = io_read_file(cgroup_fd(group, controller), file, &now);
	if (r < 0)
		return err_errno(err, -r, "cgroup", "cannot set %s/%s to %s", path, file, value);
	if (!cgroup_holds(controller, value, now.data))
		return err_set(err, EIO, "cgroup", "%s/%s was set to %s but holds %.*s", path, file,
			       value, (int)strcspn(now.data, "\n"), now.data);
	return 0;
}

static int cgroup_set_memory(struct cgroup *group, uint64_t bytes, struct err *err)
{
	bool v2 = group->version[CGROUP_MEMORY] == 2;
	int fd = cgroup_fd(group, CGROUP_MEMORY), event;
	char text[64];
	int r;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	r = cgroup_set(group, CGROUP_MEMORY, v2 ? "memory.max" : "memory.limit_in_bytes", text,
		       err);
	if (r < 0)
		return r;
	if (v2) {
		/* Absent without swap accounting: then there is none to use, or none counted. */
		r = cgroup_set(group, CGROUP_MEMORY, "memory.swap.max", "0", err);
		if (r == 0 || r == -ENOENT)
			r = cgroup_set(group, CGROUP_MEMORY, "memory.oom.group", "1", err);
		group->oom_fd = openat(fd, "memory.events", O_RDONLY | O_CLOEXEC);
		if (r == 0 && group->oom_fd < 0)
			r = err_errno(err, errno, "cgroup", "cannot open memory.events");
		return r;
	}
	r = cgroup_set(group, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", text, err);
	if (r == -ENOENT || r == -EOPNOTSUPP)
		r = cgroup_set(group, CGROUP_MEMORY, "memory.swappiness", "0", err);
	if (r < 0)
		return r;
	group->oom_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	event = openat(fd, "memory.oom_control", O_RDONLY | O_CLOEXEC);
	snprintf(text, sizeof(text), "%d %d", group->oom_fd, event);
	r = event < 0 ? -errno : io_write_file(fd, "cgroup.event_control", text);
	fd_close(event);
	return r < 0 ? err_errno(err, -r, "cgroup", "cannot watch for out of memory") : 0;
}

static int cgroup_set_cpu(struct cgroup *group, uint32_t milli, struct err *err)
{
	const unsigned period = 100000; /* µs, the kernel's default */
	unsigned long long quota = (unsigned long long)milli * period / 1000;
	char text[64];

	/* The kernel's least quota is 1 ms. */
	if (quota < 1000)
		quota = 1000;
	snprintf(text, sizeof(text), "%llu", quota);
	if (group->version[CGROUP_CPU] == 1)
		return cgroup_set(group, CGROUP_CPU, "cpu.cfs_quota_us", text, err);
	snprintf(text, sizeof(text), "%llu %u", quota, period);
	return cgroup_set(group, CGROUP_CPU, "cpu.max", text, err);
}

/* One of the lines is this one, or starts with it and goes on with other keys. */
static bool cgroup_has_line(const char *text, const char *line)
{
	size_t len = strlen(line);

	for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
		if (strncmp(text, line, len) == 0 && (!text[len] || strchr("\n ", text[len])))
			return true;
	return false;
}

/* A limit that is a line of a file with one for each device. */
static int cgroup_set_line(const struct cgroup *group, const char *file, const char *line,
			   struct err *err)
{
	_cleanup_buf_ struct buf now = BUF_INIT(CEIL_SMALL_FILE);
	int fd = cgroup_fd(group, CGROUP_IO), r = io_write_file(fd, file, line);

	if (r == 0)
		r = io_read_file(fd, file, &now);
	if (r < 0)
		return err_errno(err, -r, "cgroup", "cannot set %s to %s", file, line);
	return cgroup_has_line(now.data, line)
		       ? 0
		       : err_set(err, EIO, "cgroup", "%s does not hold %s", file, line);
}

static int cgroup_set_io(struct cgroup *group, const struct cgroup_limits *limits, struct err *err)
{
	static const char *const files[] = {"blkio.throttle.read_bps_device",
					    "blkio.throttle.write_bps_device"};
	unsigned long long bps = limits->io_bps;
	char text[128];

	for (size_t i = 0; i < limits->n_io_devices; i++) {
		unsigned major_no = major(limits->io_devices[i]);
		unsigned minor_no = minor(limits->io_devices[i]);
		int r = 0;

		if (group->version[CGROUP_IO] == 2) {
			snprintf(text, sizeof(text), "%u:%u rbps=%llu wbps=%llu", major_no,
				 minor_no, bps, bps);
			r = cgroup_set_line(group, "io.max", text, err);
		} else {
			snprintf(text, sizeof(text), "%u:%u %llu", major_no, minor_no, bps);
			for (size_t k = 0; r == 0 && k < ELEMENTSOF(files); k++)
				r = cgroup_set_line(group, files[k], text, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* The limits whose controllers are of this version; a missing controller shows in the last step. */
static int cgroup_apply(struct cgroup *group, const struct cgroup_limits *limits, unsigned version,
			struct err *err)
{
	const struct {
		enum cgroup_controller controller;
		bool wanted;
		const char *name;
	} needs[] = {
		{CGROUP_MEMORY, limits->memory_bytes, "memory"},
		{CGROUP_CPU, limits->cpu_milli, "cpu"},
		{CGROUP_PIDS, limits->pids, "pids"},
		{CGROUP_IO, limits->io_bps, "io"},
	};
	char text[32];
	int r = 0;

	for (size_t i = 0; i < ELEMENTSOF(needs); i++)
		if (version == 1 && needs[i].wanted && !cgroup_has(group, needs[i].controller))
			return err_set(err, EOPNOTSUPP, "cgroup", "there is no %s controller here",
				       needs[i].name);
	if (limits->memory_bytes && group->version[CGROUP_MEMORY] == version)
		r = cgroup_set_memory(group, limits->memory_bytes, err);
	if (r == 0 && limits->cpu_milli && group->version[CGROUP_CPU] == version)
		r = cgroup_set_cpu(group, limits->cpu_milli, err);
	if (r == 0 && limits->pids && group->version[CGROUP_PIDS] == version) {
		snprintf(text, sizeof(text), "%u", limits->pids);
		r = cgroup_set(group, CGROUP_PIDS, "pids.max", text, err);
	}
	if (r == 0 && limits->io_bps && group->version[CGROUP_IO] == version)
		r = cgroup_set_io(group, limits, err);
	return r;
}

static int cgroup_add_dir(struct cgroup *group, const struct cgroup_host *host, const char *path,
			  enum cgroup_controller c, struct err *err)
{
	struct cgroup_dir *dir = &group->dirs[group->n_dirs];
	bool delegate = host->version[c] == 2 && host->version[CGROUP_MEMORY] != 1;
	int r;

	for (int other = 0; other < (int)c; other++)
		if (group->of[other] >= 0 && strcmp(host->parent[other], host->parent[c]) == 0) {
			group->of[c] = group->of[other];
			return 0;
		}
	r = cgroup_make(host->parent[c], delegate, path, dir->path, sizeof(dir->path), err);
	if (r < 0)
		return r;
	dir->fd = -1;
	group->of[c] = (int)group->n_dirs++;
	dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0)
		return err_errno(err, errno, "cgroup", "cannot open %s", dir->path);
	if (host->version[c] == 1) {
		group->join[group->n_join] = openat(dir->fd, "tasks", O_WRONLY | O_CLOEXEC);
		if (group->join[group->n_join] < 0)
			return err_errno(err, errno, "cgroup", "cannot open %s/tasks", dir->path);
		group->n_join++;
	}
	return 0;
}

static int cgroup_add_version(struct cgroup *group, const struct cgroup_host *host,
			      const char *path, const struct cgroup_limits *limits,
			      unsigned version, struct err *err)
{
	int r = 0;

	for (int c = 0; r == 0 && c < CGROUP_CONTROLLER_MAX; c++)
		if (host->version[c] == version)
			r = cgroup_add_dir(group, host, path, (enum cgroup_controller)c, err);
	return r == 0 ? cgroup_apply(group, limits, version, err) : r;
}

int cgroup_new(const struct cgroup_host *host, const char *path, const struct cgroup_limits *limits,
	       struct cgroup **ret_group, struct err *err)
{
	struct cgroup *group = calloc(1, sizeof(*group));
	int r;

	if (!group)
		return err_set(err, ENOMEM, "cgroup", "out of memory");
	group->oom_fd = -1;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		group->of[c] = -1;
		group->version[c] = host->version[c];
	}
	r = cgroup_add_version(group, host, path, limits, 2, err);
	if (r < 0) {
		cgroup_free(group);
		return r;
	}
	*ret_group = group;
	return 0;
}

int cgroup_complete(struct cgroup *group, const struct cgroup_host *host, const char *path,
		    const struct cgroup_limits *limits, struct err *err)
{
	return cgroup_add_version(group, host, path, limits, 1, err);
}

/* Where there is no cgroup.kill, the end of the sandbox's init kills all. */
static void cgroup_kill_at(const char *path)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || io_write_file(fd, "cgroup.kill", "1") < 0)
		errno = 0;
}

/* A group whose last process is just being reaped is busy for a moment. */
static void cgroup_remove_dir(const char *path)
{
	for (int try = 0; try < 1000; try++) {
		if (rmdir(path) == 0 || errno != EBUSY)
			return;
		if (try == 0)
			cgroup_kill_at(path);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

struct cgroup *cgroup_free(struct cgroup *group)
{
	if (!group)
		return NULL;
	fd_close(group->oom_fd);
	for (size_t i = 0; i < group->n_join; i++)
		fd_close(group->join[i]);
	for (size_t i = 0; i < group->n_dirs; i++) {
		fd_close(group->dirs[i].fd);
		cgroup_remove_dir(group->dirs[i].path);
	}
	free(group);
	return NULL;
}

int cgroup_clone_fd(const struct cgroup *group)
{
	return group->version[CGROUP_CORE] == 2 ? cgroup_fd(group, CGROUP_CORE) : -1;
}

const int *cgroup_join_fds(const struct cgroup *group, size_t *ret_n)
{
	*ret_n = group->n_join;
	return group->join;
}

int cgroup_oom_fd(const struct cgroup *group)
{
	return group->oom_fd;
}

const char *cgroup_dir_path(const struct cgroup *group, size_t i)
{
	return i < group->n_dirs ? group->dirs[i].path : NULL;
}

void cgroup_sweep_dir(const char *path)
{
	if (access(path, F_OK) == 0)
		cgroup_remove_dir(path);
}

void cgroup_oom_seen(const struct cgroup *group)
{
	char text[512];

	/* A kernfs file tells again once it was read from its start; an eventfd has one number. */
	if (group->version[CGROUP_MEMORY] == 2 ? pread(group->oom_fd, text, sizeof(text), 0) < 0
					       : read(group->oom_fd, text, 8) < 0)
		errno = 0;
}

const char *cgroup_v2_path(const struct cgroup *group)
{
	return group->version[CGROUP_MEMORY] == 2 ? group->dirs[group->of[CGROUP_MEMORY]].path
						  : NULL;
}

/* The number after `key` and blanks in a flat-keyed file; 0 if it is not there. */
static uint64_t cgroup_keyed(int dirfd, const char *file, const char *key)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	size_t len = strlen(key);

	if (dirfd < 0 || io_read_file(dirfd, file, &text) < 0)
		return 0;
	for (const char *line = text.data; line && *line;) {
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return strtoull(line + len, NULL, 10);
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return 0;
}

/* Sums what follows `key` on every line: "8:0 rbytes=1 …" of v2, "8:0 Read 1" of v1. */
static uint64_t cgroup_sum(int dirfd, const char *file, const char *key)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	uint64_t sum = 0;

	if (dirfd < 0 || io_read_file(dirfd, file, &text) < 0)
		return 0;
	for (const char *p = text.data; (p = strstr(p, key)); p += strlen(key))
		sum += strtoull(p + strlen(key), NULL, 10);
	return sum;
}

static uint64_t cgroup_number(int dirfd, const char *file)
{
	uint64_t value = 0;

	return dirfd >= 0 && io_read_u64(dirfd, file, &value) == 0 ? value : 0;
}

uint64_t cgroup_read_cpu_us(const struct cgroup *group)
{
	int fd = cgroup_fd(group, CGROUP_CORE);

	if (group->version[CGROUP_CORE] == 2)
		return cgroup_keyed(fd, "cpu.stat", "usage_usec");
	return cgroup_number(fd, "cpuacct.usage") / 1000;
}

static uint64_t cgroup_read_written(const struct cgroup *group)
{
	int fd = cgroup_fd(group, CGROUP_IO);

	return group->version[CGROUP_IO] == 2
		       ? cgroup_sum(fd, "io.stat", " wbytes=")
		       : cgroup_sum(fd, "blkio.throttle.io_service_bytes_recursive", " Write ");
}

void cgroup_read_events(const struct cgroup *group, struct cgroup_usage *usage)
{
	int memory = cgroup_fd(group, CGROUP_MEMORY);
	bool v2 = group->version[CGROUP_MEMORY] == 2;

	usage->oom_kills =
		cgroup_keyed(memory, v2 ? "memory.events" : "memory.oom_control", "oom_kill");
	usage->pids_refused = cgroup_keyed(cgroup_fd(group, CGROUP_PIDS), "pids.events", "max");
}

void cgroup_read_usage(const struct cgroup *group, struct cgroup_usage *ret_usage)
{
	int core = cgroup_fd(group, CGROUP_CORE), memory = cgroup_fd(group, CGROUP_MEMORY);
	int pids = cgroup_fd(group, CGROUP_PIDS), io = cgroup_fd(group, CGROUP_IO);
	struct cgroup_usage usage = {0};

	if (group->version[CGROUP_CORE] == 2) {
		usage.cpu_user_us = cgroup_keyed(core, "cpu.stat", "user_usec");
		usage.cpu_system_us = cgroup_keyed(core, "cpu.stat", "system_usec");
	} else {
		/* The parts are sampled at ticks, the sum is exact: split it as they stand. */
		uint64_t total = cgroup_number(core, "cpuacct.usage") / 1000;
		uint64_t user = cgroup_number(core, "cpuacct.usage_user") / 1000;
		uint64_t system = cgroup_number(core, "cpuacct.usage_sys") / 1000;

		usage.cpu_system_us = user + system ? total * system / (user + system) : 0;
		usage.cpu_user_us = total - usage.cpu_system_us;
	}
	usage.memory_peak_bytes = cgroup_number(memory, group->version[CGROUP_MEMORY] == 2
								? "memory.peak"
								: "memory.max_usage_in_bytes");
	usage.pids_peak = cgroup_number(pids, "pids.peak");
	cgroup_read_events(group, &usage);
	usage.io_write_bytes = cgroup_read_written(group);
	usage.io_read_bytes =
		group->version[CGROUP_IO] == 2
			? cgroup_sum(io, "io.stat", " rbytes=")
			: cgroup_sum(io, "blkio.throttle.io_service_bytes_recursive", " Read ");
	*ret_usage = usage;
}

void cgroup_each_pid(const struct cgroup *group, void (*fn)(pid_t pid, void *data), void *data)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1u << 22);
	char *p, *end;

	for (size_t i = 0; i < group->n_dirs && text.len == 0; i++)
		if (io_read_file(group->dirs[i].fd, "cgroup.procs", &text) < 0)
			return;
	for (p = text.data; p && *p; p = end) {
		long pid = strtol(p, &end, 10);

		if (end == p)
			break;
		if (pid > 0)
			fn((pid_t)pid, data);
	}
}

void cgroup_sweep(const struct cgroup_host *host, const char *path)
{
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		char dir[768];

		snprintf(dir, sizeof(dir), "%s/%s", host->parent[c], path);
		if (host->version[c])
			cgroup_sweep_dir(dir);
	}
}
