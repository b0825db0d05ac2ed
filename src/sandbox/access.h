/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * access.h: which files a command reads, writes and executes under /workspace, its home and --ro,
 * by fanotify(7) on the sandbox's own mounts. Root only: without CAP_SYS_ADMIN the kernel watches
 * no mount, and the list of changes is all that there is.
 *
 * What it is not: the kernel merges events, so there are neither counts nor an order; a file that
 * is only mapped (mmap(2)) or only looked at (stat(2), readdir(3)) is not told; a file is told
 * under the name that it had when its event was read, "… (deleted)" if it had none any more. At
 * most CEIL_ACCESSED files are listed and ten times as many events are read, then watching ends and
 * `overflow` says so.
 */
#include "buf.h"
#include "sandbox.h"

struct access_file {
	char *path;
	unsigned what;
};

struct access {
	int fd; /* poll(2) for POLLIN, then access_read(); -1: not watched, or not any more */
	bool watched, overflow;
	struct access_file *files; /* a hash table by path */
	size_t n, events;
};

#define ACCESS_INIT ((struct access){.fd = -1})

/* After sandbox_wait_set(), before sandbox_go(). Where it cannot be had nothing is watched. */
void access_watch(struct access *access, const struct sandbox *sandbox);
/* Takes what is there now; never blocks. False: there was nothing. */
bool access_read(struct access *access);
/* Once, at the end: {"executed":[…],"overflow":…,"read":[…],"written":[…]}, canonical; nothing if
 * not watched. */
int access_tell(struct access *access, struct buf *ret);
void access_done(struct access *access);
