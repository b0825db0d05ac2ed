/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-idmap.c: the pure parts of the id map: which ids, without making a namespace (idmap.c is
 * included, for its parsers are its own). The caller's id is what the test says, so that it passes
 * as root too.
 */
#include "idmap.c"

#include "../testing/testing.h"

static uid_t caller = 1234;

uid_t geteuid(void)
{
	return caller;
}

static void root_gets_its_range(void **state)
{
	struct state of_root = {.root = true};
	struct live live = LIVE_INIT;
	struct idmap map;
	struct err err;

	(void)state;
	live.range = 3;
	assert_int_equal(idmap_choose(&of_root, &live, false, &map, &err), 0);
	assert_false(map.rootless || map.single);
	assert_int_equal(map.n, 1);
	assert_int_equal(map.uids[0].inside, 0);
	assert_int_equal(map.uids[0].outside, live_first_id(&live));
	assert_int_equal(map.uids[0].count, 65536);
	assert_memory_equal(&map.uids[0], &map.gids[0], sizeof(map.uids[0]));
	assert_int_equal(idmap_root(&map), live_first_id(&live));
	assert_int_equal(idmap_user(&map), live_first_id(&live) + IDMAP_USER);
}

/* No two sandboxes share an id, none has one of the host's, and the last fits in 32 bits. */
static void ranges_are_apart(void **state)
{
	struct live a = LIVE_INIT, b = LIVE_INIT;

	(void)state;
	for (unsigned i = 0; i + 1 < 4000; i++) {
		a.range = i;
		b.range = i + 1;
		assert_int_equal(live_first_id(&b) - live_first_id(&a), 65536);
	}
	a.range = 0;
	assert_true(live_first_id(&a) > 0x6fff0000u); /* above systemd's and distributions' */
	assert_true((uint64_t)live_first_id(&b) + 65535 < 0x80000000u);
}

static void root_is_never_rootless(void **state)
{
	struct state rootless = {.root = false};
	struct live live = LIVE_INIT;
	struct idmap map;
	struct err err;

	(void)state;
	caller = 0;
	assert_int_equal(idmap_choose(&rootless, &live, true, &map, &err), -EINVAL);
	caller = 1234;
}

/* A caller that no machine gives subordinate ids: the single id, inside as what is asked. */
static void a_single_id(void **state)
{
	struct state rootless = {.root = false};
	struct live live = LIVE_INIT;
	struct idmap map;
	struct err err;

	(void)state;
	caller = 4000000000u;
	assert_int_equal(idmap_choose(&rootless, &live, false, &map, &err), 0);
	assert_true(map.rootless && map.single);
	assert_int_equal(map.n, 1);
	assert_int_equal(map.uids[0].inside, IDMAP_USER);
	assert_int_equal(map.uids[0].outside, 4000000000u);
	assert_int_equal(map.uids[0].count, 1);
	assert_int_equal(map.root_inside, IDMAP_USER);
	assert_int_equal(idmap_user(&map), 4000000000u);
	assert_int_equal(idmap_choose(&rootless, &live, true, &map, &err), 0);
	assert_int_equal(map.uids[0].inside, 0);
	assert_int_equal(map.root_inside, 0);
	caller = 1234;
}

static bool read_subordinate(struct test_dir *dir, const char *text, uint32_t *first,
			     uint32_t *count)
{
	char path[128];

	test_write(dir->fd, "subuid", text);
	snprintf(path, sizeof(path), "%s/subuid", dir->path);
	return idmap_subordinate(path, "agent", 1234, first, count);
}

static void subordinate_ids(void **state)
{
	static const struct {
		const char *text;
		uint32_t first, count;
	} cases[] = {
		{"agent:100000:65536\n", 100000, 65536},
		{"other:1:2\nagent:200000:65536\nagent:3:4\n", 200000, 65536},
		{"1234:100000:1000", 100000, 1000},
		{"agents:100000:65536\n", 0, 0},
		{"agen:100000:65536\n12345:1:1\n", 0, 0},
		{"", 0, 0},
		{"\n\n:\n::\nagent\nagent:\n", 0, 0},
		{"agent:x:y\n", 0, 0},
		{"agent:0:65536\n", 0, 0}, /* root's own ids are nobody's */
		{"agent:100000:0\n", 0, 0},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		uint32_t first = 0, count = 0;
		bool found = read_subordinate(*state, cases[i].text, &first, &count);

		if (found != (cases[i].first != 0) ||
		    (found && (first != cases[i].first || count != cases[i].count)))
			fail_msg("case %zu: %d %u %u", i, found, first, count);
	}
	assert_false(idmap_subordinate("/nonexistent/subuid", "agent", 1234, &(uint32_t){0},
				       &(uint32_t){0}));
}

/* Inside, 1000 is the caller and everything else is subordinate; nothing overlaps. */
static void lines_cover_each_id_once(void **state)
{
	static const uint32_t counts[] = {1, 999, 1000, 1001, 65534, 65535, 65536, 1000000};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
		struct idmap_line lines[3];

		idmap_lines(lines, 1234, 100000, counts[i]);
		assert_int_equal(lines[0].inside, 0);
		assert_int_equal(lines[0].outside, 100000);
		assert_true(lines[0].count <= IDMAP_USER);
		assert_int_equal(lines[1].inside, IDMAP_USER);
		assert_int_equal(lines[1].outside, 1234);
		assert_int_equal(lines[1].count, 1);
		assert_int_equal(lines[2].inside, IDMAP_USER + 1);
		assert_int_equal(lines[2].outside, 100000 + lines[0].count);
		assert_true(lines[0].count + lines[2].count <= counts[i]);
		assert_true(lines[2].inside + lines[2].count <= 65536);
	}
}

static void formats(void **state)
{
	const struct idmap_line lines[] = {{0, 100000, 1000}, {1000, 1234, 1}};
	char text[64];

	(void)state;
	assert_int_equal(idmap_format(text, sizeof(text), lines, 2), 0);
	assert_string_equal(text, "0 100000 1000\n1000 1234 1\n");
	assert_int_equal(idmap_format(text, 20, lines, 2), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_gets_its_range),
		cmocka_unit_test(ranges_are_apart),
		cmocka_unit_test(root_is_never_rootless),
		cmocka_unit_test(a_single_id),
		cmocka_unit_test_setup_teardown(subordinate_ids, test_dir_setup, test_dir_teardown),
		cmocka_unit_test(lines_cover_each_id_once),
		cmocka_unit_test(formats),
	};

	return cmocka_run_group_tests_name("idmap", tests, NULL, NULL);
}
