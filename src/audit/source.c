/* SPDX-License-Identifier: Apache-2.0 */
/* source.c: see source.h. */
#include "source.h"

#include "audit-private.h"
#include "banned.h"
#include "err.h"

int source_new(struct audit *log, uint64_t size, struct source **ret, struct err *err)
{
	struct source *source = calloc(1, sizeof(*source));

	if (!source)
		return err_set(err, ENOMEM, "audit", "no memory for the tree of %s", log->path);
	source->log = log;
	source->size = size;
	source->err = err;
	*ret = source;
	return 0;
}

struct source *source_free(struct source *source)
{
	free(source);
	return NULL;
}

/* The leaves of a tile of level 0 that is not written: its records are in the segments. */
static int hash_records(struct source *source, uint64_t index, unsigned width)
{
	struct audit_iter *iter;
	const void *data;
	uint64_t seq;
	size_t len;
	int r;

	r = audit_iter_new(source->log, index * TILE_WIDTH, &iter, source->err);
	if (r < 0)
		return r;
	for (unsigned i = 0; r == 0 && i < width; i++) {
		r = audit_iter_next(iter, &seq, &data, &len, source->err);
		if (r == 1)
			merkle_leaf(data, len, &source->tiles[0].hashes[i]);
		r = r == 1 ? 0 : r == 0 ? -EUCLEAN : r;
	}
	audit_iter_free(iter);
	return r;
}

static int load(struct source *source, unsigned level, uint64_t index);

static int hash_tiles_below(struct source *source, unsigned level, uint64_t index, unsigned width)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < width; i++) {
		r = load(source, level - 1, index * TILE_WIDTH + i);
		if (r == 0)
			merkle_subtree(source->tiles[level - 1].hashes, TILE_WIDTH,
				       &source->tiles[level].hashes[i]);
	}
	return r;
}

static int load(struct source *source, unsigned level, uint64_t index)
{
	uint64_t hashes = source->size >> 8 * level; /* of this level */
	unsigned width =
		hashes / TILE_WIDTH > index ? TILE_WIDTH : (unsigned)(hashes - index * TILE_WIDTH);
	int r = -ENOENT;

	if (source->tiles[level].width == width && source->tiles[level].index == index)
		return 0;
	source->tiles[level].width = 0;
	if (width == TILE_WIDTH)
		r = tile_read(source->log->dir, level, index, source->tiles[level].hashes);
	if (r == -ENOENT)
		r = level ? hash_tiles_below(source, level, index, width)
			  : hash_records(source, index, width);
	else if (r < 0)
		audit_damaged(source->log, source->err, "a tile of level %u: %s", level,
			      strerror(-r));
	if (r < 0)
		return r;
	source->tiles[level].index = index;
	source->tiles[level].width = width;
	return 0;
}

static int subtree(void *data, unsigned height, uint64_t index, struct merkle_hash *ret)
{
	struct source *source = data;
	unsigned level = height / 8, rest = height % 8;
	uint64_t first = index << rest;
	int r;

	r = load(source, level, first / TILE_WIDTH);
	if (r < 0)
		return r;
	merkle_subtree(source->tiles[level].hashes + first % TILE_WIDTH, 1u << rest, ret);
	return 0;
}

struct merkle_source source_merkle(struct source *source)
{
	return (struct merkle_source){.hash = subtree, .data = source};
}
