/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * recipe.h: what an image is built from: a small text file of lines `key: value`, where an empty
 * line or one that starts with '#' says nothing.
 *
 *   description: what it is for, in a line
 *   from: base                  another recipe, whose lines count as if they stood before
 *   packages: NAME NAME…        Debian packages; as often as wanted
 *   env: NAME=VALUE             a variable of every run
 *   run: COMMAND                shell, as root of the image, when its packages are there; no
 * network is promised, and nothing of the host is visible download: 60M               about what is
 * fetched, its size on disk and the time that it takes; disk: 250M                  printed before;
 * not inherited time: 30s
 *
 * Unknown keys, and anything else that is not of this form, are refused with the line's number.
 */
#include "buf.h"
#include "image.h"

struct err;

struct recipe_text {
	const char *name, *text;
};

/* The built-in ones, images/NAME.recipe. */
extern const struct recipe_text recipe_texts[];
extern const size_t n_recipe_texts;

struct recipe {
	char from[IMAGE_NAME_MAX + 1];
	char description[160];
	char hash[65];	      /* SHA-256 of the text, and of what it is from */
	struct buf packages;  /* names, one a line */
	struct buf env, runs; /* lines */
	uint64_t download, disk, time_ms;
};

#define RECIPE_TEXT_MAX (64u << 10)

bool recipe_exists(const char *name);
/* One text, without what it is from. origin names it in messages. */
_must_check_ int recipe_parse(const char *origin, const char *text, struct recipe *ret,
			      struct err *err);
/* The recipe NAME, or that of a file, with all that it is from. */
_must_check_ int recipe_load(const char *name, const char *file, struct recipe *ret,
			     struct err *err);
void recipe_done(struct recipe *recipe);

#define _cleanup_recipe_ _cleanup_(recipe_done)
