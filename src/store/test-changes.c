/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-changes.c: the list says what the run changed and nothing else; what the host changed
 * meanwhile is seen; marks and files of a sandbox are not believed.
 */
#include "changes.h"

#include "test-changes.h"

static void nothing_changed(void **state)
{
	(void)state;
	test_write(project, "f", "x");
	begin();
	expect_changes("");
	/* Copied up and left as it was. */
	make_dir(upper, "d");
	test_write(upper, "f", "x");
	expect_changes("+d ");
	make_dir(project, "d");
	expect_changes("");
}

static void every_kind(void **state)
{
	(void)state;
	test_write(project, "content", "old");
	test_write(project, "gone", "old");
	test_write(project, "mode", "same");
	test_write(project, "type", "file");
	test_write(project, "same-size", "abc");
	assert_int_equal(symlinkat("a", project, "link"), 0);
	assert_int_equal(symlinkat("a", project, "link-same"), 0);
	begin();
	test_write(upper, "new", "");
	test_write(upper, "content", "newer");
	test_write(upper, "mode", "same");
	test_write(upper, "same-size", "abd");
	assert_int_equal(fchmodat(upper, "mode", 0755, 0), 0);
	make_dir(upper, "type");
	test_write(upper, "type/f", "x");
	assert_int_equal(symlinkat("b", upper, "link"), 0);
	assert_int_equal(symlinkat("a", upper, "link-same"), 0);
	assert_int_equal(symlinkat("new", upper, "link-new"), 0);
	whiteout("gone");
	expect_changes("~content -gone @link +link-new mmode +new ~same-size ttype +type/f ");
}

static void a_deleted_directory_is_all_its_files(void **state)
{
	(void)state;
	make_dir(project, "d");
	make_dir(project, "d/e");
	make_dir(project, "d/empty");
	test_write(project, "d/e/f", "x");
	test_write(project, "d/g", "x");
	begin();
	whiteout("d");
	expect_changes("-d/e/f -d/empty -d/g ");
	/* Nothing is there any more: nothing to tell. */
	whiteout("never-was");
	expect_changes("-d/e/f -d/empty -d/g ");
}

static void an_opaque_directory_hides(void **state)
{
	(void)state;
	make_dir(project, "d");
	make_dir(project, "d/sub");
	test_write(project, "d/kept", "x");
	test_write(project, "d/gone", "x");
	test_write(project, "d/sub/gone", "x");
	begin();
	make_dir(upper, "d");
	make_dir(upper, "d/sub");
	test_write(upper, "d/kept", "x");
	test_write(upper, "d/sub/new", "x");
	expect_changes("+d/sub/new ");
	mark("d", "user.overlay.opaque", "x"); /* not "y": no opaque directory (Linux 6.7) */
	expect_changes("+d/sub/new ");
	mark("d", "user.overlay.opaque", "y");
	mark("d/sub", "user.overlay.opaque", "y");
	expect_changes("-d/gone -d/sub/gone +d/sub/new ");
}

/* In a directory over the whole of a link that the host had there before. */
static void a_link_below_is_not_followed(void **state)
{
	(void)state;
	make_dir(dir->fd, "outside");
	test_write(dir->fd, "outside/f", "secret");
	assert_int_equal(symlinkat("../outside", project, "d"), 0);
	begin();
	make_dir(upper, "d");
	test_write(upper, "d/f", "x");
	expect_changes("td +d/f ");
}

static void a_file_for_a_directory(void **state)
{
	(void)state;
	make_dir(project, "d");
	test_write(project, "d/f", "x");
	begin();
	test_write(upper, "d", "now a file");
	expect_changes("td -d/f ");
}

static void marks_of_a_layer_that_is_not_whole(void **state)
{
	struct changes *changes = NULL;
	struct err err = {0};

	(void)state;
	begin();
	make_dir(upper, "d");
	mark("d", "user.overlay.redirect", "/other");
	assert_int_equal(changes_open(base, NULL, false, &changes, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "d is not whole"));
	assert_null(changes);
}

/* trusted.* is what counts without userxattr; user.* is then a sandbox's to write. */
static void marks_of_a_sandbox_are_nothing(void **state)
{
	struct changes_meta meta = {.org = "local", .run = "i1"};
	struct err err = {0};

	(void)state;
	make_dir(project, "d");
	test_write(project, "d/f", "x");
	snprintf(meta.dir, sizeof(meta.dir), "%s/project", dir->path);
	assert_int_equal(changes_create(base, project, &meta, &err), 0);
	upper = openat(base, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_dir(upper, "d");
	mark("d", "user.overlay.opaque", "y");
	expect_changes("");
}

static void the_host_changed_meanwhile(void **state)
{
	(void)state;
	test_write(project, "a", "old");
	test_write(project, "b", "old");
	test_write(project, "c", "old");
	test_write(project, "untouched", "old");
	begin();
	test_write(upper, "a", "run's");
	test_write(upper, "b", "run's");
	test_write(upper, "new", "run's");
	test_write(upper, "same", "both");
	whiteout("c");
	expect_changes("~a ~b -c +new +same ");
	test_write(project, "a", "host's");
	test_write(project, "c", "host's");
	test_write(project, "new", "host's");
	test_write(project, "same", "both");
	test_write(project, "untouched", "host's");
	expect_changes("~aC ~b -cC ~newC ");
}

static void the_host_added_where_the_run_deleted(void **state)
{
	(void)state;
	make_dir(project, "d");
	test_write(project, "d/f", "x");
	begin();
	whiteout("d");
	test_write(project, "d/host", "x");
	expect_changes("-d/f -d/hostC ");
}

static void the_host_deleted_what_the_run_changed(void **state)
{
	(void)state;
	test_write(project, "f", "old");
	begin();
	test_write(upper, "f", "run's");
	mark("f", "user.overlay.origin", "");
	assert_int_equal(unlinkat(project, "f", 0), 0);
	expect_changes("+fG ");
}

/* As the run renames a file of the host: the copy keeps time and size. */
static void a_rename_is_no_deletion_by_the_host(void **state)
{
	const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000, .tv_nsec = 7}};

	(void)state;
	test_write(project, "old-name", "content");
	assert_int_equal(utimensat(project, "old-name", times, 0), 0);
	begin();
	test_write(upper, "new-name", "content");
	assert_int_equal(utimensat(upper, "new-name", times, 0), 0);
	mark("new-name", "user.overlay.origin", "");
	whiteout("old-name");
	test_write(project, "host-was-here", "x");
	expect_changes("+new-name -old-name ");
}

static void what_must_not_come(void **state)
{
	(void)state;
	begin();
	assert_int_equal(symlinkat("/etc/passwd", upper, "absolute"), 0);
	assert_int_equal(symlinkat("../outside", upper, "escapes"), 0);
	assert_int_equal(symlinkat("absolute", upper, "stays"), 0);
	assert_int_equal(mkfifoat(upper, "fifo", 0644), 0);
	make_dir(upper, ".git");
	make_dir(upper, ".git/hooks");
	make_dir(upper, ".git/refs");
	test_write(upper, ".git/hooks/pre-commit", "#!/bin/sh");
	test_write(upper, ".git/config", "[core] fsmonitor = x");
	test_write(upper, ".git/refs/x", "");
	make_dir(upper, "sub");
	test_write(upper, "sub/.git", "gitdir: ../evil");
	test_write(upper, "sub/config", "");
	make_dir(upper, ".creel-apply-i1234");
	test_write(upper, ".creel-apply-i1234/0", "");
	expect_changes("+.creel-apply-i1234/0U +.git/configR +.git/hooks/pre-commitR +.git/refs/x "
		       "+absoluteL +escapesL +fifoS +stays +sub/.gitR +sub/config ");
}

static void another_directory_is_refused(void **state)
{
	struct changes *changes = NULL;
	struct err err = {0};

	(void)state;
	begin();
	test_write(upper, "f", "x");
	assert_int_equal(renameat(dir->fd, "project", dir->fd, "moved"), 0);
	assert_int_equal(changes_open(base, NULL, false, &changes, &err), -ESTALE);
	make_dir(dir->fd, "project");
	assert_int_equal(changes_open(base, NULL, false, &changes, &err), -ESTALE);
	assert_non_null(strstr(err.text, "/project"));
	assert_int_equal(changes_open(base, NULL, true, &changes, &err), 0);
	assert_int_equal(changes_count(changes), 1);
	changes_close(changes);
}

static void strange_names(void **state)
{
	(void)state;
	begin();
	test_write(upper, "a\nb", "x");
	test_write(upper, "\xc3\xa4", "x");
	test_write(upper, "\xff", "x");
	test_write(upper, " ", "x");
	expect_changes("+  +a\nb +\xc3\xa4 +\xff ");
}

static void meta_is_kept(void **state)
{
	struct changes_meta meta = {.dir = "/a\nb \xff",
				    .org = "o",
				    .run = "r",
				    .agent = "maria",
				    .image = "base@sha256:0"};
	struct changes_meta got;
	struct err err = {0};

	(void)state;
	assert_int_equal(changes_read_meta(base, &got, &err), -ENOENT);
	assert_int_equal(changes_create(base, project, &meta, &err), 0);
	assert_int_equal(changes_read_meta(base, &got, &err), 0);
	assert_string_equal(got.dir, meta.dir);
	assert_string_equal(got.org, "o");
	assert_string_equal(got.run, "r");
	assert_string_equal(got.agent, "maria");
	assert_string_equal(got.image, meta.image);
	assert_int_equal(got.uid, getuid());
	assert_false(got.userxattr);
	assert_true(got.started_ns > 0);
	assert_int_equal(changes_create(base, project, &meta, &err), -EEXIST);
}

static void damaged_meta_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"creel-changes 2\n",
		"creel-changes 1\ndev 1\n",
		"creel-changes 1\ndev 1\nino 1\nuid 0\ngid 0\nstarted 1\nuserxattr 2\norg o\n"
		"agent \nrun r\nimage \ndir /x\n",
		"creel-changes 1\ndev 1\nino 1\nuid 0\ngid 0\nstarted 1\nuserxattr 1\norg ../o\n"
		"agent \nrun r\nimage \ndir /x\n",
		"creel-changes 1\ndev 1\nino 1\nuid 0\ngid 0\nstarted 1\nuserxattr 1\norg o\n"
		"agent \nrun r\nimage \ndir x\n",
		"creel-changes 1\ndev 1\nino 1\nuid 0\ngid 0\nstarted 1\nuserxattr 1\norg o\n"
		"agent \nrun r\nimage \ndir /x",
	};
	struct changes_meta got;
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		test_write(base, "meta", bad[i]);
		assert_int_equal(changes_read_meta(base, &got, &err), -EBADMSG);
	}
}

static void a_lock_holds(void **state)
{
	int other = openat(dir->fd, "base", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err = {0};

	(void)state;
	assert_int_equal(changes_lock(base, false, &err), 0);
	assert_int_equal(changes_lock(other, false, &err), 0);
	assert_int_equal(changes_lock(other, true, &err), -EBUSY);
	fd_close(other);
	assert_int_equal(changes_lock(base, true, &err), 0);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, changes_setup, changes_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(nothing_changed),
		WITH_DIR(every_kind),
		WITH_DIR(a_deleted_directory_is_all_its_files),
		WITH_DIR(an_opaque_directory_hides),
		WITH_DIR(a_link_below_is_not_followed),
		WITH_DIR(a_file_for_a_directory),
		WITH_DIR(marks_of_a_layer_that_is_not_whole),
		WITH_DIR(marks_of_a_sandbox_are_nothing),
		WITH_DIR(the_host_changed_meanwhile),
		WITH_DIR(the_host_added_where_the_run_deleted),
		WITH_DIR(the_host_deleted_what_the_run_changed),
		WITH_DIR(a_rename_is_no_deletion_by_the_host),
		WITH_DIR(what_must_not_come),
		WITH_DIR(another_directory_is_refused),
		WITH_DIR(strange_names),
		WITH_DIR(meta_is_kept),
		WITH_DIR(damaged_meta_is_refused),
		WITH_DIR(a_lock_holds),
	};

	umask(022);
	return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
