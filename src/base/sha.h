/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * sha.h: SHA-256 (FIPS 180-4) by the CPU's SHA instructions where there are any, else in plain C.
 *
 * It is our own because the static program starts before each run: libcrypto finds out what the CPU
 * can by a constructor of cpuid instructions, each of which traps in a virtual machine (23 µs at
 * every start), and libsodium's version uses no SHA instructions and is four times slower.
 */
#include "cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA_LEN 32u
#define SHA_HEX 64u /* digits of it in hexadecimal, lower case */

struct sha {
	uint32_t state[8];
	uint64_t len;
	uint8_t block[64];
};

void sha_init(struct sha *sha);
void sha_update(struct sha *sha, const void *data, size_t len);
void sha_final(struct sha *sha, uint8_t ret[SHA_LEN]);

/* With a NUL behind it. */
void sha_final_hex(struct sha *sha, char ret[SHA_HEX + 1]);
void sha_hex(const uint8_t hash[SHA_LEN], char ret[SHA_HEX + 1]);
/* What is left to read from fd. */
_must_check_ int sha_update_fd(struct sha *sha, int fd);
/*
 * The same for a file that a sandbox wrote: false if it cannot be read, is a file of holes (any
 * size for nothing) or larger than *left, which is what may still be read.
 */
bool sha_file_hex(int fd, uint64_t *left, char ret[SHA_HEX + 1]);

/* SHA-256(prefix || a || b): what the tree is made of, without a copy. */
void sha_prefixed(uint8_t prefix, const void *a, size_t a_len, const void *b, size_t b_len,
		  uint8_t ret[SHA_LEN]);

/* For the tests only: whether the plain C is used though the CPU could do better. */
void sha_force_plain(int on);
