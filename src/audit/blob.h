/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* blob.h: what writing and reading of side payloads share; see blob.c. */
#include "audit.h"

#define BLOB_PATH 80u

/* "blobs/ab/ab…"; false: not a hash in hex. */
bool blob_path(const char *sha256, char ret[BLOB_PATH]);
/* The directory blobs/ab of such a path, made where it is missing. */
_must_check_ int blob_shelf(int dir, const char *path);
#define BLOB_SHELF_LEN (sizeof("blobs/ab") - 1)
