/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-proto.c: the input is what a hostile peer writes into a connection. Both ends read it: the
 * host's, which takes small answers with one descriptor, and the guest's, which takes large frames.
 */
#include "ceilings.h"
#include "io.h"
#include "proto.h"

#include <sys/socket.h>

#include "../testing/fuzz.h"

#define STREAM_MAX 60000u

static void read_stream(const uint8_t *data, size_t size, size_t max, size_t max_fds)
{
	_cleanup_buf_ struct buf payload = BUF_INIT(max);
	int pair[2], fds[CEIL_FRAME_FDS], r;
	size_t n = 0, total = 0;
	uint16_t type = 0;

	FUZZ_MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	/* It fits into the socket's buffer. The first byte carries a descriptor every other time.
	 */
	FUZZ_MUST(size == 0 ||
		  io_send_fds(pair[0], data, size, &pair[1], data[0] & 1 ? 1 : 0) == 0);
	close(pair[0]);
	shutdown(pair[1], SHUT_WR);
	do {
		r = guest_recv(pair[1], max, &type, &payload, fds, max_fds, &n);
		if (r < 0)
			break;
		total += sizeof(struct guest_header) + payload.len;
		FUZZ_MUST(payload.len <= max && n <= max_fds && payload.data[payload.len] == '\0');
		while (n)
			close(fds[--n]);
	} while (total < size + 1);
	FUZZ_MUST(total <= size);
	FUZZ_MUST(r < 0);
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > STREAM_MAX)
		return 0;
	read_stream(data, size, GUEST_REPLY_MAX, 1);
	read_stream(data, size, CEIL_FRAME, 3);
	read_stream(data, size, 0, 0);
	return 0;
}
