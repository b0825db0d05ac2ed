/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * enforce.h: what enforces each limit on this machine: a controller, a filesystem's size, an
 * rlimit, or creel itself by looking now and then. Nothing is enforced silently by less.
 */
#include "sandbox.h"

/* Fills enforced_by, chooses the layer's kind and the watches. A named limit that nothing enforces
 * is an error. Fills *ret_limits for the group. */
int enforce_choose(struct sandbox *sandbox, struct cgroup_limits *ret_limits, struct err *err);
/* After places_open(): only then is known whether there is a pool. */
void enforce_tell_disk(const struct sandbox *sandbox);
