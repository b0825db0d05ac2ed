/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-cell.c: whole cells over small plans: the plain one stands, and a tree that is prepared
 * against the builder, or a filesystem that silently comes up with less, ends it at that step.
 * Every cell is rootless with one id, so that no root is needed. Skipped where the kernel refuses
 * user namespaces.
 */
#include "cell.h"

#include "err.h"

#include <fcntl.h>
#include <sys/mount.h>

#include "../testing/testing.h"

#define SEALED (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

/* One cell and what its plan points to. Index 0 of mounts is the root: DIR/root, or an overlay. */
struct trial {
	struct test_dir *dir;
	char stage[80], root[80], mark[80];
	struct cell_dir dirs[8];
	struct cell_mount mounts[8];
	struct cell_plan plan;
	struct cell cell;
	struct err err;
	int layer, notify;
};

static struct sock_filter allow = {.code = BPF_RET | BPF_K, .k = 0x7fff0000u /* ALLOW */};

static int setup(void **state)
{
	static struct trial only;
	struct trial *trial = &only;
	void *dir = NULL;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	*trial = (struct trial){0};
	if (null < 0 || test_dir_setup(&dir) < 0)
		return -1;
	trial->dir = dir;
	trial->layer = trial->notify = -1;
	trial->cell = CELL_INIT;
	snprintf(trial->stage, sizeof(trial->stage), "%s/stage", trial->dir->path);
	snprintf(trial->root, sizeof(trial->root), "%s/root", trial->dir->path);
	snprintf(trial->mark, sizeof(trial->mark), "%s/mark", trial->dir->path);
	if (mkdir(trial->stage, 0755) < 0 || mkdir(trial->root, 0755) < 0 ||
	    mkdir(trial->mark, 0755) < 0)
		return -1;
	test_write(trial->dir->fd, "mark/here", "x");
	trial->dirs[0] = (struct cell_dir){"root", 0, 0};
	trial->dirs[1] = (struct cell_dir){"empty", 0, 0};
	trial->mounts[0] = (struct cell_mount){
		.kind = CELL_BIND, .source = trial->root, .target = "root", .attr = SEALED};
	trial->mounts[1] = (struct cell_mount){
		.kind = CELL_FS, .source = "proc", .target = "/proc", .attr = SEALED};
	trial->plan = (struct cell_plan){
		.rootless = true,
		.cgroup_fd = -1,
		.init_fd = null,
		.control_fd = null,
		.stage = trial->stage,
		.layer = {.kind = CELL_FS,
			  .source = "tmpfs",
			  .target = "the layer",
			  .attr = SEALED},
		.stage_dirs = trial->dirs,
		.root = "root",
		.mounts = trial->mounts,
		.n_mounts = 2,
		.hostname = "test",
		.seccomp = {1, &allow},
	};
	*state = trial;
	return 0;
}

static int teardown(void **state)
{
	struct trial *trial = *state;
	void *dir = trial->dir;

	cell_done(&trial->cell);
	fd_close(trial->plan.init_fd);
	fd_close(trial->layer);
	fd_close(trial->notify);
	return test_dir_teardown(&dir);
}

static struct cell_mount *add(struct trial *trial, enum cell_mount_kind kind, const char *source,
			      const char *target)
{
	struct cell_mount *mount = &trial->mounts[trial->plan.n_mounts++];

	*mount = (struct cell_mount){
		.kind = kind, .source = source, .target = target, .attr = SEALED};
	return mount;
}

/* What the first process opens once the walls stand: without it, it ends, and its root with it. */
static void add_null(struct trial *trial)
{
	add(trial, CELL_BIND, "/dev/null", "/dev/null")->attr = MOUNT_ATTR_NOSUID;
}

static void write_map(pid_t pid, const char *file, const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* As far as the walls: 0, or the step that failed. */
static int start(struct trial *trial)
{
	char map[32];
	int r = cell_start(&trial->plan, &trial->cell, &trial->err);

	if (r == -EPERM || r == -ENOSPC || r == -EACCES)
		skip(); /* creel doctor: namespaces are missing */
	assert_int_equal(r, 0);
	write_map(trial->cell.pid, "setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", geteuid());
	write_map(trial->cell.pid, "uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", getegid());
	write_map(trial->cell.pid, "gid_map", map);
	assert_int_equal(cell_continue(&trial->cell, NULL, 0, &trial->err), 0);
	return cell_wait(&trial->cell, &trial->layer, &trial->notify, &trial->err);
}

static void expect(struct trial *trial, int r, const char *says)
{
	int got = start(trial);

	if (got != r || !strstr(trial->err.text, says))
		fail_msg("%d (%s), not %d with \"%s\"", got, trial->err.text, r, says);
}

/* Whether path is there for the cell's first process. */
static bool inside(const struct trial *trial, const char *path)
{
	char full[128];

	snprintf(full, sizeof(full), "/proc/%d/root/%s", (int)trial->cell.pid, path);
	return access(full, F_OK) == 0;
}

static void the_plain_plan_stands(void **state)
{
	struct trial *trial = *state;

	add_null(trial);
	add(trial, CELL_BIND, trial->mark, "/a/b/c");
	expect(trial, 0, "");
	assert_true(trial->layer >= 0 && trial->notify >= 0);
	assert_true(inside(trial, "a/b/c/here"));
	assert_true(inside(trial, "proc/sys/user/max_user_namespaces"));
	assert_false(inside(trial, "tmp"));
}

static void proc_that_is_a_link(void **state)
{
	struct trial *trial = *state;

	assert_int_equal(symlinkat("/etc", trial->dir->fd, "root/proc"), 0);
	expect(trial, -ELOOP, "mount point proc");
}

static void sys_that_is_a_link(void **state)
{
	struct trial *trial = *state;

	assert_int_equal(symlinkat("/", trial->dir->fd, "root/sys"), 0);
	add(trial, CELL_BIND, trial->mark, "/sys/fs/cgroup");
	expect(trial, -ELOOP, "mount point sys/fs/cgroup");
}

static void dev_that_is_a_link(void **state)
{
	struct trial *trial = *state;

	assert_int_equal(symlinkat("../mark", trial->dir->fd, "root/dev"), 0);
	add(trial, CELL_BIND, "/dev/null", "/dev/null");
	expect(trial, -ELOOP, "mount point dev/null");
	assert_int_equal(faccessat(trial->dir->fd, "mark/null", F_OK, 0), -1);
}

static void a_magic_link(void **state)
{
	struct trial *trial = *state;

	add(trial, CELL_BIND, trial->mark, "/proc/self/root/tmp");
	expect(trial, -ELOOP, "mount point proc/self/root/tmp");
}

/* ENOENT alone is passed over: a link that hides a file from its mask is not. */
static void a_mask_through_a_link(void **state)
{
	struct trial *trial = *state;

	test_write(trial->dir->fd, "root/real", "x");
	assert_int_equal(symlinkat("real", trial->dir->fd, "root/keys"), 0);
	add(trial, CELL_MASK, NULL, "/keys");
	expect(trial, -ELOOP, "cannot mask keys");
}

static void a_read_only_place_through_a_link(void **state)
{
	struct trial *trial = *state;

	assert_int_equal(mkdirat(trial->dir->fd, "root/real", 0755), 0);
	assert_int_equal(symlinkat("real", trial->dir->fd, "root/fs"), 0);
	add(trial, CELL_READONLY, NULL, "/fs");
	expect(trial, -ELOOP, "cannot mask fs");
}

static void a_mask_of_nothing_is_passed_over(void **state)
{
	struct trial *trial = *state;

	add(trial, CELL_MASK, NULL, "/not/here");
	expect(trial, 0, "");
}

static void dots_stay_below_the_root(void **state)
{
	struct trial *trial = *state;

	add_null(trial);
	add(trial, CELL_BIND, trial->mark, "/../../../place");
	expect(trial, 0, "");
	assert_true(inside(trial, "place/here"));
}

/* The root as an overlay over DIR/root; `inodes`: how many the layer has room for. */
static void use_overlay(struct trial *trial, const char *inodes)
{
	struct cell_mount *lower = &trial->mounts[0], *overlay = &trial->mounts[1];
	const char *const options[] = {"lowerdir", "lower", "upperdir",	 "upper",
				       "workdir",  "work",  "userxattr", NULL};

	for (size_t i = 0; i < 3; i++)
		trial->dirs[2 + i] = (struct cell_dir){options[2 * i + 1], 0, 0};
	trial->plan.layer.options[0] = "nr_inodes";
	trial->plan.layer.options[1] = inodes;
	lower->target = "lower";
	*overlay = (struct cell_mount){
		.kind = CELL_FS, .source = "overlay", .target = "root", .attr = SEALED};
	memcpy(overlay->options, options, sizeof(options));
	add(trial, CELL_FS, "proc", "/proc");
}

static void an_overlay_stands(void **state)
{
	struct trial *trial = *state;

	use_overlay(trial, "100");
	expect(trial, 0, "");
}

/* Room for the layer's own six directories and no more: overlayfs cannot make its work directory,
 * logs that, and mounts read-only. */
static void an_overlay_that_comes_up_read_only(void **state)
{
	struct trial *trial = *state;

	use_overlay(trial, "6");
	expect(trial, -EROFS, "root came up read-only");
}

#define TRIAL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TRIAL(the_plain_plan_stands),
		TRIAL(proc_that_is_a_link),
		TRIAL(sys_that_is_a_link),
		TRIAL(dev_that_is_a_link),
		TRIAL(a_magic_link),
		TRIAL(a_mask_through_a_link),
		TRIAL(a_read_only_place_through_a_link),
		TRIAL(a_mask_of_nothing_is_passed_over),
		TRIAL(dots_stay_below_the_root),
		TRIAL(an_overlay_stands),
		TRIAL(an_overlay_that_comes_up_read_only),
	};

	umask(022);
	return cmocka_run_group_tests_name("cell", tests, NULL, NULL);
}
