/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor.c: `creel doctor`: what this machine can isolate. Each check asks the kernel, by doing the
 * thing where that is possible; the last one starts a real sandbox. A check that fails prints the
 * exact fix.
 */
#include "ceilings.h"
#include "cgroup.h"
#include "creel.h"
#include "idmap.h"
#include "io.h"
#include "jsonw.h"
#include "lang.h"
#include "options.h"
#include "plan.h"
#include "run.h"
#include "scope.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

enum verdict { VERDICT_OK, VERDICT_LESS, VERDICT_MISSING };

static const char *const verdict_names[] = {"ok", "limited", "missing"};

struct check {
	const char *name;
	enum verdict verdict;
	char found[400];
	char fix[300];
};

struct doctor {
	struct check checks[32];
	size_t n;
	bool root;
	struct state state;
	struct cgroup_host host;
};

static __attribute__((format(printf, 5, 6))) void add(struct doctor *doctor, const char *name,
						      enum verdict verdict, const char *fix,
						      const char *fmt, ...)
{
	struct check *check = &doctor->checks[doctor->n++];
	va_list ap;

	check->name = name;
	check->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(check->found, sizeof(check->found), fmt, ap);
	va_end(ap);
	snprintf(check->fix, sizeof(check->fix), "%s", verdict == VERDICT_OK ? "" : fix);
}

static void check_kernel(struct doctor *doctor)
{
	struct utsname u;
	unsigned long release, minor, least = doctor->root ? 19 : 12;
	char *end;

	if (uname(&u) < 0)
		return;
	release = strtoul(u.release, &end, 10);
	minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
	add(doctor, "kernel",
	    release > 5 || (release == 5 && minor >= least) ? VERDICT_OK : VERDICT_MISSING,
	    doctor->root ? "root needs Linux 5.19 or newer (an overlay over idmapped mounts)"
			 : "Linux 5.12 or newer is needed (mount_setattr)",
	    "Linux %.60s on %.30s", u.release, u.machine);
}

/* In a child: does clone3 with these flags work, and may the child mount? */
static int try_namespaces(uint64_t flags, bool mounts)
{
	struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	int status;

	if (pid == 0) {
		struct mount_attr private = {.propagation = MS_PRIVATE};

		if (mounts &&
		    mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &private, sizeof(private)) < 0)
			_exit(errno);
		_exit(0);
	}
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static void check_user_namespaces(struct doctor *doctor)
{
	uint64_t flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
			 CLONE_NEWUTS | CLONE_NEWCGROUP;
	int r = try_namespaces(flags, true);

	if (r == 0)
		add(doctor, "namespaces", VERDICT_OK, "", "user, pid, mnt, net, ipc, uts, cgroup");
	else
		add(doctor, "namespaces", VERDICT_MISSING, idmap_forbidden_fix(), "%s",
		    strerror(-r));
}

static void check_ids(struct doctor *doctor)
{
	struct live none = LIVE_INIT;
	struct idmap map;
	struct err err;

	if (doctor->root) {
		add(doctor, "ids", VERDICT_OK, "", "65,536 of its own for each sandbox");
		return;
	}
	if (idmap_choose(&doctor->state, &none, false, &map, &err) < 0)
		add(doctor, "ids", VERDICT_MISSING, err.text, "no id can be mapped");
	else if (map.single)
		add(doctor, "ids", VERDICT_LESS,
		    "apt install uidmap; usermod --add-subuids 100000-165535 --add-subgids "
		    "100000-165535 $USER",
		    "a single id: no root beside the user inside");
	else
		add(doctor, "ids", VERDICT_OK, "", "subordinate ids from %u on",
		    map.uids[0].outside);
}

static void check_landlock(struct doctor *doctor)
{
	int abi = plan_landlock_abi();

	if (abi >= 2)
		add(doctor, "landlock", VERDICT_OK, "", "ABI %d", abi);
	else
		add(doctor, "landlock", VERDICT_LESS,
		    "a kernel of 5.19 or newer with lsm=...,landlock on its command line",
		    "none: one wall less against an escaped process");
}

static void check_seccomp(struct doctor *doctor)
{
	uint32_t action = SECCOMP_RET_USER_NOTIF;
	bool ok = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;

	add(doctor, "seccomp", ok ? VERDICT_OK : VERDICT_MISSING,
	    "a kernel with CONFIG_SECCOMP_FILTER, 5.0 or newer",
	    ok ? "filter and user notification" : "no filters");
}

static void check_cgroups(struct doctor *doctor)
{
	static const struct {
		enum cgroup_controller controller;
		const char *name, *without;
	} rows[] = {{CGROUP_CORE, "cgroup core", "group kill and CPU use: read from /proc instead"},
		    {CGROUP_MEMORY, "cgroup memory", "RLIMIT_DATA and a watchdog instead"},
		    {CGROUP_CPU, "cgroup cpu", "CPU affinity instead: whole CPUs only"},
		    {CGROUP_PIDS, "cgroup pids", "RLIMIT_NPROC and a watchdog instead"},
		    {CGROUP_IO, "cgroup io", "--io is refused"}};
	const char *fix =
		doctor->root ? "start creel in a group that it may divide: systemd-run --scope -p "
			       "Delegate=yes creel ..."
			     : "start creel in a delegated group: systemd-run --user --scope -p "
			       "Delegate=yes creel ...";

	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		const char *name = cgroup_name(&doctor->host, rows[i].controller);

		if (name)
			add(doctor, rows[i].name, VERDICT_OK, "", "%s", name);
		else
			add(doctor, rows[i].name, VERDICT_LESS, fix, "%s (%s)", rows[i].without,
			    doctor->host.why);
	}
}

static void check_languages(struct doctor *doctor)
{
	char list[400];

	lang_list(NULL, list, sizeof(list));
	add(doctor, "languages", VERDICT_OK, "", "%s", list);
}

static bool has_program(const char *name)
{
	static const char *const places[] = {"/usr/bin", "/usr/sbin",	   "/bin",
					     "/sbin",	 "/usr/local/bin", "/usr/local/sbin"};
	char path[64];

	for (size_t i = 0; i < ELEMENTSOF(places); i++) {
		snprintf(path, sizeof(path), "%s/%s", places[i], name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

/* What builds and fetches images is run as programs. */
static void check_images(struct doctor *doctor)
{
	static const struct {
		const char *program, *what;
	} needed[] = {{"mmdebstrap", "creel image build"},
		      {"skopeo", "creel image pull and import"},
		      {"umoci", "creel image pull and import"}};

	for (size_t i = 0; i < ELEMENTSOF(needed); i++) {
		char fix[80];

		snprintf(fix, sizeof(fix), "apt-get install %s", needed[i].program);
		if (has_program(needed[i].program))
			add(doctor, needed[i].program, VERDICT_OK, "", "%s", needed[i].what);
		else
			add(doctor, needed[i].program, VERDICT_LESS, fix, "missing: no %s",
			    needed[i].what);
	}
}

/* What agents, workspaces and layers are kept in; nothing is made for the look. */
static void check_store(struct doctor *doctor)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	bool btrfs = io_read_file(AT_FDCWD, "/proc/filesystems", &text) == 0 &&
		     strstr(text.data, "btrfs");
	const char *lacks = access("/dev/loop-control", F_OK) < 0 ? "loop devices"
			    : !has_program("mkfs.btrfs")	  ? "mkfs.btrfs"
								  : NULL;

	if (!doctor->root)
		add(doctor, "kept files", VERDICT_LESS, "only root has a pool with hard limits",
		    "plain directories; --disk is watched");
	else if (lacks)
		add(doctor, "kept files", VERDICT_LESS,
		    "apt-get install btrfs-progs; modprobe loop btrfs",
		    "plain directories, --disk is watched: no %s", lacks);
	else
		add(doctor, "kept files", VERDICT_OK, "",
		    "btrfs pool with hard limits, made at first need%s",
		    btrfs ? "" : " (the btrfs module is not loaded yet)");
}

static void check_access(struct doctor *doctor)
{
	_cleanup_close_ int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDONLY);
	int error = errno;

	if (doctor->root && fd >= 0)
		add(doctor, "file access", VERDICT_OK, "",
		    "files that are read, written and executed are recorded");
	else if (doctor->root)
		add(doctor, "file access", VERDICT_LESS, "raise fs.fanotify.max_user_groups",
		    "not recorded: fanotify: %s", strerror(error));
	else
		add(doctor, "file access", VERDICT_LESS, "only root may watch mounts",
		    "changes are recorded, reads are not");
}

static void check_levels(struct doctor *doctor)
{
	static const char *const later[] = {"level wasm", "level iron", "level vm"};

	for (size_t i = 0; i < ELEMENTSOF(later); i++)
		add(doctor, later[i], VERDICT_LESS, "none yet", "not in this version");
	if (access("/dev/kvm", R_OK | W_OK) == 0)
		add(doctor, "kvm", VERDICT_OK, "", "/dev/kvm can be opened (for level vm, later)");
	else
		add(doctor, "kvm", VERDICT_LESS, "only level vm will need it", "no /dev/kvm");
}

/* The proof: a sandbox that runs /bin/true and shows every layer of level nano. */
static void check_sandbox(struct doctor *doctor)
{
	static struct limits limits;
	char *argv[] = {(char[]){"/bin/true"}, NULL}, *env[] = {NULL};
	struct run_spec spec = {
		.sandbox = {.seccomp = seccomp_profile_find("strict"),
			    .hostname = "creel",
			    .limits = &limits,
			    .keeps.org = "local",
			    .read_back = true},
		.identity = {.session = "doctor", .words = argv},
		.argv = argv,
		.env = env,
		.cwd = "/",
		.capture = true,
		.stdio = {0, 1, 2},
	};
	struct run_result result;
	struct err err = {0};

	limits.of[LIMIT_MEMORY].value = 256u << 20;
	limits.of[LIMIT_CPUS].value = 1000;
	limits.of[LIMIT_PIDS].value = 32;
	limits.of[LIMIT_DISK].value = 64u << 20;
	limits.of[LIMIT_TIMEOUT].value = 10000;
	limits.of[LIMIT_OUTPUT].value = 4096;
	if (run(&doctor->state, &spec, &result, &err) < 0) {
		add(doctor, "level nano", VERDICT_MISSING, "see what is missing above", "%s",
		    err.text);
		return;
	}
	if (result.exit_code == 0)
		add(doctor, "level nano", VERDICT_OK, "",
		    "a sandbox ran with every layer in %llu ms",
		    (unsigned long long)result.duration_ms);
	else
		add(doctor, "level nano", VERDICT_MISSING,
		    "report this with the output of creel doctor",
		    "/bin/true ended with %d in a sandbox: %.100s", result.exit_code,
		    result.err_out.data ? result.err_out.data : "");
	run_result_done(&result);
}

static void print_text(const struct doctor *doctor)
{
	printf("creel doctor: %s\n\n", doctor->root ? "as root" : "rootless");
	for (size_t i = 0; i < doctor->n; i++) {
		const struct check *check = &doctor->checks[i];

		printf("  %-8s %-14s %s\n", verdict_names[check->verdict], check->name,
		       check->found);
		if (*check->fix)
			printf("  %-8s %-14s fix: %s\n", "", "", check->fix);
	}
}

static int print_json(const struct doctor *doctor, bool works)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1u << 20);
	struct jsonw json;

	jsonw_init(&json, &out);
	jsonw_object(&json, NULL);
	jsonw_bool(&json, "works", works);
	jsonw_bool(&json, "root", doctor->root);
	jsonw_object(&json, "checks");
	for (size_t i = 0; i < doctor->n; i++) {
		const struct check *check = &doctor->checks[i];

		jsonw_object(&json, check->name);
		jsonw_string(&json, "state", verdict_names[check->verdict]);
		jsonw_string(&json, "found", check->found);
		jsonw_string(&json, "fix", *check->fix ? check->fix : NULL);
		jsonw_object_end(&json);
	}
	jsonw_object_end(&json);
	jsonw_object_end(&json);
	if (jsonw_done(&json) < 0)
		return CREEL_EXIT_FAILED;
	puts(out.data);
	return 0;
}

int cmd_doctor(int argc, char **argv)
{
	static struct doctor doctor;
	const char *dir = NULL;
	struct err err = {0};
	bool json = false, works = true;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (strcmp(argv[i], "--state") == 0 && i + 1 < argc) {
			dir = argv[++i];
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			return cmd_help(2, (char *[]){argv[0], argv[0]});
		} else {
			err_set(&err, EINVAL, "doctor", "unknown option %s; see creel help doctor",
				argv[i]);
			return creel_fail(&err, json);
		}
	}
	doctor.root = geteuid() == 0;
	if (state_open(dir, &doctor.state, &err) < 0 ||
	    scope_host(doctor.root, &doctor.host, &err) < 0)
		return creel_fail(&err, json);
	check_kernel(&doctor);
	check_user_namespaces(&doctor);
	check_ids(&doctor);
	check_seccomp(&doctor);
	check_landlock(&doctor);
	check_cgroups(&doctor);
	check_languages(&doctor);
	check_images(&doctor);
	check_store(&doctor);
	check_access(&doctor);
	check_levels(&doctor);
	check_sandbox(&doctor);
	cgroup_host_leave(&doctor.host);
	for (size_t i = 0; i < doctor.n; i++)
		works &= doctor.checks[i].verdict != VERDICT_MISSING;
	if (!json)
		print_text(&doctor);
	else if (print_json(&doctor, works) != 0)
		return CREEL_EXIT_FAILED;
	return works ? 0 : 1;
}
