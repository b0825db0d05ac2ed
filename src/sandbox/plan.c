/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.c: the shape of a sandbox as data. Root and rootless differ in where ids are mapped and in
 * nothing else.
 */
#include "plan.h"

#include "err.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#define PLAN_SEALED (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

#ifdef CREEL_ABLATION
static unsigned plan_omitted(void);
static bool plan_omits(const char *wall);
#else
#define plan_omits(wall) false
#endif

#define CAP_BIT(cap) (1ull << (cap))

/* What root inside may do, and init needs of it to become a user. */
static const uint64_t plan_root_caps =
	CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) |
	CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_KILL) | CAP_BIT(CAP_SETFCAP);
static const uint64_t plan_init_caps =
	CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_KILL) | CAP_BIT(CAP_SETPCAP);

uint64_t plan_caps(bool as_root)
{
	return as_root ? plan_root_caps | plan_init_caps : plan_init_caps;
}

static struct cell_mount *plan_add(struct plan *plan, enum cell_mount_kind kind, const char *source,
				   const char *target, uint64_t attr)
{
	struct cell_mount *mount = &plan->mounts[plan->cell.n_mounts++];

	if (plan_omits("nosuid"))
		attr &= ~(uint64_t)PLAN_SEALED;
	*mount =
		(struct cell_mount){.kind = kind, .source = source, .target = target, .attr = attr};
	return mount;
}

static void plan_option(struct cell_mount *mount, const char *key, const char *value)
{
	const char **option = mount->options;

	while (*option)
		option += 2;
	option[0] = key;
	option[1] = value;
}

static void plan_dir(struct plan *plan, const char *name, uint32_t owner, uint32_t group)
{
	size_t n = 0;

	while (plan->dirs[n].name)
		n++;
	plan->dirs[n] = (struct cell_dir){name, owner, group};
}

/* 1 + index in cell_plan.fds: the sandbox's own user namespace, and that of one id (none rootless).
 */
static int plan_ids(const struct sandbox *sandbox)
{
	return sandbox->idmap.rootless ? 0 : 1;
}

static int plan_one_id(const struct sandbox *sandbox)
{
	return sandbox->idmap.rootless ? 0 : 2;
}

static struct cell_mount *plan_overlay(const struct sandbox *sandbox, struct plan *plan,
				       const char *target, const char *lower, const char *upper,
				       const char *work)
{
	struct cell_mount *mount = plan_add(plan, CELL_FS, "overlay", target, PLAN_SEALED);
	uint32_t root = plan->cell.root_uid, group = plan->cell.root_gid;

	plan_dir(plan, upper, root, group);
	plan_dir(plan, work, root, group);
	plan_option(mount, "lowerdir", lower);
	plan_option(mount, "upperdir", upper);
	plan_option(mount, "workdir", work);
	if (sandbox->idmap.rootless)
		plan_option(mount, "userxattr", NULL);
	/* What is thrown away need not be synced at the unmount. */
	if (sandbox->layer_is_directory && !sandbox->spec->keeps.layer)
		plan_option(mount, "volatile", NULL);
	return mount;
}

/* What others wrote and may serve to a sandbox: read-only and with the sandbox's ids. */
static void plan_lower(const struct sandbox *sandbox, struct plan *plan, const char *source,
		       const char *stage_dir)
{
	struct cell_mount *mount =
		plan_add(plan, CELL_BIND, source, stage_dir, PLAN_SEALED | MOUNT_ATTR_RDONLY);

	mount->idmap = plan_ids(sandbox);
	plan_dir(plan, stage_dir, plan->cell.root_uid, plan->cell.root_gid);
}

/* The image `host` has the machine's own /usr. */
static void plan_host_usr(const struct sandbox *sandbox, struct plan *plan)
{
	if (!sandbox->spec->as_root) {
		struct cell_mount *usr =
			plan_add(plan, CELL_FS, "overlay", "/usr", PLAN_SEALED | MOUNT_ATTR_RDONLY);

		/* A bind would let inotify(7) tell inside which programs others run outside. */
		plan_option(usr, "lowerdir", "empty:/usr");
		if (sandbox->idmap.rootless)
			plan_option(usr, "userxattr", NULL);
		return;
	}
	plan_lower(sandbox, plan, plan->skel_usr, "skel-usr");
	plan_overlay(sandbox, plan, "/usr", "skel-usr:/usr", "usr-upper", "usr-work");
	if (access("/var/lib/dpkg/status", R_OK) < 0)
		return;
	plan_lower(sandbox, plan, plan->skel_dpkg, "skel-dpkg");
	plan_overlay(sandbox, plan, "/var/lib/dpkg", "skel-dpkg:/var/lib/dpkg", "dpkg-upper",
		     "dpkg-work");
}

static void plan_image(const struct sandbox *sandbox, struct plan *plan)
{
	plan_lower(sandbox, plan, plan->image, "lower");
	plan_overlay(sandbox, plan, "root", "lower", "upper", "work");
	plan->cell.root = "root";
	plan_dir(plan, "root", plan->cell.root_uid, plan->cell.root_gid);
	plan_dir(plan, "empty", plan->cell.root_uid, plan->cell.root_gid);
	if (!sandbox->spec->image)
		plan_host_usr(sandbox, plan);
}

/* A program of the host that runs inside: beside the workspace, not in it. */
static void plan_script(const struct sandbox *sandbox, struct plan *plan, uint32_t user)
{
	if (!sandbox->spec->script)
		return;
	plan_dir(plan, "script", user, user);
	plan_add(plan, CELL_BIND, "script", "/run/script", PLAN_SEALED);
}

/* A directory of the store, whose owners on disk are the ids that are seen inside. */
static void plan_bind_place(const struct sandbox *sandbox, struct plan *plan, enum place_kind kind,
			    const char *name, const char *target)
{
	char *source = plan->sources[plan->n_sources++];
	struct cell_mount *mount;

	snprintf(source, sizeof(plan->sources[0]), "%s/%s", sandbox->places.of[kind].path, name);
	mount = plan_add(plan, CELL_BIND, source, target, PLAN_SEALED);
	mount->idmap = plan_ids(sandbox);
}

/*
 * The project below, its changes above. Without redirects, metadata copies and an index the upper
 * layer has whole files, which diff and apply can read without a mounted overlay.
 */
static void plan_project(const struct sandbox *sandbox, struct plan *plan)
{
	struct cell_mount *mount =
		plan_add(plan, CELL_BIND, ".", "project", PLAN_SEALED | MOUNT_ATTR_RDONLY);

	mount->idmap = plan_one_id(sandbox);
	plan_bind_place(sandbox, plan, PLACE_OVERLAY, "", "changes");
	plan_dir(plan, "project", plan->cell.root_uid, plan->cell.root_gid);
	plan_dir(plan, "changes", plan->cell.root_uid, plan->cell.root_gid);
	mount = plan_add(plan, CELL_FS, "overlay", "/workspace", PLAN_SEALED);
	plan_option(mount, "lowerdir", "project");
	plan_option(mount, "upperdir", "changes/upper");
	plan_option(mount, "workdir", "changes/work");
	plan_option(mount, "redirect_dir", "nofollow");
	plan_option(mount, "metacopy", "off");
	plan_option(mount, "index", "off");
	if (sandbox->idmap.rootless)
		plan_option(mount, "userxattr", NULL);
}

static void plan_agent(const struct sandbox *sandbox, struct plan *plan)
{
	bool root = sandbox->spec->as_root;

	if (place_is_there(&sandbox->places, PLACE_AGENT))
		plan_bind_place(sandbox, plan, PLACE_AGENT, root ? "root" : "home",
				sandbox_home(sandbox->spec));
}

static void plan_workspace(const struct sandbox *sandbox, struct plan *plan)
{
	struct cell_mount *mount;
	const struct idmap *map = &sandbox->idmap;
	/* Rootless the cell makes its directories inside the user namespace, else outside. */
	uint32_t inside = map->single ? map->root_inside : IDMAP_USER;
	uint32_t user = map->rootless ? inside : idmap_user(map);

	plan_script(sandbox, plan, user);
	plan_agent(sandbox, plan);
	if (sandbox->spec->keeps.overlay) {
		plan_project(sandbox, plan);
		return;
	}
	if (!sandbox->spec->workspace && sandbox->workspace_fd >= 0) {
		bool named = place_is_there(&sandbox->places, PLACE_WORKSPACE);

		plan_bind_place(sandbox, plan, named ? PLACE_WORKSPACE : PLACE_AGENT,
				named ? "files" : "workspace", "/workspace");
		return;
	}
	if (!sandbox->spec->workspace) {
		plan_dir(plan, "workspace", user, user);
		plan_add(plan, CELL_BIND, "workspace", "/workspace", PLAN_SEALED);
		return;
	}
	mount = plan_add(plan, CELL_BIND, ".", "/workspace", PLAN_SEALED);
	mount->idmap = plan_one_id(sandbox);
}

static void plan_dev(const struct sandbox *sandbox, struct plan *plan)
{
	static const char *const nodes[] = {"/dev/null",   "/dev/zero",	   "/dev/full",
					    "/dev/random", "/dev/urandom", "/dev/tty"};
	static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
					       {"/proc/self/fd/0", "/dev/stdin"},
					       {"/proc/self/fd/1", "/dev/stdout"},
					       {"/proc/self/fd/2", "/dev/stderr"},
					       {"pts/ptmx", "/dev/ptmx"}};
	struct cell_mount *mount;

	mount = plan_add(plan, CELL_FS, "tmpfs", "/dev", PLAN_SEALED | MOUNT_ATTR_NOEXEC);
	plan_option(mount, "mode", "0755");
	plan_option(mount, "size", "65536");
	plan_option(mount, "nr_inodes", "128");
	for (size_t i = 0; i < ELEMENTSOF(nodes); i++)
		plan_add(plan, CELL_BIND, nodes[i], nodes[i],
			 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	for (size_t i = 0; i < ELEMENTSOF(links); i++)
		plan_add(plan, CELL_SYMLINK, links[i][0], links[i][1], 0);
	mount = plan_add(plan, CELL_FS, "devpts", "/dev/pts",
			 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	plan_option(mount, "newinstance", NULL);
	plan_option(mount, "ptmxmode", "0666");
	plan_option(mount, "mode", "0620");
	plan_option(mount, "max", "256");
	if (!sandbox->idmap.single)
		plan_option(mount, "gid", plan->tty_gid);
	mount = plan_add(plan, CELL_FS, "tmpfs", "/dev/shm", PLAN_SEALED);
	plan_option(mount, "mode", "1777");
	plan_option(mount, "size", plan->shm);
	plan_option(mount, "nr_inodes", "16384");
	/* Nobody swaps a node or a link, root inside neither (CVE-2025-31133). */
	plan_add(plan, CELL_SEAL, NULL, "/dev", MOUNT_ATTR_RDONLY);
}

/*
 * containerd's lists, and what tells of other tenants' work: interrupts, kallsyms. What belongs to
 * the host's root alone (kpagecount and the like) needs no mask: that id does not exist inside.
 */
static void plan_proc(struct plan *plan)
{
	static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
					       "/proc/sysrq-trigger"};
	static const char *const masked[] = {
		"/proc/acpi",	       "/proc/asound",	   "/proc/kcore",	"/proc/keys",
		"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
		"/proc/scsi",	       "/proc/kallsyms",   "/proc/interrupts",	"/proc/softirqs",
		"/proc/locks"};
	uint64_t attr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;

	plan_add(plan, CELL_FS, "proc", "/proc", PLAN_SEALED | MOUNT_ATTR_NOEXEC);
	for (size_t i = 0; i < ELEMENTSOF(readonly); i++)
		plan_add(plan, CELL_READONLY, NULL, readonly[i],
			 attr | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY);
	for (size_t i = 0; i < ELEMENTSOF(masked) && !plan_omits("masks"); i++)
		plan_add(plan, CELL_MASK, NULL, masked[i], attr | MOUNT_ATTR_RDONLY);
}

static void plan_layer(const struct sandbox *sandbox, struct plan *plan)
{
	const struct limit *disk = &sandbox->spec->limits->of[LIMIT_DISK];
	struct cell_mount *layer = &plan->cell.layer;

	*layer = (struct cell_mount){.kind = CELL_FS,
				     .source = "tmpfs",
				     .target = "the layer",
				     .attr = plan_omits("nosuid") ? 0 : PLAN_SEALED};
	if (sandbox->layer_is_directory) {
		layer->kind = CELL_BIND;
		layer->source = sandbox->places.of[PLACE_LAYER].path;
		layer->idmap = plan_ids(sandbox);
		return;
	}
	/* An inode takes about 1 KiB of kernel memory: 8 KiB of size for each keeps that in bounds.
	 */
	snprintf(plan->disk, sizeof(plan->disk), "%llu", (unsigned long long)disk->value);
	snprintf(plan->inodes, sizeof(plan->inodes), "%llu",
		 (unsigned long long)(disk->value / 8192 + 1024));
	plan_option(layer, "mode", "0755");
	plan_option(layer, "size", plan->disk);
	plan_option(layer, "nr_inodes", plan->inodes);
}

static void plan_rlimit(struct plan *plan, int resource, uint64_t soft, uint64_t hard)
{
	struct rlimit have;

	/* Never above what this process has: a container's own bound holds. */
	if (getrlimit((__rlimit_resource_t)resource, &have) == 0 && have.rlim_max < hard)
		hard = have.rlim_max;
	plan->cell.rlimits[resource] = (struct rlimit){MIN(soft, hard), hard};
	plan->cell.rlimits_set |= 1u << resource;
}

static void plan_rlimits(const struct sandbox *sandbox, struct plan *plan)
{
	const struct limit *of = sandbox->spec->limits->of;

	/* 1, not 0: a pipe handler of core_pattern runs at 0 too, but not at 1 (core(5)). */
	plan_rlimit(plan, RLIMIT_CORE, 1, 1);
	plan_rlimit(plan, RLIMIT_NOFILE, 1024, 65536);
	plan_rlimit(plan, RLIMIT_MEMLOCK, 8u << 20, 8u << 20);
	plan_rlimit(plan, RLIMIT_MSGQUEUE, 819200, 819200);
	plan_rlimit(plan, RLIMIT_NICE, 0, 0);
	plan_rlimit(plan, RLIMIT_RTPRIO, 0, 0);
	/*
	 * Of each user inside. Rootless the helper counts as well, and init with a single id; where
	 * the controller counts, it is the one to refuse, since it tells.
	 */
	if (of[LIMIT_PIDS].value) {
		uint64_t most = of[LIMIT_PIDS].value + (sandbox->pids_by_watch ? 0 : 8);

		most += sandbox->idmap.single;
		most += sandbox->idmap.rootless && sandbox->spec->helper;

		plan_rlimit(plan, RLIMIT_NPROC, most, most);
	}
	if (of[LIMIT_CPU_TIME].value)
		plan_rlimit(plan, RLIMIT_CPU, of[LIMIT_CPU_TIME].value / 1000 + 2,
			    of[LIMIT_CPU_TIME].value / 1000 + 4);
	if (sandbox->memory_by_watch)
		plan_rlimit(plan, RLIMIT_DATA, of[LIMIT_MEMORY].value, of[LIMIT_MEMORY].value);
	/* A memfd counts for no process that does not map it: each is bounded like this. */
	if (sandbox->memory_by_watch && !sandbox->spec->workspace) {
		uint64_t most = of[LIMIT_DISK].value;

		for (size_t i = 0; i < PLACE_MAX; i++)
			if (sandbox->places.of[i].limit > most)
				most = sandbox->places.of[i].limit;
		most += of[LIMIT_MEMORY].value;
		plan_rlimit(plan, RLIMIT_FSIZE, most, most);
	}
}

size_t plan_cpus_here(unsigned long ret_mask[PLAN_CPU_WORDS])
{
	unsigned long mask[PLAN_CPU_WORDS] = {0};
	size_t n = 0;

	/* cpu_set_t ends at 1,024 CPUs: a kernel that is made for more refuses it. */
	if (syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask) < 0)
		n = SIZE_MAX;
	for (size_t i = 0; n < SIZE_MAX && i < PLAN_CPU_WORDS; i++)
		n += (size_t)__builtin_popcountl(mask[i]);
	if (ret_mask)
		memcpy(ret_mask, mask, sizeof(mask));
	return n;
}

/* As many CPUs as --cpus rounds up to, another set for each sandbox; nothing if all may be used. */
static void plan_cpus(const struct sandbox *sandbox, struct plan *plan)
{
	size_t want = (sandbox->spec->limits->of[LIMIT_CPUS].value + 999) / 1000, skip;
	unsigned long all[PLAN_CPU_WORDS];
	const size_t bits = 8 * sizeof(all[0]), have = plan_cpus_here(all);

	if (want == 0 || want >= have)
		return;
	skip = (size_t)sandbox->live.id[1] % have;
	for (size_t turn = 0, seen = 0; want > 0 && turn < 2 * ELEMENTSOF(all) * bits; turn++) {
		size_t cpu = turn % (ELEMENTSOF(all) * bits);

		if (!(all[cpu / bits] >> cpu % bits & 1) || seen++ < skip)
			continue;
		plan->cpus[cpu / bits] |= 1ul << cpu % bits;
		want--;
	}
	plan->cell.cpus = plan->cpus;
	plan->cell.cpus_size = sizeof(plan->cpus);
}

int plan_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* _VERSION */);

	return abi < 0 ? 0 : (int)abi;
}

static void plan_landlock(struct plan *plan)
{
	int abi = plan_landlock_abi();

	/* Without REFER (ABI 2) every rename between directories would fail: then there is none. */
	if (abi < 2)
		return;
	plan->cell.landlock_fs = (1ull << 14) - 1; /* up to REFER */
	if (abi >= 3)
		plan->cell.landlock_fs |= 1ull << 14; /* TRUNCATE */
	if (abi >= 5)
		plan->cell.landlock_fs |= 1ull << 15; /* IOCTL_DEV */
	if (abi >= 6)
		plan->cell.landlock_scoped = 3; /* abstract UNIX sockets, signals */
}

static void plan_paths(const struct sandbox *sandbox, struct plan *plan)
{
	const struct state *state = sandbox->state;

	snprintf(plan->stage, sizeof(plan->stage), "%s/stage", state->run);
	if (sandbox->spec->image)
		snprintf(plan->image, sizeof(plan->image), "%s", sandbox->spec->image->root);
	else
		snprintf(plan->image, sizeof(plan->image), "%s/images/host/root", state->data);
	snprintf(plan->skel_usr, sizeof(plan->skel_usr), "%s/images/host/skel/usr", state->data);
	snprintf(plan->skel_dpkg, sizeof(plan->skel_dpkg), "%s/images/host/skel/dpkg", state->data);
}

static void plan_numbers(const struct sandbox *sandbox, struct plan *plan)
{
	uint64_t memory = sandbox->spec->limits->of[LIMIT_MEMORY].value;
	uint32_t root =
		sandbox->idmap.rootless ? sandbox->idmap.root_inside : idmap_root(&sandbox->idmap);

	plan->cell.root_uid = plan->cell.root_gid = root;
	snprintf(plan->tty_gid, sizeof(plan->tty_gid), "%u",
		 sandbox->idmap.rootless ? 5 : root + 5);
	snprintf(plan->shm, sizeof(plan->shm), "%llu",
		 (unsigned long long)(memory ? memory / 2 : 1ull << 30));
}

int plan_make(const struct sandbox *sandbox, int init_fd, int control_fd, struct plan *plan,
	      struct err *err)
{
	const struct sandbox_spec *spec = sandbox->spec;
	const struct idmap *map = &sandbox->idmap;
	bool bits = spec->as_root && !spec->workspace;

	if (spec->n_ro > CEIL_MOUNTS)
		return err_set(err, E2BIG, "plan", "too many mounts: at most %u --ro", CEIL_MOUNTS);
	*plan = (struct plan){0};
	plan_paths(sandbox, plan);
	plan_numbers(sandbox, plan);
	plan->cell.rootless = map->rootless;
	plan->cell.drop_groups = !map->single;
	plan->cell.cgroup_fd = sandbox->cgroup ? cgroup_clone_fd(sandbox->cgroup) : -1;
	plan->cell.first_join = map->rootless ? 0 : sandbox_host_directory(spec) ? 2 : 1;
	plan->cell.init_fd = init_fd;
	plan->cell.control_fd = control_fd;
	plan->cell.stage = plan->stage;
	plan->cell.uid = plan->cell.gid = map->root_inside;
	plan->cell.hostname = spec->hostname;
	plan->cell.seccomp = bits ? spec->seccomp->with_mode_bits : spec->seccomp->plain;
	plan->cell.caps = map->single && !spec->as_root ? 0 : plan_caps(spec->as_root);
	plan_layer(sandbox, plan);
	plan_image(sandbox, plan);
	plan_workspace(sandbox, plan);
	plan_dev(sandbox, plan);
	plan_proc(plan);
	for (size_t i = 0; i < spec->n_ro; i++)
		plan_add(plan, CELL_BIND, spec->ro[i].source, spec->ro[i].target,
			 PLAN_SEALED | MOUNT_ATTR_RDONLY);
	if (sandbox->cgroup && cgroup_v2_path(sandbox->cgroup))
		plan_add(plan, CELL_BIND, cgroup_v2_path(sandbox->cgroup), "/sys/fs/cgroup",
			 PLAN_SEALED | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY);
	plan->cell.mounts = plan->mounts;
	plan->cell.stage_dirs = plan->dirs;
	plan_rlimits(sandbox, plan);
	plan_cpus(sandbox, plan);
	plan_landlock(plan);
#ifdef CREEL_ABLATION
	plan->cell.omit = plan_omitted();
#endif
	return 0;
}

#ifdef CREEL_ABLATION
static bool plan_omits(const char *wall)
{
	const char *list = getenv("CREEL_ABLATE");

	return list && strstr(list, wall);
}

static unsigned plan_omitted(void)
{
	return (plan_omits("seccomp") ? CELL_WALL_SECCOMP : 0u) |
	       (plan_omits("nsmax") ? CELL_WALL_NSMAX : 0u) |
	       (plan_omits("landlock") ? CELL_WALL_LANDLOCK : 0u) |
	       (plan_omits("caps") ? CELL_WALL_CAPS : 0u) |
	       (plan_omits("nnp") ? CELL_WALL_NNP : 0u);
}
#endif
