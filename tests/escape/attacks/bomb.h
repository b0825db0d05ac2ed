/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * bomb.h: what the resource attacks share. Each stops by itself at a ceiling that is far beyond
 * the limit which the driver sets, so that a missing limit shows as BROKEN instead of taking the
 * machine down, and each runs only where the driver says so (CREEL_BOMB=1 inside).
 * A bomb that the sandbox refuses prints "REFUSED <what> <errno> <how far it got>" and exits 3;
 * one that gets past every ceiling prints BROKEN and exits 1. To be killed is the third end.
 */
#include "attack.h"

#define BOMB_REFUSED 3
#define MIB	     (1024UL * 1024)

ATTACK_UNUSED static void bomb_begin(void)
{
	attack_begin();
	if (!getenv("CREEL_BOMB")) {
		SKIP("bomb", "not in a sandbox of the test driver");
		exit(2);
	}
}

ATTACK_UNUSED static int bomb_refused(const char *what, int err, unsigned long reached)
{
	printf("REFUSED %s %s %lu\n", what, attack_errno_name(err), reached);
	fflush(stdout);
	return BOMB_REFUSED;
}

ATTACK_UNUSED static int bomb_unlimited(const char *what, unsigned long reached)
{
	BROKEN(what, "no limit up to %lu", reached);
	return 1;
}

struct bomb {
	const char *name;
	int (*run)(void);
};

ATTACK_UNUSED static int bomb_dispatch(const struct bomb *bombs, size_t count, int argc,
				       char **argv)
{
	for (size_t i = 0; i < count && argc > 1; i++)
		if (strcmp(argv[1], bombs[i].name) == 0)
			return bombs[i].run();
	fprintf(stderr, "usage: %s KIND\n", argv[0]);
	return 2;
}
