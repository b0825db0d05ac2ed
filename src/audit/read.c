/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.c: records by number, as far as the checkpoint signs them. What a segment still has is taken
 * from there, because its frames carry checksums; what is older comes from the bundles.
 */
#include "audit-private.h"
#include "banned.h"
#include "err.h"
#include "tiles.h"
#include "wal-chain.h"

struct audit_iter {
	struct audit *log;
	uint64_t next, size;
	bool in_wal, in_bundle;
	struct wal_chain chain;
	struct buf bundle;
	size_t at;
};

int audit_iter_new(struct audit *log, uint64_t seq, struct audit_iter **ret, struct err *err)
{
	struct audit_iter *iter = calloc(1, sizeof(*iter));

	if (!iter)
		return err_set(err, ENOMEM, "audit", "no memory to read %s", log->path);
	iter->log = log;
	iter->next = seq;
	iter->chain = WAL_CHAIN_INIT;
	iter->bundle = BUF_INIT(TILE_BUNDLE_MAX);
	*ret = iter;
	return 0;
}

struct audit_iter *audit_iter_free(struct audit_iter *iter)
{
	if (!iter)
		return NULL;
	wal_chain_done(&iter->chain);
	buf_done(&iter->bundle);
	free(iter);
	return NULL;
}

static int unreadable(struct audit_iter *iter, struct err *err)
{
	iter->in_wal = iter->in_bundle = false;
	return audit_damaged(iter->log, err, "record %llu cannot be read",
			     (unsigned long long)iter->next);
}

/* The newest segment that begins at or before the record. -ENOENT: none has it any more. */
static int enter_wal(struct audit_iter *iter)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	size_t n;
	int r;

	r = wal_list(iter->log->wal, &firsts, &n);
	if (r < 0)
		return r;
	while (n && firsts[n - 1] > iter->next)
		n--;
	if (n == 0)
		return -ENOENT;
	wal_chain_done(&iter->chain);
	r = wal_chain_init(&iter->chain, iter->log->wal, firsts[n - 1], 0, firsts[n - 1]);
	if (r == 0)
		r = wal_chain_seek(&iter->chain, iter->next);
	if (r == 0)
		iter->in_wal = true;
	return r;
}

static int enter_bundle(struct audit_iter *iter)
{
	const uint8_t *data;
	size_t len;
	int r;

	r = tile_read_bundle(iter->log->dir, iter->next / TILE_WIDTH, &iter->bundle);
	if (r < 0)
		return r;
	iter->at = 0;
	for (uint64_t i = iter->next % TILE_WIDTH; i; i--)
		if (!tile_entry(&iter->bundle, &iter->at, &data, &len))
			return -EBADMSG;
	iter->in_bundle = true;
	return 0;
}

/* 1: a record; 0: this source has no more. */
static int take(struct audit_iter *iter, const void **ret_data, size_t *ret_len)
{
	const uint8_t *data;
	struct wal_frame frame;
	int r;

	if (iter->in_bundle) {
		if (!tile_entry(&iter->bundle, &iter->at, &data, ret_len))
			return iter->next % TILE_WIDTH ? -EBADMSG : 0;
		*ret_data = data;
		return 1;
	}
	do {
		r = wal_chain_next(&iter->chain, &frame);
	} while (r == 1 && frame.blob);
	if (r == 1) {
		*ret_data = frame.data;
		*ret_len = frame.len;
	}
	return r;
}

/* From the source that is open, else from the one that has it. */
static int take_any(struct audit_iter *iter, const void **ret_data, size_t *ret_len)
{
	int r = 0;

	if (iter->in_wal || iter->in_bundle)
		r = take(iter, ret_data, ret_len);
	if (r != 0)
		return r;
	iter->in_wal = iter->in_bundle = false;
	r = enter_wal(iter);
	if (r == -ENOENT)
		r = enter_bundle(iter);
	if (r == 0)
		r = take(iter, ret_data, ret_len);
	return r == 0 || r == -ENOENT ? -EBADMSG : r;
}

int audit_iter_next(struct audit_iter *iter, uint64_t *ret_seq, const void **ret_data,
		    size_t *ret_len, struct err *err)
{
	int r;

	if (iter->next >= iter->size) {
		r = audit_size(iter->log, &iter->size, err);
		if (r < 0 || iter->next >= iter->size)
			return r;
	}
	r = take_any(iter, ret_data, ret_len);
	if (r == -EBADMSG)
		return unreadable(iter, err);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot read record %llu of %s",
				 (unsigned long long)iter->next, iter->log->path);
	*ret_seq = iter->next++;
	return 1;
}

int audit_read(struct audit *log, uint64_t seq, struct buf *ret, struct err *err)
{
	struct audit_iter *iter = NULL;
	const void *data = NULL;
	uint64_t got;
	size_t len = 0;
	int r;

	r = audit_iter_new(log, seq, &iter, err);
	if (!iter)
		return r;
	r = audit_iter_next(iter, &got, &data, &len, err);
	if (r == 0)
		r = err_set(err, ENOENT, "audit", "the log %s has %llu records, no record %llu",
			    log->path, (unsigned long long)iter->size, (unsigned long long)seq);
	else if (r == 1)
		r = buf_append(ret, data, len);
	audit_iter_free(iter);
	return r;
}
