/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* readback.h: the kernel's own account of a sandbox; see readback.c. */
#include "sandbox.h"

int readback(pid_t pid, struct sandbox_readback *ret, struct err *err);
const char *readback_missing(const struct sandbox_readback *r);
