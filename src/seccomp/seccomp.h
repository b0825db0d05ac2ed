/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * seccomp.h: the system call filters, generated at build time from profiles/ (seccomp(2)).
 * Every profile comes twice: with and without the right to set setuid and setgid bits on files.
 */
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seccomp_profile {
	const char *name;
	unsigned calls;		 /* system calls that are allowed, some after a look at arguments */
	struct sock_fprog plain; /* setuid and setgid bits are refused */
	struct sock_fprog
		with_mode_bits; /* they are not: --root without a writable host directory */
};

struct seccomp_recorded {
	uint32_t number;
	const char *name;
};

extern const struct seccomp_profile seccomp_profiles[];
extern const size_t seccomp_n_profiles;

const struct seccomp_profile *seccomp_profile_find(const char *name); /* NULL: no such profile */
/* The name of a call that some profile records, else NULL. */
const char *seccomp_recorded_name(int number);
