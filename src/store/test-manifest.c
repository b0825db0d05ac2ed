/* SPDX-License-Identifier: Apache-2.0 */
/* test-manifest.c: the digest is of the content alone, and no change of a tree goes unnoticed. */
#include "manifest.h"

#include "err.h"
#include "fs.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "../testing/testing.h"

static struct test_dir *dir;
static char hex[65];
static struct manifest_totals totals;

static void make(struct err *err, int expected)
{
	assert_int_equal(
		manifest_make(dir->fd, "user user 1000 /home/user\nenv A=b\n", hex, &totals, err),
		expected);
}

static void plant(void)
{
	assert_int_equal(mkdirat(dir->fd, "root", 0755), 0);
	assert_int_equal(mkdirat(dir->fd, "root/usr", 0755), 0);
	assert_int_equal(mkdirat(dir->fd, "root/usr/empty", 0755), 0);
	test_write(dir->fd, "root/usr/f", "content");
	test_write(dir->fd, "root/usr/ a\nb\\", "odd");
	test_write(dir->fd, "root/z", "");
	assert_int_equal(symlinkat("usr/ f", dir->fd, "root/link"), 0);
	assert_int_equal(mkfifoat(dir->fd, "root/pipe", 0600), 0);
}

static int setup(void **state)
{
	struct err err = {0};
	int r = test_dir_setup(state);

	dir = *state;
	plant();
	make(&err, 0);
	return r;
}

static void check(int expected, const char *words)
{
	struct err err = {0};

	assert_int_equal(manifest_check(dir->fd, hex, &err), expected);
	if (words && !strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

static void a_tree_is_what_it_was(void **state)
{
	(void)state;
	assert_int_equal(totals.files, 3);
	assert_int_equal(totals.bytes, 10);
	check(0, NULL);
}

static void lines_can_be_read_back(void **state)
{
	char *text = malloc(4096), *at = text;
	int fd = openat(dir->fd, "manifest", O_RDONLY | O_CLOEXEC), links = 0, n = 0;
	ssize_t size = read(fd, text, 4095);
	struct manifest_entry entry;

	(void)state;
	close(fd);
	assert_true(size > 0);
	text[size] = '\0';
	at = strstr(text, "\n\n") + 2;
	for (int r; (r = manifest_next(&at, &entry)) != 0; n++) {
		assert_int_equal(r, 1);
		if (strcmp(entry.path, "usr/ a\nb\\") == 0)
			assert_int_equal(entry.size, 3);
		links += entry.kind == 'L' && strcmp(entry.target, "usr/ f") == 0;
	}
	assert_int_equal(n, 8);
	assert_int_equal(links, 1);
	free(text);
}

static void the_head_is_read(void **state)
{
	_cleanup_buf_ struct buf head = BUF_INIT(4096);

	(void)state;
	assert_int_equal(manifest_head(dir->fd, &head), 0);
	assert_string_equal(head.data, "user user 1000 /home/user\nenv A=b\n");
}

/* Another copy, with other inodes and times, has the same digest. */
static void the_digest_is_of_the_content(void **state)
{
	char before[65];
	struct err err = {0};

	(void)state;
	memcpy(before, hex, sizeof(hex));
	assert_int_equal(fs_remove_tree(dir->fd, "root"), 0);
	plant();
	check(0, NULL); /* a restored copy: it is read again */
	check(0, NULL);
	make(&err, 0);
	assert_string_equal(hex, before);
	test_write(dir->fd, "root/z", "x");
	make(&err, 0);
	assert_string_not_equal(hex, before);
}

static void another_content_is_seen(void **state)
{
	(void)state;
	test_write(dir->fd, "root/usr/f", "CONTENT");
	check(-EUCLEAN, "usr/f differs");
}

static void another_size_is_seen(void **state)
{
	(void)state;
	test_write(dir->fd, "root/usr/f", "longer content");
	check(-EUCLEAN, "usr/f differs");
}

static ino_t stat_inode(void)
{
	struct stat st;

	assert_int_equal(fstatat(dir->fd, "stat", &st, 0), 0);
	return st.st_ino;
}

/* Once: then its new times are known. What is not touched is never read. */
static void a_touched_file_is_read_again(void **state)
{
	ino_t before = stat_inode(), after;

	(void)state;
	check(0, NULL);
	assert_int_equal(stat_inode(), before);
	assert_int_equal(utimensat(dir->fd, "root/usr/f", NULL, 0), 0);
	check(0, NULL);
	after = stat_inode();
	assert_int_not_equal(after, before);
	check(0, NULL);
	assert_int_equal(stat_inode(), after);
}

static void another_mode_is_seen(void **state)
{
	(void)state;
	assert_int_equal(fchmodat(dir->fd, "root/usr/f", 0755, 0), 0);
	check(-EUCLEAN, "usr/f has another mode");
}

static void a_new_file_is_seen(void **state)
{
	(void)state;
	test_write(dir->fd, "root/usr/empty/new", "");
	check(-EUCLEAN, "entries");
	assert_int_equal(unlinkat(dir->fd, "root/usr/empty/new", 0), 0);
	check(0, NULL);
}

static void a_missing_file_is_seen(void **state)
{
	(void)state;
	assert_int_equal(unlinkat(dir->fd, "root/z", 0), 0);
	check(-EUCLEAN, "z is missing");
}

static void another_kind_is_seen(void **state)
{
	(void)state;
	assert_int_equal(unlinkat(dir->fd, "root/z", 0), 0);
	assert_int_equal(symlinkat("usr/f", dir->fd, "root/z"), 0);
	check(-EUCLEAN, "z is of another kind");
}

static void another_target_is_seen(void **state)
{
	(void)state;
	assert_int_equal(unlinkat(dir->fd, "root/link", 0), 0);
	assert_int_equal(symlinkat("usr/g", dir->fd, "root/link"), 0);
	check(-EUCLEAN, "link leads elsewhere");
}

static void another_manifest_is_seen(void **state)
{
	int fd = openat(dir->fd, "manifest", O_WRONLY | O_APPEND | O_CLOEXEC);

	(void)state;
	assert_int_equal(write(fd, "D 755 0 0 x\n", 12), 12);
	close(fd);
	check(-EUCLEAN, "manifest differs");
}

/* So many that several processes look: a change is seen in whichever part it lies. */
static void a_large_tree_is_looked_at_in_parts(void **state)
{
	struct err err = {0};
	char path[64];
	ino_t known;

	(void)state;
	for (int i = 0; i < 9000; i++) {
		snprintf(path, sizeof(path), "root/usr/d%02d", i % 90);
		if (i < 90)
			assert_int_equal(mkdirat(dir->fd, path, 0755), 0);
		snprintf(path, sizeof(path), "root/usr/d%02d/f%04d", i % 90, i);
		test_write(dir->fd, path, "");
	}
	make(&err, 0);
	known = stat_inode();
	check(0, NULL);
	assert_int_equal(stat_inode(), known);
	for (int i = 0; i < 9000; i += 1100) {
		snprintf(path, sizeof(path), "root/usr/d%02d/f%04d", i % 90, i);
		test_write(dir->fd, path, "x");
		check(-EUCLEAN, strrchr(path, '/') + 1);
		test_write(dir->fd, path, "");
		check(0, NULL);
	}
}

/* `stat` is a memory: lost or damaged it costs time, and lets nothing pass. */
static void a_damaged_stat_is_made_anew(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(fstatat(dir->fd, "stat", &st, 0), 0);
	for (off_t cut = 0; cut < st.st_size; cut += 7) {
		int fd = openat(dir->fd, "stat", O_WRONLY | O_CLOEXEC);

		assert_int_equal(ftruncate(fd, cut), 0);
		close(fd);
		check(0, NULL);
	}
	for (off_t at = 0; at < st.st_size; at += 5) {
		int fd = openat(dir->fd, "stat", O_WRONLY | O_CLOEXEC);

		assert_int_equal(pwrite(fd, "\xff\xff", 2, at), 2);
		close(fd);
		check(0, NULL);
	}
	test_write(dir->fd, "stat", "");
	test_write(dir->fd, "root/usr/f", "CONTENT");
	check(-EUCLEAN, "usr/f differs");
}

static void a_socket_is_refused(void **state)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct err err = {0};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/root/s", dir->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	close(fd);
	make(&err, -EINVAL);
	assert_non_null(strstr(err.text, "/s is a device or a socket"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, test_dir_teardown)
	const struct CMUnitTest tests[] = {
		CASE(a_tree_is_what_it_was),
		CASE(lines_can_be_read_back),
		CASE(the_head_is_read),
		CASE(the_digest_is_of_the_content),
		CASE(another_content_is_seen),
		CASE(another_size_is_seen),
		CASE(a_touched_file_is_read_again),
		CASE(another_mode_is_seen),
		CASE(a_new_file_is_seen),
		CASE(a_missing_file_is_seen),
		CASE(another_kind_is_seen),
		CASE(another_target_is_seen),
		CASE(another_manifest_is_seen),
		CASE(a_damaged_stat_is_made_anew),
		CASE(a_large_tree_is_looked_at_in_parts),
		CASE(a_socket_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
