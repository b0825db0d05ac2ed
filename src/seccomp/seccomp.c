/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp.c: the generated filters and the look-ups over them. */
#include "seccomp.h"

#include "banned.h"
#include "seccomp-programs.h"

const size_t seccomp_n_profiles = sizeof(seccomp_profiles) / sizeof(seccomp_profiles[0]);

const struct seccomp_profile *seccomp_profile_find(const char *name)
{
	for (size_t i = 0; i < seccomp_n_profiles; i++)
		if (strcmp(seccomp_profiles[i].name, name) == 0)
			return &seccomp_profiles[i];
	return NULL;
}

const char *seccomp_recorded_name(int number)
{
	for (size_t i = 0; seccomp_recorded[i].name; i++)
		if (seccomp_recorded[i].number == (uint32_t)number)
			return seccomp_recorded[i].name;
	return NULL;
}
