/* SPDX-License-Identifier: Apache-2.0 */
/* test-relay.c: bytes pass whole and in order up to the cap, and nobody who stalls can hold it up.
 */
#include "relay.h"

#include "err.h"

#include <signal.h>

#include "../testing/testing.h"

static struct relay relay;
static int in[2], out[2];

static int setup(void **state)
{
	(void)state;
	return pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		in[i] = fd_close(in[i]);
		out[i] = fd_close(out[i]);
	}
	return 0;
}

static void give(const char *text)
{
	assert_int_equal(write(in[1], text, strlen(text)), strlen(text));
}

static void bytes_pass(void **state)
{
	char got[16] = "";

	(void)state;
	relay_init(&relay, in[0], out[1], NULL, 0);
	relay_move(&relay); /* nothing there: does not wait */
	give("hello ");
	relay_move(&relay);
	give("world");
	relay_move(&relay);
	assert_int_equal(read(out[0], got, sizeof(got)), 11);
	assert_string_equal(got, "hello world");
	assert_int_equal(relay.total, 11);
	assert_false(relay.ended || relay.over);
	in[1] = fd_close(in[1]);
	relay_move(&relay);
	assert_true(relay.ended);
	relay_move(&relay);
}

static void bytes_are_captured_up_to_the_cap(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(1000);

	(void)state;
	relay_init(&relay, in[0], -1, &buf, 10);
	give("12345");
	relay_move(&relay);
	give("67890");
	relay_move(&relay);
	assert_false(relay.over);
	assert_int_equal(relay.total, 10);
	give("x");
	relay_move(&relay);
	assert_true(relay.over);
	assert_string_equal(buf.data, "1234567890");
	give("more");
	relay_move(&relay);
	assert_string_equal(buf.data, "1234567890");
	assert_int_equal(relay.total, 15);
	assert_false(relay.ended);
}

static void a_cap_inside_one_read_cuts(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(1000);
	char got[16] = "";

	(void)state;
	relay_init(&relay, in[0], out[1], &buf, 3);
	give("12345");
	relay_move(&relay);
	assert_true(relay.over);
	assert_string_equal(buf.data, "123");
	assert_int_equal(read(out[0], got, sizeof(got)), 3);
}

static void a_full_buffer_is_over(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(4);

	(void)state;
	relay_init(&relay, in[0], -1, &buf, 0);
	give("12345");
	relay_move(&relay);
	assert_true(relay.over);
}

static void nowhere_is_fine(void **state)
{
	(void)state;
	relay_init(&relay, in[0], -1, NULL, 0);
	give("12345");
	relay_move(&relay);
	assert_int_equal(relay.total, 5);
	assert_false(relay.over);
}

static void a_reader_that_is_gone_ends_it(void **state)
{
	(void)state;
	relay_init(&relay, in[0], out[1], NULL, 0);
	out[0] = fd_close(out[0]);
	give("x");
	relay_move(&relay);
	assert_true(relay.ended);
}

/* More than a pipe holds and a reader that takes nothing: it returns, and keeps what it has. */
static void a_reader_that_stalls_holds_nothing_up(void **state)
{
	static char data[60000], got[200000];
	size_t n = 0;
	(void)state;
	relay_init(&relay, in[0], out[1], NULL, 0);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i % 251);
	for (int i = 0; i < 3; i++) {
		if (i < 2)
			assert_int_equal(write(in[1], data, sizeof(data)), sizeof(data));
		relay_move(&relay);
	}
	assert_true(relay.have > 0);
	assert_int_equal(relay_poll(&relay).fd, out[1]);
	relay_drain(&relay, 0); /* its time is up at once */
	assert_false(relay.ended);
	for (int i = 0; i < 200 && n < 2 * sizeof(data); i++) {
		ssize_t r = read(out[0], got + n, sizeof(got) - n);

		n += r > 0 ? (size_t)r : 0;
		relay_move(&relay);
	}
	assert_int_equal(n, 2 * sizeof(data));
	assert_memory_equal(got, data, sizeof(data));
	assert_memory_equal(got + sizeof(data), data, sizeof(data));
}

static void drain_takes_all_that_is_left(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_INIT(200000);
	static char data[50000];

	(void)state;
	relay_init(&relay, in[0], -1, &buf, 0);
	assert_int_equal(write(in[1], data, sizeof(data)), sizeof(data));
	relay_drain(&relay, 1000); /* a writer is still there: what is there is the end */
	assert_int_equal(buf.len, sizeof(data));
	assert_false(relay.ended);
	give("last");
	in[1] = fd_close(in[1]);
	relay_drain(&relay, 1000);
	assert_int_equal(buf.len, sizeof(data) + 4);
	assert_true(relay.ended);
}

static void polls_follow_the_state(void **state)
{
	(void)state;
	relay_init(&relay, in[0], out[1], NULL, 0);
	assert_int_equal(relay_poll(&relay).fd, in[0]);
	assert_int_equal(relay_poll(&relay).events, POLLIN);
	in[1] = fd_close(in[1]);
	relay_move(&relay);
	assert_int_equal(relay_poll(&relay).fd, -1);
}

static void a_write_that_fails_is_told(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	relay_init(&relay, in[0], full, NULL, 0);
	give("lost");
	relay_move(&relay);
	assert_true(relay.ended);
	assert_int_equal(relay.error, ENOSPC);
	close(full);
}

static void a_terminal_is_not_written_to_past_its_room(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), terminal;
	char data[4096] = "";

	(void)state;
	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	terminal = open(ptsname(master), O_WRONLY | O_NOCTTY | O_CLOEXEC);
	assert_true(terminal >= 0);
	relay_init(&relay, in[0], terminal, NULL, 0);
	relay.most = 1; /* it blocks: a byte at a time while it polls writable */
	for (int i = 0; i < 40; i++) {
		if (i < 10)
			assert_int_equal(write(in[1], data, sizeof(data)), sizeof(data));
		relay_move(&relay);
	}
	assert_true(relay.have > 0);
	assert_false(relay.ended);
	close(terminal);
	close(master);
}

#define PIPED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PIPED(bytes_pass),
		PIPED(bytes_are_captured_up_to_the_cap),
		PIPED(a_cap_inside_one_read_cuts),
		PIPED(a_full_buffer_is_over),
		PIPED(nowhere_is_fine),
		PIPED(a_reader_that_is_gone_ends_it),
		PIPED(a_reader_that_stalls_holds_nothing_up),
		PIPED(drain_takes_all_that_is_left),
		PIPED(polls_follow_the_state),
		PIPED(a_write_that_fails_is_told),
		PIPED(a_terminal_is_not_written_to_past_its_room),
	};

	signal(SIGPIPE, SIG_IGN); /* as creel does */
	return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
