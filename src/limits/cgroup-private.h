/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * cgroup-private.h: what the files of cgroup.h share.
 */

/*
 * Switches on for the children of a v2 group what creel uses and the group itself has been given.
 * Negative errno; -EBUSY: it has processes.
 */
int cgroup_v2_delegate(const char *dir);
