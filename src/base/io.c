/* SPDX-License-Identifier: Apache-2.0 */
/* io.c: see io.h. */
#include "io.h"

#include "ceilings.h"
#include "err.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

int io_read_full(int fd, void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return done ? -EPIPE : -ENODATA;
		done += (size_t)n;
	}
	return 0;
}

int io_write_full(int fd, const void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

int io_read_file(int dirfd, const char *path, struct buf *buf)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	for (;;) {
		size_t room_len = MIN((size_t)16384, buf->ceiling - buf->len);
		char *room, more;
		ssize_t n;
		int r;

		r = buf_reserve(buf, room_len, &room);
		if (r < 0)
			return r;
		/* At the ceiling one byte more tells whether the file ends here. */
		n = read(fd, room_len ? room : &more, room_len ? room_len : 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		if (room_len == 0)
			return -E2BIG;
		buf->len += (size_t)n;
		buf->data[buf->len] = '\0';
	}
}

int io_write_file(int dirfd, const char *path, const char *text)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = write(fd, text, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int io_read_u64(int dirfd, const char *path, uint64_t *ret_value)
{
	char text[64] = "";
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	unsigned long long value;
	char *end;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || text[0] < '0' || text[0] > '9')
		return -EINVAL;
	*ret_value = value;
	return 0;
}

int io_send_fds(int sock, const void *data, size_t len, const int *fds, size_t n_fds)
{
	union {
		char data[CMSG_SPACE(CEIL_FRAME_FDS * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (len == 0 || n_fds > CEIL_FRAME_FDS)
		return -EINVAL;
	if (n_fds) {
		struct cmsghdr *c;

		msg.msg_control = control.data;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	while ((size_t)n < len) {
		ssize_t more = send(sock, (const char *)data + n, len - (size_t)n, MSG_NOSIGNAL);

		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0)
			return -errno;
		n += more;
	}
	return 0;
}

/* Takes the descriptors out of one received message. */
static int io_take_control(struct msghdr *msg, int *fds, size_t max_fds, size_t *n_fds)
{
	bool too_many = msg->msg_flags & MSG_CTRUNC;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*n_fds < max_fds) {
				fds[(*n_fds)++] = fd;
			} else {
				fd_close(fd);
				too_many = true;
			}
		}
	}
	if (!too_many)
		return 0;
	while (*n_fds)
		fd_close(fds[--*n_fds]);
	return -E2BIG;
}

int io_recv_fds(int sock, void *data, size_t len, int *fds, size_t max_fds, size_t *ret_n_fds)
{
	union {
		char data[CMSG_SPACE((CEIL_FRAME_FDS + 1) * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.data,
			     .msg_controllen = sizeof(control.data)};
	size_t n_fds = 0;
	ssize_t n;
	int r;

	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r = io_take_control(&msg, fds, max_fds, &n_fds);
	if (r < 0)
		return r;
	if (n == 0)
		return -ENODATA;
	if ((size_t)n < len)
		r = io_read_full(sock, (char *)data + n, len - (size_t)n);
	if (r == -ENODATA)
		r = -EPIPE; /* a message that was cut, not an orderly end */
	if (r < 0) {
		while (n_fds)
			fd_close(fds[--n_fds]);
		return r;
	}
	if (ret_n_fds)
		*ret_n_fds = n_fds;
	return 0;
}

int io_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int io_fd_above(int fd, int least)
{
	int moved;

	if (fd >= least)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, least);
	if (moved < 0)
		return -errno;
	close(fd);
	return moved;
}
