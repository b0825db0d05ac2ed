/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trim.c: segments go when bundles and files have what they hold. This is the only place that
 * deletes records from anywhere, so it looks before: synced, and read back from the other place.
 */
#include "audit-private.h"
#include "banned.h"
#include "err.h"
#include "tiles.h"

#include <sys/file.h>

/* Whether every record of a segment is in a bundle that hashes to its tile. */
static int segment_is_tiled(struct audit *log, uint64_t first, uint64_t end)
{
	_cleanup_buf_ struct buf bundle = BUF_INIT(TILE_BUNDLE_MAX);
	struct merkle_hash hashes[TILE_WIDTH], leaf;
	int r;

	for (uint64_t index = first / TILE_WIDTH; index * TILE_WIDTH < end; index++) {
		const uint8_t *data;
		size_t at = 0, len, n = 0;

		r = tile_read(log->dir, 0, index, hashes);
		if (r == 0)
			r = tile_read_bundle(log->dir, index, &bundle);
		if (r < 0)
			return r;
		while (n < TILE_WIDTH && tile_entry(&bundle, &at, &data, &len)) {
			merkle_leaf(data, len, &leaf);
			if (!merkle_equal(&leaf, &hashes[n++]))
				return -EBADMSG;
		}
		if (n < TILE_WIDTH || at != bundle.len)
			return -EBADMSG;
	}
	return 0;
}

/*
 * The two newest segments always stay. An older one goes when its records are signed, tiled, synced
 * (with all the rest of the filesystem: thousands of small files one by one take longer) and read
 * back.
 */
int audit_trim(struct audit *log, struct err *err)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	_cleanup_buf_ struct buf note = BUF_INIT(AUDIT_NOTE_MAX);
	char name[WAL_NAME];
	struct checkpoint signed_;
	uint64_t tiled;
	size_t n, gone = 0;
	bool lost;
	int r;

	r = audit_lock(log, err);
	if (r < 0)
		return r;
	tiled = log->head.tiled;
	audit_unlock(log);
	r = audit_load_checkpoint(log, &note, &signed_, &lost, err);
	if (r < 0)
		return r;
	/* Somebody verifies: later, then. */
	if (flock(log->wal, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return 0;
	r = wal_list(log->wal, &firsts, &n);
	for (; r == 0 && gone + 2 < n && firsts[gone + 1] <= MIN(tiled, signed_.size); gone++)
		r = audit_settle_segment(log, firsts[gone]);
	/* No room for a payload's file: its segment stays until there is. */
	if (gone && (r == -ENOSPC || r == -EDQUOT)) {
		gone--;
		r = 0;
	}
	if (r == 0 && gone)
		r = syncfs(log->dir) < 0 ? -errno : 0;
	for (size_t i = 0; r == 0 && i < gone; i++) {
		r = segment_is_tiled(log, firsts[i], firsts[i + 1]);
		wal_name(firsts[i], name);
		if (r == 0 && unlinkat(log->wal, name, 0) < 0 && errno != ENOENT)
			r = -errno;
	}
	flock(log->wal, LOCK_UN);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot delete old segments of %s", log->path);
	log->rotations = 0;
	return 0;
}
