/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-info.c: what image.json says about where an image came from (image-private.h). It is for
 * people and covered by no digest: what is missing or damaged in it is left empty.
 */
#include "ceilings.h"
#include "image-private.h"
#include "io.h"

#include <fcntl.h>
#include <jansson.h>

static void take(const json_t *object, const char *key, char *ret, size_t size)
{
	const char *text = json_string_value(json_object_get(object, key));

	snprintf(ret, size, "%s", text ? text : "");
}

static uint64_t take_number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

void image_info_read(const struct image *image, struct image_info *ret)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	char path[600];
	json_t *json, *source;

	*ret = (struct image_info){0};
	snprintf(path, sizeof(path), "%s/image.json", image->dir);
	if (io_read_file(AT_FDCWD, path, &text) < 0)
		return;
	json = json_loadb(text.data, text.len, 0, NULL);
	source = json_object_get(json, "source");
	take(json, "created", ret->created, sizeof(ret->created));
	take(source, "kind", ret->kind, sizeof(ret->kind));
	take(source, "reference", ret->reference, sizeof(ret->reference));
	take(source, "digest", ret->digest, sizeof(ret->digest));
	take(source, "suite", ret->suite, sizeof(ret->suite));
	ret->size = take_number(json, "size");
	ret->files = take_number(json, "files");
	json_decref(json);
}
