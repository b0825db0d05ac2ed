/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * tar-check.h: whether a layer (tar(5): ustar, pax, GNU long names) may be unpacked at all. It is
 * fed the bytes of one layer after the other and refuses what no honest image has: absolute paths
 * and "..", devices, sparse files, ways through a link of the same layer, whiteouts of "..", more
 * entries or bytes than a ceiling, and whatever two readers of tar could read in two ways.
 */
#include "cleanup.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct tar_check;

_must_check_ int tar_check_new(struct tar_check **ret);
struct tar_check *tar_check_free(struct tar_check *check);
/* layer names it in messages. */
void tar_check_begin(struct tar_check *check, const char *layer);
/* -EINVAL, -E2BIG: err says what is wrong with which entry. */
_must_check_ int tar_check_feed(struct tar_check *check, const void *data, size_t len,
				struct err *err);
/* The layer's bytes are over. */
_must_check_ int tar_check_end(struct tar_check *check, struct err *err);
uint64_t tar_check_entries(const struct tar_check *check);
