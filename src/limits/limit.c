/* SPDX-License-Identifier: Apache-2.0 */
/* limit.c: the names of limits. */
#include "limit.h"

const char *const limit_names[LIMIT_MAX] = {
	[LIMIT_MEMORY] = "memory", [LIMIT_CPUS] = "cpus",	[LIMIT_CPU_TIME] = "cpu_time",
	[LIMIT_PIDS] = "pids",	   [LIMIT_DISK] = "disk",	[LIMIT_WRITE_TOTAL] = "write_total",
	[LIMIT_IO] = "io",	   [LIMIT_TIMEOUT] = "timeout", [LIMIT_OUTPUT] = "output",
};

const char *const limit_options[LIMIT_MAX] = {
	[LIMIT_MEMORY] = "--memory",
	[LIMIT_CPUS] = "--cpus",
	[LIMIT_CPU_TIME] = "--cpu-time",
	[LIMIT_PIDS] = "--pids",
	[LIMIT_DISK] = "--disk",
	[LIMIT_WRITE_TOTAL] = "--write-total",
	[LIMIT_IO] = "--io",
	[LIMIT_TIMEOUT] = "--timeout",
	[LIMIT_OUTPUT] = "--output",
};
