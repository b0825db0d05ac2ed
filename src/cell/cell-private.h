/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* cell-private.h: the steps of the child, in the order in which they are taken. */
#include "cell.h"
#include "err.h"

/* The step that failed, with errno. */
#define FAIL(...) err_errno(err, errno, "cell", __VA_ARGS__)

/* Builds the tree on the stage and makes it /. *ret_layer: O_PATH of the layer; *ret_sysctl: the
 * writable /proc/sys/user, for the last wall. */
int mounts_build(const struct cell_plan *plan, int *ret_layer, int *ret_sysctl, struct err *err);
/* Enters the user namespace (root) and takes the ids that init has inside. */
int walls_enter_ids(const struct cell_plan *plan, struct err *err);
/* Namespace maxima, rlimits, Landlock, seccomp, capabilities: nothing can be undone after it. */
int walls_raise(const struct cell_plan *plan, int sysctl, int *ret_notify, struct err *err);
