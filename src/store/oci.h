/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * oci.h: reads an OCI image layout (image-spec: image-layout.md, manifest.md, config.md) with one
 * image in it, and checks its layers (tar-check.h).
 */
#include "cleanup.h"

#include <stdint.h>

struct err;

#define OCI_TEXT_MAX (128u << 10)

struct oci_image {
	char manifest[72];	/* sha256:HEX */
	char workdir[256];	/* "" if there is none that can be used */
	char env[OCI_TEXT_MAX]; /* lines NAME=VALUE */
};

/*
 * Of the layout at dirfd, whose layers must be plain or gzip. What is in the layout is hostile:
 * the caller has no rights but to read it. -EINVAL, -E2BIG: refused, with the reason.
 */
_must_check_ int oci_check(int dirfd, struct oci_image *ret, struct err *err);
