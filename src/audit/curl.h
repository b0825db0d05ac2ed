/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * curl.h: one HTTP request through the program curl(1): it knows TLS, proxies and certificates, and
 * creel links none of that.
 */
#include "buf.h"

struct err;

/* POST body to url/what. *ret_status and answer (emptied first) hold what came back. */
_must_check_ int curl_post(const char *url, const char *what, const struct buf *body,
			   unsigned wait_ms, unsigned *ret_status, struct buf *answer,
			   struct err *err);
