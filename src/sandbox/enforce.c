/* SPDX-License-Identifier: Apache-2.0 */
/* enforce.c: see enforce.h. */
#include "enforce.h"

#include "err.h"
#include "io.h"
#include "plan.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

static void enforce_by(struct limits *limits, enum limit_kind kind, const char *what)
{
	limits->of[kind].enforced_by = what;
}

static int enforce_refuse(const struct sandbox *sandbox, enum limit_kind kind, const char *fix,
			  struct err *err)
{
	return err_set(err, EOPNOTSUPP, "limits", "%s cannot be enforced here: %s (%s)",
		       limit_options[kind], fix,
		       sandbox->host.why[0] ? sandbox->host.why : "the controller is missing");
}

/* The whole disk that holds path, for the I/O controllers; 0: none (tmpfs, btrfs, network). */
static dev_t enforce_disk_of(const char *path)
{
	char link[64], file[80];
	_cleanup_buf_ struct buf text = BUF_INIT(64);
	unsigned long major_no, minor_no;
	struct stat st;
	char *end;

	if (stat(path, &st) < 0 || major(st.st_dev) == 0)
		return 0;
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	snprintf(file, sizeof(file), "%s/partition", link);
	if (access(file, F_OK) < 0)
		return st.st_dev;
	snprintf(file, sizeof(file), "%s/../dev", link);
	if (io_read_file(AT_FDCWD, file, &text) < 0)
		return st.st_dev;
	major_no = strtoul(text.data, &end, 10);
	minor_no = *end == ':' ? strtoul(end + 1, NULL, 10) : 0;
	return makedev((unsigned)major_no, (unsigned)minor_no);
}

/* One more device; what lies on none the controller knows (btrfs, overlay, network) is refused. */
static int enforce_io_device(const struct sandbox *sandbox, const char *path,
			     struct cgroup_limits *limits, struct err *err)
{
	dev_t dev = enforce_disk_of(path);
	struct statfs st;

	if (dev == 0 && statfs(path, &st) == 0 && st.f_type == TMPFS_MAGIC)
		return 0; /* memory */
	if (dev == 0)
		return enforce_refuse(sandbox, LIMIT_IO, "no block device lies below the files",
				      err);
	for (size_t k = 0; k < limits->n_io_devices; k++)
		if (limits->io_devices[k] == dev)
			return 0;
	if (limits->n_io_devices == ELEMENTSOF(limits->io_devices))
		return enforce_refuse(sandbox, LIMIT_IO, "the files lie on too many devices", err);
	limits->io_devices[limits->n_io_devices++] = dev;
	return 0;
}

static int enforce_io_devices(const struct sandbox *sandbox, struct cgroup_limits *limits,
			      struct err *err)
{
	const struct sandbox_spec *spec = sandbox->spec;
	int r = enforce_io_device(sandbox, sandbox->state->data, limits, err);

	if (r == 0)
		r = enforce_io_device(sandbox, "/usr", limits, err);
	if (r == 0 && spec->workspace)
		r = enforce_io_device(sandbox, spec->workspace, limits, err);
	for (size_t i = 0; r == 0 && i < spec->n_ro; i++)
		r = enforce_io_device(sandbox, spec->ro[i].source, limits, err);
	if (r == 0 && limits->n_io_devices == 0)
		return enforce_refuse(sandbox, LIMIT_IO, "all of the files are in memory", err);
	return r;
}

static int enforce_io(struct sandbox *sandbox, struct cgroup_limits *group, struct err *err)
{
	struct limits *limits = sandbox->spec->limits;
	int r;

	if (!limits->of[LIMIT_IO].value)
		return 0;
	if (!sandbox->host.version[CGROUP_IO])
		return enforce_refuse(sandbox, LIMIT_IO, "it needs the io controller", err);
	group->io_bps = limits->of[LIMIT_IO].value;
	r = enforce_io_devices(sandbox, group, err);
	if (r < 0)
		return r;
	enforce_by(limits, LIMIT_IO, cgroup_name(&sandbox->host, CGROUP_IO));
	return 0;
}

/*
 * Without user xattrs (tmpfs before Linux 6.6) an overlay in a user namespace cannot mark a
 * directory as replaced: rmdir and rename of the image's directories would fail with EIO.
 */
static bool enforce_tmpfs_has_xattrs(void)
{
	_cleanup_close_ int fd = memfd_create("xattr", MFD_CLOEXEC);

	return fd >= 0 && fsetxattr(fd, "user.creel", "1", 1, 0) == 0;
}

static int enforce_disk(struct sandbox *sandbox, struct err *err)
{
	struct limits *limits = sandbox->spec->limits;
	struct limit *disk = &limits->of[LIMIT_DISK];
	uint64_t memory = limits->of[LIMIT_MEMORY].value;

	/*
	 * Pages of a tmpfs count as memory: above half of it a full layer would end in an
	 * out-of-memory kill and not in ENOSPC. A default gives way; a named size gets a directory.
	 */
	if (sandbox->spec->keeps.layer && !disk->named)
		disk->value = PLACE_BYTES;
	else if (memory && disk->value > memory / 2 && !disk->named)
		disk->value = memory / 2;
	sandbox->layer_is_directory = sandbox->spec->keeps.layer ||
				      (memory && disk->value > memory / 2) ||
				      (!sandbox->state->root && !enforce_tmpfs_has_xattrs());
	if (disk->value < 1u << 20)
		return err_set(err, EINVAL, "limits", "--disk is below 1M");
	return 0;
}

void enforce_tell_disk(const struct sandbox *sandbox)
{
	const struct places *places = &sandbox->places;
	bool kept = false;

	for (enum place_kind i = PLACE_LAYER + 1; i < PLACE_MAX; i++)
		kept |= place_is_there(places, i);
	enforce_by(sandbox->spec->limits, LIMIT_DISK,
		   sandbox->layer_is_directory
			   ? places->pool ? "btrfs qgroup" : "watchdog over a directory"
		   : !kept	  ? "tmpfs size"
		   : places->pool ? "tmpfs size; of what is kept: btrfs qgroup"
				  : "tmpfs size; of what is kept: watchdog over a directory");
}

static int enforce_written(struct sandbox *sandbox, struct err *err)
{
	struct limits *limits = sandbox->spec->limits;

	if (!limits->of[LIMIT_WRITE_TOTAL].value)
		return 0;
	if (sandbox->host.version[CGROUP_IO] == 2)
		enforce_by(limits, LIMIT_WRITE_TOTAL, "watchdog over cgroup v2 io");
	else if (sandbox->state->root)
		enforce_by(limits, LIMIT_WRITE_TOTAL, "watchdog over /proc/PID/io");
	else
		return enforce_refuse(sandbox, LIMIT_WRITE_TOTAL,
				      "without root it needs the cgroup v2 io controller", err);
	return 0;
}

static int enforce_cpus(struct sandbox *sandbox, struct cgroup_limits *group, struct err *err)
{
	struct limits *limits = sandbox->spec->limits;
	struct limit *cpus = &limits->of[LIMIT_CPUS];
	bool whole = cpus->value % 1000 == 0;

	if (!cpus->value)
		return 0;
	if (sandbox->host.version[CGROUP_CPU]) {
		group->cpu_milli = (uint32_t)cpus->value;
		enforce_by(limits, LIMIT_CPUS, cgroup_name(&sandbox->host, CGROUP_CPU));
		return 0;
	}
	if (cpus->value / 1000 >= plan_cpus_here(NULL)) {
		enforce_by(limits, LIMIT_CPUS, "the CPUs that there are");
		return 0;
	}
	if (!whole && cpus->named)
		return enforce_refuse(sandbox, LIMIT_CPUS,
				      "a fraction needs the cpu controller; name a whole number",
				      err);
	enforce_by(limits, LIMIT_CPUS, "CPU affinity");
	return 0;
}

/*
 * Each v1 hierarchy is a group of its own, which takes 60 µs to make and to remove: none is made
 * that nobody asks. The end of init ends everything without cgroup.kill, and a quota of all CPUs
 * that there are is none.
 */
static void enforce_spare_groups(struct sandbox *sandbox)
{
	const struct limit *of = sandbox->spec->limits->of;
	struct cgroup_host *host = &sandbox->host;
	bool reported = sandbox->spec->read_back;

	if (host->version[CGROUP_MEMORY] != 1)
		return;
	if (host->version[CGROUP_IO] == 1 && !of[LIMIT_IO].value && !of[LIMIT_WRITE_TOTAL].value &&
	    !reported)
		host->version[CGROUP_IO] = 0;
	if (!of[LIMIT_CPU_TIME].value && !reported)
		host->version[CGROUP_CORE] = 0;
	if (host->version[CGROUP_CPU] == 1 && of[LIMIT_CPUS].value / 1000 >= plan_cpus_here(NULL))
		host->version[CGROUP_CPU] = 0;
}

int enforce_choose(struct sandbox *sandbox, struct cgroup_limits *ret_limits, struct err *err)
{
	struct limits *limits = sandbox->spec->limits;
	struct cgroup_limits group = {0};
	int r;

	enforce_spare_groups(sandbox);
	if (sandbox->host.version[CGROUP_MEMORY]) {
		group.memory_bytes = limits->of[LIMIT_MEMORY].value;
		enforce_by(limits, LIMIT_MEMORY, cgroup_name(&sandbox->host, CGROUP_MEMORY));
	} else {
		sandbox->memory_by_watch = true;
		enforce_by(limits, LIMIT_MEMORY,
			   "RLIMIT_DATA for each process, watchdog for the sum");
	}
	if (sandbox->host.version[CGROUP_PIDS]) {
		group.pids = (uint32_t)limits->of[LIMIT_PIDS].value;
		enforce_by(limits, LIMIT_PIDS, cgroup_name(&sandbox->host, CGROUP_PIDS));
	} else {
		sandbox->pids_by_watch = true;
		enforce_by(limits, LIMIT_PIDS, "RLIMIT_NPROC for each user, watchdog for the sum");
	}
	if (limits->of[LIMIT_CPU_TIME].value)
		enforce_by(limits, LIMIT_CPU_TIME, "watchdog, RLIMIT_CPU for each process");
	if (limits->of[LIMIT_TIMEOUT].value)
		enforce_by(limits, LIMIT_TIMEOUT, "creel");
	enforce_by(limits, LIMIT_OUTPUT, "creel");
	r = enforce_cpus(sandbox, &group, err);
	if (r == 0)
		r = enforce_disk(sandbox, err);
	if (r == 0)
		r = enforce_written(sandbox, err);
	if (r == 0)
		r = enforce_io(sandbox, &group, err);
	if (r == 0)
		*ret_limits = group;
	return r;
}
