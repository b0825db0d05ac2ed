/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-apply.c: what is applied is in DIR and no longer in upper; a conflict leaves everything as
 * it is; nothing harmful arrives; a killed apply can be done again.
 */
#include "apply.h"

#include "test-changes.h"

#include <dirent.h>

static char told[4096];

static void tell(const struct change *change, enum apply_fate fate, const char *why, void *data)
{
	size_t len = strlen(told);

	assert_int_equal(why == NULL, fate == APPLY_DONE);
	assert_null(data);
	snprintf(told + len, sizeof(told) - len, "%c%s ", "+C-"[fate], change -> path);
}

static struct apply_result apply_with(const struct apply_request *request)
{
	_cleanup_changes_ struct changes *changes = open_changes();
	struct apply_request all = *request;
	struct apply_result result = {0};
	struct err err = {0};

	all.tell = tell;
	told[0] = '\0';
	if (apply_changes(changes, &all, &result, &err) < 0)
		fail_msg("%s", err.text);
	return result;
}

static void apply_all_of_it(const char *wanted)
{
	apply_with(&(struct apply_request){0});
	assert_string_equal(told, wanted);
}

static void apply_path(const char *path, bool force, const char *wanted)
{
	apply_with(&(struct apply_request){.paths = &path, .n_paths = 1, .force = force});
	assert_string_equal(told, wanted);
}

static mode_t mode_of(int at, const char *path)
{
	struct stat st;

	return fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode;
}

static size_t entries_of(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *opened = fdopendir(fd);
	size_t n = 0;

	assert_non_null(opened);
	while (readdir(opened))
		n++;
	closedir(opened);
	return n - 2;
}

static void everything_comes(void **state)
{
	char target[64] = "";

	(void)state;
	test_write(project, "content", "old");
	test_write(project, "gone", "old");
	test_write(project, "mode", "same");
	make_dir(project, "was-dir");
	test_write(project, "was-dir/f", "x");
	test_write(project, "was-file", "x");
	make_dir(project, "tree");
	make_dir(project, "tree/sub");
	test_write(project, "tree/sub/f", "x");
	assert_int_equal(symlinkat("a", project, "link"), 0);
	begin();
	test_write(upper, "content", "new");
	assert_int_equal(fchmodat(upper, "content", 06755, 0), 0);
	test_write(upper, "mode", "same");
	assert_int_equal(fchmodat(upper, "mode", 0750, 0), 0);
	test_write(upper, "was-dir", "file");
	make_dir(upper, "was-file");
	test_write(upper, "was-file/f", "deep");
	assert_int_equal(symlinkat("b", upper, "link"), 0);
	make_dir(upper, "empty");
	assert_int_equal(fchmodat(upper, "empty", 0555, 0), 0);
	whiteout("gone");
	whiteout("tree");
	apply_all_of_it("+content +empty +gone +link +mode +tree/sub/f +was-dir +was-dir/f "
			"+was-file +was-file/f ");
	assert_string_equal(test_read(project, "content"), "new");
	assert_int_equal(mode_of(project, "content"), S_IFREG | 0755);
	assert_int_equal(mode_of(project, "mode"), S_IFREG | 0750);
	assert_string_equal(test_read(project, "was-dir"), "file");
	assert_string_equal(test_read(project, "was-file/f"), "deep");
	assert_int_equal(mode_of(project, "was-file"), S_IFDIR | 0755);
	assert_true(readlinkat(project, "link", target, sizeof(target) - 1) == 1);
	assert_string_equal(target, "b");
	assert_int_equal(mode_of(project, "gone"), 0);
	assert_int_equal(mode_of(project, "tree"), 0);
	assert_int_equal(mode_of(project, "empty"), S_IFDIR | 0555);
	assert_int_equal(entries_of(project, "."), 6);
	assert_int_equal(entries_of(upper, "."), 0);
	assert_int_equal(mode_of(base, "applying"), 0);
	expect_changes("");
	apply_all_of_it("");
}

static void a_conflict_stops_all(void **state)
{
	(void)state;
	test_write(project, "a", "old");
	test_write(project, "b", "old");
	begin();
	test_write(upper, "a", "run's");
	test_write(upper, "b", "run's");
	test_write(upper, "c", "run's");
	test_write(project, "a", "host's");
	assert_int_equal(apply_with(&(struct apply_request){0}).conflicts, 1);
	assert_string_equal(told, "Ca ");
	assert_string_equal(test_read(project, "b"), "old");
	assert_int_equal(mode_of(project, "c"), 0);
	assert_int_equal(entries_of(project, "."), 2);
	apply_path("b", false, "+b ");
	assert_string_equal(test_read(project, "b"), "run's");
	expect_changes("~aC +c ");
	apply_path("a", true, "+a ");
	assert_string_equal(test_read(project, "a"), "run's");
	apply_all_of_it("+c ");
}

/* A later run goes on with the same layer: what apply did to DIR is no change of the host. */
static void applied_is_remembered(void **state)
{
	(void)state;
	make_dir(project, "d");
	test_write(project, "d/f", "old");
	begin();
	make_dir(upper, "d");
	assert_int_equal(fchmodat(upper, "d", 0750, 0), 0);
	test_write(upper, "d/f", "first");
	test_write(upper, "d/new", "first");
	apply_all_of_it("+d +d/f +d/new ");
	make_dir(upper, "d");
	assert_int_equal(fchmodat(upper, "d", 0700, 0), 0);
	test_write(upper, "d/f", "second");
	whiteout("d/new");
	expect_changes("md ~d/f -d/new ");
	test_write(project, "d/f", "host's");
	expect_changes("md ~d/fC -d/new ");
	apply_path("d/new", false, "+d/new ");
	apply_path("d", true, "+d +d/f ");
	assert_string_equal(test_read(project, "d/f"), "second");
	assert_int_equal(mode_of(project, "d"), S_IFDIR | 0700);
	expect_changes("");
}

static void a_path_takes_what_it_needs(void **state)
{
	(void)state;
	test_write(project, "was-file", "x");
	begin();
	make_dir(upper, "new");
	make_dir(upper, "new/sub");
	test_write(upper, "new/sub/a", "x");
	test_write(upper, "new/sub/b", "x");
	make_dir(upper, "was-file");
	test_write(upper, "was-file/a", "x");
	test_write(upper, "was-file/b", "x");
	apply_path("new/sub/a", false, "+new/sub/a ");
	apply_path("was-file/b", false, "+was-file +was-file/b ");
	expect_changes("+new/sub/b +was-file/a ");
	apply_all_of_it("+new/sub/b +was-file/a ");
	assert_int_equal(entries_of(upper, "."), 0);
}

static void an_unknown_path_is_an_error(void **state)
{
	const char *path = "non";
	struct apply_result result;
	struct err err = {0};
	struct changes *changes;

	(void)state;
	begin();
	test_write(upper, "none", "x");
	changes = open_changes();
	assert_int_equal(
		apply_changes(changes,
			      &(struct apply_request){.paths = &path, .n_paths = 1, .tell = tell},
			      &result, &err),
		-ENOENT);
	assert_non_null(strstr(err.text, "non"));
	changes_close(changes);
}

/* Part of an opaque directory: what stays in upper must not come to look deleted. */
static void part_of_an_opaque_directory(void **state)
{
	(void)state;
	make_dir(project, "d");
	test_write(project, "d/gone", "x");
	test_write(project, "d/changed", "old");
	begin();
	make_dir(upper, "d");
	mark("d", "user.overlay.opaque", "y");
	test_write(upper, "d/changed", "new");
	test_write(upper, "d/more", "new");
	apply_path("d/changed", false, "+d/changed ");
	expect_changes("-d/gone +d/more ");
	assert_string_equal(test_read(project, "d/changed"), "new");
	apply_all_of_it("+d/gone +d/more ");
	assert_int_equal(entries_of(upper, "."), 0);
	assert_int_equal(mode_of(project, "d/gone"), 0);
}

static void harm_stays_outside(void **state)
{
	(void)state;
	begin();
	assert_int_equal(symlinkat("/etc/passwd", upper, "out"), 0);
	assert_int_equal(mkfifoat(upper, "fifo", 0644), 0);
	test_write(upper, "suid", "x");
	assert_int_equal(fchmodat(upper, "suid", 07755, 0), 0);
	make_dir(upper, "sgid");
	assert_int_equal(fchmodat(upper, "sgid", 07777, 0), 0);
	make_dir(upper, ".git");
	make_dir(upper, ".git/hooks");
	test_write(upper, ".git/hooks/x", "x");
	make_dir(upper, ".creel-apply-i1234");
	test_write(upper, ".creel-apply-i1234/0", "x");
	apply_all_of_it("-.creel-apply-i1234 -.creel-apply-i1234/0 -.git/hooks/x -fifo -out "
			"+sgid +suid ");
	assert_int_equal(mode_of(project, "suid"), S_IFREG | 0755);
	assert_int_equal(mode_of(project, "sgid"), S_IFDIR | 0777);
	assert_int_equal(mode_of(project, ".git"), S_IFDIR | 0755);
	assert_int_equal(entries_of(project, ".git/hooks"), 0);
	assert_int_equal(entries_of(project, "."), 3);
	expect_changes("+.creel-apply-i1234/0U +.git/hooks/xR +fifoS +outL ");
	apply_with(&(struct apply_request){.force = true});
	assert_string_equal(told, "-.creel-apply-i1234 -.creel-apply-i1234/0 -fifo "
				  "+.git/hooks/x +out ");
	assert_int_equal(mode_of(project, "fifo"), 0);
	assert_true(S_ISLNK(mode_of(project, "out")));
}

/* Between the run and apply, DIR's owner puts a link where the run saw a directory. */
static void a_link_of_the_host_leads_nowhere(void **state)
{
	(void)state;
	make_dir(dir->fd, "outside");
	test_write(dir->fd, "outside/f", "kept");
	make_dir(project, "d");
	test_write(project, "d/f", "old");
	begin();
	make_dir(upper, "d");
	test_write(upper, "d/f", "run's");
	assert_int_equal(unlinkat(project, "d/f", 0), 0);
	assert_int_equal(unlinkat(project, "d", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("../outside", project, "d"), 0);
	apply_all_of_it("Cd ");
	apply_path("d/f", false, "Cd ");
	assert_string_equal(test_read(dir->fd, "outside/f"), "kept");
	apply_path("d/f", true, "+d +d/f ");
	assert_string_equal(test_read(dir->fd, "outside/f"), "kept");
	assert_string_equal(test_read(project, "d/f"), "run's");
	assert_int_equal(mode_of(project, "d"), S_IFDIR | 0755);
}

static void a_new_file_saves_a_deleted_directory(void **state)
{
	struct apply_result result;

	(void)state;
	make_dir(project, "d");
	test_write(project, "d/f", "x");
	begin();
	whiteout("d");
	test_write(project, "d/host", "x");
	assert_int_equal(apply_with(&(struct apply_request){0}).conflicts, 1);
	assert_string_equal(told, "Cd/host ");
	apply_path("d/f", false, "+d/f ");
	expect_changes("-d/hostC ");
	result = apply_with(&(struct apply_request){.force = true});
	assert_int_equal(result.left, 0);
	assert_int_equal(mode_of(project, "d"), 0);
	assert_int_equal(entries_of(upper, "."), 0);
}

static void hard_links_become_files(void **state)
{
	struct stat a, b;

	(void)state;
	test_write(project, "host-a", "old");
	assert_int_equal(linkat(project, "host-a", project, "host-b", 0), 0);
	begin();
	test_write(upper, "a", "x");
	assert_int_equal(linkat(upper, "a", upper, "b", 0), 0);
	test_write(upper, "host-a", "new");
	test_write(upper, "host-b", "new");
	/* Of the host's two, one after the other. */
	apply_path("host-a", false, "+host-a ");
	expect_changes("+a +b ~host-b ");
	apply_all_of_it("+a +b +host-b ");
	assert_int_equal(fstatat(project, "a", &a, 0), 0);
	assert_int_equal(fstatat(project, "b", &b, 0), 0);
	assert_int_equal(a.st_nlink, 1);
	assert_int_not_equal(a.st_ino, b.st_ino);
}

static void a_dry_run_does_nothing(void **state)
{
	(void)state;
	test_write(project, "f", "old");
	begin();
	test_write(upper, "f", "new");
	make_dir(upper, "d");
	test_write(upper, "d/f", "new");
	assert_int_equal(apply_with(&(struct apply_request){.dry_run = true}).done, 2);
	assert_string_equal(told, "+d/f +f ");
	assert_string_equal(test_read(project, "f"), "old");
	assert_int_equal(entries_of(project, "."), 1);
	expect_changes("+d/f ~f ");
}

static void what_cannot_be_staged_changes_nothing(void **state)
{
	struct apply_result result;
	struct changes *changes;
	struct err err = {0};

	(void)state;
	make_dir(project, "d");
	begin();
	make_dir(upper, "d");
	test_write(upper, "d/f", "x");
	test_write(upper, "g", "x");
	changes = open_changes();
	assert_int_equal(unlinkat(upper, "g", 0), 0);
	assert_int_equal(
		apply_changes(changes, &(struct apply_request){.tell = tell}, &result, &err), -EIO);
	assert_non_null(strstr(err.text, "nothing was changed"));
	changes_close(changes);
	assert_int_equal(entries_of(project, "."), 1);
	assert_int_equal(entries_of(project, "d"), 0);
	assert_int_equal(mode_of(base, "applying"), 0);
}

/* As a kill leaves it: the stage, the mark, one file renamed and one not. */
static void a_killed_apply_is_done_again(void **state)
{
	struct err err = {0};

	(void)state;
	test_write(project, "a", "old");
	assert_int_equal(linkat(project, "a", project, "b", 0), 0);
	test_write(project, "c", "old");
	begin();
	test_write(upper, "a", "new");
	test_write(upper, "b", "new");
	test_write(upper, "c", "new");
	mark("c", "user.overlay.origin", "");
	test_write(upper, "d", "new");
	mark("d", "user.overlay.origin", "");
	test_write(base, "applying", "");
	make_dir(project, ".creel-apply-i1234");
	test_write(project, ".creel-apply-i1234/1", "new");
	test_write(project, ".creel-apply-i1234/a", "new");
	assert_int_equal(renameat(project, ".creel-apply-i1234/a", project, "a"), 0);
	expect_changes("~b ~c +d ");
	apply_all_of_it("+b +c +d ");
	assert_string_equal(test_read(project, "b"), "new");
	assert_int_equal(entries_of(project, "."), 4);
	assert_int_equal(entries_of(upper, "."), 0);
	expect_changes("");
	/* And the other way out of it. */
	test_write(base, "applying", "");
	make_dir(project, ".creel-apply-i1234");
	test_write(project, ".creel-apply-i1234/1", "new");
	assert_int_equal(apply_abandon(base, NULL, &err), 0);
	assert_int_equal(entries_of(project, "."), 4);
}

static void a_setgid_directory_gives_its_group(void **state)
{
	struct stat st;
	gid_t group;

	(void)state;
	if (getgroups(0, NULL) == 0 || getuid() != 0)
		group = getgid();
	else
		group = 12345;
	make_dir(project, "d");
	assert_int_equal(fchownat(project, "d", -1, group, 0), 0);
	assert_int_equal(fchmodat(project, "d", 02775, 0), 0);
	begin();
	make_dir(upper, "d");
	assert_int_equal(fchmodat(upper, "d", 0775, 0), 0);
	test_write(upper, "d/f", "x");
	make_dir(upper, "d/sub");
	test_write(upper, "d/sub/f", "x");
	apply_all_of_it("+d/f +d/sub/f ");
	assert_int_equal(fstatat(project, "d/f", &st, 0), 0);
	assert_int_equal(st.st_gid, group);
	assert_int_equal(fstatat(project, "d/sub/f", &st, 0), 0);
	assert_int_equal(st.st_gid, group);
	assert_int_equal(mode_of(project, "d"), S_IFDIR | 02775);
	assert_int_equal(mode_of(project, "d/sub"), S_IFDIR | 02755);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, changes_setup, changes_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(everything_comes),
		WITH_DIR(a_conflict_stops_all),
		WITH_DIR(applied_is_remembered),
		WITH_DIR(a_path_takes_what_it_needs),
		WITH_DIR(an_unknown_path_is_an_error),
		WITH_DIR(part_of_an_opaque_directory),
		WITH_DIR(harm_stays_outside),
		WITH_DIR(a_link_of_the_host_leads_nowhere),
		WITH_DIR(a_new_file_saves_a_deleted_directory),
		WITH_DIR(hard_links_become_files),
		WITH_DIR(a_dry_run_does_nothing),
		WITH_DIR(what_cannot_be_staged_changes_nothing),
		WITH_DIR(a_killed_apply_is_done_again),
		WITH_DIR(a_setgid_directory_gives_its_group),
	};

	umask(022);
	return cmocka_run_group_tests_name("apply", tests, NULL, NULL);
}
