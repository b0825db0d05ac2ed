/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-state.c: the state directory is private or refused, ids are unique and well formed, and a
 * sandbox that still lives is not swept.
 */
#include "state.h"

#include "err.h"

#include <sys/file.h>

#include "../testing/testing.h"

static struct test_dir *dir;
static struct state st;
static struct err err;
static char path[128];

static int setup(void **state)
{
	int r = test_dir_setup(state);

	dir = *state;
	snprintf(path, sizeof(path), "%s/state", dir->path);
	return r;
}

static void it_is_made_private(void **state)
{
	static const char *const made[] = {"state",	     "state/images",   "state/images/host",
					   "state/layers",   "state/runs",     "state/run",
					   "state/run/live", "state/run/stage"};
	struct stat s;

	(void)state;
	umask(0);
	assert_int_equal(state_open(path, &st, &err), 0);
	umask(022);
	for (size_t i = 0; i < ELEMENTSOF(made); i++) {
		assert_int_equal(fstatat(dir->fd, made[i], &s, 0), 0);
		assert_int_equal(s.st_mode, S_IFDIR | 0700);
	}
	assert_string_equal(st.data, path);
	assert_int_equal(state_open(path, &st, &err), 0);
}

static void what_others_can_write_is_refused(void **state)
{
	(void)state;
	assert_int_equal(state_open(path, &st, &err), 0);
	assert_int_equal(fchmodat(dir->fd, "state/layers", 0777, 0), 0);
	assert_int_equal(state_open(path, &st, &err), -EPERM);
	assert_non_null(strstr(err.text, "layers"));
	assert_int_equal(fchmodat(dir->fd, "state/layers", 0700, 0), 0);
	assert_int_equal(renameat(dir->fd, "state/runs", dir->fd, "moved"), 0);
	assert_int_equal(symlinkat("../moved", dir->fd, "state/runs"), 0);
	assert_int_equal(state_open(path, &st, &err), -ENOTDIR);
}

static void wrong_places_are_refused(void **state)
{
	char name[500];

	(void)state;
	test_write(dir->fd, "state", "a file");
	assert_true(state_open(path, &st, &err) < 0);
	assert_true(err.text[0]);
	memset(name, 'a', sizeof(name) - 1);
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(state_open(name, &st, &err), -ENAMETOOLONG);
	assert_int_equal(setenv("CREEL_STATE", path, 1), 0);
	assert_true(state_open(NULL, &st, &err) < 0);
	unsetenv("CREEL_STATE");
}

static void paths_are_checked(void **state)
{
	struct state s = {.data = "/S"};
	char ret[12];

	(void)state;
	assert_int_equal(state_path(&s, ret, sizeof(ret), "runs/%s", "id"), 0);
	assert_string_equal(ret, "/S/runs/id");
	assert_int_equal(state_path(&s, ret, sizeof(ret), "runs/%s", "longer"), -ENAMETOOLONG);
	assert_int_equal(state_path(&s, ret, 2, "x"), -ENAMETOOLONG);
}

static void ids_are_unique(void **state)
{
	struct live a, b;

	(void)state;
	assert_int_equal(state_open(path, &st, &err), 0);
	assert_int_equal(live_new(&st, &a, &err), 0);
	assert_int_equal(live_new(&st, &b, &err), 0);
	assert_string_not_equal(a.id, b.id);
	assert_int_equal(strlen(a.id), SANDBOX_ID_LEN);
	assert_int_equal(strspn(a.id, "abcdefghijklmnopqrstuvwxyz0123456789"), SANDBOX_ID_LEN);
	assert_int_equal(a.id[0], 'i');
	assert_true(!st.root || live_first_id(&a) != live_first_id(&b));
	assert_int_equal(access(a.path, F_OK), 0);
	live_done(&a);
	live_done(&b);
	live_done(&b);
	assert_int_equal(access(path, F_OK), 0);
}

/* Its file is locked while it lives; one that nobody holds is left over. */
static void only_the_dead_are_swept(void **state)
{
	struct cgroup_host host = {0};
	struct live live, dead;
	char names[100] = "";
	unsigned n = 9;

	(void)state;
	assert_int_equal(state_open(path, &st, &err), 0);
	assert_int_equal(live_new(&st, &live, &err), 0);
	assert_int_equal(live_sweep(&st, &host, &n, names, sizeof(names)), 0);
	assert_int_equal(n, 0);
	assert_int_equal(access(live.path, F_OK), 0);
	assert_int_equal(live_new(&st, &dead, &err), 0);
	assert_int_equal(flock(dead.fd, LOCK_UN), 0); /* as if its creel were killed */
	assert_int_equal(live_sweep(&st, &host, &n, names, sizeof(names)), 0);
	assert_int_equal(n, 1);
	assert_string_equal(names, dead.id);
	assert_int_equal(access(dead.path, F_OK), -1);
	assert_int_equal(access(live.path, F_OK), 0);
	live_done(&dead);
	live_done(&live);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, setup, test_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(it_is_made_private),	    WITH_DIR(what_others_can_write_is_refused),
		WITH_DIR(wrong_places_are_refused), WITH_DIR(paths_are_checked),
		WITH_DIR(ids_are_unique),	    WITH_DIR(only_the_dead_are_swept),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
