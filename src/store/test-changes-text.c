/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-changes-text.c: patches are those that git writes, names and terminals are safe.
 */
#include "changes-text.h"

#include "test-changes.h"

static char shown[8192];

static int append(const struct change *change, void *data)
{
	struct changes_text text = CHANGES_TEXT_INIT;
	size_t len = strlen(shown);
	struct err err = {0};

	if (change->implied)
		return 0;
	if (changes_text(data, change, &text, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(text.patch.len < sizeof(shown) - len);
	memcpy(shown + len, text.patch.data, text.patch.len + 1);
	changes_text_done(&text);
	return 0;
}

static void expect_patch(const char *wanted)
{
	_cleanup_changes_ struct changes *changes = open_changes();

	shown[0] = '\0';
	assert_int_equal(changes_list(changes, append, changes), 0);
	assert_string_equal(shown, wanted);
}

static void a_modified_file(void **state)
{
	(void)state;
	test_write(project, "f", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
	begin();
	test_write(upper, "f", "1\n2\n3\n4\nfive\n6\n7\n8\n9");
	expect_patch("diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -2,8 +2,8 @@\n 2\n 3\n 4\n-5\n"
		     "+five\n 6\n 7\n 8\n-9\n+9\n\\ No newline at end of file\n");
}

static void files_that_come_and_go(void **state)
{
	(void)state;
	test_write(project, "gone", "a\nb\n");
	test_write(project, "none", "");
	begin();
	test_write(upper, "come", "x");
	test_write(upper, "empty", "");
	whiteout("gone");
	whiteout("none");
	expect_patch("diff --git a/come b/come\nnew file mode 100644\n--- /dev/null\n+++ b/come\n"
		     "@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n"
		     "diff --git a/empty b/empty\nnew file mode 100644\n"
		     "diff --git a/gone b/gone\ndeleted file mode 100644\n--- a/gone\n"
		     "+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n"
		     "diff --git a/none b/none\ndeleted file mode 100644\n");
}

static void modes_links_and_kinds(void **state)
{
	(void)state;
	test_write(project, "file", "x\n");
	test_write(project, "mode", "x\n");
	assert_int_equal(symlinkat("a", project, "link"), 0);
	begin();
	test_write(upper, "mode", "x\n");
	assert_int_equal(fchmodat(upper, "mode", 0755, 0), 0);
	assert_int_equal(symlinkat("b", upper, "link"), 0);
	assert_int_equal(symlinkat("b", upper, "file"), 0);
	make_dir(upper, "new");
	assert_int_equal(mkfifoat(upper, "fifo", 0600), 0);
	expect_patch("# fifo: FIFO added\n"
		     "diff --git a/file b/file\ndeleted file mode 100644\n--- a/file\n"
		     "+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
		     "diff --git a/file b/file\nnew file mode 120000\n--- /dev/null\n+++ b/file\n"
		     "@@ -0,0 +1 @@\n+b\n\\ No newline at end of file\n"
		     "diff --git a/link b/link\n--- a/link\n+++ b/link\n@@ -1 +1 @@\n-a\n"
		     "\\ No newline at end of file\n+b\n\\ No newline at end of file\n"
		     "diff --git a/mode b/mode\nold mode 100644\nnew mode 100755\n"
		     "# new: directory added\n");
}

static void binary_files_are_named(void **state)
{
	int fd;

	(void)state;
	test_write(project, "b", "text");
	begin();
	fd = openat(upper, "b", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, "a\0b", 3), 3);
	close(fd);
	fd = openat(upper, "huge", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, 1ll << 40), 0);
	close(fd);
	expect_patch("diff --git a/b b/b\nBinary files a/b and b/b differ\n"
		     "diff --git a/huge b/huge\nnew file mode 100644\n"
		     "Binary files /dev/null and b/huge differ\n");
}

static void names_are_quoted(void **state)
{
	static const struct {
		const char *name, *quoted;
	} cases[] = {
		{"plain name", "a/plain name"},	  {"\xc3\xa4", "a/\xc3\xa4"},
		{"a\nb", "\"a/a\\nb\""},	  {"a\"\\", "\"a/a\\\"\\\\\""},
		{"\x1b[31m", "\"a/\\033[31m\""},  {"\xff", "\"a/\\377\""},
		{"\xc2\x9b", "\"a/\\302\\233\""}, {"\xe2\x80\xae", "\"a/\\342\\200\\256\""},
		{"\x7f", "\"a/\\177\""},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(100);

		assert_int_equal(changes_quote(&out, "a/", cases[i].name), 0);
		assert_string_equal(out.data, cases[i].quoted);
	}
}

static void what_a_terminal_must_not_get(void **state)
{
	(void)state;
	assert_int_equal(changes_unsafe("", 0), 0);
	assert_int_equal(changes_unsafe("a", 1), 0);
	assert_int_equal(changes_unsafe("\x1b[", 2), 1);
	assert_int_equal(changes_unsafe("\xc2\x9b", 2), 2);
	assert_int_equal(changes_unsafe("\xc2\xa0", 2), 0);
	assert_int_equal(changes_unsafe("\xe2\x81\xa6", 3), 3);
	assert_int_equal(changes_unsafe("\xe2\x81\xa6", 2), 0);
	assert_int_equal(changes_unsafe("\xe2\x82\xac", 3), 0);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, changes_setup, changes_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(a_modified_file),	    WITH_DIR(files_that_come_and_go),
		WITH_DIR(modes_links_and_kinds),    WITH_DIR(binary_files_are_named),
		cmocka_unit_test(names_are_quoted), cmocka_unit_test(what_a_terminal_must_not_get),
	};

	umask(022);
	return cmocka_run_group_tests_name("changes-text", tests, NULL, NULL);
}
