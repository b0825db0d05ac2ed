/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * plan.h: from what was asked of a sandbox to the cell's plan: which mounts, in which order, with
 * which attributes; which rlimits; which rights. The one place where the shape of a sandbox is
 * decided.
 */
#include "ceilings.h"
#include "cell.h"
#include "sandbox.h"

#define PLAN_MOUNTS_MAX (64 + CEIL_MOUNTS)
#define PLAN_CPU_WORDS	128 /* of a mask of 8,192 CPUs */

/* The plan with the storage behind its pointers. */
struct plan {
	struct cell_plan cell;
	struct cell_mount mounts[PLAN_MOUNTS_MAX];
	struct cell_dir dirs[16];
	unsigned long cpus[PLAN_CPU_WORDS]; /* affinity */
	char stage[512], image[768], skel_usr[512], skel_dpkg[512];
	char sources[PLACE_MAX][800];
	size_t n_sources;
	char disk[32], inodes[32], shm[32], tty_gid[16];
};

/* init_fd and control_fd are already open. The namespaces and groups come from the sandbox. */
int plan_make(const struct sandbox *sandbox, int init_fd, int control_fd, struct plan *plan,
	      struct err *err);
/* What init keeps, in the user namespace only. */
uint64_t plan_caps(bool as_root);
int plan_landlock_abi(void);
/*
 * How many CPUs this process may use, and which (ret_mask may be NULL). SIZE_MAX and an empty mask:
 * the kernel does not tell; no number of them is then taken to be all that there are.
 */
size_t plan_cpus_here(unsigned long ret_mask[PLAN_CPU_WORDS]);
