/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * image-place.h: where programs make an image: a mount namespace in which /tmp is empty but for
 * what they need, and a user and PID namespace for each program, so that a package's maintainer
 * script or an archive never is the host's root and leaves no process behind.
 */
#include "buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

#define PLACE_ROOT  "/tmp/image" /* the image's root, as programs see it, with the ids inside */
#define PLACE_OCI   "/tmp/oci"	 /* an OCI layout, for imports */
#define PLACE_FILES "/tmp/files" /* what creel hands to programs, which also is their HOME */

struct place {
	int userns_fd;	/* root: the user namespace of programs; else -1, we are in it */
	bool as_caller; /* programs run as who calls, with all that it has */
	/* Progress, on one line of stderr if it is a terminal. */
	const char *what;
	bool terminal;
	int64_t start_ms;
	uint64_t about_ms; /* 0: not known */
};

/*
 * The calling process, which may mount (root, or root of its user namespace), goes there. work: the
 * directory with `root`, and `oci` if there is one.
 */
_must_check_ int place_enter(const struct place *place, const char *work, struct err *err);
/* Writes PLACE_FILES/name. */
_must_check_ int place_file(const char *name, const void *data, size_t len, struct err *err);
/* Says where things are: a line, or the terminal's line. */
void place_say(const struct place *place, const char *step);
void place_clear(const struct place *place);

/*
 * Runs a program there and waits for it; environment: PATH, HOME, LC_ALL, TMPDIR, proxies. out:
 * takes its standard output, and its errors go nowhere; NULL: both are read as progress, where
 * lines that start with "I: " are shown and the last ones become the error of a program that fails.
 */
_must_check_ int place_run(const struct place *place, const char *const argv[], struct buf *out,
			   struct err *err);
/* Runs fn in a child whose root directory is PLACE_ROOT or PLACE_OCI. */
_must_check_ int place_inside(const struct place *place, const char *root,
			      int (*fn)(void *data, struct err *err), void *data, struct err *err);
/* -ENOENT: the message names the package that has the program. */
_must_check_ int place_needs(const char *program, const char *package, struct err *err);
