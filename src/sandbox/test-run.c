/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-run.c: how a run's end is judged, as a table, and what the guest's messages can do to it
 * (run.c is included, for these are its own). No sandbox is started.
 */
#include "run.c"

#include <sys/socket.h>

#include "../testing/testing.h"

static struct limits limits;
static struct run_spec spec;
static struct run_result result;
static struct sandbox sandbox;
static struct run judged;
static char *argv_[] = {(char *)(uintptr_t) "cmd", NULL};
static int peer;

static int setup(void **state)
{
	int pair[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	limits = (struct limits){0};
	spec = (struct run_spec){.argv = argv_, .cwd = "/workspace", .capture = true};
	spec.sandbox.limits = &limits;
	result = (struct run_result){.err_out = BUF_INIT(1000)};
	sandbox = (struct sandbox){.spec = &spec.sandbox};
	judged = (struct run){.spec = &spec, .sandbox = &sandbox, .result = &result, .master = -1};
	judged.conn = pair[0];
	peer = pair[1];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fd_close(judged.conn);
	fd_close(peer);
	buf_done(&result.err_out);
	return 0;
}

static void tell(enum guest_type type, const void *payload, size_t len)
{
	assert_int_equal(guest_send(peer, type, payload, len, NULL, 0), 0);
	run_message(&judged);
}

static void exits_and_signals(void **state)
{
	static const struct {
		int status;
		enum run_end end;
		int code, signal;
	} cases[] = {
		{0, RUN_EXIT, 0, 0},
		{1 << 8, RUN_EXIT, 1, 0},
		{255 << 8, RUN_EXIT, 255, 0},
		{SIGTERM, RUN_SIGNAL, 143, SIGTERM},
		{SIGSEGV | 0x80, RUN_SIGNAL, 139, SIGSEGV},
		{SIGKILL, RUN_SIGNAL, 137, SIGKILL},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct guest_exited exited = {.status = cases[i].status};

		teardown(state);
		assert_int_equal(setup(state), 0);
		tell(GUEST_EXITED, &exited, sizeof(exited));
		assert_true(judged.exited && judged.done);
		run_judge(&judged);
		assert_int_equal(result.ended_by, cases[i].end);
		assert_int_equal(result.exit_code, cases[i].code);
		assert_int_equal(result.signal, cases[i].signal);
	}
}

static void limits_end_it(void **state)
{
	static const enum run_end ends[] = {RUN_TIMEOUT, RUN_CPU,    RUN_MEMORY, RUN_DISK,
					    RUN_IO,	 RUN_OUTPUT, RUN_KILLED};

	for (size_t i = 0; i < ELEMENTSOF(ends); i++) {
		teardown(state);
		assert_int_equal(setup(state), 0);
		run_end(&judged, ends[i], false);
		assert_true(judged.done);
		run_end(&judged, RUN_KILLED, false); /* the first cause counts */
		run_judge(&judged);
		assert_int_equal(result.ended_by, ends[i]);
		assert_int_equal(result.exit_code, ends[i] == RUN_TIMEOUT ? 124 : 137);
		assert_int_equal(result.signal, SIGKILL);
	}
}

/* An out-of-memory kill anywhere in the group: the command's own 0 does not hide it. */
static void memory_is_told_over_an_exit(void **state)
{
	struct guest_exited exited = {.status = 0};

	(void)state;
	tell(GUEST_EXITED, &exited, sizeof(exited));
	sandbox.usage.oom_kills = 1;
	run_judge(&judged);
	assert_int_equal(result.ended_by, RUN_MEMORY);
	assert_int_equal(result.exit_code, 137);
}

static void walls_that_were_hit(void **state)
{
	struct guest_exited exited = {.status = 3 << 8};

	tell(GUEST_EXITED, &exited, sizeof(exited));
	sandbox.disk_full = true;
	run_judge(&judged);
	assert_true(result.disk_hit);
	assert_int_equal(result.ended_by, RUN_DISK);
	assert_int_equal(result.exit_code, 3);
	teardown(state);
	assert_int_equal(setup(state), 0);
	tell(GUEST_EXITED, &exited, sizeof(exited));
	sandbox.usage.pids_refused = 1;
	run_judge(&judged);
	assert_int_equal(result.ended_by, RUN_PIDS);
	teardown(state);
	assert_int_equal(setup(state), 0);
	exited.status = 0; /* it coped */
	tell(GUEST_EXITED, &exited, sizeof(exited));
	sandbox.usage.pids_refused = 1;
	run_judge(&judged);
	assert_true(result.pids_hit);
	assert_int_equal(result.ended_by, RUN_EXIT);
}

static void commands_that_did_not_start(void **state)
{
	static const struct {
		struct guest_failed failed;
		int code;
	} cases[] = {
		{{GUEST_STEP_EXEC, ENOENT}, 127},     {{GUEST_STEP_EXEC, EACCES}, 126},
		{{GUEST_STEP_EXEC, UINT32_MAX}, 126}, {{GUEST_STEP_CWD, ENOENT}, 125},
		{{GUEST_STEP_IDS, EPERM}, 125},	      {{GUEST_STEP_START, EAGAIN}, 125},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		teardown(state);
		assert_int_equal(setup(state), 0);
		tell(GUEST_FAILED, &cases[i].failed, sizeof(cases[i].failed));
		run_judge(&judged);
		assert_int_equal(result.exit_code, cases[i].code);
		assert_int_equal(result.ended_by, RUN_EXIT);
		assert_non_null(strstr(result.err_out.data, cases[i].failed.step == GUEST_STEP_CWD
								    ? "/workspace"
								    : "cmd"));
	}
}

/* Short, unknown and lying messages change nothing; the end of the stream ends it. */
static void messages_that_mean_nothing(void **state)
{
	struct guest_failed failed = {.step = GUEST_STEP_MAX};

	(void)state;
	tell(GUEST_EXITED, "cut", 3);
	tell(GUEST_FAILED, "short", 5);
	tell(GUEST_FAILED, &failed, sizeof(failed));
	tell(GUEST_TTY, NULL, 0);
	tell(GUEST_OPEN, NULL, 0);
	tell((enum guest_type)0x7777, "x", 1);
	assert_false(judged.done || judged.exited || judged.ending);
	peer = fd_close(peer);
	run_message(&judged);
	assert_true(judged.done);
	assert_false(judged.exited);
	run_judge(&judged);
	assert_int_equal(result.ended_by, RUN_KILLED);
	assert_int_equal(result.exit_code, 137);
}

/* A terminal is only taken where one was asked for, and only if it is one. */
static void terminals_are_checked(void **state)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	for (int i = 0; i < 2; i++) {
		spec.tty = i;
		assert_int_equal(guest_send(peer, GUEST_TTY, NULL, 0, &null, 1), 0);
		run_message(&judged);
		assert_int_equal(judged.master, -1);
		assert_null(judged.in);
	}
	close(null);
}

/* poll(2) takes an int of milliseconds: a year is more. */
static void a_far_deadline_is_waited_for(void **state)
{
	(void)state;
	assert_int_equal(run_poll_ms(&judged), -1);
	judged.deadline_ms = clock_ms() + 366ll * 86400000;
	assert_int_equal(run_poll_ms(&judged), INT32_MAX);
	judged.kill_ms = clock_ms() + 5000;
	assert_in_range(run_poll_ms(&judged), 1, 5000);
	judged.kill_ms = 1;
	assert_int_equal(run_poll_ms(&judged), 0);
}

#define PAIRED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIRED(exits_and_signals),	     PAIRED(limits_end_it),
		PAIRED(memory_is_told_over_an_exit), PAIRED(walls_that_were_hit),
		PAIRED(commands_that_did_not_start), PAIRED(messages_that_mean_nothing),
		PAIRED(terminals_are_checked),	     PAIRED(a_far_deadline_is_waited_for),
	};

	return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
