/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * rerun.h: the words of creel run that give the same run again, as they go into its record: paths
 * absolute, the image by its digest, limits as numbers. Values of environment variables are not
 * among them: secrets are passed that way, and only names are kept.
 */
#include "options.h"

/* NULL at the end; one block, which free() frees. NULL: out of memory. */
char **rerun_words(const struct options *options, const struct image *image);
