/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-plan.c: the shape of every kind of sandbox, from a struct sandbox made by hand: what must
 * hold for each mount, right and limit, whatever was asked.
 */
#include "plan.h"

#include "err.h"

#include <linux/capability.h>
#include <sys/mount.h>

#include "../testing/testing.h"

#define BIT(cap) (1ull << (cap))

static struct limits limits;
static struct sandbox_spec spec;
static struct state state_;
static struct sandbox sandbox;
static struct plan plan;
static struct err err;

/* The sandbox that root gets by default. */
static void base(void)
{
	limits = (struct limits){.of = {[LIMIT_MEMORY] = {.value = 2ull << 30},
					[LIMIT_PIDS] = {.value = 512},
					[LIMIT_DISK] = {.value = 1ull << 30}}};
	spec = (struct sandbox_spec){
		.seccomp = seccomp_profile_find("strict"), .hostname = "creel", .limits = &limits};
	state_ = (struct state){.data = "/S", .run = "/S/run", .root = true};
	sandbox = (struct sandbox){.spec = &spec,
				   .state = &state_,
				   .live = {.id = "iabc"},
				   .places = PLACES_INIT,
				   .workspace_fd = -1};
	sandbox.idmap = (struct idmap){
		.uids = {{0, 1879048192, 65536}}, .gids = {{0, 1879048192, 65536}}, .n = 1};
}

static void rootless(bool single)
{
	base();
	state_.root = false;
	sandbox.idmap = (struct idmap){.rootless = true, .single = single, .n = single ? 1 : 3};
	sandbox.idmap.root_inside = single ? IDMAP_USER : 0;
}

static void make(void)
{
	assert_int_equal(plan_make(&sandbox, 10, 11, &plan, &err), 0);
}

static const struct cell_mount *find(const char *target)
{
	for (size_t i = 0; i < plan.cell.n_mounts; i++)
		if (strcmp(plan.mounts[i].target, target) == 0)
			return &plan.mounts[i];
	fail_msg("nothing at %s", target);
	return NULL;
}

static bool has_option(const struct cell_mount *mount, const char *key, const char *value)
{
	for (size_t i = 0; mount->options[i]; i += 2)
		if (strcmp(mount->options[i], key) == 0)
			return !value || strcmp(mount->options[i + 1], value) == 0;
	return false;
}

/* Devices work where they are meant to and nowhere else. */
static bool may_have_devices(const struct cell_mount *mount)
{
	static const char *const nodes[] = {"/dev/null",   "/dev/zero",	   "/dev/full", "/dev/tty",
					    "/dev/random", "/dev/urandom", "/dev/pts"};

	for (size_t i = 0; i < ELEMENTSOF(nodes); i++)
		if (strcmp(mount->target, nodes[i]) == 0)
			return true;
	return mount->kind == CELL_MASK; /* /dev/null over a file, or nothing over a directory */
}

static bool is_known_source(const char *source)
{
	static const char *const known[] = {"/S/images/host/root",
					    "/S/images/host/skel/usr",
					    "/S/images/host/skel/dpkg",
					    "/S/layers/iabc",
					    "/S/images/sha256-0/root",
					    "/P/agents/o/a/home",
					    "/P/agents/o/a/root",
					    "/P/agents/o/a/workspace",
					    "/P/workspaces/o/w/files",
					    "/P/overlays/o/iabc/",
					    "/P/kept/o/k",
					    "/usr",
					    "/dev/null",
					    "/dev/zero",
					    "/dev/full",
					    "/dev/random",
					    "/dev/urandom",
					    "/dev/tty"};

	for (size_t i = 0; i < ELEMENTSOF(known); i++)
		if (strcmp(source, known[i]) == 0)
			return true;
	for (size_t i = 0; i < spec.n_ro; i++)
		if (strcmp(source, spec.ro[i].source) == 0)
			return true;
	return false;
}

static void check_mount(const struct cell_mount *mount)
{
	bool sealed = mount->attr & MOUNT_ATTR_NOSUID;
	bool nodev = mount->attr & MOUNT_ATTR_NODEV;

	if (mount->kind == CELL_SYMLINK || mount->kind == CELL_SEAL)
		return;
	if (!sealed || (!nodev && !may_have_devices(mount)))
		fail_msg("%s has attributes %llx", mount->target, (unsigned long long)mount->attr);
	/* A path of the host is shown only if it is named here or was asked for. */
	if (mount->kind == CELL_BIND && mount->source[0] == '/' && !is_known_source(mount->source))
		fail_msg("%s shows %s", mount->target, mount->source);
	if (mount->kind == CELL_READONLY || mount->kind == CELL_MASK)
		assert_true(mount->attr & MOUNT_ATTR_RDONLY);
}

static void check_all(void)
{
	make();
	check_mount(&plan.cell.layer);
	assert_in_range(plan.cell.n_mounts, 30, PLAN_MOUNTS_MAX);
	assert_ptr_equal(plan.cell.mounts, plan.mounts);
	for (size_t i = 0; i < plan.cell.n_mounts; i++)
		check_mount(&plan.mounts[i]);
	assert_string_equal(plan.cell.stage, "/S/run/stage");
	assert_int_equal(plan.cell.init_fd, 10);
	assert_int_equal(plan.cell.control_fd, 11);
	assert_int_equal(plan.cell.cgroup_fd, -1);
	assert_string_equal(plan.cell.hostname, "creel");
}

/* Root and rootless, user and --root, with and without what can be asked for. */
static void layer(const char *path)
{
	sandbox.layer_is_directory = true;
	snprintf(sandbox.places.of[PLACE_LAYER].path, sizeof(sandbox.places.of[0].path), "%s",
		 path);
}

static void every_shape_is_sealed(void **state)
{
	static const struct sandbox_mount ro[] = {{"/data/a", "/data"}, {"/data/b", "/opt/b"}};

	(void)state;
	for (unsigned i = 0; i < 96; i++) {
		if (i % 3 == 0)
			base();
		else
			rootless(i % 3 == 2);
		spec.as_root = i / 3 & 1;
		spec.workspace = i / 6 & 1 ? "/home/agent/work" : NULL;
		if (i / 12 & 1)
			layer("/S/layers/iabc");
		spec.script = i / 24 & 1 ? "/home/agent/x.py" : NULL;
		spec.ro = ro;
		spec.n_ro = i / 48 ? 2 : 0;
		check_all();
	}
}

static void the_order_of_mounts(void **state)
{
	static const struct sandbox_mount ro[] = {{"/data/a", "/data"}};

	(void)state;
	base();
	spec.ro = ro;
	spec.n_ro = 1;
	make();
	assert_string_equal(plan.mounts[0].target, "lower");
	assert_string_equal(plan.mounts[1].target, "root");
	assert_true(find("/proc") < find("/proc/sys"));
	assert_true(find("/dev") < find("/dev/null"));
	assert_true(find("/dev/pts") < find("/proc/kcore"));
	assert_true(find("/data")->attr & MOUNT_ATTR_RDONLY);
	assert_true(find("/usr")->attr & MOUNT_ATTR_RDONLY);
	assert_string_equal(find("/workspace")->source, "workspace");
}

static void proc_is_masked(void **state)
{
	static const char *const masked[] = {
		"kcore", "keys",     "latency_stats", "timer_list", "acpi",	  "sched_debug",
		"scsi",	 "kallsyms", "interrupts",    "asound",	    "timer_stats"};
	static const char *const readonly[] = {"bus", "fs", "irq", "sys", "sysrq-trigger"};
	char path[64];

	(void)state;
	base();
	make();
	assert_string_equal(find("/proc")->source, "proc");
	for (size_t i = 0; i < ELEMENTSOF(masked); i++) {
		snprintf(path, sizeof(path), "/proc/%s", masked[i]);
		assert_int_equal(find(path)->kind, CELL_MASK);
	}
	for (size_t i = 0; i < ELEMENTSOF(readonly); i++) {
		snprintf(path, sizeof(path), "/proc/%s", readonly[i]);
		assert_int_equal(find(path)->kind, CELL_READONLY);
	}
}

static void capabilities_are_the_documented_ones(void **state)
{
	uint64_t init = BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_KILL) | BIT(CAP_SETPCAP);
	uint64_t root = init | BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) |
			BIT(CAP_FSETID) | BIT(CAP_SETFCAP);

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		for (int as_root = 0; as_root < 2; as_root++) {
			if (kind == 0)
				base();
			else
				rootless(kind == 2);
			spec.as_root = as_root;
			sandbox.idmap.root_inside = kind == 2 && !as_root ? IDMAP_USER : 0;
			make();
			assert_true(plan.cell.caps == (as_root ? root : kind == 2 ? 0 : init));
			assert_int_equal(plan.cell.uid, sandbox.idmap.root_inside);
			assert_int_equal(plan.cell.rootless, kind != 0);
			assert_int_equal(plan.cell.drop_groups, kind != 2);
		}
	}
}

/* Setuid bits only where no host directory can be written. */
static void mode_bits_need_root_without_a_workspace(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		base();
		spec.as_root = i & 1;
		spec.workspace = i & 2 ? "/w" : NULL;
		make();
		assert_ptr_equal(plan.cell.seccomp.filter,
				 i == 1 ? spec.seccomp->with_mode_bits.filter
					: spec.seccomp->plain.filter);
		assert_true(plan.cell.seccomp.len > 0);
	}
}

static void rlimits_are_set(void **state)
{
	static const int always[] = {RLIMIT_CORE, RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE,
				     RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_NPROC};

	(void)state;
	base();
	make();
	for (size_t i = 0; i < ELEMENTSOF(always); i++)
		assert_true(plan.cell.rlimits_set >> always[i] & 1);
	assert_true(plan.cell.rlimits[RLIMIT_CORE].rlim_max <= 1);
	/* Near the limit: creel's own processes inside count as well. */
	assert_true(plan.cell.rlimits[RLIMIT_NPROC].rlim_max <= 512 + 16);
	assert_true(plan.cell.rlimits[RLIMIT_NOFILE].rlim_max <= 65536);
	assert_int_equal(plan.cell.rlimits[RLIMIT_RTPRIO].rlim_max, 0);
	assert_false(plan.cell.rlimits_set >> RLIMIT_CPU & 1);
	assert_false(plan.cell.rlimits_set >> RLIMIT_DATA & 1);
	limits.of[LIMIT_CPU_TIME].value = 5000;
	sandbox.memory_by_watch = true;
	make();
	assert_true(plan.cell.rlimits[RLIMIT_CPU].rlim_cur >= 5);
	assert_true(plan.cell.rlimits[RLIMIT_DATA].rlim_max <= 2ull << 30);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		assert_true(plan.cell.rlimits[i].rlim_cur <= plan.cell.rlimits[i].rlim_max);
}

static void the_layer_is_capped(void **state)
{
	(void)state;
	base();
	make();
	assert_string_equal(plan.cell.layer.source, "tmpfs");
	assert_true(has_option(&plan.cell.layer, "size", "1073741824"));
	assert_true(has_option(&plan.cell.layer, "nr_inodes", NULL));
	assert_true(has_option(find("/dev/shm"), "size", "1073741824"));
	layer("/S/layers/iabc");
	make();
	assert_int_equal(plan.cell.layer.kind, CELL_BIND);
	assert_int_equal(plan.cell.layer.idmap, 1);
	assert_string_equal(plan.cell.layer.source, "/S/layers/iabc");
	assert_true(has_option(find("root"), "volatile", NULL));
	/* What is kept is synced. */
	spec.keeps.layer = "k";
	make();
	assert_false(has_option(find("root"), "volatile", NULL));
}

static void place(enum place_kind kind, const char *path)
{
	snprintf(sandbox.places.of[kind].path, sizeof(sandbox.places.of[kind].path), "%s", path);
}

/* What is kept is shown where it belongs, sealed, with the ids that it has on disk. */
static void what_is_kept(void **state)
{
	static const struct image image = {.root = "/S/images/sha256-0/root", .home = "/home/node"};

	(void)state;
	for (unsigned i = 0; i < 48; i++) {
		if (i % 3 == 0)
			base();
		else
			rootless(i % 3 == 2);
		spec.as_root = i / 3 & 1;
		spec.image = i / 6 & 1 ? &image : NULL;
		place(PLACE_AGENT, "/P/agents/o/a");
		if (i / 12 & 1)
			layer("/P/kept/o/k");
		sandbox.workspace_fd = 9;
		if (i / 24 & 1)
			place(PLACE_WORKSPACE, "/P/workspaces/o/w");
		check_all();
		assert_string_equal(find("/workspace")->source,
				    i / 24 & 1 ? "/P/workspaces/o/w/files"
					       : "/P/agents/o/a/workspace");
		assert_string_equal(find(sandbox_home(&spec))->source,
				    spec.as_root ? "/P/agents/o/a/root" : "/P/agents/o/a/home");
		assert_int_equal(find("/workspace")->idmap, i % 3 == 0 ? 1 : 0);
	}
}

/* The project is below and read-only; only one id of it goes in. */
static void a_project_is_below_its_changes(void **state)
{
	(void)state;
	for (int user = 0; user < 2; user++) {
		if (user)
			rootless(false);
		else
			base();
		spec.keeps.overlay = "/home/agent/project";
		sandbox.workspace_fd = 9;
		place(PLACE_OVERLAY, "/P/overlays/o/iabc");
		check_all();
		assert_true(find("project")->attr & MOUNT_ATTR_RDONLY);
		assert_int_equal(find("project")->idmap, user ? 0 : 2);
		assert_int_equal(find("changes")->idmap, user ? 0 : 1);
		assert_true(has_option(find("/workspace"), "lowerdir", "project"));
		assert_true(has_option(find("/workspace"), "upperdir", "changes/upper"));
		assert_true(has_option(find("/workspace"), "metacopy", "off"));
		assert_true(has_option(find("/workspace"), "redirect_dir", "nofollow"));
		assert_int_equal(plan.cell.first_join, user ? 0 : 2);
	}
}

/* Another image has its own /usr: nothing of the host's is in the tree. */
static void an_image_has_nothing_of_the_host(void **state)
{
	static const struct image image = {.root = "/S/images/sha256-0/root", .home = "/home/user"};

	(void)state;
	base();
	spec.image = &image;
	spec.as_root = true;
	make();
	assert_string_equal(find("lower")->source, image.root);
	for (size_t i = 0; i < plan.cell.n_mounts; i++)
		assert_string_not_equal(plan.mounts[i].target, "/usr");
}

static void ids_are_mapped_as_root_only(void **state)
{
	(void)state;
	base();
	spec.workspace = "/w";
	make();
	assert_int_equal(find("lower")->idmap, 1);
	assert_int_equal(find("/workspace")->idmap, 2);
	assert_int_equal(find("/usr")->idmap, 0); /* the kernel's own check keeps root's files */
	assert_int_equal(plan.cell.first_join, 2);
	assert_int_equal(plan.cell.root_uid, 1879048192);
	rootless(false);
	spec.workspace = "/w";
	make();
	for (size_t i = 0; i < plan.cell.n_mounts; i++)
		assert_int_equal(plan.mounts[i].idmap, 0);
	assert_true(has_option(find("root"), "userxattr", NULL));
	assert_int_equal(plan.cell.first_join, 0);
}

static void too_many_mounts_are_refused(void **state)
{
	static struct sandbox_mount many[PLAN_MOUNTS_MAX + 1];

	(void)state;
	base();
	for (size_t i = 0; i < ELEMENTSOF(many); i++)
		many[i] = (struct sandbox_mount){"/data/a", "/data"};
	spec.ro = many;
	spec.n_ro = CEIL_MOUNTS;
	spec.as_root = true;
	spec.script = "/x";
	check_all();
	spec.n_ro = CEIL_MOUNTS + 1;
	assert_int_equal(plan_make(&sandbox, 10, 11, &plan, &err), -E2BIG);
	spec.n_ro = ELEMENTSOF(many);
	assert_int_equal(plan_make(&sandbox, 10, 11, &plan, &err), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shape_is_sealed),
		cmocka_unit_test(the_order_of_mounts),
		cmocka_unit_test(proc_is_masked),
		cmocka_unit_test(capabilities_are_the_documented_ones),
		cmocka_unit_test(what_is_kept),
		cmocka_unit_test(a_project_is_below_its_changes),
		cmocka_unit_test(an_image_has_nothing_of_the_host),
		cmocka_unit_test(mode_bits_need_root_without_a_workspace),
		cmocka_unit_test(rlimits_are_set),
		cmocka_unit_test(the_layer_is_capped),
		cmocka_unit_test(ids_are_mapped_as_root_only),
		cmocka_unit_test(too_many_mounts_are_refused),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
