/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-io.c: whole reads and writes, small files with a ceiling, and descriptors over a socket: the
 * right count arrives, too many are all closed, and a stream's end is told from a cut message.
 */
#include "io.h"

#include "ceilings.h"
#include "err.h"

#include <dirent.h>
#include <sys/socket.h>

#include "../testing/testing.h"

struct pair {
	int a, b;
};

static struct pair pair_new(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	return (struct pair){fds[0], fds[1]};
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

static void full_reads(void **state)
{
	char data[8] = "";
	struct pair pair = pair_new();

	(void)state;
	assert_int_equal(io_write_full(pair.a, "abc", 3), 0);
	assert_int_equal(io_write_full(pair.a, "defg", 4), 0);
	assert_int_equal(io_read_full(pair.b, data, 5), 0);
	assert_string_equal(data, "abcde");
	assert_int_equal(io_read_full(pair.b, data, 0), 0);
	close(pair.a);
	assert_int_equal(io_read_full(pair.b, data, 3), -EPIPE);
	assert_int_equal(io_read_full(pair.b, data, 3), -ENODATA);
	close(pair.b);
	assert_int_equal(io_read_full(-1, data, 1), -EBADF);
	assert_int_equal(io_write_full(-1, data, 1), -EBADF);
}

/* More than a socket holds, from a child that writes it in one piece. */
static void long_transfers(void **state)
{
	size_t len = 3u << 20;
	char *data = calloc(1, len);
	struct pair pair = pair_new();
	pid_t pid = fork();
	int status;

	(void)state;
	assert_non_null(data);
	if (pid == 0) {
		memset(data, 'x', len);
		_exit(io_send_fds(pair.a, data, len, NULL, 0) < 0);
	}
	assert_int_equal(io_recv_fds(pair.b, data, len, NULL, 0, NULL), 0);
	assert_int_equal(data[0], 'x');
	assert_int_equal(data[len - 1], 'x');
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	free(data);
	close(pair.a);
	close(pair.b);
}

static void fds_arrive(void **state)
{
	struct pair pair = pair_new();
	int sent[CEIL_FRAME_FDS], got[CEIL_FRAME_FDS], before = open_fds();
	struct stat a, b;

	(void)state;
	for (size_t n = 0; n <= CEIL_FRAME_FDS; n++) {
		char data[4] = "";
		size_t n_got = 99;

		for (size_t i = 0; i < n; i++)
			assert_true((sent[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
		assert_int_equal(io_send_fds(pair.a, "abc", 4, sent, n), 0);
		assert_int_equal(io_recv_fds(pair.b, data, 4, got, n, &n_got), 0);
		assert_string_equal(data, "abc");
		assert_int_equal(n_got, n);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(fcntl(got[i], F_GETFD), FD_CLOEXEC);
			assert_int_equal(fstat(got[i], &a), 0);
			assert_int_equal(fstat(sent[i], &b), 0);
			assert_true(a.st_rdev == b.st_rdev && S_ISCHR(a.st_mode));
			close(sent[i]);
			close(got[i]);
		}
	}
	assert_int_equal(open_fds(), before);
	close(pair.a);
	close(pair.b);
}

static void bad_sends_are_refused(void **state)
{
	struct pair pair = pair_new();
	int fds[CEIL_FRAME_FDS + 1] = {0};

	(void)state;
	assert_int_equal(io_send_fds(pair.a, "", 0, NULL, 0), -EINVAL);
	assert_int_equal(io_send_fds(pair.a, "x", 1, fds, CEIL_FRAME_FDS + 1), -EINVAL);
	close(pair.b);
	/* MSG_NOSIGNAL: an error and no SIGPIPE. */
	assert_int_equal(io_send_fds(pair.a, "x", 1, NULL, 0), -EPIPE);
	close(pair.a);
}

/* As an attacker would send them: n descriptors, past our own sender's limit. */
static void send_many(int sock, size_t n)
{
	union {
		char data[CMSG_SPACE(250 * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (char[]){"x"}, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.data,
			     .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &sock, sizeof(int));
	assert_int_equal(sendmsg(sock, &msg, 0), 1);
}

static void too_many_fds_are_closed(void **state)
{
	static const struct {
		size_t sent, max;
	} cases[] = {{1, 0},
		     {2, 1},
		     {4, 3},
		     {5, 4},
		     {6, 4},
		     {7, 4},
		     {8, 0},
		     {250, 4},
		     {CEIL_FRAME_FDS + 1, CEIL_FRAME_FDS},
		     {250, CEIL_FRAME_FDS}};
	struct pair pair = pair_new();
	int fds[CEIL_FRAME_FDS], before = open_fds();

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		size_t n = 0;
		char byte;

		send_many(pair.a, cases[i].sent);
		assert_int_equal(io_recv_fds(pair.b, &byte, 1, fds, cases[i].max, &n), -E2BIG);
		assert_int_equal(n, 0);
		assert_int_equal(open_fds(), before);
	}
	close(pair.a);
	close(pair.b);
}

static void cut_messages(void **state)
{
	struct pair pair = pair_new();
	int fds[1] = {open("/dev/null", O_RDONLY | O_CLOEXEC)}, got[1], before;
	size_t n = 7;
	char data[8];

	(void)state;
	assert_int_equal(io_send_fds(pair.a, "abc", 3, fds, 1), 0);
	close(pair.a);
	close(fds[0]);
	before = open_fds();
	/* A part and then the end: not the end of stream, and its descriptor is closed again. */
	assert_int_equal(io_recv_fds(pair.b, data, 8, got, 1, &n), -EPIPE);
	assert_int_equal(n, 7);
	assert_int_equal(open_fds(), before);
	assert_int_equal(io_recv_fds(pair.b, data, 8, got, 1, &n), -ENODATA);
	close(pair.b);
}

static void files_have_a_ceiling(void **state)
{
	struct test_dir *dir = *state;
	_cleanup_buf_ struct buf buf = BUF_INIT(10), large = BUF_INIT(1u << 20);
	char text[50001];

	test_write(dir->fd, "empty", "");
	test_write(dir->fd, "nine", "123456789");
	test_write(dir->fd, "eleven", "12345678901");
	assert_int_equal(io_read_file(dir->fd, "empty", &buf), 0);
	assert_string_equal(buf.data, "");
	assert_int_equal(io_read_file(dir->fd, "nine", &buf), 0);
	assert_string_equal(buf.data, "123456789");
	buf.len = 0;
	assert_int_equal(io_read_file(dir->fd, "eleven", &buf), -E2BIG);
	buf.len = 0;
	assert_int_equal(io_read_file(dir->fd, "missing", &buf), -ENOENT);
	assert_int_equal(io_read_file(dir->fd, ".", &buf), -EISDIR);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	test_write(dir->fd, "large", text);
	assert_int_equal(io_read_file(dir->fd, "nine", &large), 0);
	assert_int_equal(io_read_file(dir->fd, "large", &large), 0);
	assert_int_equal(large.len, 50009);
	assert_string_equal(large.data + 9, text);
}

static void files_are_written_in_place(void **state)
{
	struct test_dir *dir = *state;

	assert_int_equal(io_write_file(dir->fd, "none", "x"), -ENOENT);
	test_write(dir->fd, "there", "abcdef");
	assert_int_equal(io_write_file(dir->fd, "there", "xyz"), 0);
	assert_string_equal(test_read(dir->fd, "there"), "xyzdef");
}

static void numbers_in_files(void **state)
{
	struct test_dir *dir = *state;
	uint64_t value = 7;

	test_write(dir->fd, "n", "18446744073709551615\n");
	assert_int_equal(io_read_u64(dir->fd, "n", &value), 0);
	assert_true(value == UINT64_MAX);
	test_write(dir->fd, "n", "42 more 43\n");
	assert_int_equal(io_read_u64(dir->fd, "n", &value), 0);
	assert_int_equal(value, 42);
	static const char *const bad[] = {"max\n", "", "\n", "18446744073709551616\n", "-1\n"};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		test_write(dir->fd, "n", bad[i]);
		if (io_read_u64(dir->fd, "n", &value) != -EINVAL)
			fail_msg("'%s' is taken as %llu", bad[i], (unsigned long long)value);
	}
	assert_int_equal(value, 42);
	assert_int_equal(io_read_u64(dir->fd, "missing", &value), -ENOENT);
}

static void descriptors_move_up(void **state)
{
	int fd = open("/dev/null", O_RDONLY), moved;

	(void)state;
	moved = io_fd_above(fd, 100);
	assert_true(moved >= 100);
	assert_int_equal(fcntl(moved, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(io_fd_above(moved, 50), moved);
	assert_int_equal(io_set_nonblock(moved, true), 0);
	assert_true(fcntl(moved, F_GETFL) & O_NONBLOCK);
	assert_int_equal(io_set_nonblock(moved, false), 0);
	assert_false(fcntl(moved, F_GETFL) & O_NONBLOCK);
	close(moved);
	assert_int_equal(io_fd_above(-1, 3), -EBADF);
	assert_int_equal(io_set_nonblock(-1, true), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_reads),
		cmocka_unit_test(long_transfers),
		cmocka_unit_test(fds_arrive),
		cmocka_unit_test(bad_sends_are_refused),
		cmocka_unit_test(too_many_fds_are_closed),
		cmocka_unit_test(cut_messages),
		cmocka_unit_test_setup_teardown(files_have_a_ceiling, test_dir_setup,
						test_dir_teardown),
		cmocka_unit_test_setup_teardown(files_are_written_in_place, test_dir_setup,
						test_dir_teardown),
		cmocka_unit_test_setup_teardown(numbers_in_files, test_dir_setup,
						test_dir_teardown),
		cmocka_unit_test(descriptors_move_up),
	};

	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
