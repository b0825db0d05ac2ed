/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c: opening a log, its locks, its stored checkpoint and its key. Opening replays nothing and
 * takes no lock, since every run pays for it.
 */
#include "audit-private.h"
#include "banned.h"
#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "io.h"
#include "parse.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>

int audit_damaged(struct audit *log, struct err *err, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(err, EUCLEAN, "audit",
		       "the log %s is damaged: %s; it takes no record until this is resolved: see "
		       "`creel audit verify --org %s`, then restore it from a copy or move it away",
		       log->path, text, log->org);
}

static int open_parts(struct audit *log, struct err *err)
{
	int flags = log->reader ? O_RDONLY : O_RDWR | O_CREAT;

	log->wal = openat(log->dir, "wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (log->wal < 0)
		return audit_damaged(log, err, "its directory wal: %s", strerror(errno));
	if (log->reader)
		return 0;
	if (faccessat(log->dir, "key", R_OK, AT_EACCESS) < 0)
		return err_set(
			err, ENOKEY, "audit",
			"the log %s has no key that can be read (%s): put its file `key` back, or "
			"move the directory away to begin a new log",
			log->path, strerror(errno));
	log->head_fd = openat(log->dir, "head", flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	log->sync_fd = openat(log->dir, "sync.lock", flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log->head_fd < 0 || log->sync_fd < 0)
		return err_errno(err, errno, "audit", "cannot open head and sync.lock of %s",
				 log->path);
	return head_boot(log->boot) < 0 ? err_set(err, EIO, "audit", "cannot read this boot's id")
					: 0;
}

static int load_key(struct audit *log, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1024);
	int r;

	r = io_read_file(log->dir, "key.pub", &text);
	if (r == 0)
		r = note_key_parse(text.data, text.len, &log->key);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot read %s/key.pub, the log's verifier key",
				 log->path);
	return 0;
}

static int open_log(const char *dir, const char *org, bool reader, struct audit **ret,
		    struct err *err)
{
	struct audit *log;
	int r;

	if (parse_name(org) < 0)
		return err_set(err, EINVAL, "audit", "\"%s\" is no name of an org", org);
	log = calloc(1, sizeof(*log));
	if (!log)
		return err_set(err, ENOMEM, "audit", "no memory for a log");
	log->wal = log->head_fd = log->sync_fd = log->segment_fd = -EBADF;
	log->reader = reader;
	snprintf(log->org, sizeof(log->org), "%s", org);
	r = snprintf(log->path, sizeof(log->path), "%s/%s", dir, org);
	log->dir = -EBADF;
	if (r < 0 || (size_t)r >= sizeof(log->path)) {
		r = err_set(err, ENAMETOOLONG, "audit", "the path of the log is too long: %s", dir);
	} else {
		log->dir = open(log->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		r = log->dir < 0 ? -errno : open_parts(log, err);
	}
	if (r == 0)
		r = load_key(log, err);
	if (r < 0) {
		if (log->dir < 0 && r != -ENAMETOOLONG)
			err_errno(err, -r, "audit", "cannot open the log %s", log->path);
		audit_close(log);
		return r;
	}
	*ret = log;
	return 0;
}

int audit_open(const char *dir, const char *org, struct audit **ret, struct err *err)
{
	int r;

	r = open_log(dir, org, false, ret, err);
	if (r != -ENOENT)
		return r;
	r = audit_create(dir, org, err);
	return r < 0 ? r : open_log(dir, org, false, ret, err);
}

int audit_open_reader(const char *dir, const char *org, struct audit **ret, struct err *err)
{
	return open_log(dir, org, true, ret, err);
}

struct audit *audit_close(struct audit *log)
{
	if (!log)
		return NULL;
	if (audit_settle(log, NULL) < 0)
		errno = 0; /* who deletes the segment will make the files */
	/* What cannot be deleted now will be by the next one. */
	if (log->rotations && audit_trim(log, NULL) < 0)
		errno = 0;
	if (log->turn)
		munmap((void *)(uintptr_t)log->turn, TURN_PAGE);
	fd_close(log->segment_fd);
	fd_close(log->head_fd);
	fd_close(log->sync_fd);
	fd_close(log->wal);
	fd_close(log->dir);
	note_signer_done(&log->signer);
	free(log);
	return NULL;
}

static int take(int fd)
{
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int audit_lock(struct audit *log, struct err *err)
{
	int r;

	if (log->reader)
		return err_set(err, EBADF, "audit", "the log %s was opened to read", log->path);
	r = take(log->head_fd);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot lock %s/head", log->path);
	r = head_read(log->head_fd, log->boot, &log->head);
	if (r == 0)
		r = audit_recover(log, err);
	else if (r < 0)
		err_errno(err, -r, "audit", "cannot read %s/head", log->path);
	if (r < 0)
		audit_unlock(log);
	return r < 0 ? r : 0;
}

void audit_unlock(struct audit *log)
{
	flock(log->head_fd, LOCK_UN);
}

int audit_load_signer(struct audit *log, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1024);
	int r;

	if (log->signer_read)
		return 0;
	r = io_read_file(log->dir, "key", &text);
	if (r == 0)
		r = note_signer_parse(text.data, text.len, &log->signer);
	if (text.data)
		explicit_bzero(text.data, text.len);
	if (r < 0)
		return err_set(err, ENOKEY, "audit",
			       "cannot use the key of the log %s: %s; put its file `key` back",
			       log->path, strerror(-r));
	if (log->signer.key.id != log->key.id || strcmp(log->signer.key.name, log->key.name) != 0 ||
	    memcmp(log->signer.key.public, log->key.public, sizeof(log->key.public)) != 0)
		return audit_damaged(log, err, "key and key.pub do not belong together");
	log->signer_read = true;
	return 0;
}

void audit_note_hash(const struct buf *note, struct merkle_hash *ret)
{
	struct sha sha;

	sha_init(&sha);
	sha_update(&sha, note->data, note->len);
	sha_final(&sha, ret->bytes);
}

/* A signature that this process made, or the head vouches for, needs no curve arithmetic again. */
static bool load_known(struct audit *log, struct buf *note, struct checkpoint *ret)
{
	struct merkle_hash hash;
	const char *end;

	if (io_read_file(log->dir, "checkpoint", note) == 0) {
		audit_note_hash(note, &hash);
		end = strstr(note->data, "\n\n");
		if (end && merkle_equal(&hash, &log->known) &&
		    checkpoint_parse(note->data, (size_t)(end + 1 - note->data), ret) == 0)
			return true;
	}
	note->len = 0;
	return false;
}

int audit_load_checkpoint(struct audit *log, struct buf *note, struct checkpoint *ret,
			  bool *ret_lost, struct err *err)
{
	size_t zeros = 0;
	int r;

	*ret_lost = false;
	if (!log->reader && load_known(log, note, ret))
		return 0;
	r = checkpoint_read(log->dir, &log->key, note, ret);
	while (zeros < note->len && note->data[zeros] == '\0')
		zeros++;
	*ret_lost = (r == -EINVAL || r == -EBADMSG) && zeros == note->len;
	if (*ret_lost) {
		*ret = (struct checkpoint){.size = 0};
		return 0;
	}
	if (r == -EINVAL || r == -EBADMSG)
		return audit_damaged(log, err, "its checkpoint is not signed by its key");
	return r < 0 ? audit_damaged(log, err, "its file checkpoint: %s", strerror(-r)) : 0;
}

int audit_load_signed(struct audit *log, struct buf *note, struct checkpoint *ret, struct err *err)
{
	bool lost;
	int r;

	r = audit_load_checkpoint(log, note, ret, &lost, err);
	if (r == 0 && lost)
		r = audit_damaged(log, err,
				  "its checkpoint is empty, as after a power loss; the next "
				  "record repairs it");
	return r;
}

int audit_checkpoint(struct audit *log, struct buf *ret, struct err *err)
{
	_cleanup_buf_ struct buf note = BUF_INIT(AUDIT_NOTE_MAX);
	struct checkpoint checkpoint;
	int r;

	r = audit_load_signed(log, &note, &checkpoint, err);
	if (r < 0)
		return r;
	r = buf_append(ret, note.data, note.len);
	return r < 0 ? err_errno(err, -r, "audit", "cannot return the checkpoint of %s", log->path)
		     : 0;
}

int audit_size(struct audit *log, uint64_t *ret_size, struct err *err)
{
	_cleanup_buf_ struct buf note = BUF_INIT(AUDIT_NOTE_MAX);
	struct checkpoint checkpoint;
	int r;

	r = audit_load_signed(log, &note, &checkpoint, err);
	if (r == 0)
		*ret_size = checkpoint.size;
	return r;
}

int audit_vkey(struct audit *log, struct buf *ret, struct err *err)
{
	int r = note_key_format(&log->key, ret);

	return r < 0 ? err_errno(err, -r, "audit", "cannot write the key of %s", log->path) : 0;
}
