/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export.c: the log as a static C2SP tlog, for tools that know nothing of creel. It is made from
 * the records, not copied from the tiles, and its checkpoint comes last and only if it fits.
 */
#include "audit-private.h"
#include "banned.h"
#include "err.h"
#include "fs.h"
#include "tiles.h"

/* The tile of a level that is not full; the tiles below it were written before. */
static int write_partial(int dirfd, unsigned level, uint64_t size)
{
	struct merkle_hash below[TILE_WIDTH], hashes[TILE_WIDTH];
	uint64_t n = size >> 8 * level;
	unsigned width = (unsigned)(n % TILE_WIDTH);
	int r;

	for (unsigned i = 0; i < width; i++) {
		r = tile_read(dirfd, level - 1, n - width + i, below);
		if (r < 0)
			return r;
		merkle_subtree(below, TILE_WIDTH, &hashes[i]);
	}
	return width ? tile_write(dirfd, level, n / TILE_WIDTH, width, hashes, width * SHA_LEN) : 0;
}

static int write_partials(const struct tiler *tiler)
{
	unsigned width = (unsigned)(tiler->next % TILE_WIDTH);
	uint64_t index = tiler->next / TILE_WIDTH;
	int r = 0;

	if (width)
		r = tile_write(tiler->dirfd, TILE_ENTRIES, index, width, tiler->entries.data,
			       tiler->entries.len);
	if (r == 0 && width)
		r = tile_write(tiler->dirfd, 0, index, width, tiler->leaves, width * SHA_LEN);
	for (unsigned level = 1; r == 0 && level < TILE_LEVELS; level++)
		r = write_partial(tiler->dirfd, level, tiler->next);
	return r;
}

static int write_records(struct audit *log, const struct checkpoint *checkpoint,
			 struct tiler *tiler, struct merkle_tree *tree, struct err *err)
{
	struct audit_iter *iter = NULL;
	struct merkle_hash leaf;
	const void *data;
	uint64_t seq;
	size_t len;
	int r;

	r = audit_iter_new(log, 0, &iter, err);
	while (r == 0 && tree->size < checkpoint->size) {
		r = audit_iter_next(iter, &seq, &data, &len, err);
		if (r != 1) {
			r = r < 0 ? r : audit_damaged(log, err, "it has fewer records than signed");
			break;
		}
		merkle_leaf(data, len, &leaf);
		merkle_add(tree, &leaf, NULL, NULL);
		r = tiler_add(tiler, data, len, &leaf);
		if (r < 0)
			err_errno(err, -r, "audit", "cannot write the tiles of the export");
	}
	audit_iter_free(iter);
	return r;
}

int audit_export_tiles(struct audit *log, int dirfd, struct err *err)
{
	_cleanup_buf_ struct buf note = BUF_INIT(AUDIT_NOTE_MAX);
	struct merkle_tree tree = {.size = 0};
	struct checkpoint checkpoint;
	struct merkle_hash root;
	struct tiler tiler;
	int r;

	r = audit_load_signed(log, &note, &checkpoint, err);
	if (r < 0)
		return r;
	tiler_init(&tiler, dirfd, 0);
	r = write_records(log, &checkpoint, &tiler, &tree, err);
	merkle_root(&tree, &root);
	if (r == 0 && !merkle_equal(&root, &checkpoint.root))
		r = audit_damaged(log, err, "its records are not what its checkpoint signs");
	else if (r == 0) {
		r = write_partials(&tiler);
		if (r == 0)
			r = fs_replace_file(dirfd, "checkpoint", note.data, note.len, 0600);
		if (r < 0)
			err_errno(err, -r, "audit", "cannot write the export");
	}
	tiler_done(&tiler);
	return r;
}
