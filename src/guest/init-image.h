/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* init-image.h: creel-init as bytes; the array is made at build time. */
#include <stddef.h>

extern const unsigned char init_image[];
extern const size_t init_image_size;
