/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * watch.h: what a process tree uses, read from /proc, for machines without cgroup controllers. It
 * is a sample, not a wall: what happens between two samples is seen late (SECURITY.md has the
 * measured overshoot), and a process that another one kept alive outside the tree is not seen at
 * all; in a sandbox all processes descend from its init.
 */
#include <stdint.h>
#include <sys/types.h>

struct watch_sample {
	uint64_t memory_bytes; /* anonymous and shared memory; pages shared after fork count for
				  each */
	uint64_t cpu_user_us, cpu_system_us; /* ended and waited-for children included */
	uint64_t threads;
	uint64_t written_bytes; /* to block devices, of the processes whose /proc/PID/io may be read
				 */
	uint64_t read_bytes;
};

/*
 * Samples root and all its descendants. Pages that processes share count for each of them, which is
 * cheap to read; if the sum is above memory_limit, each process' part of them is read instead
 * (PSS).
 */
void watch_tree(pid_t root, uint64_t memory_limit, struct watch_sample *ret_sample);
/* Adds what one process has read from and written to block devices. */
void watch_add_io(pid_t pid, struct watch_sample *sample);
