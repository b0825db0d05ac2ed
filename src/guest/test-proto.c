/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-proto.c: the guest protocol between two ends that do not trust each other: what was sent
 * arrives, and everything that is cut off, too long, of another version or lies is refused without
 * leaving a descriptor open.
 */
#include "proto.h"

#include "ceilings.h"
#include "err.h"
#include "io.h"

#include <dirent.h>
#include <sys/socket.h>

#include "../testing/testing.h"

static int conn[2];

static int pair_setup(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, conn);
}

static int pair_teardown(void **state)
{
	(void)state;
	fd_close(conn[0]);
	fd_close(conn[1]);
	return 0;
}

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int receive(size_t max, struct buf *payload, uint16_t *type)
{
	size_t n_fds = 0;

	return guest_recv(conn[1], max, type, payload, NULL, 0, &n_fds);
}

static void round_trips(void **state)
{
	static const size_t lengths[] = {0, 1, 8, GUEST_REPLY_MAX, GUEST_REPLY_MAX + 1, 100000};
	_cleanup_buf_ struct buf payload = BUF_INIT(CEIL_FRAME);
	static char data[100000];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
		uint16_t type = 0;

		assert_int_equal(guest_send(conn[0], GUEST_SIGNAL, data, lengths[i], NULL, 0), 0);
		assert_int_equal(receive(CEIL_FRAME, &payload, &type), 0);
		assert_int_equal(type, GUEST_SIGNAL);
		assert_int_equal(payload.len, lengths[i]);
		assert_memory_equal(payload.data, data, lengths[i]);
		assert_int_equal(payload.data[payload.len], '\0');
	}
}

static void messages_do_not_run_together(void **state)
{
	_cleanup_buf_ struct buf payload = BUF_INIT(CEIL_FRAME);
	uint16_t type = 0;

	(void)state;
	assert_int_equal(guest_send(conn[0], GUEST_FAILED, "first", 5, NULL, 0), 0);
	assert_int_equal(guest_send(conn[0], GUEST_EXITED, "2", 1, NULL, 0), 0);
	assert_int_equal(receive(100, &payload, &type), 0);
	assert_int_equal(type, GUEST_FAILED);
	assert_string_equal(payload.data, "first");
	assert_int_equal(receive(100, &payload, &type), 0);
	assert_int_equal(type, GUEST_EXITED);
	assert_string_equal(payload.data, "2");
}

static void fds_go_with_a_message(void **state)
{
	_cleanup_buf_ struct buf payload = BUF_INIT(CEIL_FRAME);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), fds[3] = {-1, -1, -1};
	int three[3] = {null, null, null};
	size_t n = 0;
	uint16_t type;
	static char large[1000];

	(void)state;
	assert_int_equal(guest_send(conn[0], GUEST_START, large, sizeof(large), three, 3), 0);
	assert_int_equal(guest_recv(conn[1], 2000, &type, &payload, fds, 3, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(payload.len, 1000);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		close(fds[i]);
	}
	close(null);
}

static void fds_that_nobody_wants_are_closed(void **state)
{
	_cleanup_buf_ struct buf payload = BUF_INIT(CEIL_FRAME);
	int before = open_fds(), fds[CEIL_FRAME_FDS + 1] = {0}, got[3];
	size_t n = 0;
	uint16_t type;

	(void)state;
	assert_int_equal(guest_send(conn[0], GUEST_SIGNAL, NULL, 0, fds, 1), 0);
	assert_int_equal(receive(0, &payload, &type), -E2BIG);
	assert_int_equal(guest_send(conn[0], GUEST_START, NULL, 0, fds, 4), 0);
	assert_int_equal(guest_recv(conn[1], 0, &type, &payload, got, 3, &n), -E2BIG);
	assert_int_equal(n, 0);
	assert_int_equal(guest_send(conn[0], GUEST_START, NULL, 0, fds, CEIL_FRAME_FDS + 1),
			 -EINVAL);
	assert_int_equal(open_fds(), before);
}

/* A bad header ends it before a byte of the payload is read, and its descriptors are closed. */
static void bad_headers_are_refused(void **state)
{
	static const struct guest_header bad[] = {
		{0, GUEST_FAILED, 0},	      {GUEST_VERSION + 1, GUEST_FAILED, 0},
		{0xffff, GUEST_FAILED, 0},    {GUEST_VERSION, GUEST_FAILED, 101},
		{GUEST_VERSION, 0, 1u << 31}, {GUEST_VERSION, GUEST_EXITED, UINT32_MAX},
	};
	_cleanup_buf_ struct buf payload = BUF_INIT(100);
	int before = open_fds(), fd = conn[1], got;
	size_t n = 9;
	uint16_t type = 77;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		assert_int_equal(io_send_fds(conn[0], &bad[i], sizeof(bad[i]), &fd, 1), 0);
		assert_int_equal(guest_recv(conn[1], 100, &type, &payload, &got, 1, &n), -EPROTO);
		assert_int_equal(open_fds(), before);
	}
	assert_int_equal(n, 9);
	assert_int_equal(type, 77);
	assert_int_equal(guest_send(conn[0], GUEST_START, "", CEIL_FRAME + 1, NULL, 0), -E2BIG);
}

/* The end of the stream is told from a message that was cut off anywhere. */
static void cut_messages_are_no_end(void **state)
{
	struct {
		struct guest_header header;
		char payload[8];
	} message = {{GUEST_VERSION, GUEST_SIGNAL, 8}, "1234567"};
	_cleanup_buf_ struct buf payload = BUF_INIT(100);
	uint16_t type;

	for (size_t len = 0; len < sizeof(message); len++) {
		int r;

		if (len)
			assert_int_equal(io_write_full(conn[0], &message, len), 0);
		shutdown(conn[0], SHUT_WR);
		r = receive(100, &payload, &type);
		if (r != (len ? -EPIPE : -ENODATA))
			fail_msg("%zu bytes give %d", len, r);
		pair_teardown(state);
		assert_int_equal(pair_setup(state), 0);
	}
}

static void the_buffers_ceiling_holds(void **state)
{
	_cleanup_buf_ struct buf payload = BUF_INIT(10);
	uint16_t type;

	(void)state;
	assert_int_equal(guest_send(conn[0], GUEST_FAILED, "12345678901", 11, NULL, 0), 0);
	assert_int_equal(receive(100, &payload, &type), -E2BIG);
}

static void readers_are_checked(void **state)
{
	struct guest_reader reader = {"ab\0c\0d", 6};
	const char *text = NULL;
	char **list = NULL;
	uint32_t number;

	(void)state;
	assert_int_equal(guest_read_string(&reader, &text), 0);
	assert_string_equal(text, "ab");
	assert_int_equal(guest_read_string(&reader, &text), 0);
	assert_string_equal(text, "c");
	assert_int_equal(guest_read_string(&reader, &text), -EPROTO); /* no NUL */
	assert_int_equal(reader.left, 1);
	assert_int_equal(guest_read(&reader, &number, 4), -EPROTO);
	assert_int_equal(guest_read(&reader, &number, 1), 0);
	assert_int_equal(guest_read_string(&reader, &text), -EPROTO);
	reader = (struct guest_reader){"a\0b\0", 4};
	assert_int_equal(guest_read_strings(&reader, 3, &list), -EPROTO);
	assert_null(list);
	reader = (struct guest_reader){"a\0b\0", 4};
	assert_int_equal(guest_read_strings(&reader, 2, &list), 0);
	assert_string_equal(list[1], "b");
	assert_null(list[2]);
	free(list);
	assert_int_equal(guest_read_strings(&reader, 0, &list), 0);
	assert_null(list[0]);
	free(list);
}

/* A count that lies is refused before it can make anybody allocate. */
static void counts_that_lie(void **state)
{
	static const uint32_t counts[] = {5, 100, CEIL_ARGS, CEIL_ARGS + 1, 1u << 31, UINT32_MAX};
	char **list = NULL;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
		struct guest_reader reader = {"\0\0\0\0", 4};

		assert_int_equal(guest_read_strings(&reader, counts[i], &list), -EPROTO);
		assert_null(list);
	}
}

static void formats_have_a_ceiling(void **state)
{
	_cleanup_buf_ struct buf small = BUF_INIT(64), large = BUF_INIT(CEIL_FRAME);
	char long_word[100] = "", *none[] = {NULL}, *words[] = {long_word, NULL};
	char **many = calloc(CEIL_ARGS + 2, sizeof(*many)), empty[] = "";
	struct guest_start start = {0};

	(void)state;
	memset(long_word, 'x', sizeof(long_word) - 1);
	assert_int_equal(guest_start_format(&small, start, "/", words, none), -E2BIG);
	assert_int_equal(guest_start_format(&small, start, "/", none, words), -E2BIG);
	assert_int_equal(guest_start_format(&small, start, long_word, none, none), -E2BIG);
	assert_int_equal(guest_start_format(&small, start, "/", none, none), 0);
	for (size_t i = 0; i < CEIL_ARGS; i++)
		many[i] = empty;
	assert_int_equal(guest_start_format(&large, start, "/", many, none), 0);
	many[CEIL_ARGS] = empty;
	assert_int_equal(guest_start_format(&large, start, "/", many, none), -E2BIG);
	free(many);
}

#define PAIRED(test) cmocka_unit_test_setup_teardown(test, pair_setup, pair_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIRED(round_trips),
		PAIRED(messages_do_not_run_together),
		PAIRED(fds_go_with_a_message),
		PAIRED(fds_that_nobody_wants_are_closed),
		PAIRED(bad_headers_are_refused),
		PAIRED(cut_messages_are_no_end),
		PAIRED(the_buffers_ceiling_holds),
		cmocka_unit_test(readers_are_checked),
		cmocka_unit_test(counts_that_lie),
		cmocka_unit_test(formats_have_a_ceiling),
	};

	return cmocka_run_group_tests_name("proto", tests, NULL, NULL);
}
