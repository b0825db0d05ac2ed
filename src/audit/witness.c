/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness.c: checkpoints go to somebody who remembers them, the one thing that the owner of key and
 * disk cannot take back. A file gets note after note, parted by empty lines; a URL is a witness of
 * C2SP tlog-witness. What a witness answers is judged by form only: whose cosignatures count is for
 * those to say who verify.
 */
#include "audit-private.h"
#include "banned.h"
#include "curl.h"
#include "err.h"
#include "fs.h"
#include "io.h"
#include "source.h"

#include <fcntl.h>

#define ANSWER_MAX (32u << 10)

static int sync_parent(const char *path)
{
	_cleanup_close_ int fd = -EBADF;
	char parent[CEIL_PATH];
	const char *slash = strrchr(path, '/');

	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path + 1) : 1,
		 slash ? path : ".");
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* One write, so that two who append at once do not mix. */
static int to_file(const char *path, struct buf *note, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = buf_putc(note, '\n');
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0)
		return err_errno(err, errno, "audit", "cannot open the witness file %s", path);
	if (r == 0)
		r = io_write_full(fd, note->data, note->len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		r = sync_parent(path);
	return r < 0 ? err_errno(err, -r, "audit", "cannot write the witness file %s", path) : 0;
}

/* "old N", the proof from there, an empty line, the checkpoint. */
static int request(struct audit *log, const struct checkpoint *checkpoint, const struct buf *note,
		   uint64_t old, struct buf *ret, struct err *err)
{
	char hash[NOTE_HASH_LEN + 1];
	struct merkle_source merkle;
	struct merkle_proof proof;
	struct source *source;
	int r;

	r = source_new(log, checkpoint->size, &source, err);
	if (r < 0)
		return r;
	merkle = source_merkle(source);
	r = merkle_consistency(&merkle, old, checkpoint->size, &proof);
	source_free(source);
	if (r < 0)
		return r;
	ret->len = 0;
	r = buf_printf(ret, "old %llu\n", (unsigned long long)old);
	for (size_t i = 0; r == 0 && i < proof.n; i++) {
		note_hash_format(&proof.hashes[i], hash);
		r = buf_printf(ret, "%s\n", hash);
	}
	if (r == 0)
		r = buf_putc(ret, '\n');
	if (r == 0)
		r = buf_append(ret, note->data, note->len);
	return r < 0 ? err_errno(err, -r, "audit", "cannot write the request to the witness") : 0;
}

/* The answers that are no 200. */
static int refused(const char *url, unsigned status, const struct checkpoint *checkpoint,
		   struct err *err)
{
	switch (status) {
	case 403:
	case 404:
		return err_set(
			err, EACCES, "audit",
			"the witness %s does not know the log %s: give it the key that `creel "
			"audit key` prints",
			url, checkpoint->origin);
	case 409:
	case 422:
		return err_set(
			err, ESTALE, "audit",
			"the witness %s has seen another history of %s than its %llu records: "
			"this log was rolled back or rewritten",
			url, checkpoint->origin, (unsigned long long)checkpoint->size);
	default:
		return err_set(err, EPROTO, "audit",
			       "the witness %s answered %u to add-checkpoint; see its own log", url,
			       status);
	}
}

static bool has_line(const struct buf *note, const char *line, size_t len)
{
	for (size_t at = 0; at < note->len;) {
		const char *end = memchr(note->data + at, '\n', note->len - at);
		size_t n = end ? (size_t)(end - note->data) - at + 1 : note->len - at;

		if (n == len && memcmp(note->data + at, line, len) == 0)
			return true;
		at += n;
	}
	return false;
}

/* Unless another commit came meanwhile: then it waits for its own cosignatures. */
static int store(struct audit *log, const struct buf *note, const struct buf *lines,
		 struct err *err)
{
	_cleanup_buf_ struct buf now = BUF_INIT(AUDIT_NOTE_MAX);
	bool done;
	int r;

	r = audit_take_turn(log, AUDIT_NONE, &done, err);
	if (r < 0)
		return r;
	r = io_read_file(log->dir, "checkpoint", &now);
	if (r == 0 && now.len == note->len && memcmp(now.data, note->data, now.len) == 0) {
		for (size_t at = 0, n; r == 0 && at < lines->len; at += n) {
			n = (size_t)(strchr(lines->data + at, '\n') - (lines->data + at)) + 1;
			if (!has_line(&now, lines->data + at, n))
				r = buf_append(&now, lines->data + at, n);
		}
		if (r == 0 && now.len > note->len)
			r = fs_replace_file(log->dir, "checkpoint", now.data, now.len, 0600);
	}
	audit_end_turn(log);
	return r < 0 ? err_errno(err, -r, "audit", "cannot keep the witness's signatures in %s",
				 log->path)
		     : 0;
}

/* 409 tells how many records the witness has seen. */
static bool seen_size(const struct buf *answer, uint64_t *ret)
{
	size_t len = answer->len;

	if (len && answer->data[len - 1] == '\n')
		len--;
	return note_number_parse(answer->data, len, ret) == 0;
}

static int to_url(struct audit *log, const char *url, unsigned wait_ms,
		  const struct checkpoint *checkpoint, const struct buf *note, struct err *err)
{
	_cleanup_buf_ struct buf body = BUF_INIT(2 * AUDIT_NOTE_MAX), answer = BUF_INIT(ANSWER_MAX);
	uint64_t old = 0, seen;
	unsigned status = 0;
	int r;

	for (int round = 0; round < 2; round++) {
		r = request(log, checkpoint, note, old, &body, err);
		if (r == 0)
			r = curl_post(url, "add-checkpoint", &body, wait_ms, &status, &answer, err);
		if (r < 0)
			return r;
		/* It is asked once with what it says; who answers 409 again has another root. */
		if (status != 409 || !seen_size(&answer, &seen) || seen > checkpoint->size ||
		    seen == old)
			break;
		old = seen;
	}
	if (status != 200)
		return refused(url, status, checkpoint, err);
	if (!note_is_signatures(answer.data, answer.len))
		return err_set(err, EPROTO, "audit", "the witness %s answered no signature lines",
			       url);
	return store(log, note, &answer, err);
}

int audit_witness(struct audit *log, const char *target, unsigned wait_ms, struct err *err)
{
	_cleanup_buf_ struct buf note = BUF_INIT(AUDIT_NOTE_MAX);
	struct checkpoint checkpoint;
	int r;

	r = audit_load_signed(log, &note, &checkpoint, err);
	if (r < 0)
		return r;
	if (strncmp(target, "http://", 7) == 0 || strncmp(target, "https://", 8) == 0)
		return to_url(log, target, wait_ms, &checkpoint, &note, err);
	return to_file(target, &note, err);
}
