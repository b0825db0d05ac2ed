/* SPDX-License-Identifier: Apache-2.0 */
/* test-host-image.c: what of the host's /etc goes into the image, and what of it never does. */
#include "host-image.c"

#include "../testing/testing.h"

static struct test_dir *dir;
static int from, to;

static int setup(void **state)
{
	int r = test_dir_setup(state);

	dir = *state;
	if (r < 0 || mkdirat(dir->fd, "from", 0755) < 0 || mkdirat(dir->fd, "to", 0755) < 0)
		return -1;
	from = openat(dir->fd, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to = openat(dir->fd, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return from < 0 || to < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	close(from);
	close(to);
	return test_dir_teardown(state);
}

/* A file below from, with the directories that its name has. */
static void make(const char *name, const char *text, mode_t mode)
{
	const char *slash = strrchr(name, '/');
	char parent[64];

	if (slash) {
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - name), name);
		assert_int_equal(fs_mkdirs_beneath(from, parent, 0755, -1, -1), 0);
	}
	test_write(from, name, text);
	assert_int_equal(fchmodat(from, name, mode, 0), 0);
}

static bool copied(const char *name)
{
	return faccessat(to, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool has_login(const char *text)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(4096);

	assert_int_equal(buf_puts(&buf, text), 0);
	return host_has_login(&buf);
}

static void logins_are_found(void **state)
{
	(void)state;
	assert_true(has_login("deb https://user:password@host/debian bookworm main\n"));
	assert_true(has_login("deb https://token@host/debian bookworm main\n"));
	assert_true(has_login("# deb ftp://a:b@host\n"));
	assert_true(has_login("URIs: https://host/debian https://a:b@host\n"));
	assert_true(has_login("Acquire::http::Proxy \"http://a:b@host:3128\";\n"));
	assert_true(has_login("https://a:b@"));
	assert_true(has_login("http://first/\nhttp://second/\nhttp://a:b@third"));
}

static void what_is_no_login(void **state)
{
	(void)state;
	assert_false(has_login(""));
	assert_false(has_login("deb https://host/debian bookworm main\n"));
	assert_false(has_login("deb https://host/a@b bookworm main\n"));
	assert_false(has_login("deb https://host bookworm # by me@host\n"));
	assert_false(has_login("https://host\nme@host\n"));
	assert_false(has_login("Proxy \"http://host\"; // \"me@host\"\n"));
	assert_false(has_login("me@host ://"));
}

static void sources_with_a_login_are_left_out(void **state)
{
	(void)state;
	make("apt/sources.list", "deb https://host/debian bookworm main\n", 0644);
	make("apt/sources.list.d/open.list", "deb https://host/debian bookworm main\n", 0644);
	make("apt/sources.list.d/paid.list", "deb https://me:secret@host/x stable main\n", 0644);
	make("apt/sources.list.d/paid.sources", "URIs: https://secret@host/x\n", 0644);
	make("apt/auth.conf", "machine host login me password secret\n", 0644);
	assert_int_equal(host_copy_pattern(from, to, "apt/sources.list*"), 0);
	assert_true(copied("apt/sources.list"));
	assert_true(copied("apt/sources.list.d/open.list"));
	assert_false(copied("apt/sources.list.d/paid.list"));
	assert_false(copied("apt/sources.list.d/paid.sources"));
	assert_false(copied("apt/auth.conf"));
}

static void what_others_may_not_read_is_left_out(void **state)
{
	(void)state;
	make("ssl/certs/open.pem", "x", 0644);
	make("ssl/certs/key.pem", "x", 0640);
	make("ssl/certs/closed/inner.pem", "x", 0644);
	assert_int_equal(fchmodat(from, "ssl/certs/closed", 0750, 0), 0);
	make("ssl/private/key.pem", "x", 0644);
	assert_int_equal(symlinkat("../private/key.pem", from, "ssl/certs/link.pem"), 0);
	assert_int_equal(host_copy_pattern(from, to, "ssl/certs"), 0);
	assert_true(copied("ssl/certs/open.pem"));
	assert_true(copied("ssl/certs/link.pem")); /* as a link: what it names is not there */
	assert_false(copied("ssl/certs/key.pem"));
	assert_false(copied("ssl/certs/closed"));
	assert_false(copied("ssl/private"));
}

static void no_pattern_takes_a_secret(void **state)
{
	static const char *const secrets[] = {
		"shadow",      "gshadow",    "passwd",	    "group",	     "ssh",
		"ssl/private", "machine-id", "environment", "sudoers",	     "cron.d",
		"fstab",       "hosts",	     "resolv.conf", "apt/auth.conf", "krb5.keytab"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(secrets); i++)
		make(secrets[i], "x", 0644);
	for (size_t i = 0; i < ELEMENTSOF(host_etc); i++)
		assert_int_equal(host_copy_pattern(from, to, host_etc[i]), 0);
	for (size_t i = 0; i < ELEMENTSOF(secrets); i++)
		if (copied(secrets[i]))
			fail_msg("/etc/%s goes in", secrets[i]);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logins_are_found),
		cmocka_unit_test(what_is_no_login),
		WITH_DIR(sources_with_a_login_are_left_out),
		WITH_DIR(what_others_may_not_read_is_left_out),
		WITH_DIR(no_pattern_takes_a_secret),
	};

	umask(022);
	return cmocka_run_group_tests_name("host-image", tests, NULL, NULL);
}
