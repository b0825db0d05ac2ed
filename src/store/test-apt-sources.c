/* SPDX-License-Identifier: Apache-2.0 */
/* test-apt-sources.c: only the distribution's own suites are taken, and every key is found. */
#include "apt-sources.h"

#include "../testing/testing.h"

static const char targets[] = "http://m/debian/ bookworm main /etc/apt/sources.list:1\n"
			      "http://m/debian/ bookworm main /etc/apt/sources.list:1\n"
			      "http://m/debian/ bookworm contrib /etc/apt/sources.list:1\n"
			      "http://m/debian/ bookworm-updates main /etc/apt/sources.list:2\n"
			      "http://m/debian/ bookworm-backports main /etc/apt/sources.list:3\n"
			      "http://m/security/ bookworm-security main /etc/apt/sources.list:4\n"
			      "http://other/ bookworm-pgdg main /etc/apt/sources.list.d/p.list:1\n"
			      "http://other/ bookworm stable /etc/apt/sources.list.d/d.list:1\n"
			      "http://other/ nodistro main /etc/apt/sources.list.d/n.list:1\n"
			      "malformed\n";

static void selects(const char *from, const char *to, const char *wanted)
{
	_cleanup_buf_ struct buf list = BUF_INIT(4096);

	assert_int_equal(apt_sources_select(targets, from, to, &list), 0);
	assert_string_equal(list.data, wanted);
}

static void the_distributions_own_are_taken(void **state)
{
	(void)state;
	selects("bookworm", NULL,
		"deb http://m/debian/ bookworm main\ndeb http://m/debian/ bookworm-updates main\n"
		"deb http://m/security/ bookworm-security main\n");
	selects("bookworm", "trixie",
		"deb http://m/debian/ trixie main\ndeb http://m/debian/ trixie-updates main\n"
		"deb http://m/security/ trixie-security main\n");
	selects("noble", NULL, "");
	selects("", NULL, "");
}

static void keys_are_found(void **state)
{
	_cleanup_buf_ struct buf keys = BUF_INIT(4096);

	(void)state;
	assert_int_equal(
		apt_sources_keys("Types: deb\nSigned-By: /a/b.gpg\nURIs: x\n"
				 "deb [arch=amd64 signed-by=/c/d.asc,/e/f.gpg] http://x y z\n"
				 "deb [signed-by=/a/b.gpg] http://x y z\n"
				 "Signed-By:\n -----BEGIN PGP\n",
				 &keys),
		0);
	assert_string_equal(keys.data, "/a/b.gpg\n/c/d.asc\n/e/f.gpg\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_distributions_own_are_taken),
		cmocka_unit_test(keys_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
