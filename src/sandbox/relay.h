/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * relay.h: bytes from one descriptor to another, or into a buffer, one direction, never blocking:
 * a reader that stalls must not keep a time-out from being enforced. What may
 * have other readers or writers must be non-blocking; a terminal that is not gets single bytes.
 */
#include "buf.h"

#include <poll.h>
#include <stdbool.h>

struct relay {
	int in, out;	      /* out -1: into captured, or nowhere */
	struct buf *captured; /* may be NULL */
	uint64_t total, cap;  /* bytes taken; cap 0: none */
	bool over;	      /* there was more than cap: what is above it is dropped */
	bool ended;	      /* nothing more will come or can be given */
	bool keep_in;	      /* in is shared: not closed when the reader of out has gone */
	int error;	      /* errno of a write that failed: what was in hand is lost; or 0 */
	size_t most;	      /* bytes in one write */
	void (*tap)(void *data, const void *bytes,
		    size_t len); /* sees what is taken; NULL: nobody */
	void *tap_data;
	size_t at, have;
	char data[65536];
};

void relay_init(struct relay *relay, int in, int out, struct buf *captured, uint64_t cap);
/* What it waits for now; fd -1: nothing. */
struct pollfd relay_poll(const struct relay *relay);
/* Moves what can be moved now. */
void relay_move(struct relay *relay);
/* Reads to the end: every writer is gone. Waits for the reader of out for at most ms. */
void relay_drain(struct relay *relay, int ms);
