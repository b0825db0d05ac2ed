/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * init-process.h: turns a START message into a process, inside creel-init.
 */
#include "buf.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Forks the process that a START payload describes; failures after the fork are told on conn by the
 * child itself (FAILED). *ret_last: GUEST_START_LAST was asked for. -EPROTO: the message is not of
 * the form. The descriptors stay the caller's.
 */
_must_check_ int init_process_start(int conn, const struct buf *payload, const int *fds,
				    size_t n_fds, pid_t *ret_pid, bool *ret_last);
