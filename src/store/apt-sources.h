/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * apt-sources.h: where packages of an image come from: the machine's own apt sources, keys, proxies
 * and logins, so that a mirror without the internet works without a flag. Debian 13 where its
 * signatures verify against the machine's keys, else the machine's own suite.
 */
#include "buf.h"

#include <stdbool.h>

struct err;
struct place;

struct apt_sources {
	char suite[64];
	struct buf list; /* sources.list */
	bool local;	 /* file: or copy: */
};

/*
 * In the place (image-place.h). PLACE_FILES then has keys/, apt.conf and auth.conf for the build.
 */
_must_check_ int apt_sources_find(const struct place *place, struct apt_sources *ret,
				  struct err *err);

/*
 * The lines "URI SUITE COMPONENT" that are of the machine's distribution, as sources.list: suites
 * BASE, BASE-updates and BASE-security of `from`, named after `to`. Other suites and components
 * than the distribution's own are left out.
 */
_must_check_ int apt_sources_select(const char *targets, const char *from, const char *to,
				    struct buf *ret);
/* Adds the paths of key files that a sources file names to ret, one a line. */
_must_check_ int apt_sources_keys(const char *text, struct buf *ret);
