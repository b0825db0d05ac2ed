/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-start.c: how creel-init reads a START message (init-process.c is included, for its parser is
 * its own): what the host formats comes back, and no cut or lying message does.
 */
#include "init-process.c"

#include "ceilings.h"
#include "err.h"

#include "../testing/testing.h"

static int parse(const void *data, size_t len, struct init_start *start)
{
	/* Exactly as large as the message, so that a read past its end is seen. */
	char *copy = malloc(len + 1);
	struct buf payload = {.data = copy, .len = len, .allocated = len + 1, .ceiling = len};
	int r;

	assert_non_null(copy);
	if (len)
		memcpy(copy, data, len);
	copy[len] = 'x'; /* and not a NUL that happens to end the last string */
	*start = (struct init_start){0};
	r = init_start_parse(&payload, start);
	free(start->argv);
	free(start->env);
	free(copy);
	return r;
}

static void format(struct buf *payload)
{
	char *argv[] = {(char *)(uintptr_t) "/bin/echo", (char *)(uintptr_t) "",
			(char *)(uintptr_t) "a b", NULL};
	char *env[] = {(char *)(uintptr_t) "A=1", (char *)(uintptr_t) "B=", NULL};
	struct guest_start start = {
		.flags = GUEST_START_LAST, .uid = 1000, .gid = 1001, .rows = 24};

	assert_int_equal(guest_start_format(payload, start, "/workspace", argv, env), 0);
}

static void what_is_formatted_is_parsed(void **state)
{
	_cleanup_buf_ struct buf payload = BUF_INIT(CEIL_FRAME);
	struct init_start start = {0};

	(void)state;
	format(&payload);
	assert_int_equal(init_start_parse(&payload, &start), 0);
	assert_int_equal(start.fixed.uid, 1000);
	assert_int_equal(start.fixed.gid, 1001);
	assert_int_equal(start.fixed.flags, GUEST_START_LAST);
	assert_int_equal(start.fixed.rows, 24);
	assert_string_equal(start.cwd, "/workspace");
	assert_string_equal(start.argv[0], "/bin/echo");
	assert_string_equal(start.argv[1], "");
	assert_string_equal(start.argv[2], "a b");
	assert_null(start.argv[3]);
	assert_string_equal(start.env[0], "A=1");
	assert_string_equal(start.env[1], "B=");
	assert_null(start.env[2]);
	free(start.argv);
	free(start.env);
}

static void every_truncation_is_refused(void **state)
{
	_cleanup_buf_ struct buf payload = BUF_INIT(CEIL_FRAME);
	struct init_start start;

	(void)state;
	format(&payload);
	for (size_t len = 0; len < payload.len; len++)
		assert_int_equal(parse(payload.data, len, &start), -EPROTO);
	assert_int_equal(parse(payload.data, payload.len, &start), 0);
}

static void bytes_too_many_are_refused(void **state)
{
	_cleanup_buf_ struct buf payload = BUF_INIT(CEIL_FRAME);
	struct init_start start;

	(void)state;
	format(&payload);
	assert_int_equal(buf_append(&payload, "", 1), 0);
	assert_int_equal(parse(payload.data, payload.len, &start), -EPROTO);
}

static void counts_that_lie_are_refused(void **state)
{
	static const uint32_t lies[] = {0,	  1,	     2, 4, 5, 6, 1000, CEIL_ARGS + 1,
					1u << 31, UINT32_MAX};
	_cleanup_buf_ struct buf payload = BUF_INIT(CEIL_FRAME);
	struct init_start start;
	struct guest_start fixed;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(lies); i++) {
		format(&payload);
		memcpy(&fixed, payload.data, sizeof(fixed));
		fixed.n_argv = lies[i];
		memcpy(payload.data, &fixed, sizeof(fixed));
		assert_int_equal(parse(payload.data, payload.len, &start), -EPROTO);
		fixed.n_argv = 3;
		fixed.n_env = lies[i] == 2 ? 3 : lies[i];
		memcpy(payload.data, &fixed, sizeof(fixed));
		assert_int_equal(parse(payload.data, payload.len, &start), -EPROTO);
	}
}

static void a_command_is_needed(void **state)
{
	_cleanup_buf_ struct buf payload = BUF_INIT(CEIL_FRAME);
	struct guest_start fixed = {0};
	struct init_start start;
	char *none[] = {NULL};

	(void)state;
	assert_int_equal(guest_start_format(&payload, fixed, "/", none, none), 0);
	assert_int_equal(parse(payload.data, payload.len, &start), -EPROTO);
}

/* With a terminal there are no descriptors, else exactly three; nothing is forked otherwise. */
static void descriptors_must_fit(void **state)
{
	_cleanup_buf_ struct buf payload = BUF_INIT(CEIL_FRAME);
	struct guest_start fixed;
	pid_t pid = 0;
	bool last = false;
	const int fds[3] = {-1, -1, -1};

	(void)state;
	format(&payload);
	for (size_t n = 0; n < 3; n++)
		assert_int_equal(init_process_start(-1, &payload, fds, n, &pid, &last), -EPROTO);
	memcpy(&fixed, payload.data, sizeof(fixed));
	fixed.flags |= GUEST_START_TTY;
	memcpy(payload.data, &fixed, sizeof(fixed));
	for (size_t n = 1; n < 4; n++)
		assert_int_equal(init_process_start(-1, &payload, fds, n, &pid, &last), -EPROTO);
	assert_int_equal(pid, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_formatted_is_parsed),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(bytes_too_many_are_refused),
		cmocka_unit_test(counts_that_lie_are_refused),
		cmocka_unit_test(a_command_is_needed),
		cmocka_unit_test(descriptors_must_fit),
	};

	return cmocka_run_group_tests_name("start", tests, NULL, NULL);
}
