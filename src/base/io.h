/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * io.h: whole reads and writes, small files, and descriptors over a UNIX socket (unix(7)).
 * All retry on EINTR; all descriptors they make are close-on-exec.
 */
#include "buf.h"

#include <stdbool.h>
#include <sys/types.h>

/* Exactly len bytes. -EPIPE: the other end closed before that (0 bytes read at all: -ENODATA). */
_must_check_ int io_read_full(int fd, void *data, size_t len);
_must_check_ int io_write_full(int fd, const void *data, size_t len);

/*
 * A small file relative to dirfd (AT_FDCWD is fine), appended to buf up to its ceiling. After
 * success buf->data is never NULL, be the file empty. -E2BIG: it is larger than the ceiling.
 */
_must_check_ int io_read_file(int dirfd, const char *path, struct buf *buf);
/* One write(2) to an existing file (no O_CREAT): for /proc, /sys and cgroup files. */
_must_check_ int io_write_file(int dirfd, const char *path, const char *text);
/* The first unsigned number in a small file. */
_must_check_ int io_read_u64(int dirfd, const char *path, uint64_t *ret_value);

/* len > 0 bytes with n_fds descriptors (at most CEIL_FRAME_FDS). MSG_NOSIGNAL. */
_must_check_ int io_send_fds(int sock, const void *data, size_t len, const int *fds, size_t n_fds);
/*
 * Exactly len bytes; descriptors that come with the first of them go to fds[0..*ret_n_fds).
 * More descriptors than max_fds: all are closed, -E2BIG. -ENODATA: end of stream.
 */
_must_check_ int io_recv_fds(int sock, void *data, size_t len, int *fds, size_t max_fds,
			     size_t *ret_n_fds);

int io_set_nonblock(int fd, bool on);
/* Moves fd to a descriptor number of at least `least`, close-on-exec; closes the old one. */
int io_fd_above(int fd, int least);
