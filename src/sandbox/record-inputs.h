/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * record-inputs.h: what a run was given to read, by the hashes of it: --in, --ro and the file that
 * --lang runs. The list is one payload of the record, a JSON array of
 * {"kind":"in"|"ro"|"script","path":…,"sha256":HEX|null,"size":N,"stated":HEX}.
 *
 * The hash of a directory is that of the lines that sha256sum(1) prints for its regular files in
 * order of their names, so that anybody can make it again:
 *
 *   find . -xdev -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
 *
 * null: more than CEIL_INPUTS in all, or not readable. What the caller states is told as such.
 */
#include "audit.h"
#include "run.h"

bool record_has_inputs(const struct run_spec *spec);
int record_inputs(struct audit *log, const struct run_spec *spec, struct audit_ref *ret,
		  struct err *err);
/*
 * Changes with every change of what is copied in: taken before the hashes and after the copies, it
 * tells whether both are of the same.
 */
uint64_t record_inputs_mark(const struct run_spec *spec);
/* The hash of a file or directory, as above; *left is what may still be read, in bytes. */
int record_hash(const char *path, uint64_t *left, char ret_hex[AUDIT_HEX + 1], uint64_t *ret_size);
