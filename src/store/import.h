/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * import.h: images from a registry, an OCI layout or an archive of `docker save`, through skopeo(1)
 * and umoci(1). Layers are checked before anything is unpacked (tar-check.h).
 */
#include "image-private.h"

/* The image's name: the given one, or the last part of the reference if it is NULL. 65 bytes. */
_must_check_ int import_name(const char *source, const char *name, char *ret_name, struct err *err);
/* source: docker://REFERENCE, oci:DIR[:TAG], docker-archive:FILE. */
_must_check_ int import_image(const struct image_store *store, const char *source, bool plain_http,
			      const char *name, char *ret_digest, char *ret_before,
			      struct err *err);
