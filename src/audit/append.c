/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.c: records go to the end of the newest segment. The head is marked before anything is
 * written and unmarked with the new end: who is killed between leaves the mark, and the next one
 * recovers. What fails is undone before the mark goes, so that a failed append leaves no trace.
 */
#include "audit-private.h"
#include "banned.h"
#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "jcs.h"
#include "tiles.h"
#include "wal-chain.h"

#include <fcntl.h>

#define GROUP_BYTES_MAX (32u << 20)
#define FRAMES_MAX	(GROUP_BYTES_MAX + AUDIT_PAYLOADS * (WAL_FRAME + WAL_BLOB_MAX + 2 * SHA_LEN))

int audit_segment(struct audit *log, struct err *err)
{
	char name[WAL_NAME];
	struct stat st;

	if (log->segment_fd >= 0 && log->segment == log->head.segment)
		return 0;
	log->segment_fd = fd_close(log->segment_fd);
	wal_name(log->head.segment, name);
	log->segment_fd = fs_open_beneath(log->wal, name, O_RDWR, 0);
	if (log->segment_fd < 0)
		return audit_damaged(log, err, "wal/%s: %s", name, strerror(-log->segment_fd));
	if (fstat(log->segment_fd, &st) < 0 || (uint64_t)st.st_size < log->head.end) {
		log->segment_fd = fd_close(log->segment_fd);
		return audit_damaged(log, err, "wal/%s was cut to %lld bytes", name,
				     (long long)st.st_size);
	}
	log->segment = log->head.segment;
	log->attached = false;
	return 0;
}

/* Once per segment and process: that it ends as the head tells. */
static int attach(struct audit *log, struct err *err)
{
	_cleanup_buf_ struct buf note = BUF_INIT(AUDIT_NOTE_MAX);
	_cleanup_buf_ struct buf data = BUF_INIT(WAL_SEGMENT_BYTES);
	struct merkle_hash leaf;
	struct checkpoint signed_;
	struct wal_frame frame = {.seq = 0};
	bool lost;
	int r;

	if (log->attached)
		return 0;
	/* Only the size matters here: the head's word for the signature is enough, and only here.
	 */
	log->known = log->head.note;
	r = audit_load_checkpoint(log, &note, &signed_, &lost, err);
	log->known = (struct merkle_hash){.bytes = {0}};
	if (r < 0)
		return r;
	if (signed_.size > log->head.tree.size)
		return audit_damaged(log, err, "it has %llu records and its checkpoint signs %llu",
				     (unsigned long long)log->head.tree.size,
				     (unsigned long long)signed_.size);
	if (log->head.last_at) {
		r = wal_read_frame(log->segment_fd, log->head.last_at, log->head.end, &data,
				   &frame);
		if (r == 1)
			merkle_leaf(frame.data, frame.len, &leaf);
		if (r < 0 && r != -EBADMSG)
			return err_errno(err, -r, "audit", "cannot read the end of %s", log->path);
		if (r != 1 || frame.blob || !merkle_equal(&leaf, &log->head.last))
			return audit_damaged(log, err, "its last record, %llu, was changed",
					     (unsigned long long)log->head.tree.size - 1);
	}
	log->attached = true;
	return 0;
}

/* A bundle hashes its records again when it is full, unless they are remembered here. */
static void remember_leaf(struct audit *log, uint64_t seq, const struct merkle_hash *leaf)
{
	if (seq != log->leaves_to)
		log->leaves_from = seq;
	log->leaves[seq % TILE_WIDTH] = *leaf;
	log->leaves_to = seq + 1;
	if (seq - log->leaves_from == TILE_WIDTH)
		log->leaves_from++;
}

static const struct merkle_hash *leaf_of(const struct audit *log, const struct wal_frame *frame,
					 struct merkle_hash *scratch)
{
	if (frame->seq >= log->leaves_from && frame->seq < log->leaves_to)
		return &log->leaves[frame->seq % TILE_WIDTH];
	merkle_leaf(frame->data, frame->len, scratch);
	return scratch;
}

int audit_tile(struct audit *log, struct err *err)
{
	struct wal_chain chain = WAL_CHAIN_INIT;
	struct merkle_hash leaf;
	struct wal_frame frame;
	struct tiler tiler;
	int r;

	if (log->head.tree.size - log->head.tiled < TILE_WIDTH)
		return 0;
	tiler_init(&tiler, log->dir, log->head.tiled);
	r = wal_chain_init(&chain, log->wal, log->head.tiled_segment, log->head.tiled_at,
			   log->head.tiled);
	while (r == 0 && log->head.tree.size - log->head.tiled >= TILE_WIDTH) {
		r = wal_chain_next(&chain, &frame);
		if (r != 1) {
			r = r < 0 ? r : -EBADMSG;
			break;
		}
		r = 0;
		if (frame.blob)
			continue;
		r = tiler_add(&tiler, frame.data, frame.len, leaf_of(log, &frame, &leaf));
		if (r == 0 && tiler.next % TILE_WIDTH == 0) {
			log->head.tiled = tiler.next;
			log->head.tiled_segment = chain.first;
			log->head.tiled_at = frame.end;
		}
	}
	tiler_done(&tiler);
	wal_chain_done(&chain);
	if (r == -EBADMSG)
		return audit_damaged(log, err, "record %llu in wal/ cannot be read",
				     (unsigned long long)chain.next);
	return r < 0 ? err_errno(err, -r, "audit", "cannot write the tiles of %s", log->path) : 0;
}

/* A new segment when the newest is full; the old one is durable from here. */
static int rotate(struct audit *log, struct err *err)
{
	struct head *head = &log->head;
	int r;

	if (head->tree.size == head->segment ||
	    (head->tree.size - head->segment < WAL_SEGMENT_RECORDS &&
	     head->end < WAL_SEGMENT_BYTES))
		return 0;
	r = fdatasync(log->segment_fd) < 0 ? -errno : 0;
	if (r == 0)
		r = wal_create(log->wal, &head->tree, 1);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot begin a new segment of %s", log->path);
	head->segment = head->tree.size;
	head->end = WAL_HEADER;
	head->last_at = 0;
	log->rotations++;
	return audit_segment(log, err);
}

/* What head will be; at is where the first record's frame begins. */
static void count(struct audit *log, struct head *head, uint64_t at,
		  const struct audit_record *records, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		merkle_leaf(records[i].data, records[i].len, &head->last);
		remember_leaf(log, head->tree.size, &head->last);
		merkle_add(&head->tree, &head->last, NULL, NULL);
		head->last_at = at;
		at += WAL_FRAME + records[i].len;
	}
	head->end = at;
}

static int encode_payloads(struct audit *log, struct buf *ret)
{
	const struct head *head = &log->head;
	int r = 0;

	for (size_t i = log->n_framed; r == 0 && i < log->n_payloads; i++) {
		struct audit_payload *payload = &log->payloads[i];

		payload->segment = head->segment;
		payload->at = head->end + ret->len;
		r = wal_encode(&(struct wal_frame){.seq = head->tree.size,
						   .synced = head->synced,
						   .data = (const uint8_t *)payload->data.data,
						   .len = payload->len,
						   .blob = true},
			       ret);
	}
	return r;
}

static int encode(const struct head *head, const struct audit_record *records, size_t n,
		  struct buf *ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = wal_encode(&(struct wal_frame){.seq = head->tree.size + i,
						   .synced = head->synced,
						   .data = records[i].data,
						   .len = records[i].len},
			       ret);
	return r;
}

static void payloads_are_framed(struct audit *log)
{
	for (; log->n_framed < log->n_payloads; log->n_framed++)
		buf_done(&log->payloads[log->n_framed].data);
}

static int write_at(int fd, const char *data, size_t len, uint64_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

/* The mark, the frames, the tiles that they fill, the new head. */
static int write_frames(struct audit *log, const struct head *next, const struct buf *frames)
{
	const struct head before = log->head;
	int r;

	r = head_write(log->head_fd, log->boot, &before, true);
	if (r < 0)
		return r;
	r = write_at(log->segment_fd, frames->data, frames->len, before.end);
	if (r == 0) {
		log->head = *next;
		/* The records are in; the next append tries again, and fails if this fails again.
		 */
		if (audit_tile(log, NULL) < 0)
			log->attached = false;
		r = head_write(log->head_fd, log->boot, &log->head, false);
	}
	if (r == 0)
		return 0;
	/* What cannot be undone stays marked, and the next one recovers. */
	log->head = before;
	log->leaves_to = log->leaves_from = 0;
	if (wal_zero(log->segment_fd, before.end, before.end + frames->len) < 0 ||
	    head_write(log->head_fd, log->boot, &before, false) < 0)
		log->attached = false;
	return r;
}

int audit_append_locked(struct audit *log, const struct audit_record *records, size_t n,
			bool payloads, struct err *err)
{
	_cleanup_buf_ struct buf frames = BUF_INIT(FRAMES_MAX);
	struct head next;
	uint64_t at = 0;
	int r;

	r = audit_segment(log, err);
	if (r == 0)
		r = attach(log, err);
	if (r == 0)
		r = audit_tile(log, err);
	if (r == 0)
		r = rotate(log, err);
	if (r < 0)
		return r;
	if (payloads)
		r = encode_payloads(log, &frames);
	if (r == 0) {
		at = log->head.end + frames.len;
		r = encode(&log->head, records, n, &frames);
	}
	if (r == 0)
		r = wal_reserve(log->segment_fd, log->head.end + frames.len);
	if (r == 0) {
		next = log->head;
		count(log, &next, at, records, n);
		r = write_frames(log, &next, &frames);
	}
	if (r == 0 && payloads)
		payloads_are_framed(log);
	return r < 0 ? err_errno(err, -r, "audit", "cannot append to the log %s", log->path) : 0;
}

static int check_records(const struct audit_record *records, size_t n, struct err *err)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		if (records[i].len > CEIL_AUDIT_RECORD)
			return err_set(
				err, E2BIG, "audit",
				"a record of %zu bytes is longer than %u: what is large goes "
				"into a side payload",
				records[i].len, CEIL_AUDIT_RECORD);
		if (!jcs_is_canonical(records[i].data, records[i].len))
			return err_set(err, EINVAL, "audit",
				       "a record of %zu bytes is not canonical JSON (RFC 8785)",
				       records[i].len);
		bytes += WAL_FRAME + records[i].len;
	}
	if (n == 0 || bytes > GROUP_BYTES_MAX)
		return err_set(err, n ? E2BIG : EINVAL, "audit",
			       "%zu records of %zu bytes are no group", n, bytes);
	return 0;
}

int audit_append_group(struct audit *log, const struct audit_record *records, size_t n,
		       uint64_t *ret_first, struct err *err)
{
	uint64_t first;
	int r;

	r = check_records(records, n, err);
	if (r < 0)
		return r;
	r = audit_lock(log, err);
	if (r < 0)
		return r;
	first = log->head.tree.size;
	r = audit_append_locked(log, records, n, true, err);
	audit_unlock(log);
	if (r == 0)
		*ret_first = first;
	return r;
}

int audit_append(struct audit *log, const void *record, size_t len, uint64_t *ret_seq,
		 struct err *err)
{
	return audit_append_group(log, &(struct audit_record){record, len}, 1, ret_seq, err);
}
