/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * cgroup.h: limits and usage of one sandbox over cgroup v2, v1 or hybrid (cgroups(7)).
 *
 * A struct cgroup owns its directories and removes them; it never touches one it did not make, but
 * for the parents on its path, which stay. Groups sit below the caller's own group, so that a
 * container's limits hold; on v2, where a group with processes cannot have limited children, below
 * the nearest ancestor that can. Processes join by CLONE_INTO_CGROUP and by themselves.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum cgroup_controller {
	CGROUP_CORE, /* kill, freeze, CPU use: v2's own files, or v1 cpuacct */
	CGROUP_MEMORY,
	CGROUP_CPU,
	CGROUP_PIDS,
	CGROUP_IO,
	CGROUP_CONTROLLER_MAX
};

/* Where this process may make groups. */
struct cgroup_host {
	char parent[CGROUP_CONTROLLER_MAX][512]; /* "" : this controller cannot be had */
	uint8_t version[CGROUP_CONTROLLER_MAX];	 /* 1 or 2 */
	char why[160];				 /* what stood in the way of the missing ones */
	char left[512]; /* the group that this process left for a leaf of it, or "" */
};

struct cgroup_limits {
	uint64_t memory_bytes; /* 0: no limit, here and below */
	uint32_t cpu_milli;    /* thousandths of one CPU */
	uint32_t pids;
	uint64_t io_bps; /* bytes/s for each of reading and writing, on each of io_devices */
	dev_t io_devices[8];
	size_t n_io_devices;
};

struct cgroup_usage {
	uint64_t cpu_user_us, cpu_system_us;
	uint64_t memory_peak_bytes;
	uint64_t io_read_bytes, io_write_bytes; /* reached a block device */
	uint64_t pids_peak;
	uint64_t oom_kills; /* anywhere in the group */
	uint64_t pids_refused;
};

struct cgroup;

/* Finds the parents; a controller that is missing is not an error here. */
int cgroup_host_probe(struct cgroup_host *ret_host, struct err *err);

/*
 * Goes back into the group that the probe left, so that others can be put into it again; while
 * another creel has groups there it stays as it is.
 */
void cgroup_host_leave(struct cgroup_host *host);

/*
 * Makes the group `path` (components separated by '/', the last is the sandbox's id) with these
 * limits and reads each of them back. A limit whose controller is missing is -EOPNOTSUPP. Two
 * steps: cgroup_new() makes what a process must be born into, cgroup_complete() the v1 groups,
 * which it joins later by itself.
 */
int cgroup_new(const struct cgroup_host *host, const char *path, const struct cgroup_limits *limits,
	       struct cgroup **ret_group, struct err *err);
int cgroup_complete(struct cgroup *group, const struct cgroup_host *host, const char *path,
		    const struct cgroup_limits *limits, struct err *err);
/* Kills what is left, removes the directories; NULL is fine; returns NULL. */
struct cgroup *cgroup_free(struct cgroup *group);

int cgroup_clone_fd(const struct cgroup *group); /* for CLONE_INTO_CGROUP, or -1 */
/* v1 `tasks` files, open for writing; *ret_n of them. */
const int *cgroup_join_fds(const struct cgroup *group, size_t *ret_n);
/* A descriptor that becomes readable (v1) or has POLLPRI (v2) at an out-of-memory kill, or -1. */
int cgroup_oom_fd(const struct cgroup *group);

/* Only what tells why a run ended: oom_kills and pids_refused. */
void cgroup_read_events(const struct cgroup *group, struct cgroup_usage *usage);
/* What has no controller stays 0. */
void cgroup_read_usage(const struct cgroup *group, struct cgroup_usage *ret_usage);
uint64_t cgroup_read_cpu_us(const struct cgroup *group);
bool cgroup_has(const struct cgroup *group, enum cgroup_controller controller);
/* Calls fn for every pid of the group. */
void cgroup_each_pid(const struct cgroup *group, void (*fn)(pid_t pid, void *data), void *data);

/* "cgroup v2 memory" and the like; static text. */
const char *cgroup_name(const struct cgroup_host *host, enum cgroup_controller controller);
/* Removes what a killed creel left of the group `path`. */
void cgroup_sweep(const struct cgroup_host *host, const char *path);
/* The directories of the group, i from 0; NULL: no more. */
const char *cgroup_dir_path(const struct cgroup *group, size_t i);
/* Removes one such directory of a dead sandbox. */
void cgroup_sweep_dir(const char *path);
/* Takes note of what cgroup_oom_fd() told, so that it can tell again. */
void cgroup_oom_seen(const struct cgroup *group);
/* The v2 directory of the group, for a read-only view inside; NULL if there is no v2 memory. */
const char *cgroup_v2_path(const struct cgroup *group);
