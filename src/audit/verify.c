/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c: judges a log from its files alone: it believes no head, takes no lock, and recomputes
 * every hash. The tree is built from the bundles and, behind them, from the segments; each tile,
 * segment header and older checkpoint is compared when the tree has its size. Where a record is in
 * both bundle and segment, both must give the same leaf.
 *
 * It may run beside writers: the checkpoint is read first, and what is appended later is behind it.
 */
#include "verify.h"
#include "audit-private.h"
#include "banned.h"
#include "err.h"
#include "io.h"
#include "tiles.h"
#include "wal-chain.h"

#include <fcntl.h>
#include <sys/file.h>

void verify_tell(struct verify *v, uint64_t seq, const char *file, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (v->stats.problems++ < AUDIT_PROBLEMS_TOLD && v->report)
		v->report(&(struct audit_problem){.seq = seq, .file = file, .text = text}, v->data);
}

static int compare_points(const void *a, const void *b)
{
	const struct verify_point *x = a, *y = b;

	return (x->size > y->size) - (x->size < y->size);
}

static int add_point(struct verify *v, const char *note, size_t len, size_t number)
{
	struct verify_point *grown, point = {.own = false};

	if (checkpoint_open(note, len, &v->key, &point.checkpoint) < 0) {
		verify_tell(v, AUDIT_NONE, "",
			    "remembered checkpoint %zu is not signed by the key %s", number,
			    v->key.name);
		return 0;
	}
	point.size = point.checkpoint.size;
	if (point.size > v->signed_.size)
		verify_tell(v, AUDIT_NONE, "checkpoint",
			    "rolled back: it signs %llu records, and a remembered one %llu",
			    (unsigned long long)v->signed_.size, (unsigned long long)point.size);
	grown = realloc(v->points, (v->n_points + 2) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	v->points = grown;
	v->points[v->n_points++] = point;
	return 0;
}

/* The roots that somebody remembers, beside the one that the log itself signs. */
static int read_notes(struct verify *v, const struct audit_against *against)
{
	size_t number = 0;
	int r = 0;

	v->points = calloc(1, sizeof(*v->points));
	if (!v->points)
		return -ENOMEM;
	for (size_t i = 0; i < against->n_notes; i++) {
		const char *text = against->notes[i];
		size_t left = strlen(text), skip, n;

		if (checkpoint_next(text, left, &skip) == 0)
			verify_tell(v, AUDIT_NONE, "", "no checkpoint is remembered in text %zu",
				    i + 1);
		for (; r == 0 && (n = checkpoint_next(text, left, &skip)); text += n, left -= n) {
			text += skip;
			left -= skip;
			r = add_point(v, text, n, ++number);
		}
	}
	return r;
}

static int read_signed(struct verify *v, const struct audit_against *against, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(AUDIT_NOTE_MAX), vkey = BUF_INIT(1024);
	struct note_key stored;
	int r;

	r = io_read_file(v->dir, "key.pub", &vkey);
	if (r < 0)
		vkey.len = 0;
	r = vkey.len ? note_key_parse(vkey.data, vkey.len, &stored) : -ENOENT;
	if (against->vkey) {
		if (note_key_parse(against->vkey, strlen(against->vkey), &v->key) < 0)
			return err_set(err, EINVAL, "audit", "\"%.200s\" is no verifier key",
				       against->vkey);
		if (r < 0 || strcmp(stored.name, v->key.name) != 0 ||
		    memcmp(stored.public, v->key.public, sizeof(stored.public)) != 0)
			verify_tell(v, AUDIT_NONE, "key.pub",
				    "it is not the key that is remembered");
	} else if (r < 0) {
		return err_set(err, EBADMSG, "audit", "%s/key.pub is no verifier key: %s", v->path,
			       strerror(-r));
	} else {
		v->key = stored;
	}
	r = checkpoint_read(v->dir, &v->key, &text, &v->signed_);
	if (r < 0) {
		verify_tell(v, AUDIT_NONE, "checkpoint",
			    r == -EBADMSG ? "it is not signed by the key %s"
					  : "it is missing or no checkpoint, for the key %s",
			    v->key.name);
		v->signed_.size = 0;
		v->unsigned_only = true;
	}
	r = read_notes(v, against);
	if (r < 0)
		return err_errno(err, -r, "audit", "no memory to verify %s", v->path);
	if (!v->unsigned_only) {
		v->points[v->n_points].size = v->signed_.size;
		v->points[v->n_points].own = true;
		v->points[v->n_points++].checkpoint = v->signed_;
	}
	qsort(v->points, v->n_points, sizeof(*v->points), compare_points);
	return 0;
}

/* Whenever the tree has a size at which a root is known. */
static void check_points(struct verify *v)
{
	struct merkle_hash root;

	for (; v->next_point < v->n_points && v->points[v->next_point].size == v->tree.size;
	     v->next_point++) {
		merkle_root(&v->tree, &root);
		if (merkle_equal(&root, &v->points[v->next_point].checkpoint.root))
			continue;
		verify_tell(
			v, AUDIT_NONE, "checkpoint",
			v->points[v->next_point].own
				? "its root is not that of the %llu records below it: some of them "
				  "were changed"
				: "history was rewritten: the first %llu records are not those of "
				  "a "
				  "remembered checkpoint",
			(unsigned long long)v->tree.size);
	}
}

/* A tile of level >= 1 is compared as its hashes come up; a missing one is told once. */
static void check_upper(void *data, unsigned level, uint64_t index, const struct merkle_hash *root)
{
	struct verify *v = data;
	struct verify_tile *tile = &v->upper[level];
	uint64_t number = index / TILE_WIDTH;
	char path[TILE_PATH];

	tile->hashes[index % TILE_WIDTH] = *root;
	if (index % TILE_WIDTH != TILE_WIDTH - 1)
		return;
	tile_path(level, number, TILE_WIDTH, path);
	v->stats.tiles++;
	switch (tile_read(v->dir, level, number, v->scratch)) {
	case 0:
		if (memcmp(v->scratch, tile->hashes, TILE_BYTES) != 0)
			verify_tell(v, AUDIT_NONE, path, "its hashes are not those of the records");
		break;
	case -ENOENT:
		v->missing_upper = number;
		v->missing_level = level;
		v->missing_at = v->tree.size + 1;
		break;
	default:
		verify_tell(v, AUDIT_NONE, path, "it cannot be read as a tile");
	}
}

void verify_add(struct verify *v, const struct merkle_hash *leaf, size_t len)
{
	check_points(v);
	if (v->n_firsts && v->tree.size == v->firsts[0])
		v->oldest = v->tree;
	merkle_add(&v->tree, leaf, check_upper, v);
	v->stats.bytes += len;
}

/* 1: checked and added; 0: there is none (any more). */
static int check_bundle(struct verify *v, uint64_t index)
{
	struct merkle_hash leaf;
	char path[TILE_PATH];
	bool tile, told = false;
	size_t at = 0, n = 0;
	int r;

	r = tile_read_bundle(v->dir, index, &v->bundle);
	if (r == -ENOENT)
		return 0;
	tile_path(TILE_ENTRIES, index, TILE_WIDTH, path);
	v->stats.tiles += 2;
	tile = tile_read(v->dir, 0, index, v->scratch) == 0;
	for (const uint8_t *data; r == 0 && n < TILE_WIDTH; n++) {
		size_t len;

		if (!tile_entry(&v->bundle, &at, &data, &len))
			break;
		merkle_leaf(data, len, &leaf);
		if (tile && !told && !merkle_equal(&leaf, &v->scratch[n])) {
			verify_tell(v, index * TILE_WIDTH + n, path,
				    "the record is not what tile/0 has the hash of");
			told = true;
		}
		verify_add(v, &leaf, len);
	}
	if (n < TILE_WIDTH || at != v->bundle.len) {
		verify_tell(v, index * TILE_WIDTH + n, path, "it does not hold 256 records");
		return -EBADMSG;
	}
	if (!tile) {
		tile_path(0, index, TILE_WIDTH, path);
		verify_tell(v, index * TILE_WIDTH, path, "it is missing or no tile");
	}
	return 1;
}

/* All bundles from the first on. What is behind them must be in segments. */
static int check_bundles(struct verify *v)
{
	int r = 1;

	for (uint64_t index = 0; r == 1; index++)
		r = check_bundle(v, index);
	return r;
}

/* Tiles are written with the record that fills them, if need be with the next one. */
static bool may_be_missing(const struct verify *v, uint64_t end)
{
	return end >= v->tree.size;
}

static void check_missing(struct verify *v, uint64_t bundled)
{
	char path[TILE_PATH];

	for (uint64_t index = bundled / TILE_WIDTH; !may_be_missing(v, (index + 1) * TILE_WIDTH);
	     index++) {
		/* A writer may have made it meanwhile. */
		if (tile_read_bundle(v->dir, index, &v->bundle) != -ENOENT)
			continue;
		tile_path(TILE_ENTRIES, index, TILE_WIDTH, path);
		verify_tell(v, index * TILE_WIDTH, path, "it is missing");
	}
	if (v->missing_at && !may_be_missing(v, v->missing_at) &&
	    tile_read(v->dir, v->missing_level, v->missing_upper, v->scratch) == -ENOENT) {
		tile_path(v->missing_level, v->missing_upper, TILE_WIDTH, path);
		verify_tell(v, AUDIT_NONE, path, "it is missing");
	}
}

static void end_points(struct verify *v)
{
	check_points(v);
	if (v->tree.size < v->signed_.size)
		verify_tell(v, v->tree.size, "checkpoint",
			    "it signs %llu records, and only the first %llu can be read",
			    (unsigned long long)v->signed_.size, (unsigned long long)v->tree.size);
}

/*
 * The lock keeps segments from being deleted meanwhile. Some network filesystems have none for
 * directories; there a deletion just then is reported as a loss.
 */
static int open_parts(struct verify *v, struct err *err)
{
	int r;

	v->dir = open(v->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (v->dir < 0)
		return err_errno(err, errno, "audit", "cannot open the log %s", v->path);
	v->wal = openat(v->dir, "wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (v->wal < 0)
		return err_errno(err, errno, "audit", "cannot open %s/wal", v->path);
	while (flock(v->wal, LOCK_SH) < 0 && errno == EINTR)
		;
	r = wal_list(v->wal, &v->firsts, &v->n_firsts);
	return r < 0 ? err_errno(err, -r, "audit", "cannot list %s/wal", v->path) : 0;
}

/* Bundles, then segments. With a broken bundle there is no tree to go on with. */
static int check_all(struct verify *v, struct err *err)
{
	uint64_t bundled;
	int r;

	r = check_bundles(v);
	bundled = v->tree.size;
	if (r == 0 && v->n_firsts && bundled == v->firsts[0])
		v->oldest = v->tree;
	if (r == 0)
		r = verify_segments(v, err);
	else if (r != -EBADMSG)
		return err_errno(err, -r, "audit", "cannot read the bundles of %s", v->path);
	if (r == 0)
		check_missing(v, bundled);
	if (r == 0 || r == -EBADMSG)
		end_points(v);
	return r == -EBADMSG ? 0 : r;
}

int audit_verify(const char *dir, const struct audit_against *against,
		 void (*report)(const struct audit_problem *problem, void *data), void *data,
		 struct audit_stats *ret_stats, struct err *err)
{
	static const struct audit_against nothing = {.n_notes = 0};
	struct verify *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return err_set(err, ENOMEM, "audit", "no memory to verify %s", dir);
	v->path = dir;
	v->report = report;
	v->data = data;
	v->wal = -EBADF;
	v->bundle = BUF_INIT(TILE_BUNDLE_MAX);
	r = open_parts(v, err);
	if (r == 0)
		r = read_signed(v, against ? against : &nothing, err);
	if (r == 0)
		r = check_all(v, err);
	if (r == 0)
		r = verify_blobs(v, err);
	if (r == 0) {
		memcpy(v->stats.root, v->signed_.root.bytes, sizeof(v->stats.root));
		v->stats.records = MIN(v->tree.size, v->signed_.size);
		v->stats.unsigned_ = v->tree.size - v->stats.records;
		*ret_stats = v->stats;
		r = v->stats.problems ? 1 : 0;
	}
	buf_done(&v->bundle);
	fd_close(v->wal);
	fd_close(v->dir);
	free(v->firsts);
	free(v->points);
	free(v);
	return r;
}
