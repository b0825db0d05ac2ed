/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify-wal.c: the segments' part of verify.c. A record that is in a bundle, too, must have the
 * leaf of its tile; one behind the bundles goes into the tree. Behind the last frame there must be
 * nothing but zeros, up to what was torn and not yet recovered.
 */
#include "audit-private.h"
#include "banned.h"
#include "err.h"
#include "verify.h"
#include "wal-chain.h"

#include <fcntl.h>

#define SEGMENT_FILE (WAL_NAME + 4)

struct segments {
	struct verify *v;
	struct wal_chain chain;
	uint64_t *firsts;
	size_t n;
	uint64_t bundled;	 /* records that came from bundles */
	struct merkle_tree tree; /* as the segments have it; compared with their headers */
	struct merkle_hash tile[TILE_WIDTH];
	uint64_t tile_index; /* of what tile holds; AUDIT_NONE: nothing */
	uint64_t told_index; /* of which a bad record was told */
};

static const char *segment_file(uint64_t first, char ret[SEGMENT_FILE])
{
	char name[WAL_NAME];

	wal_name(first, name);
	snprintf(ret, SEGMENT_FILE, "wal/%s", name);
	return ret;
}

static void check_header(struct segments *s)
{
	char file[SEGMENT_FILE];

	for (unsigned h = 0; h < 64; h++)
		if (s->tree.size >> h & 1 &&
		    !merkle_equal(&s->tree.peaks[h], &s->chain.header.peaks[h])) {
			verify_tell(s->v, s->chain.first, segment_file(s->chain.first, file),
				    "it does not continue the records before it");
			return;
		}
}

static void check_bundled(struct segments *s, const struct wal_frame *frame,
			  const struct merkle_hash *leaf)
{
	uint64_t index = frame->seq / TILE_WIDTH;
	char file[SEGMENT_FILE];

	if (s->tile_index != index) {
		s->tile_index = AUDIT_NONE;
		/* A missing tile was told already. */
		if (tile_read(s->v->dir, 0, index, s->tile) < 0)
			return;
		s->tile_index = index;
	}
	/* Once for each tile: the first one tells where to look. */
	if (s->told_index == index || merkle_equal(leaf, &s->tile[frame->seq % TILE_WIDTH]))
		return;
	s->told_index = index;
	verify_tell(s->v, frame->seq, segment_file(s->chain.first, file),
		    "the record is not what tile/0 has the hash of");
}

static void check_frame(struct segments *s, const struct wal_frame *frame)
{
	struct merkle_hash leaf;

	if (s->chain.entered)
		check_header(s);
	if (frame->blob)
		return;
	merkle_leaf(frame->data, frame->len, &leaf);
	merkle_add(&s->tree, &leaf, NULL, NULL);
	if (frame->seq < s->bundled)
		check_bundled(s, frame, &leaf);
	else
		verify_add(s->v, &leaf, frame->len);
}

/*
 * Where reading ended. A bad frame is damage if it was signed, or if a later one calls it durable;
 * else it is a torn tail, or what a writer is about to write.
 */
static void judge_end(struct segments *s, bool bad, const struct wal_tail *tail)
{
	char file[SEGMENT_FILE];

	segment_file(s->chain.first, file);
	if (s->chain.first < s->firsts[s->n - 1])
		verify_tell(s->v, s->chain.next, file,
			    bad ? "the record cannot be read" : "the records after it are missing");
	else if (tail->synced > s->chain.next || (bad && s->chain.next < s->v->signed_.size))
		verify_tell(s->v, s->chain.next, file, "the record was changed or cut");
	else
		s->v->stats.torn = tail->dirty_end - wal_reader_at(&s->chain.reader);
}

/*
 * 1: a frame; 0: the end was judged. A writer may be at work: what a later frame says is held
 * against a place only after that was read once more, for it was written before.
 */
static int next_frame(struct segments *s, struct wal_frame *ret)
{
	struct wal_tail tail;
	int r;

	r = wal_chain_next(&s->chain, ret);
	if (r != 0 && r != -EBADMSG)
		return r;
	r = wal_tail_scan(s->chain.fd, wal_reader_at(&s->chain.reader), s->chain.next, &tail);
	if (r < 0)
		return r;
	s->chain.reader.have = s->chain.reader.used;
	r = wal_chain_next(&s->chain, ret);
	if (r != 0 && r != -EBADMSG)
		return r;
	judge_end(s, r < 0, &tail);
	return 0;
}

static int read_frames(struct segments *s)
{
	struct wal_frame frame;
	int r;

	while ((r = next_frame(s, &frame)) == 1)
		check_frame(s, &frame);
	return r;
}

static int begin(struct segments *s)
{
	struct verify *v = s->v;
	char file[SEGMENT_FILE];
	int r;

	if (s->firsts[0] > s->bundled) {
		verify_tell(v, s->bundled, "wal",
			    "the records from here to %llu are in no bundle and no segment",
			    (unsigned long long)s->firsts[0]);
		return 0;
	}
	r = wal_chain_init(&s->chain, v->wal, s->firsts[0], 0, s->firsts[0]);
	if (r == -EBADMSG || r == -ENOENT) {
		verify_tell(v, s->firsts[0], segment_file(s->firsts[0], file),
			    "its header was changed");
		return 0;
	}
	if (r < 0)
		return r;
	s->tree = v->oldest;
	check_header(s);
	s->tree = s->chain.header;
	return read_frames(s);
}

int verify_segments(struct verify *v, struct err *err)
{
	struct segments s = {.v = v, .chain = WAL_CHAIN_INIT, .bundled = v->tree.size};
	int r = 0;

	s.firsts = v->firsts;
	s.n = v->n_firsts;
	s.tile_index = s.told_index = AUDIT_NONE;
	if (s.n == 0)
		verify_tell(v, AUDIT_NONE, "wal", "there is no segment");
	else
		r = begin(&s);
	v->stats.segments = s.n;
	wal_chain_done(&s.chain);
	return r < 0 ? err_errno(err, -r, "audit", "cannot read the segments of %s", v->path) : 0;
}
