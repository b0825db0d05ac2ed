/* SPDX-License-Identifier: Apache-2.0 */
/* test-tar-check.c: each trick of an archive alone is refused, and an honest archive is not. */
#include "tar-check.h"

#include "buf.h"
#include "err.h"

#include "../testing/testing.h"

static struct buf archive;

static int setup(void **state)
{
	(void)state;
	archive = BUF_INIT(4 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_done(&archive);
	return 0;
}

static void put(const void *data, size_t len)
{
	static const char zeros[512];

	assert_int_equal(buf_append(&archive, data, len), 0);
	assert_int_equal(buf_append(&archive, zeros, -len & 511), 0);
}

/* One header; size of data that the caller puts after it. */
static void header(char type, const char *name, const char *link, size_t size)
{
	char block[512] = "";
	unsigned sum = 0;

	snprintf(block, 101, "%s", name);
	snprintf(block + 124, 12, "%011zo", size);
	memset(block + 148, ' ', 8);
	block[156] = type;
	snprintf(block + 157, 101, "%s", link);
	memcpy(block + 257, "ustar", 6);
	memset(block + 263, '0', 2);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += (unsigned char)block[i];
	snprintf(block + 148, 8, "%06o", sum);
	put(block, sizeof(block));
}

static void file(const char *name, const char *data)
{
	header('0', name, "", strlen(data));
	put(data, strlen(data));
}

static void pax(char type, const char *key, const char *value)
{
	char record[8192];
	int len = snprintf(record, sizeof(record), " %s=%s\n", key, value);
	int digits = len < 9 ? 1 : len < 98 ? 2 : len < 997 ? 3 : 4;

	snprintf(record, sizeof(record), "%d %s=%s\n", len + digits, key, value);
	header(type, "pax", "", strlen(record));
	put(record, strlen(record));
}

static void end(void)
{
	static const char zeros[1024];

	put(zeros, sizeof(zeros));
}

/* In pieces of every size: 0 or what refused it. */
static int fed(size_t piece, struct err *err)
{
	struct tar_check *check;
	int r = tar_check_new(&check);

	assert_int_equal(r, 0);
	tar_check_begin(check, "layer");
	for (size_t at = 0; r == 0 && at < archive.len; at += piece)
		r = tar_check_feed(check, archive.data + at, MIN(piece, archive.len - at), err);
	if (r == 0)
		r = tar_check_end(check, err);
	tar_check_free(check);
	return r;
}

static void verdict(int expected, const char *words)
{
	static const size_t pieces[] = {1, 7, 512, 513, 100000};

	for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
		struct err err = {0};

		assert_int_equal(fed(pieces[i], &err), expected);
		if (words && !strstr(err.text, words))
			fail_msg("'%s' does not say '%s'", err.text, words);
	}
	archive.len = 0;
}

static void honest_archives_pass(void **state)
{
	char deep[300];

	(void)state;
	header('5', "./", "", 0);
	header('5', "./usr/", "", 0);
	file("usr/a..b", "content");
	header('2', "lib", "/usr/lib", 0);
	header('2', "usr/up", "../../../etc", 0);
	header('1', "usr/hard", "usr/a..b", 0);
	header('6', "pipe", "", 0);
	file("usr/.wh.gone", "");
	file("usr/.wh..wh..opq", "");
	pax('g', "comment", "x");
	pax('x', "SCHILY.xattr.security.capability", "x");
	file("caps", "x");
	memset(deep, 'n', 250);
	deep[250] = '\0';
	pax('x', "path", deep);
	file("short", "x");
	header('L', "././@LongLink", "", 251);
	put(deep, 251);
	file("short", "x");
	end();
	verdict(0, NULL);
	file("a", "no end");
	verdict(0, NULL);
}

static void paths_that_leave_are_refused(void **state)
{
	static const char *const absolute[] = {"/etc/x", "//x"};
	static const char *const up[] = {"../x", "a/../x", "..", "a/..", "./../x"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(absolute); i++) {
		file(absolute[i], "");
		verdict(-EINVAL, "absolute path");
		header('1', "x", absolute[i], 0);
		verdict(-EINVAL, "absolute path");
		pax('x', "path", absolute[i]);
		file("x", "");
		verdict(-EINVAL, "absolute path");
	}
	for (size_t i = 0; i < ELEMENTSOF(up); i++) {
		header('5', up[i], "", 0);
		verdict(-EINVAL, "'..'");
		header('1', "x", up[i], 0);
		verdict(-EINVAL, "'..'");
		pax('x', "linkpath", up[i]);
		header('1', "x", "fine", 0);
		verdict(-EINVAL, "'..'");
	}
	file("", "");
	verdict(-EINVAL, "empty path");
}

static void ways_through_links_are_refused(void **state)
{
	(void)state;
	header('2', "d", "/etc", 0);
	file("d/passwd", "");
	verdict(-EINVAL, "behind a link");
	header('2', "./a//d", "/etc", 0);
	file("a/./d/x/passwd", "");
	verdict(-EINVAL, "behind a link");
	header('2', "d", "/etc", 0);
	header('1', "x", "d/passwd", 0);
	verdict(-EINVAL, "behind a link");
	header('2', "d", "/etc", 0);
	header('1', "e", "d", 0);
	file("e/passwd", "");
	verdict(-EINVAL, "behind a link");
}

static void what_images_do_not_hold_is_refused(void **state)
{
	(void)state;
	header('3', "null", "", 0);
	verdict(-EINVAL, "device");
	header('4', "sda", "", 0);
	verdict(-EINVAL, "device");
	header('S', "s", "", 0);
	verdict(-EINVAL, "sparse");
	pax('x', "GNU.sparse.major", "1");
	file("s", "");
	verdict(-EINVAL, "sparse");
	header('V', "label", "", 0);
	verdict(-EINVAL, "unknown kind");
	header('2', "l", "x", 512);
	verdict(-EINVAL, "has data");
	pax('x', "SCHILY.xattr.trusted.overlay.opaque", "y");
	file("s", "");
	verdict(-EINVAL, "attribute");
	file("a/.wh...", "");
	verdict(-EINVAL, "deletes");
	file(".wh.", "");
	verdict(-EINVAL, "deletes");
}

static void two_meanings_are_refused(void **state)
{
	static const char zeros[512];

	(void)state;
	put(zeros, 512);
	file("after", "");
	verdict(-EINVAL, "block of zeros");
	pax('x', "path", "a");
	pax('x', "path", "b");
	file("c", "");
	verdict(-EINVAL, "two headers");
	pax('g', "path", "a");
	verdict(-EINVAL, "all entries");
	pax('x', "path", "a");
	verdict(-EINVAL, "without an entry");
	header('x', "pax", "", 6);
	put("9 a=b\n", 6);
	file("c", "");
	verdict(-EINVAL, "malformed");
	pax('x', "size", "-1");
	file("c", "");
	verdict(-EINVAL, "no number");
	header('L', "x", "", 4);
	put("a\0b", 4);
	file("c", "");
	verdict(-EINVAL, "NUL");
}

static void bombs_are_refused(void **state)
{
	(void)state;
	pax('x', "size", "999999999999999");
	file("big", "");
	verdict(-E2BIG, "more than an image may hold");
	header('x', "pax", "", 2 << 20);
	verdict(-EINVAL, "too long");
}

static void damage_is_refused(void **state)
{
	(void)state;
	put("no archive", 10);
	verdict(-EINVAL, "no tar archive");
	file("a", "content");
	archive.data[3] = 'x';
	verdict(-EINVAL, "damaged");
	file("a", "content");
	archive.len -= 10;
	verdict(-EINVAL, "cut short");
}

/* What is a link in one layer may be a directory in the next, and the other way round. */
static void links_are_of_their_layer(void **state)
{
	struct tar_check *check;
	struct err err = {0};

	(void)state;
	assert_int_equal(tar_check_new(&check), 0);
	tar_check_begin(check, "first");
	header('2', "lib", "usr/lib", 0);
	assert_int_equal(tar_check_feed(check, archive.data, archive.len, &err), 0);
	assert_int_equal(tar_check_end(check, &err), 0);
	archive.len = 0;
	tar_check_begin(check, "second");
	file("lib/x", "");
	assert_int_equal(tar_check_feed(check, archive.data, archive.len, &err), 0);
	assert_int_equal(tar_check_end(check, &err), 0);
	assert_int_equal(tar_check_entries(check), 2);
	tar_check_free(check);
}

/* The set of links grows, and keeps what it has. */
static void many_links_are_kept(void **state)
{
	char name[32];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		header('2', name, "/", 0);
	}
	file("l17/x", "");
	verdict(-EINVAL, "behind a link");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(honest_archives_pass),
		CASE(paths_that_leave_are_refused),
		CASE(ways_through_links_are_refused),
		CASE(what_images_do_not_hold_is_refused),
		CASE(two_meanings_are_refused),
		CASE(bombs_are_refused),
		CASE(damage_is_refused),
		CASE(links_are_of_their_layer),
		CASE(many_links_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
