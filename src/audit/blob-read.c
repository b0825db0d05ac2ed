/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob-read.c: payloads come back, checked against the hash that is their name, and go for good:
 * from their file and from the segment that still carries a copy.
 */
#include "audit-private.h"
#include "banned.h"
#include "blob.h"
#include "err.h"
#include "fs.h"
#include "io.h"

#include <fcntl.h>
#include <sodium/utils.h>

#define CHUNK (64u << 10)

/* Calls fn for each copy in one segment. A bad frame ends the search: audit_verify() tells of it.
 */
static int copies_in(struct audit *log, uint64_t first, const uint8_t hash[SHA_LEN],
		     int (*fn)(int fd, const struct wal_frame *frame, void *data), void *data)
{
	_cleanup_close_ int fd = -EBADF;
	struct wal_reader reader;
	struct wal_frame frame;
	char name[WAL_NAME];
	int r;

	wal_name(first, name);
	fd = fs_open_beneath(log->wal, name, log->reader ? O_RDONLY : O_RDWR, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = wal_reader_init(&reader, fd, WAL_HEADER);
	while (r == 0 && wal_reader_next(&reader, &frame) == 1)
		if (frame.blob && memcmp(frame.data, hash, SHA_LEN) == 0)
			r = fn(fd, &frame, data);
	wal_reader_done(&reader);
	return r;
}

static int each_copy(struct audit *log, const uint8_t hash[SHA_LEN],
		     int (*fn)(int fd, const struct wal_frame *frame, void *data), void *data)
{
	_cleanup_free_ uint64_t *firsts = NULL;
	size_t n = 0;
	int r;

	r = wal_list(log->wal, &firsts, &n);
	while (r == 0 && n)
		r = copies_in(log, firsts[--n], hash, fn, data);
	return r;
}

static int keep_copy(int fd, const struct wal_frame *frame, void *data)
{
	struct buf *ret = data;

	(void)fd;
	ret->len = 0;
	return buf_append(ret, frame->data + SHA_LEN, frame->len - SHA_LEN);
}

static int parse_hash(const char *sha256, uint8_t hash[SHA_LEN], char path[BLOB_PATH],
		      struct err *err)
{
	if (!blob_path(sha256, path) ||
	    sodium_hex2bin(hash, SHA_LEN, sha256, AUDIT_HEX, NULL, NULL, NULL) != 0)
		return err_set(err, EINVAL, "audit", "\"%.80s\" is no hash of a payload", sha256);
	return 0;
}

static int gone(struct err *err, const char *sha256)
{
	return err_set(err, ENOENT, "audit", "the payload %s was erased, or never kept", sha256);
}

/* A payload on its way out: into a buffer or a descriptor. */
struct sink {
	struct buf *buf;
	int fd;
};

static int put(const struct sink *sink, const void *data, size_t len)
{
	if (len == 0)
		return 0;
	return sink->buf ? buf_append(sink->buf, data, len) : io_write_full(sink->fd, data, len);
}

static int copy_file(int fd, const struct sink *sink, uint8_t ret_hash[SHA_LEN])
{
	_cleanup_free_ uint8_t *chunk = malloc(CHUNK);
	size_t salt = SHA_LEN; /* what of it is still to come */
	struct sha sha;
	int r = 0;

	if (!chunk)
		return -ENOMEM;
	for (sha_init(&sha); r == 0;) {
		ssize_t n = read(fd, chunk, CHUNK);
		size_t skip;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		sha_update(&sha, chunk, (size_t)n);
		skip = MIN(salt, (size_t)n);
		salt -= skip;
		r = put(sink, chunk + skip, (size_t)n - skip);
	}
	sha_final(&sha, ret_hash);
	return r;
}

/* The file is not there: not yet, or not after a power loss until the next record restores it. */
static int copy_from_wal(struct audit *log, const uint8_t wanted[SHA_LEN], const struct sink *sink,
			 uint8_t ret_hash[SHA_LEN])
{
	_cleanup_buf_ struct buf copy = BUF_INIT(WAL_BLOB_MAX + SHA_LEN);
	struct sha sha;
	int r;

	r = each_copy(log, wanted, keep_copy, &copy);
	if (r < 0)
		return r;
	if (copy.len < SHA_LEN)
		return -ENOENT;
	sha_init(&sha);
	sha_update(&sha, copy.data, copy.len);
	sha_final(&sha, ret_hash);
	if (memcmp(ret_hash, wanted, SHA_LEN) != 0)
		return -ENOENT; /* erased */
	return put(sink, copy.data + SHA_LEN, copy.len - SHA_LEN);
}

static int read_blob(struct audit *log, const char *sha256, const struct sink *sink,
		     struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	uint8_t wanted[SHA_LEN], hash[SHA_LEN];
	char path[BLOB_PATH];
	int r;

	r = parse_hash(sha256, wanted, path, err);
	if (r == 0)
		r = audit_settle(log, err);
	if (r < 0)
		return r;
	fd = fs_open_beneath(log->dir, path, O_RDONLY, 0);
	if (fd == -ENOENT) {
		r = copy_from_wal(log, wanted, sink, hash);
		/* Its segment may have gone meanwhile, and then there is a file. */
		if (r == -ENOENT)
			fd = fs_open_beneath(log->dir, path, O_RDONLY, 0);
	}
	if (fd != -ENOENT)
		r = fd >= 0 ? copy_file(fd, sink, hash) : fd;
	if (r == -ENOENT)
		return gone(err, sha256);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot read %s/%s", log->path, path);
	if (memcmp(hash, wanted, SHA_LEN) != 0)
		return err_set(err, EUCLEAN, "audit",
			       "%s/%s was changed: it is not what its name says", log->path, path);
	return 0;
}

int audit_blob_read(struct audit *log, const char *sha256, struct buf *ret, struct err *err)
{
	size_t before = ret->len;
	int r;

	r = read_blob(log, sha256, &(struct sink){.buf = ret, .fd = -EBADF}, err);
	if (r < 0)
		ret->len = before;
	return r;
}

int audit_blob_copy(struct audit *log, const char *sha256, int fd, struct err *err)
{
	return read_blob(log, sha256, &(struct sink){.fd = fd}, err);
}

static int zero_copy(int fd, const struct wal_frame *frame, void *data)
{
	bool *erased = data, empty = true;
	int r;

	for (size_t i = SHA_LEN; empty && i < frame->len; i++)
		empty = frame->data[i] == 0;
	if (empty)
		return 0;
	r = wal_zero(fd, frame->at + WAL_FRAME + SHA_LEN, frame->end);
	if (r == 0 && fdatasync(fd) < 0)
		r = -errno;
	*erased |= r == 0;
	return r;
}

static int unlink_synced(int dir, const char *path, bool *ret_erased)
{
	_cleanup_close_ int shelf = -EBADF;
	const char *name = strrchr(path, '/') + 1;
	char parent[BLOB_PATH];

	snprintf(parent, sizeof(parent), "%.*s", (int)(name - path - 1), path);
	shelf = fs_open_beneath(dir, parent, O_RDONLY | O_DIRECTORY, 0);
	if (shelf < 0)
		return shelf == -ENOENT ? 0 : shelf;
	if (unlinkat(shelf, name, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	*ret_erased = true;
	return fsync(shelf) < 0 ? -errno : 0;
}

int audit_blob_erase(struct audit *log, const char *sha256, struct err *err)
{
	uint8_t hash[SHA_LEN];
	char path[BLOB_PATH];
	bool erased = false;
	int r;

	r = parse_hash(sha256, hash, path, err);
	if (r == 0)
		r = audit_settle(log, err);
	/* Recovery, which restores files from segments, works under the same lock. */
	if (r == 0)
		r = audit_lock(log, err);
	if (r < 0)
		return r;
	r = each_copy(log, hash, zero_copy, &erased);
	if (r == 0)
		r = unlink_synced(log->dir, path, &erased);
	audit_unlock(log);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot erase %s/%s", log->path, path);
	return erased ? 0 : gone(err, sha256);
}
