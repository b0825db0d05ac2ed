/* SPDX-License-Identifier: Apache-2.0 */
/* idmap.c: see idmap.h. */
#include "idmap.h"

#include "buf.h"
#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "io.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

/* The caller's first subordinate range: lines "NAME-OR-UID:FIRST:COUNT". */
static bool idmap_subordinate(const char *path, const char *name, uint32_t uid, uint32_t *ret_first,
			      uint32_t *ret_count)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	char number[16];

	snprintf(number, sizeof(number), "%u", uid);
	if (io_read_file(AT_FDCWD, path, &text) < 0 || !text.data)
		return false;
	for (char *save, *line = strtok_r(text.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *first = strchr(line, ':'), *count = first ? strchr(first + 1, ':') : NULL;

		if (!count)
			continue;
		*first++ = '\0';
		*count++ = '\0';
		if ((*name && strcmp(line, name) == 0) || strcmp(line, number) == 0) {
			*ret_first = (uint32_t)strtoul(first, NULL, 10);
			*ret_count = (uint32_t)strtoul(count, NULL, 10);
			return *ret_first != 0 && *ret_count != 0;
		}
	}
	return false;
}

/* From the file itself: a static program must not load NSS modules. */
static void idmap_user_name(uint32_t uid, char *ret, size_t size)
{
	FILE *file = fopen("/etc/passwd", "re");
	struct passwd *entry;

	*ret = '\0';
	while (file && (entry = fgetpwent(file)))
		if (entry->pw_uid == uid)
			snprintf(ret, size, "%s", entry->pw_name);
	if (file)
		fclose(file);
}

static void idmap_lines(struct idmap_line *lines, uint32_t caller, uint32_t first, uint32_t count)
{
	uint32_t below = MIN(count, IDMAP_USER), above = MIN(count - below, 65535u - IDMAP_USER);

	lines[0] = (struct idmap_line){0, first, below};
	lines[1] = (struct idmap_line){IDMAP_USER, caller, 1};
	lines[2] = (struct idmap_line){IDMAP_USER + 1, first + below, above};
}

static bool idmap_has_helpers(void)
{
	return access("/usr/bin/newuidmap", X_OK) == 0 && access("/usr/bin/newgidmap", X_OK) == 0;
}

int idmap_choose(const struct state *state, const struct live *live, bool as_root,
		 struct idmap *ret_map, struct err *err)
{
	struct idmap map = {.rootless = !state->root, .n = 1};
	uint32_t uid = geteuid(), gid = getegid(), ufirst, ucount, gfirst, gcount;
	char name[64];

	if (state->root) {
		map.uids[0] = map.gids[0] = (struct idmap_line){0, live_first_id(live), 65536};
		*ret_map = map;
		return 0;
	}
	idmap_user_name(uid, name, sizeof(name));
	if (idmap_has_helpers() && idmap_subordinate("/etc/subuid", name, uid, &ufirst, &ucount) &&
	    idmap_subordinate("/etc/subgid", name, uid, &gfirst, &gcount)) {
		map.n = ucount > IDMAP_USER && gcount > IDMAP_USER ? 3 : 2;
		idmap_lines(map.uids, uid, ufirst, ucount);
		idmap_lines(map.gids, gid, gfirst, gcount);
	} else {
		map.single = true;
		map.root_inside = as_root ? 0 : IDMAP_USER;
		map.uids[0] = (struct idmap_line){map.root_inside, uid, 1};
		map.gids[0] = (struct idmap_line){map.root_inside, gid, 1};
	}
	if (uid == 0)
		return err_set(err, EINVAL, "idmap", "uid 0 cannot be rootless");
	*ret_map = map;
	return 0;
}

uint32_t idmap_root(const struct idmap *map)
{
	return map->uids[0].outside;
}

uint32_t idmap_user(const struct idmap *map)
{
	return map->rootless ? geteuid() : map->uids[0].outside + IDMAP_USER;
}

static int idmap_format(char *ret, size_t size, const struct idmap_line *lines, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n && len < size; i++)
		len += (size_t)snprintf(ret + len, size - len, "%u %u %u\n", lines[i].inside,
					lines[i].outside, lines[i].count);
	return len < size ? 0 : -ENAMETOOLONG;
}

static int idmap_write_file(pid_t pid, const char *file, const struct idmap_line *lines, size_t n,
			    struct err *err)
{
	char path[64], text[256];
	int r = idmap_format(text, sizeof(text), lines, n);

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	if (r == 0)
		r = io_write_file(AT_FDCWD, path, text);
	return r < 0 ? err_errno(err, -r, "idmap", "cannot write %s", file) : 0;
}

/* newuidmap PID INSIDE OUTSIDE COUNT … */
static int idmap_helper_start(const char *program, pid_t pid, const struct idmap_line *lines,
			      size_t n, pid_t *ret_child)
{
	char words[10][12], *argv[12] = {(char *)(uintptr_t)program, words[0]};
	size_t argc = 2;

	snprintf(words[0], sizeof(words[0]), "%d", (int)pid);
	for (size_t i = 0; i < n; i++) {
		const uint32_t numbers[3] = {lines[i].inside, lines[i].outside, lines[i].count};

		for (size_t k = 0; k < 3; k++) {
			snprintf(words[argc - 1], sizeof(words[0]), "%u", numbers[k]);
			argv[argc] = words[argc - 1];
			argc++;
		}
	}
	argv[argc] = NULL;
	return -posix_spawn(ret_child, program, NULL, NULL, argv, environ);
}

int idmap_write(const struct idmap *map, pid_t pid, struct err *err)
{
	static const char *const programs[] = {"/usr/bin/newuidmap", "/usr/bin/newgidmap"};
	pid_t children[2] = {-1, -1};
	int r, status;

	if (map->single) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d/setgroups", (int)pid);
		r = io_write_file(AT_FDCWD, path, "deny");
		if (r < 0)
			return err_errno(err, -r, "idmap", "cannot write setgroups");
	}
	if (map->single || !map->rootless) {
		r = idmap_write_file(pid, "uid_map", map->uids, map->n, err);
		return r < 0 ? r : idmap_write_file(pid, "gid_map", map->gids, map->n, err);
	}
	/* Both at once: each is a process of its own. */
	r = idmap_helper_start(programs[0], pid, map->uids, map->n, &children[0]);
	if (r == 0)
		r = idmap_helper_start(programs[1], pid, map->gids, map->n, &children[1]);
	for (int i = 0; i < 2; i++) {
		if (children[i] < 0)
			continue;
		if (waitpid(children[i], &status, 0) < 0 || status != 0)
			r = r ? r : -EPERM;
	}
	return r < 0 ? err_errno(err, -r, "idmap",
				 "newuidmap refused the subordinate ids of /etc/subuid and "
				 "/etc/subgid")
		     : 0;
}

void idmap_die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

static int idmap_hold(void *parent)
{
	/* Copies of the parent's descriptors would keep a sandbox waiting that nobody starts. */
	close_range(0, ~0u, 0);
	idmap_die_with((pid_t)(intptr_t)parent);
	for (;;)
		pause();
	return 0;
}

/*
 * A child that only waits for its kill, in a new user namespace. It shares this process' memory,
 * so that no page table is copied, and touches none of it but its own stack.
 */
static int idmap_holder(pid_t *ret_pid, struct err *err)
{
	static char stack[16384] __attribute__((aligned(16)));
	pid_t pid = clone(idmap_hold, stack + sizeof(stack), CLONE_VM | CLONE_NEWUSER | SIGCHLD,
			  (void *)(intptr_t)getpid());

	if (pid < 0) {
		err_errno(err, errno, "idmap", "cannot create a user namespace");
		return idmap_explain(err);
	}
	*ret_pid = pid;
	return 0;
}

static void idmap_holder_end(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int idmap_userns(const struct idmap *map, int *ret_fd, struct err *err)
{
	char path[64];
	pid_t pid = -1;
	int r, fd = -1;

	r = idmap_holder(&pid, err);
	if (r < 0)
		return r;
	r = idmap_write(map, pid, err);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	if (r == 0) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			r = err_errno(err, errno, "idmap", "cannot open %s", path);
	}
	idmap_holder_end(pid);
	if (r == 0)
		*ret_fd = fd;
	return r;
}

int idmap_userns_single(uint32_t on_disk_uid, uint32_t on_disk_gid, uint32_t appears_uid,
			uint32_t appears_gid, int *ret_fd, struct err *err)
{
	struct idmap map = {.n = 1,
			    .uids = {{on_disk_uid, appears_uid, 1}},
			    .gids = {{on_disk_gid, appears_gid, 1}}};

	return idmap_userns(&map, ret_fd, err);
}

struct idmap_answer {
	int r;
	struct err err;
};

static uint64_t idmap_setting(const char *path, uint64_t otherwise)
{
	uint64_t value;

	return io_read_u64(AT_FDCWD, path, &value) == 0 ? value : otherwise;
}

const char *idmap_forbidden_fix(void)
{
	if (idmap_setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 1)
		return "install creel's AppArmor profile: cp " CREEL_DATADIR
		       "/creel/apparmor/creel /etc/apparmor.d/creel && apparmor_parser -r "
		       "/etc/apparmor.d/creel (it names the paths of an installed creel)";
	if (idmap_setting("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0)
		return "sysctl -w kernel.unprivileged_userns_clone=1";
	if (idmap_setting("/proc/sys/user/max_user_namespaces", 1) == 0)
		return "sysctl -w user.max_user_namespaces=15000";
	return "this container, chroot or kernel forbids them: run creel outside it, or give the "
	       "container SYS_ADMIN and an unconfined seccomp and AppArmor profile";
}

int idmap_explain(struct err *err)
{
	struct err plain = *err;

	if (err->code != EPERM && err->code != ENOSPC && err->code != EACCES)
		return -err->code;
	return err_set(err, plain.code, plain.module, "%s; %s", plain.text, idmap_forbidden_fix());
}

int idmap_open(const struct idmap *map, pid_t pid, int *ret_userns_fd, struct err *err)
{
	char path[64];
	int r = idmap_write(map, pid, err), fd;

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "idmap", "cannot open the user namespace");
	*ret_userns_fd = fd;
	return 0;
}

/* In the child of idmap_run(): the ids that it is to have. */
static int idmap_become(const struct idmap *map, int userns_fd, int sync, struct err *err)
{
	char byte;

	if (!map->rootless)
		return 0;
	if (userns_fd >= 0)
		return setns(userns_fd, CLONE_NEWUSER) < 0
			       ? err_errno(err, errno, "idmap", "cannot enter the user namespace")
			       : 0;
	if (io_read_full(sync, &byte, 1) < 0)
		return err_set(err, EPIPE, "idmap", "the parent is gone");
	/* Files that are made belong to the image's root inside. */
	if (!map->single && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		return err_errno(err, errno, "idmap", "cannot become root inside");
	return 0;
}

/* A new user namespace waits for its map. */
static int idmap_let_go(const struct idmap *map, const struct idmap_child *child, struct err *err)
{
	int r = idmap_write(map, child->pid, err);

	if (r == 0)
		r = io_write_full(child->conn, "", 1);
	return r < 0 && err && !err->code ? err_errno(err, -r, "idmap", "a helper process died")
					  : r;
}

int idmap_start(const struct idmap *map, int userns_fd, int (*fn)(void *data, struct err *err),
		void *data, struct idmap_child *ret_child, struct err *err)
{
	bool fresh = map->rootless && userns_fd < 0;
	struct clone_args args = {.flags = fresh ? CLONE_NEWUSER : 0, .exit_signal = SIGCHLD};
	struct idmap_answer answer = {.r = -EPIPE};
	struct idmap_child child;
	pid_t parent = getpid();
	int pair[2], r = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "idmap", "socketpair");
	child = (struct idmap_child){(pid_t)syscall(SYS_clone3, &args, sizeof(args)), pair[0]};
	if (child.pid == 0) {
		fd_close(pair[0]);
		idmap_die_with(parent);
		answer.r = idmap_become(map, userns_fd, pair[1], &answer.err);
		idmap_die_with(parent); /* again: ids have changed */
		if (answer.r == 0)
			answer.r = fn(data, &answer.err);
		_exit(io_write_full(pair[1], &answer, sizeof(answer)) < 0);
	}
	fd_close(pair[1]);
	if (child.pid < 0)
		r = err_errno(err, errno, "idmap", "cannot create a process%s",
			      fresh ? " in a user namespace" : "");
	if (child.pid < 0 && fresh && err)
		r = idmap_explain(err);
	if (r == 0 && fresh)
		r = idmap_let_go(map, &child, err);
	if (r < 0) {
		idmap_stop(&child);
		return r;
	}
	*ret_child = child;
	return 0;
}

int idmap_finish(struct idmap_child *child, struct err *err)
{
	struct idmap_answer answer = {0};
	int r = io_read_full(child->conn, &answer, sizeof(answer));

	idmap_stop(child);
	if (r < 0)
		return err_set(err, EPIPE, "idmap", "a helper process died");
	if (answer.r < 0 && err)
		*err = answer.err;
	return answer.r;
}

void idmap_stop(struct idmap_child *child)
{
	if (child->pid > 0)
		kill(child->pid, SIGKILL);
	while (child->pid > 0 && waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
	fd_close(child->conn);
	*child = IDMAP_CHILD_INIT;
}

int idmap_run(const struct idmap *map, int userns_fd, int (*fn)(void *data, struct err *err),
	      void *data, struct err *err)
{
	struct idmap_child child = IDMAP_CHILD_INIT;
	int r = idmap_start(map, userns_fd, fn, data, &child, err);

	return r < 0 ? r : idmap_finish(&child, err);
}

struct idmap_removal {
	const char *parent, *name;
};

static int idmap_remove_fn(void *data, struct err *err)
{
	const struct idmap_removal *removal = data;
	_cleanup_close_ int fd = open(removal->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : fs_remove_tree(fd, removal->name);

	return r < 0 ? err_errno(err, -r, "idmap", "cannot remove %s/%s", removal->parent,
				 removal->name)
		     : 0;
}

int idmap_remove_tree(const struct state *state, const char *kind, const char *name,
		      struct err *err)
{
	char parent[512], path[1024];
	struct idmap_removal removal = {parent, name};
	struct live none = LIVE_INIT;
	struct idmap map = {0};
	int r;

	snprintf(parent, sizeof(parent), "%s/%s", state->data, kind);
	snprintf(path, sizeof(path), "%s/%s", parent, name);
	if (access(path, F_OK) < 0)
		return 0;
	r = idmap_choose(state, &none, false, &map, err);
	return r < 0 ? r : idmap_run(&map, -1, idmap_remove_fn, &removal, err);
}
