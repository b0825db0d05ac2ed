/* SPDX-License-Identifier: Apache-2.0 */
/* relay.c: see relay.h. */
#include "relay.h"

#include "banned.h"
#include "clock.h"

#include <limits.h>

void relay_init(struct relay *relay, int in, int out, struct buf *captured, uint64_t cap)
{
	relay->in = in;
	relay->out = out;
	relay->captured = captured;
	relay->total = 0;
	relay->cap = cap;
	relay->over = relay->ended = relay->keep_in = false;
	relay->error = 0;
	relay->most = PIPE_BUF; /* a pipe that polls writable takes that much without blocking */
	relay->at = relay->have = 0;
	relay->tap = NULL;
}

struct pollfd relay_poll(const struct relay *relay)
{
	if (relay->ended)
		return (struct pollfd){.fd = -1};
	return relay->have ? (struct pollfd){.fd = relay->out, .events = POLLOUT}
			   : (struct pollfd){.fd = relay->in, .events = POLLIN};
}

static bool relay_ready(int fd, short events, int ms)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, ms) == 1;
}

static void relay_give(struct relay *relay)
{
	size_t len = MIN(relay->have - relay->at, relay->most);
	ssize_t n = write(relay->out, relay->data + relay->at, len);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) {
		/* The reader is gone, or its disk is full: closing tells the writer so. */
		relay->ended = true;
		relay->error = errno;
		if (!relay->keep_in)
			relay->in = fd_close(relay->in);
		return;
	}
	relay->at += (size_t)n;
	if (relay->at == relay->have)
		relay->at = relay->have = 0;
}

static void relay_take(struct relay *relay)
{
	ssize_t n = read(relay->in, relay->data, sizeof(relay->data));
	size_t keep;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		relay->ended = true;
		return;
	}
	keep = (size_t)n;
	if (relay->cap && relay->total + keep > relay->cap) {
		relay->over = true;
		keep = (size_t)(relay->cap - MIN(relay->total, relay->cap));
	}
	relay->total += (uint64_t)n;
	if (relay->tap && keep)
		relay->tap(relay->tap_data, relay->data, keep);
	if (relay->captured && keep && buf_append(relay->captured, relay->data, keep) < 0)
		relay->over = true;
	if (relay->out >= 0)
		relay->have = keep;
}

void relay_move(struct relay *relay)
{
	if (relay->ended)
		return;
	if (relay->have) {
		if (relay_ready(relay->out, POLLOUT, 0))
			relay_give(relay);
	} else if (relay_ready(relay->in, POLLIN, 0)) {
		relay_take(relay);
		while (relay->have && !relay->ended && relay_ready(relay->out, POLLOUT, 0))
			relay_give(relay);
	}
}

void relay_drain(struct relay *relay, int ms)
{
	int64_t until = clock_ms() + ms;

	while (!relay->ended) {
		int64_t left = until - clock_ms();

		if (relay->have) {
			if (left <= 0 || !relay_ready(relay->out, POLLOUT, (int)left))
				return;
			relay_give(relay);
		} else {
			/* A pty's master has no end of file while we hold it: nothing left is the
			 * end. */
			if (!relay_ready(relay->in, POLLIN, 0))
				return;
			relay_take(relay);
		}
	}
}
