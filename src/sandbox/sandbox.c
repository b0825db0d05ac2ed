/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.c: see sandbox.h. The order of sandbox_start() is the order in which things can be
 * undone: what is registered first is removed last, so that a kill at any point leaves something
 * that the next call finds.
 */
#include "sandbox.h"

#include "ceilings.h"
#include "changes.h"
#include "enforce.h"
#include "err.h"
#include "fs.h"
#include "host-image.h"
#include "init-image.h"
#include "io.h"
#include "plan.h"
#include "readback.h"
#include "scope.h"
#include "tree.h"
#include "watch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/wait.h>

/* Well below the least send buffer of a UNIX socket. */
#define SANDBOX_QUEUED_MAX 32768

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

/* creel-init in memory that nobody can change, and, with mode 0111, nobody inside read or trace. */
static int sandbox_init_fd(struct err *err)
{
	int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	_cleanup_close_ int fd =
		memfd_create("creel-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	mode_t mode = 0111;
	int r;

#ifdef CREEL_ABLATION
	if (getenv("CREEL_ABLATE") && strstr(getenv("CREEL_ABLATE"), "initseal"))
		mode = 0555;
#endif
	if (fd < 0 && errno == EINVAL) /* Linux before 6.3 */
		fd = memfd_create("creel-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_errno(err, errno, "sandbox", "memfd_create");
	r = io_write_full(fd, init_image, init_image_size);
	if (r < 0 || fchmod(fd, mode) < 0)
		return err_errno(err, r < 0 ? -r : errno, "sandbox", "cannot write init");
	if (fcntl(fd, F_ADD_SEALS, seals | F_SEAL_EXEC) < 0 && fcntl(fd, F_ADD_SEALS, seals) < 0)
		return err_errno(err, errno, "sandbox", "cannot seal init");
	return TAKE_FD(fd);
}

struct sandbox_image_job {
	char dir[512];
	bool skel;
};

static int sandbox_image_fn(void *data, struct err *err)
{
	const struct sandbox_image_job *job = data;
	bool fresh;
	int r = host_image_prepare(job->dir, &fresh, err);

	return r == 0 && job->skel ? host_image_skel(job->dir, err) : r;
}

static int sandbox_image(struct sandbox *sandbox, struct err *err)
{
	struct sandbox_image_job job = {.skel = sandbox->spec->as_root};

	if (sandbox->spec->image)
		return 0;
	if (access("/usr/bin/env", X_OK) < 0)
		return err_set(err, ENOENT, "sandbox",
			       "the image host needs a /usr/bin on this machine");
	snprintf(job.dir, sizeof(job.dir), "%s/images/host", sandbox->state->data);
	/* Root's skel is looked through each time: what the host closed since must not show inside.
	 */
	if (host_image_current(job.dir) &&
	    (!job.skel || (sandbox->idmap.rootless && host_image_skel_current(job.dir))))
		return 0;
	return idmap_run(&sandbox->idmap, -1, sandbox_image_fn, &job, err);
}

const char *sandbox_home(const struct sandbox_spec *spec)
{
	return spec->as_root ? "/root" : spec->image ? spec->image->home : "/home/user";
}

const char *sandbox_host_directory(const struct sandbox_spec *spec)
{
	return spec->workspace ? spec->workspace : spec->keeps.overlay;
}

/* What creel keeps, the key of its log for one, is not for a sandbox, by whichever way it is named.
 */
static int sandbox_spares_state(const struct sandbox *sandbox, const char *source, struct err *err)
{
	const char *const own[] = {sandbox->state->data, sandbox->state->run};
	char given[PATH_MAX], kept[PATH_MAX];

	for (size_t i = 0; source && i < ELEMENTSOF(own); i++) {
		if (!realpath(source, given) || !realpath(own[i], kept))
			return err_errno(err, errno, "sandbox", "%s", source);
		if (fs_is_below(given, kept) || fs_is_below(kept, given))
			return err_set(err, EPERM, "sandbox",
				       "%s cannot be handed in: creel keeps its own state in %s",
				       source, own[i]);
	}
	return 0;
}

static int sandbox_sources(const struct sandbox *sandbox, struct err *err)
{
	const struct sandbox_spec *spec = sandbox->spec;
	int r = sandbox_spares_state(sandbox, sandbox_host_directory(spec), err);

	for (size_t i = 0; r == 0 && i < spec->n_ro; i++)
		r = sandbox_spares_state(sandbox, spec->ro[i].source, err);
	for (size_t i = 0; r == 0 && i < spec->n_in; i++)
		r = sandbox_spares_state(sandbox, spec->in[i], err);
	/* The code of -c is in memory, and has no path. */
	if (r == 0 && spec->script && strncmp(spec->script, "/proc/", 6) != 0)
		r = sandbox_spares_state(sandbox, spec->script, err);
	return r;
}

static int sandbox_namespaces(struct sandbox *sandbox, struct err *err)
{
	/* Whom the command runs as owns the workspace inside. */
	uint32_t user =
		sandbox->spec->as_root ? idmap_root(&sandbox->idmap) : idmap_user(&sandbox->idmap);
	struct stat st;
	int r = idmap_userns(&sandbox->idmap, &sandbox->userns_fd, err);

	if (r < 0 || !sandbox_host_directory(sandbox->spec))
		return r;
	if (fstat(sandbox->workspace_fd, &st) < 0)
		return err_errno(err, errno, "sandbox", "%s",
				 sandbox_host_directory(sandbox->spec));
	return idmap_userns_single(st.st_uid, st.st_gid, user, user, &sandbox->workspace_userns_fd,
				   err);
}

/* Where the groups are goes into the live file: a sweep may run in quite another group. */
static int sandbox_note_groups(struct sandbox *sandbox, struct err *err)
{
	const char *path;

	for (size_t i = 0; sandbox->cgroup && (path = cgroup_dir_path(sandbox->cgroup, i)); i++)
		if (dprintf(sandbox->live.fd, "%s\n", path) < 0)
			return err_errno(err, errno, "sandbox", "cannot write %s",
					 sandbox->live.path);
	return 0;
}

/* What the child waits for, made while it makes its network: user namespaces and v1 groups. */
static int sandbox_hand_over(struct sandbox *sandbox, struct err *err)
{
	int fds[CELL_FDS_MAX];
	size_t n = 0, n_join = 0;
	const int *join = NULL;
	int r = 0;

	if (sandbox->idmap.rootless)
		r = idmap_open(&sandbox->idmap, sandbox->cell.pid, &sandbox->userns_fd, err);
	else
		r = sandbox_namespaces(sandbox, err);
	if (r == 0 && sandbox->cgroup)
		r = cgroup_complete(sandbox->cgroup, &sandbox->host, sandbox->live.cgroup,
				    &sandbox->cgroup_limits, err);
	if (r == 0)
		r = sandbox_note_groups(sandbox, err);
	if (r < 0)
		return r;
	if (!sandbox->idmap.rootless)
		fds[n++] = sandbox->userns_fd;
	if (sandbox->workspace_userns_fd >= 0)
		fds[n++] = sandbox->workspace_userns_fd;
	if (sandbox->cgroup)
		join = cgroup_join_fds(sandbox->cgroup, &n_join);
	_Static_assert(CELL_FDS_MAX >= 2 + CGROUP_CONTROLLER_MAX, "every group can be joined");
	for (size_t i = 0; i < n_join; i++)
		fds[n++] = join[i];
	return cell_continue(&sandbox->cell, fds, n, err);
}

/*
 * The child finds the directory that was looked at as its working directory: that one is carried
 * over into a new mount namespace (mount_namespaces(7)), while a path may lead elsewhere by then.
 */
static int sandbox_clone(struct sandbox *sandbox, const struct cell_plan *plan, struct err *err)
{
	_cleanup_close_ int here = -EBADF;
	int r;

	if (!sandbox_host_directory(sandbox->spec))
		return cell_start(plan, &sandbox->cell, err) < 0 ? idmap_explain(err) : 0;
	here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fchdir(sandbox->workspace_fd) < 0)
		return err_errno(err, errno, "sandbox", "cannot enter %s",
				 sandbox_host_directory(sandbox->spec));
	r = cell_start(plan, &sandbox->cell, err) < 0 ? idmap_explain(err) : 0;
	if (here < 0 || fchdir(here) < 0)
		r = r < 0 ? r : err_errno(err, errno, "sandbox", "cannot return to where it was");
	return r;
}

static int sandbox_cell(struct sandbox *sandbox, struct err *err)
{
	_cleanup_close_ int init_fd = sandbox_init_fd(err), theirs = -EBADF;
	struct plan *plan;
	int pair[2], r;

	if (init_fd < 0)
		return init_fd;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "sandbox", "socketpair");
	sandbox->control = pair[0];
	theirs = pair[1];
	plan = malloc(sizeof(*plan));
	if (!plan)
		return err_set(err, ENOMEM, "sandbox", "out of memory");
	r = plan_make(sandbox, init_fd, theirs, plan, err);
	if (r == 0)
		r = sandbox_clone(sandbox, &plan->cell, err);
	free(plan);
	return r == 0 ? sandbox_hand_over(sandbox, err) : r;
}

static int sandbox_mount_point(int workspace, const char *path, bool dir, const struct stat *owner)
{
	const char *slash = strrchr(path, '/');
	_cleanup_close_ int file = -EBADF;
	char above[CEIL_PATH] = ".";
	int r;

	if (!dir && slash)
		snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
	r = fs_mkdirs_beneath(workspace, dir ? path : above, 0755, owner->st_uid, owner->st_gid);
	if (r < 0 || dir)
		return r;
	/* What is there already is not opened: it may be a pipe that an earlier run left. */
	file = fs_open_beneath(workspace, path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (file < 0)
		return file == -EEXIST ? 0 : file;
	return fchown(file, owner->st_uid, owner->st_gid) < 0 ? -errno : 0;
}

/* Mount points of --ro in the host's workspace belong to its owner; nobody inside could make them.
 */
static int sandbox_mount_points(struct sandbox *sandbox, const struct stat *owner, struct err *err)
{
	const char *prefix = "/workspace/";

	for (size_t i = 0; i < sandbox->spec->n_ro; i++) {
		const struct sandbox_mount *ro = &sandbox->spec->ro[i];
		struct stat st;
		int r;

		if (strncmp(ro->target, prefix, strlen(prefix)) != 0)
			continue;
		r = stat(ro->source, &st) < 0 ? -errno
					      : sandbox_mount_point(sandbox->workspace_fd,
								    ro->target + strlen(prefix),
								    S_ISDIR(st.st_mode), owner);
		if (r < 0)
			return err_errno(err, -r, "sandbox", "cannot make the mount point %s",
					 ro->target);
	}
	return 0;
}

/* The workspace is looked at before anything is made for it. One id goes through: its owner's. */
static int sandbox_workspace(struct sandbox *sandbox, struct err *err)
{
	const char *workspace = sandbox_host_directory(sandbox->spec);
	const struct idmap *map = &sandbox->idmap;
	struct stat st;

	if (!workspace)
		return 0;
	sandbox->workspace_fd = open(workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sandbox->workspace_fd < 0 || fstat(sandbox->workspace_fd, &st) < 0)
		return err_errno(err, errno, "sandbox", "%s", workspace);
	if (map->rootless && st.st_uid != geteuid())
		return err_set(err, EPERM, "sandbox",
			       "%s belongs to uid %u: without root it must be yours", workspace,
			       st.st_uid);
	/* Below an overlay it is only read: mount points and all else go into the upper layer. */
	if (sandbox->spec->keeps.overlay)
		return 0;
	if (sandbox->spec->as_root && !map->rootless && st.st_uid == 0)
		return err_set(
			err, EPERM, "sandbox",
			"--root with --workspace %s, which belongs to the host's root: root inside "
			"must not become root outside; use --user, or give it another owner",
			workspace);
	if (sandbox->spec->as_root && map->rootless && !map->single)
		return err_set(err, EPERM, "sandbox",
			       "--root with --workspace %s would leave files of your subordinate "
			       "ids there; "
			       "use --user, or --in and --out",
			       workspace);
	return sandbox_mount_points(sandbox, &st, err);
}

/* Registers, and clears what was left by others: from here on a kill leaves something to find. */
static int sandbox_register(struct sandbox *sandbox, struct err *err)
{
	const struct state *state = sandbox->state;
	char names[160] = "";
	unsigned n;
	int r = scope_host(state->root, &sandbox->host, err);

	if (r < 0)
		return r;
	if (live_sweep(state, &sandbox->host, &n, names, sizeof(names)) == 0 && n)
		fprintf(stderr, "creel: cleaned up after %u killed run%s: %s\n", n,
			n > 1 ? "s" : "", names);
	return live_new(state, &sandbox->live, err);
}

static int sandbox_groups(struct sandbox *sandbox, struct err *err)
{
	int r = enforce_choose(sandbox, &sandbox->cgroup_limits, err);

	for (int c = 0; r == 0 && !sandbox->cgroup && c < CGROUP_CONTROLLER_MAX; c++)
		if (sandbox->host.version[c])
			r = cgroup_new(&sandbox->host, sandbox->live.cgroup,
				       &sandbox->cgroup_limits, &sandbox->cgroup, err);
	return r;
}

static int sandbox_await(struct sandbox *sandbox, struct err *err)
{
	const char *missing;
	int r;

	r = cell_wait(&sandbox->cell, &sandbox->layer_fd, &sandbox->notify_fd, err);
	if (r == -EOPNOTSUPP)
		return err_wrap(err,
				"this kernel cannot show these files with other ids (a tmpfs needs "
				"Linux 6.3; network and FUSE filesystems cannot; use a directory "
				"on a disk, or --in)");
	if (r != 0)
		return r < 0 ? r
			     : err_set(err, EPIPE, "sandbox", "the sandbox's first process died");
	if (!sandbox->spec->read_back)
		return 0;
	r = readback(sandbox->cell.pid, &sandbox->readback, err);
	missing = r == 0 ? readback_missing(&sandbox->readback) : NULL;
#ifdef CREEL_ABLATION
	missing = NULL;
#endif
	return missing ? err_set(err, EIO, "sandbox",
				 "the kernel does not show %s: this is not level nano", missing)
		       : r;
}

int sandbox_wait_set(struct sandbox *sandbox, struct err *err)
{
	/* The child says once why it failed. */
	if (!sandbox->set && sandbox_await(sandbox, &sandbox->why) == 0)
		sandbox->why.code = 0;
	sandbox->set = true;
	if (!sandbox->why.code)
		return 0;
	if (err)
		*err = sandbox->why;
	return -sandbox->why.code;
}

static int sandbox_check_fn(void *data, struct err *err)
{
	return image_check(data, err);
}

/*
 * An image must be what its digest says before anything of it runs. That takes longer than all
 * else: it begins as early as it can, rootless when there are the ids that can look at all of it.
 */
static int sandbox_check_image(struct sandbox *sandbox, struct err *err)
{
	const struct image *image = sandbox->spec->image;

	return image ? idmap_start(&sandbox->idmap, sandbox->userns_fd, sandbox_check_fn,
				   (void *)(uintptr_t)image, &sandbox->image_check, err)
		     : 0;
}

int sandbox_start(const struct state *state, const struct sandbox_spec *spec,
		  struct sandbox **ret_sandbox, struct err *err)
{
	struct sandbox *sandbox = calloc(1, sizeof(*sandbox));
	int r;

	if (!sandbox)
		return err_set(err, ENOMEM, "sandbox", "out of memory");
	*sandbox = (struct sandbox){.spec = spec,
				    .state = state,
				    .live = LIVE_INIT,
				    .cell = CELL_INIT,
				    .userns_fd = -1,
				    .workspace_userns_fd = -1,
				    .control = -1,
				    .layer_fd = -1,
				    .notify_fd = -1,
				    .image_check = IDMAP_CHILD_INIT,
				    .places = PLACES_INIT,
				    .workspace_fd = -1};
	r = sandbox_sources(sandbox, err);
	if (r == 0)
		r = sandbox_register(sandbox, err);
	if (r == 0)
		r = idmap_choose(state, &sandbox->live, spec->as_root, &sandbox->idmap, err);
	if (r == 0 && !sandbox->idmap.rootless)
		r = sandbox_check_image(sandbox, err);
	if (r == 0)
		r = sandbox_image(sandbox, err);
	if (r == 0)
		r = sandbox_groups(sandbox, err);
	if (r == 0)
		r = places_enter(sandbox, err);
	if (r == 0)
		r = sandbox_workspace(sandbox, err);
	if (r == 0)
		r = places_open(sandbox, err);
	enforce_tell_disk(sandbox);
	if (r == 0)
		r = sandbox_cell(sandbox, err);
	if (r == 0 && sandbox->idmap.rootless)
		r = sandbox_check_image(sandbox, err);
	if (r < 0) {
		sandbox_free(sandbox);
		return r;
	}
	*ret_sandbox = sandbox;
	return 0;
}

int sandbox_spawn(struct sandbox *sandbox, struct guest_start start, const char *cwd,
		  char *const *argv, char *const *env, const int *fds, int *ret_conn,
		  struct err *err)
{
	_cleanup_buf_ struct buf payload = BUF_INIT(CEIL_FRAME);
	_cleanup_close_ int conn = -EBADF, theirs = -EBADF;
	const struct timeval patience = {.tv_sec = 2};
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "sandbox", "socketpair");
	conn = pair[0];
	theirs = pair[1];
	/* An init that sends half a message, or reads none, must not hold the time-out up. */
	if (setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(conn, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return err_errno(err, errno, "sandbox", "setsockopt");
	r = guest_start_format(&payload, start, cwd, argv, env);
	if (r < 0)
		return err_errno(err, -r, "sandbox", "arguments and environment are too large");
	r = guest_send(sandbox->control, GUEST_OPEN, NULL, 0, &theirs, 1);
	/* A small message waits in its socket for init; a large one needs init to read it. */
	if (r == 0 && payload.len > SANDBOX_QUEUED_MAX && sandbox_go(sandbox, err) < 0)
		return -EPIPE;
	if (r == 0)
		r = guest_send(conn, GUEST_START, payload.data, payload.len, fds, fds ? 3 : 0);
	if (r < 0)
		return err_errno(err, -r, "sandbox", "cannot reach the sandbox's init");
	*ret_conn = TAKE_FD(conn);
	return 0;
}

int sandbox_go(struct sandbox *sandbox, struct err *err)
{
	if (sandbox->going)
		return 0;
	/* What is reported is looked at before anything can run. */
	if (sandbox->spec->read_back && sandbox_wait_set(sandbox, err) < 0)
		return -EIO;
	if (sandbox->image_check.pid > 0 && idmap_finish(&sandbox->image_check, err) < 0)
		return -EIO;
	changes_await(sandbox->places.changes_start_ns);
	sandbox->going = true;
	return cell_continue(&sandbox->cell, NULL, 0, err);
}

static void sandbox_add_pid_io(pid_t pid, void *data)
{
	watch_add_io(pid, data);
}

void sandbox_sample(const struct sandbox *sandbox, struct cgroup_usage *ret_usage)
{
	struct watch_sample sample = {0};

	*ret_usage = (struct cgroup_usage){0};
	if (sandbox->cgroup)
		cgroup_read_usage(sandbox->cgroup, ret_usage);
	if (sandbox->memory_by_watch || sandbox->pids_by_watch) {
		watch_tree(sandbox->cell.pid, sandbox->spec->limits->of[LIMIT_MEMORY].value,
			   &sample);
		ret_usage->memory_peak_bytes = sample.memory_bytes;
		ret_usage->pids_peak = sample.threads ? sample.threads - 1 : 0;
	} else if (sandbox->spec->limits->of[LIMIT_WRITE_TOTAL].value && sandbox->cgroup) {
		cgroup_each_pid(sandbox->cgroup, sandbox_add_pid_io, &sample);
	}
	if (!sandbox->cgroup || !cgroup_has(sandbox->cgroup, CGROUP_CORE)) {
		ret_usage->cpu_user_us = sample.cpu_user_us;
		ret_usage->cpu_system_us = sample.cpu_system_us;
	}
	/* v1 does not count writeback for the group: what the processes dirtied does. */
	if (sample.written_bytes > ret_usage->io_write_bytes)
		ret_usage->io_write_bytes = sample.written_bytes;
	if (sample.read_bytes > ret_usage->io_read_bytes)
		ret_usage->io_read_bytes = sample.read_bytes;
}

struct sandbox_disk_job {
	const struct places *places;
	int out;
};

static int sandbox_disk_fn(void *data, struct err *err)
{
	const struct sandbox_disk_job *job = data;
	uint64_t bytes[PLACE_MAX];
	int r;

	for (size_t i = 0; i < PLACE_MAX; i++)
		bytes[i] = job->places->of[i].fd < 0 ? 0 : tree_disk_bytes(job->places->of[i].fd);
	r = io_write_full(job->out, bytes, sizeof(bytes));
	return r < 0 ? err_errno(err, -r, "sandbox", "cannot tell the disk use") : 0;
}

/* Files of other ids than the caller's can be seen only inside the user namespace. */
static void sandbox_watch_disk(const struct sandbox *sandbox, uint64_t ret_bytes[PLACE_MAX])
{
	struct sandbox_disk_job job = {.places = &sandbox->places};
	int pair[2];

	memset(ret_bytes, 0, PLACE_MAX * sizeof(*ret_bytes));
	if (pipe2(pair, O_CLOEXEC) < 0)
		return;
	job.out = pair[1];
	if (idmap_run(&sandbox->idmap, sandbox->userns_fd, sandbox_disk_fn, &job, NULL) == 0 &&
	    io_read_full(pair[0], ret_bytes, PLACE_MAX * sizeof(*ret_bytes)) < 0)
		memset(ret_bytes, 0, PLACE_MAX * sizeof(*ret_bytes));
	fd_close(pair[0]);
	fd_close(pair[1]);
}

bool sandbox_over_disk(const struct sandbox *sandbox)
{
	uint64_t bytes[PLACE_MAX];

	if (!places_watched(&sandbox->places))
		return false;
	sandbox_watch_disk(sandbox, bytes);
	for (enum place_kind i = 0; i < PLACE_MAX; i++)
		if (place_is_there(&sandbox->places, i) && bytes[i] > sandbox->places.of[i].limit)
			return true;
	return false;
}

int sandbox_has_room(const struct sandbox *sandbox, struct err *err)
{
	if (!sandbox_over_disk(sandbox))
		return 0;
	return err_set(
		err, EDQUOT, "sandbox",
		"what is kept for this run is larger than its limit already; raise --disk, or "
		"remove files (creel agent, workspace, layer: path and rm; creel discard)");
}

uint64_t sandbox_disk_bytes(const struct sandbox *sandbox)
{
	struct statfs st;

	/* A layer on a disk is looked at by the keeper, which goes through it anyway. */
	if (sandbox->layer_fd < 0 || sandbox->layer_is_directory ||
	    fstatfs(sandbox->layer_fd, &st) < 0)
		return 0;
	return (uint64_t)(st.f_blocks - st.f_bfree) * (uint64_t)st.f_bsize;
}

static bool sandbox_is_full(const struct sandbox *sandbox)
{
	struct statfs st;

	if (sandbox->layer_fd < 0 || sandbox->layer_is_directory ||
	    fstatfs(sandbox->layer_fd, &st) < 0)
		return false;
	return st.f_bfree == 0 || st.f_ffree == 0;
}

void sandbox_stop(struct sandbox *sandbox)
{
	struct cgroup_usage last = {0};
	struct rusage rusage = {0};

	if (sandbox->stopped || sandbox->cell.pidfd < 0)
		return;
	if (!sandbox->cgroup || sandbox->memory_by_watch ||
	    sandbox->spec->limits->of[LIMIT_WRITE_TOTAL].value)
		sandbox_sample(sandbox, &last);
	sandbox->disk_full = sandbox_is_full(sandbox);
	syscall(SYS_pidfd_send_signal, sandbox->cell.pidfd, SIGKILL, NULL, 0);
	/* The end of PID 1 is the end of all: wait4 returns when the namespace is empty. */
	while (wait4(sandbox->cell.pid, NULL, 0, &rusage) < 0 && errno == EINTR)
		;
	sandbox->stopped = true;
	sandbox->cell.pidfd = fd_close(sandbox->cell.pidfd);
	sandbox->usage = last;
	if (sandbox->cgroup) {
		cgroup_read_usage(sandbox->cgroup, &sandbox->usage);
		if (last.io_write_bytes > sandbox->usage.io_write_bytes)
			sandbox->usage.io_write_bytes = last.io_write_bytes;
	}
	/* init's own count has what it waited for; the sample what was killed with it. */
	if (!sandbox->cgroup || !cgroup_has(sandbox->cgroup, CGROUP_CORE)) {
		uint64_t user = (uint64_t)rusage.ru_utime.tv_sec * 1000000u +
				(uint64_t)rusage.ru_utime.tv_usec;
		uint64_t system = (uint64_t)rusage.ru_stime.tv_sec * 1000000u +
				  (uint64_t)rusage.ru_stime.tv_usec;

		sandbox->usage.cpu_user_us = user > last.cpu_user_us ? user : last.cpu_user_us;
		sandbox->usage.cpu_system_us =
			system > last.cpu_system_us ? system : last.cpu_system_us;
	}
}

struct sandbox *sandbox_free(struct sandbox *sandbox)
{
	struct err err = {0};

	if (!sandbox)
		return NULL;
	idmap_stop(&sandbox->image_check);
	sandbox_stop(sandbox);
	cell_done(&sandbox->cell);
	fd_close(sandbox->notify_fd);
	fd_close(sandbox->layer_fd);
	fd_close(sandbox->control);
	fd_close(sandbox->userns_fd);
	fd_close(sandbox->workspace_userns_fd);
	fd_close(sandbox->workspace_fd);
	sandbox->cgroup = cgroup_free(sandbox->cgroup);
	cgroup_host_leave(&sandbox->host);
	if (places_close(sandbox, &err) < 0 && sandbox->live.fd >= 0) {
		fprintf(stderr, "creel: %s\n", err.text);
		live_leave(&sandbox->live); /* the next sweep tries again */
	}
	live_done(&sandbox->live);
	free(sandbox);
	return NULL;
}
