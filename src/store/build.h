/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* build.h: an image from a recipe (recipe.h), through mmdebstrap(1). */
#include "image-private.h"
#include "recipe.h"

/* -EBUSY: another creel makes it. Interrupted or failed, it leaves what the next call removes. */
_must_check_ int build_image(const struct image_store *store, const char *name,
			     const struct recipe *recipe, char *ret_digest, char *ret_before,
			     struct err *err);
/* Whether apt could install the packages: its lists are fetched, nothing is made. */
_must_check_ int build_try(const struct image_store *store, const char *name,
			   const struct recipe *recipe, struct err *err);
