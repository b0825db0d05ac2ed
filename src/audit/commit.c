/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commit.c: one process syncs for all who wait. What is signed is what fdatasync(2) returned for,
 * never more.
 *
 * The checkpoint itself is not synced: that would cost a second wait for the disk, and it can be
 * made anew from durable records and the key. It is written over in place while its length stays
 * the same: one sector, which a disk writes whole or not at all; a rename(2) each time would make
 * metadata that the next sync then writes (measured: it doubles a commit). When the length changes
 * it is replaced by rename, and may be an older one or empty after a power loss; recovery signs
 * again. What was handed out before stays a prefix of what comes: no record that it signs can be
 * lost. Readers that meet half a write read once more.
 */
#include "audit-private.h"
#include "banned.h"
#include "err.h"
#include "fs.h"

#include <fcntl.h>

#define SECTOR 512u

/* What the sync will cover: *ret_fd is a descriptor of the newest segment. */
static int snapshot(struct audit *log, uint64_t seq, struct checkpoint *ret, bool *ret_done,
		    struct err *err)
{
	int r;

	r = audit_lock(log, err);
	if (r < 0)
		return r;
	*ret_done = log->head.synced > seq;
	ret->size = log->head.tree.size;
	merkle_root(&log->head.tree, &ret->root);
	if (seq >= ret->size)
		r = err_set(err, EINVAL, "audit", "the log %s has no record %llu to commit",
			    log->path, (unsigned long long)seq);
	if (r == 0 && !*ret_done)
		r = audit_segment(log, err);
	audit_unlock(log);
	return r;
}

/* Nothing may be appended on top of what may not be on the disk: the next one recovers. */
static int sync_failed(struct audit *log, int error, struct err *err)
{
	if (audit_lock(log, NULL) == 0) {
		if (head_write(log->head_fd, log->boot, &log->head, true) < 0)
			error = EIO;
		audit_unlock(log);
	}
	return err_errno(err, error, "audit", "cannot sync the log %s", log->path);
}

static int write_checkpoint(struct audit *log, const struct buf *note)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	ssize_t n;

	fd = openat(log->dir, "checkpoint", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size != note->len || note->len > SECTOR)
		return fs_replace_file(log->dir, "checkpoint", note->data, note->len, 0600);
	n = pwrite(fd, note->data, note->len, 0);
	return n == (ssize_t)note->len ? 0 : n < 0 ? -errno : -EIO;
}

/* While the disk is at work: the note stays in memory until the sync has returned. */
static int sign(struct audit *log, const struct checkpoint *checkpoint, struct buf *ret,
		struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(AUDIT_NOTE_MAX);
	int r;

	/* Only a hint: what matters is the fdatasync(2) that follows. */
	if (sync_file_range(log->segment_fd, 0, 0, SYNC_FILE_RANGE_WRITE) < 0)
		errno = 0;
	r = audit_load_signer(log, err);
	if (r < 0)
		return r;
	r = checkpoint_format(checkpoint, &text);
	if (r == 0)
		r = note_sign(&log->signer, text.data, text.len, ret);
	return r < 0 ? err_errno(err, -r, "audit", "cannot sign a checkpoint of %s", log->path) : 0;
}

static int publish(struct audit *log, const struct checkpoint *checkpoint, const struct buf *note,
		   struct err *err)
{
	int r;

	r = write_checkpoint(log, note);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot write %s/checkpoint", log->path);
	r = audit_lock(log, err);
	if (r < 0)
		return r;
	if (log->head.synced < checkpoint->size) {
		log->head.synced = checkpoint->size;
		audit_note_hash(note, &log->known);
		log->head.note = log->known;
		r = head_write(log->head_fd, log->boot, &log->head, false);
	}
	audit_unlock(log);
	return r < 0 ? err_errno(err, -r, "audit", "cannot write %s/head", log->path) : 0;
}

static int commit_locked(struct audit *log, uint64_t seq, struct err *err)
{
	_cleanup_buf_ struct buf note = BUF_INIT(AUDIT_NOTE_MAX);
	struct checkpoint checkpoint;
	bool done;
	int r;

	r = snapshot(log, seq, &checkpoint, &done, err);
	if (r < 0 || done)
		return r;
	memcpy(checkpoint.origin, log->key.name, sizeof(checkpoint.origin));
	r = sign(log, &checkpoint, &note, err);
	if (r < 0)
		return r;
	if (fdatasync(log->segment_fd) < 0)
		return sync_failed(log, errno, err);
	return publish(log, &checkpoint, &note, err);
}

int audit_commit(struct audit *log, uint64_t seq, struct err *err)
{
	bool done = false;
	int r;

	r = audit_take_turn(log, seq, &done, err);
	if (r < 0 || done)
		return r;
	r = commit_locked(log, seq, err);
	audit_end_turn(log);
	/* Who stays for long must not keep all segments. */
	if (r == 0 && log->rotations >= 4)
		r = audit_trim(log, err);
	return r;
}
