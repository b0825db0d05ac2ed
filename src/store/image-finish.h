/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * image-finish.h: makes a tree fit for sandboxes: the directories that are mounted over, the user
 * with uid 1000, names without a network, nothing that has a meaning to the host.
 */
#include "cleanup.h"

#include <stdint.h>

struct err;

struct image_user {
	char name[33], home[256];
	uint32_t gid;
};

/* Of the tree that is this process' root directory, as its root (place_inside()). */
_must_check_ int image_finish(struct image_user *ret_user, struct err *err);
