/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.c: makes the head anew from the segments that are there: after a kill in mid-append, a
 * power loss, an I/O error, or when the head is gone. It tells a torn tail, which nobody was
 * promised and which is cut, from damage to what was acknowledged, which stops everything:
 *
 *   the checkpoint signs more records than there are, or another root       damage
 *   a bad frame in a segment that is not the newest, or a gap between two    damage
 *   a bad frame, and a later one says that its record was durable            damage
 *   any other bad frame                                                     torn
 *
 * A checkpoint that is empty or zeros was renamed but not written when the power failed; it is
 * signed anew, and a record says so.
 */
#include "audit-private.h"
#include "banned.h"
#include "clock.h"
#include "err.h"
#include "jcs.h"
#include "tiles.h"
#include "wal-chain.h"

#include <fcntl.h>

struct recovery {
	struct audit *log;
	struct checkpoint signed_;
	bool signed_lost;
	uint64_t *firsts;
	size_t n_firsts;
	struct wal_chain chain;
	struct tiler tiler;
	struct head head;
	uint64_t signed_segment, signed_end; /* where the last signed record's frame ends */
	uint64_t cut;
};

static uint64_t newest(const struct recovery *re)
{
	return re->firsts[re->n_firsts - 1];
}

/* At the size that the checkpoint signs the roots must agree. */
static int check_signed(struct recovery *re, uint64_t end, struct err *err)
{
	struct merkle_hash root;

	if (re->signed_lost || re->head.tree.size != re->signed_.size)
		return 0;
	merkle_root(&re->head.tree, &root);
	if (!merkle_equal(&root, &re->signed_.root))
		return audit_damaged(re->log, err,
				     "records below %llu in wal/ are not what its checkpoint signs",
				     (unsigned long long)re->signed_.size);
	re->signed_segment = re->chain.first;
	re->signed_end = end;
	return 0;
}

static bool same_peaks(const struct merkle_tree *a, const struct merkle_tree *b)
{
	for (unsigned h = 0; h < 64; h++)
		if (a->size >> h & 1 && !merkle_equal(&a->peaks[h], &b->peaks[h]))
			return false;
	return a->size == b->size;
}

static int tile(struct recovery *re, const struct wal_frame *frame, struct err *err)
{
	int r;

	/* What belongs to a bundle that began before the oldest segment is in its file. */
	r = frame->seq < re->tiler.next
		    ? 0
		    : tiler_add(&re->tiler, frame->data, frame->len, &re->head.last);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot write the tiles of %s", re->log->path);
	if (re->head.tree.size == re->tiler.next && re->tiler.next % TILE_WIDTH == 0) {
		re->head.tiled = re->tiler.next;
		re->head.tiled_segment = re->chain.first;
		re->head.tiled_at = frame->end;
	}
	return 0;
}

static int replay_frame(struct recovery *re, const struct wal_frame *frame, struct err *err)
{
	struct head *head = &re->head;
	int r;

	if (re->chain.entered) {
		if (!same_peaks(&re->chain.header, &head->tree))
			return audit_damaged(
				re->log, err,
				"the segment wal/%020llu.seg does not continue the one before",
				(unsigned long long)re->chain.first);
		head->segment = re->chain.first;
		head->last_at = 0;
	}
	head->end = frame->end;
	if (frame->blob) {
		r = blob_restore(re->log->dir, frame->data, frame->len);
		return r < 0 ? err_errno(err, -r, "audit", "cannot write a payload of %s",
					 re->log->path)
			     : 0;
	}
	merkle_leaf(frame->data, frame->len, &head->last);
	merkle_add(&head->tree, &head->last, NULL, NULL);
	head->last_at = frame->at;
	r = check_signed(re, frame->end, err);
	return r < 0 ? r : tile(re, frame, err);
}

/* All frames up to the end or the first bad one; r as wal_chain_next() ended. */
static int replay(struct recovery *re, int *ret_end, struct err *err)
{
	struct wal_frame frame;
	int r;

	for (;;) {
		*ret_end = wal_chain_next(&re->chain, &frame);
		if (*ret_end != 1)
			return *ret_end < 0 && *ret_end != -EBADMSG
				       ? err_errno(err, -*ret_end, "audit",
						   "cannot read the segments of %s", re->log->path)
				       : 0;
		r = replay_frame(re, &frame, err);
		if (r < 0)
			return r;
	}
}

static int begin(struct recovery *re, struct err *err)
{
	_cleanup_buf_ struct buf note = BUF_INIT(AUDIT_NOTE_MAX);
	struct audit *log = re->log;
	uint64_t first;
	int r;

	r = audit_load_checkpoint(log, &note, &re->signed_, &re->signed_lost, err);
	if (r < 0)
		return r;
	r = wal_list(log->wal, &re->firsts, &re->n_firsts);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot list %s/wal", log->path);
	if (re->n_firsts == 0)
		return audit_damaged(log, err, "wal/ has no segment");
	first = re->firsts[0];
	r = wal_chain_init(&re->chain, log->wal, first, 0, first);
	if (r == -EBADMSG)
		return audit_damaged(log, err, "the header of wal/%020llu.seg was changed",
				     (unsigned long long)first);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot read the segments of %s", log->path);
	if (!re->signed_lost && re->signed_.size < first)
		return audit_damaged(log, err, "its checkpoint is older than its oldest segment");
	re->head.tree = re->chain.header;
	re->head.segment = re->head.tiled_segment = first;
	re->head.end = re->head.tiled_at = WAL_HEADER;
	tiler_init(&re->tiler, log->dir, (first + TILE_WIDTH - 1) / TILE_WIDTH * TILE_WIDTH);
	re->tiler.repair = true;
	re->head.tiled = re->tiler.next;
	return check_signed(re, WAL_HEADER, err);
}

/* Reading ended without a bad frame: at the end of the newest segment, which may be empty. */
static int end_of_newest(struct recovery *re, struct err *err)
{
	if (re->chain.first != newest(re))
		return audit_damaged(re->log, err, "records from %llu to %llu are missing in wal/",
				     (unsigned long long)re->chain.next,
				     (unsigned long long)newest(re));
	if (re->head.segment == re->chain.first)
		return 0;
	if (!same_peaks(&re->chain.header, &re->head.tree))
		return audit_damaged(re->log, err, "the header of wal/%020llu.seg was changed",
				     (unsigned long long)newest(re));
	re->head.segment = re->chain.first;
	re->head.end = WAL_HEADER;
	re->head.last_at = 0;
	return 0;
}

/* What stands behind the last good frame is cut, unless it tells of a loss. */
static int judge_tail(struct recovery *re, bool bad, struct err *err)
{
	uint64_t size = re->head.tree.size;
	struct wal_tail tail;
	int r;

	if (bad && re->chain.first != newest(re))
		return audit_damaged(re->log, err, "record %llu in wal/%020llu.seg cannot be read",
				     (unsigned long long)size, (unsigned long long)re->chain.first);
	r = wal_tail_scan(re->chain.fd, re->head.end, size, &tail);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot read the segments of %s", re->log->path);
	/* A segment that begins within a bundle is the oldest only after that was complete. */
	if (tail.synced > size || (!re->signed_lost && re->signed_.size > size) ||
	    re->head.tiled > size)
		return audit_damaged(
			re->log, err,
			"record %llu in wal/%020llu.seg cannot be read, and it was acknowledged",
			(unsigned long long)size, (unsigned long long)re->chain.first);
	re->cut = tail.dirty_end - re->head.end;
	return 0;
}

/*
 * The same bytes once more, from what is signed on: after a failed sync the kernel holds pages for
 * clean that never reached the disk.
 */
static int rewrite(int fd, uint64_t from, uint64_t to)
{
	char chunk[16 << 10];

	while (from < to) {
		ssize_t n = pread(fd, chunk, (size_t)MIN(to - from, (uint64_t)sizeof(chunk)),
				  (off_t)from);

		if (n > 0)
			n = pwrite(fd, chunk, (size_t)n, (off_t)from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		from += (uint64_t)n;
	}
	return 0;
}

static int make_durable(struct recovery *re, struct err *err)
{
	struct head *head = &re->head;
	int fd, r;

	re->log->head = *head;
	r = audit_segment(re->log, err);
	if (r < 0)
		return r;
	fd = re->log->segment_fd;
	r = wal_zero(fd, head->end, head->end + re->cut);
	if (r == 0)
		r = rewrite(fd, re->signed_segment == head->segment ? re->signed_end : WAL_HEADER,
			    head->end);
	if (r == 0 && fdatasync(fd) < 0)
		r = -errno;
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot repair the end of %s", re->log->path);
	head->synced = re->signed_lost ? 0 : re->signed_.size;
	re->log->head = *head;
	return 0;
}

static int tell(struct recovery *re, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(512);
	char time[CLOCK_TEXT];
	struct jcs jcs;
	int r;

	clock_now_text(time);
	jcs_init(&jcs, &text);
	jcs_object(&jcs, NULL);
	if (re->signed_lost)
		jcs_bool(&jcs, "checkpoint_lost", true);
	jcs_u64(&jcs, "cut_bytes", re->cut);
	jcs_string(&jcs, "time", time);
	jcs_string(&jcs, "type", "log.recovered");
	jcs_object_end(&jcs);
	r = jcs_done(&jcs);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot write of the recovery of %s",
				 re->log->path);
	return audit_append_locked(re->log, &(struct audit_record){text.data, text.len}, 1, false,
				   err);
}

int audit_recover(struct audit *log, struct err *err)
{
	struct recovery re = {.log = log, .chain = WAL_CHAIN_INIT};
	int end = 0, r;

	log->attached = false;
	r = begin(&re, err);
	if (r == 0)
		r = replay(&re, &end, err);
	if (r == 0 && end == 0)
		r = end_of_newest(&re, err);
	if (r == 0)
		r = judge_tail(&re, end < 0, err);
	if (r == 0)
		r = make_durable(&re, err);
	if (r == 0 && (re.cut || re.signed_lost))
		r = tell(&re, err);
	else if (r == 0)
		r = head_write(log->head_fd, log->boot, &log->head, false);
	tiler_done(&re.tiler);
	wal_chain_done(&re.chain);
	free(re.firsts);
	return r;
}
