/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* lang.h: the languages of --lang: a row each. */
#include <stdbool.h>
#include <stddef.h>

struct lang {
	const char *names[3];	 /* the first is the name, others are accepted */
	const char *programs[3]; /* the first that the image has */
	const char *options[4];	 /* always, before the file or the code */
	const char *code_option; /* before the code; NULL: the code is put into a file */
	const char *file_option; /* before the file, or NULL */
	const char *suffix;	 /* of the file that code is put into */
};

extern const struct lang lang_table[];
extern const size_t lang_count;

const struct lang *lang_find(const char *name);
/* The path of the interpreter in the image whose root is given (NULL: host), or NULL. */
const char *lang_program(const struct lang *lang, const char *root, char *ret, size_t size);
/* "python, node, …": those that are found first, the others in brackets. */
void lang_list(const char *root, char *ret, size_t size);
