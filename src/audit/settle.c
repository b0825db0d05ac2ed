/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settle.c: small payloads become files, when nobody waits for it. Until then, also after kill -9,
 * the segment has the only copy: readers find it there, and who deletes the segment makes the files
 * that are missing before.
 *
 * The bytes are taken from the segment, under the append lock: a payload that was erased meanwhile
 * is zeros there and stays away.
 */
#include "audit-private.h"
#include "banned.h"
#include "blob.h"
#include "err.h"
#include "fs.h"
#include "io.h"

#include <fcntl.h>
#include <sodium/utils.h>

static int write_file(int dir, const char *path, const void *data, size_t len)
{
	_cleanup_close_ int shelf = blob_shelf(dir, path);

	return shelf < 0 ? shelf
			 : fs_replace_file(shelf, path + BLOB_SHELF_LEN + 1, data, len, 0600);
}

int blob_restore(int dir, const uint8_t *data, size_t len)
{
	_cleanup_buf_ struct buf there = BUF_INIT(WAL_BLOB_MAX + SHA_LEN);
	char hex[AUDIT_HEX + 1], path[BLOB_PATH];
	uint8_t hash[SHA_LEN];
	struct sha sha;
	int r;

	sha_init(&sha);
	sha_update(&sha, data + SHA_LEN, len - SHA_LEN);
	sha_final(&sha, hash);
	if (memcmp(hash, data, SHA_LEN) != 0)
		return 0; /* erased, or torn with no record behind it */
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	if (!blob_path(hex, path))
		return -EINVAL;
	r = io_read_file(dir, path, &there);
	if (r == 0 && there.len == len - SHA_LEN &&
	    memcmp(there.data, data + SHA_LEN, there.len) == 0)
		return 0;
	return write_file(dir, path, data + SHA_LEN, len - SHA_LEN);
}

/* Under the append lock. */
static int settle_one(struct audit *log, int segment, uint64_t at, size_t len)
{
	uint8_t data[WAL_BLOB_MAX + 2 * SHA_LEN];
	ssize_t n;

	if (len < 2 * SHA_LEN || len > sizeof(data))
		return -EINVAL;
	n = pread(segment, data, len, (off_t)(at + WAL_FRAME));
	if (n < 0)
		return -errno;
	return n == (ssize_t)len ? blob_restore(log->dir, data, len) : -EBADMSG;
}

static int settle_payload(struct audit *log, const struct audit_payload *payload)
{
	_cleanup_close_ int segment = -EBADF;
	char name[WAL_NAME];

	wal_name(payload->segment, name);
	segment = fs_open_beneath(log->wal, name, O_RDONLY, 0);
	if (segment < 0)
		return segment == -ENOENT ? 0 : segment;
	return settle_one(log, segment, payload->at, payload->len);
}

int audit_settle(struct audit *log, struct err *err)
{
	int r;

	if (log->n_payloads == 0)
		return 0;
	r = audit_lock(log, err);
	if (r == 0) {
		if (log->n_payloads > log->n_framed)
			r = audit_append_locked(log, NULL, 0, true, err);
		for (size_t i = 0; r == 0 && i < log->n_framed; i++) {
			r = settle_payload(log, &log->payloads[i]);
			if (r < 0)
				err_errno(err, -r, "audit", "cannot write a payload below %s/blobs",
					  log->path);
		}
		audit_unlock(log);
	}
	while (log->n_payloads)
		buf_done(&log->payloads[--log->n_payloads].data);
	log->n_framed = 0;
	return r;
}

static int settle_frame(struct audit *log, int segment, const struct wal_frame *frame)
{
	char hex[AUDIT_HEX + 1], path[BLOB_PATH];
	int r;

	sodium_bin2hex(hex, sizeof(hex), frame->data, SHA_LEN);
	if (!blob_path(hex, path))
		return -EINVAL;
	if (faccessat(log->dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	r = audit_lock(log, NULL);
	if (r < 0)
		return r;
	r = settle_one(log, segment, frame->at, frame->len);
	audit_unlock(log);
	return r;
}

int audit_settle_segment(struct audit *log, uint64_t first)
{
	_cleanup_close_ int segment = -EBADF;
	struct wal_reader reader;
	struct wal_frame frame;
	char name[WAL_NAME];
	int r;

	wal_name(first, name);
	segment = fs_open_beneath(log->wal, name, O_RDONLY, 0);
	if (segment < 0)
		return segment == -ENOENT ? 0 : segment;
	r = wal_reader_init(&reader, segment, WAL_HEADER);
	while (r == 0) {
		r = wal_reader_next(&reader, &frame);
		if (r <= 0)
			break;
		r = frame.blob ? settle_frame(log, segment, &frame) : 0;
	}
	wal_reader_done(&reader);
	return r;
}
