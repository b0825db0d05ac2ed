/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * limit.h: the limits of one run: what was asked, whether by the caller or by default, and what on
 * this machine enforces it. A limit that the caller named and nothing enforces refuses the run; a
 * default that nothing enforces is reported as such.
 */
#include <stdbool.h>
#include <stdint.h>

enum limit_kind {
	LIMIT_MEMORY,	   /* bytes */
	LIMIT_CPUS,	   /* thousandths of one CPU */
	LIMIT_CPU_TIME,	   /* milliseconds */
	LIMIT_PIDS,	   /* processes and threads */
	LIMIT_DISK,	   /* bytes of the writable layer */
	LIMIT_WRITE_TOTAL, /* bytes written to block devices */
	LIMIT_IO,	   /* bytes per second, reading and writing each */
	LIMIT_TIMEOUT,	   /* milliseconds */
	LIMIT_OUTPUT,	   /* bytes, stdout and stderr each */
	LIMIT_MAX
};

struct limit {
	uint64_t value;		 /* 0: none */
	bool named;		 /* by the caller */
	const char *enforced_by; /* static text; NULL: nothing, or no limit */
};

struct limits {
	struct limit of[LIMIT_MAX];
};

extern const char *const limit_names[LIMIT_MAX];   /* as in a result: "cpu_time" */
extern const char *const limit_options[LIMIT_MAX]; /* as on the command line: "--cpu-time" */
