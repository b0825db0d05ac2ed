/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob.c: side payloads. A small one goes into the segment before the record that names it, in the
 * same write, so that one sync serves both; its file is written later, and becomes durable before
 * the segment goes (settle.c). A large one is synced as a file of its own.
 *
 * A file is 32 bytes of random salt and the payload, named after the SHA-256 of both: without the
 * salt nobody can guess a short payload from the record, and with file and segment's copy gone
 * nobody has the salt.
 */
#include "blob.h"

#include "audit-private.h"
#include "banned.h"
#include "err.h"
#include "fs.h"
#include "io.h"
#include "jcs.h"

#include <fcntl.h>
#include <sodium/utils.h>
#include <sys/file.h>
#include <sys/random.h>

struct audit_blob {
	struct audit *log;
	enum audit_keep mode;
	struct sha sha;
	uint8_t salt[SHA_LEN];
	uint64_t size;
	struct buf small; /* while it may still go into the segment */
	int fd;		  /* of a large one, with the salt before it */
	char temporary[64];
};

bool blob_path(const char *sha256, char ret[BLOB_PATH])
{
	if (strlen(sha256) != AUDIT_HEX || strspn(sha256, "0123456789abcdef") != AUDIT_HEX)
		return false;
	snprintf(ret, BLOB_PATH, "blobs/%.2s/%s", sha256, sha256);
	return true;
}

int blob_shelf(int dir, const char *path)
{
	char shelf[BLOB_SHELF_LEN + 1];
	int fd, r;

	memcpy(shelf, path, BLOB_SHELF_LEN);
	shelf[BLOB_SHELF_LEN] = '\0';
	fd = fs_open_beneath(dir, shelf, O_RDONLY | O_DIRECTORY, 0);
	if (fd != -ENOENT)
		return fd;
	r = fs_mkdirs_beneath(dir, shelf, 0700, (uid_t)-1, (gid_t)-1);
	return r < 0 ? r : fs_open_beneath(dir, shelf, O_RDONLY | O_DIRECTORY, 0);
}

/* Large payloads whose writer was killed: their files are locked while they are written. */
static void sweep(int blobs)
{
	_cleanup_closedir_ DIR *dir = fs_opendir(blobs);
	struct dirent *entry;

	while (dir && (entry = fs_next(dir))) {
		_cleanup_close_ int fd = -EBADF;

		if (strncmp(entry->d_name, ".new-", 5) != 0)
			continue;
		fd = openat(blobs, entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
			unlinkat(blobs, entry->d_name, 0);
	}
}

/* From here on it is a file. */
static int spill(struct audit_blob *blob)
{
	static unsigned counter;
	_cleanup_close_ int blobs = -EBADF;
	int r;

	blobs = openat(blob->log->dir, "blobs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (blobs < 0)
		return -errno;
	sweep(blobs);
	snprintf(blob->temporary, sizeof(blob->temporary), "blobs/.new-%d-%u", (int)getpid(),
		 counter++);
	blob->fd = openat(blob->log->dir, blob->temporary,
			  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (blob->fd < 0)
		return -errno;
	if (flock(blob->fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	r = io_write_full(blob->fd, blob->salt, sizeof(blob->salt));
	if (r == 0 && blob->small.len)
		r = io_write_full(blob->fd, blob->small.data, blob->small.len);
	buf_done(&blob->small);
	return r;
}

int audit_blob_new(struct audit *log, enum audit_keep mode, struct audit_blob **ret,
		   struct err *err)
{
	struct audit_blob *blob = calloc(1, sizeof(*blob));

	if (!blob)
		return err_set(err, ENOMEM, "audit", "no memory for a payload");
	blob->log = log;
	blob->mode = mode;
	blob->fd = -EBADF;
	blob->small = BUF_INIT(WAL_BLOB_MAX);
	if (getrandom(blob->salt, sizeof(blob->salt), 0) != (ssize_t)sizeof(blob->salt)) {
		free(blob);
		return err_set(err, EIO, "audit", "no random numbers for a payload's salt");
	}
	sha_init(&blob->sha);
	sha_update(&blob->sha, blob->salt, sizeof(blob->salt));
	*ret = blob;
	return 0;
}

int audit_blob_write(struct audit_blob *blob, const void *data, size_t len, struct err *err)
{
	int r = 0;

	blob->size += len;
	if (blob->mode != AUDIT_KEEP_OFF)
		sha_update(&blob->sha, data, len);
	if (blob->mode != AUDIT_KEEP_FULL || len == 0)
		return 0;
	if (blob->fd < 0 && blob->size > WAL_BLOB_MAX)
		r = spill(blob);
	if (r == 0)
		r = blob->fd >= 0 ? io_write_full(blob->fd, data, len)
				  : buf_append(&blob->small, data, len);
	return r < 0 ? err_errno(err, -r, "audit", "cannot keep a payload in %s", blob->log->path)
		     : 0;
}

/* The name and the data are durable before anything names it. */
static int finish_large(struct audit_blob *blob, const char *path)
{
	_cleanup_close_ int shelf = -EBADF, blobs = -EBADF;

	shelf = blob_shelf(blob->log->dir, path);
	if (shelf < 0)
		return shelf;
	blobs = openat(blob->log->dir, "blobs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (blobs < 0 || fsync(blob->fd) < 0 ||
	    renameat(blob->log->dir, blob->temporary, shelf, path + BLOB_SHELF_LEN + 1) < 0)
		return -errno;
	blob->temporary[0] = '\0';
	return fsync(shelf) < 0 || fsync(blobs) < 0 ? -errno : 0;
}

static int finish_small(struct audit_blob *blob, const uint8_t hash[SHA_LEN], struct err *err)
{
	struct buf data = BUF_INIT(WAL_BLOB_MAX + 2 * SHA_LEN);
	struct audit *log = blob->log;
	int r = 0;

	if (log->n_payloads == AUDIT_PAYLOADS)
		r = audit_settle(log, err);
	if (r < 0)
		return r;
	r = buf_append(&data, hash, SHA_LEN);
	if (r == 0)
		r = buf_append(&data, blob->salt, sizeof(blob->salt));
	if (r == 0)
		r = buf_append(&data, blob->small.data, blob->small.len);
	if (r < 0) {
		buf_done(&data);
		return err_errno(err, -r, "audit", "cannot keep a payload in %s", log->path);
	}
	log->payloads[log->n_payloads++] = (struct audit_payload){.data = data, .len = data.len};
	return 0;
}

int audit_blob_finish(struct audit_blob *blob, struct audit_ref *ret, struct err *err)
{
	struct audit_ref ref = {.mode = blob->mode, .size = blob->size};
	uint8_t hash[SHA_LEN];
	char path[BLOB_PATH];
	int r = 0;

	if (blob->mode == AUDIT_KEEP_OFF) {
		*ret = (struct audit_ref){.mode = AUDIT_KEEP_OFF};
		return 0;
	}
	sha_final(&blob->sha, hash);
	sodium_bin2hex(ref.sha256, sizeof(ref.sha256), hash, sizeof(hash));
	if (blob->mode == AUDIT_KEEP_HASH) {
		sodium_bin2hex(ref.salt, sizeof(ref.salt), blob->salt, sizeof(blob->salt));
	} else if (!blob_path(ref.sha256, path)) {
		r = err_set(err, EINVAL, "audit", "a payload's hash cannot be a name");
	} else if (blob->fd >= 0) {
		r = finish_large(blob, path);
		if (r < 0)
			err_errno(err, -r, "audit", "cannot keep a payload in %s", blob->log->path);
	} else {
		r = finish_small(blob, hash, err);
	}
	if (r == 0)
		*ret = ref;
	return r;
}

struct audit_blob *audit_blob_free(struct audit_blob *blob)
{
	if (!blob)
		return NULL;
	if (blob->fd >= 0 && blob->temporary[0])
		unlinkat(blob->log->dir, blob->temporary, 0);
	fd_close(blob->fd);
	buf_done(&blob->small);
	sodium_memzero(blob, sizeof(*blob));
	free(blob);
	return NULL;
}

int audit_blob(struct audit *log, const void *data, size_t len, enum audit_keep mode,
	       struct audit_ref *ret, struct err *err)
{
	struct audit_blob *blob = NULL;
	int r;

	r = audit_blob_new(log, mode, &blob, err);
	if (!blob)
		return r;
	r = audit_blob_write(blob, data, len, err);
	if (r == 0)
		r = audit_blob_finish(blob, ret, err);
	audit_blob_free(blob);
	return r;
}

void audit_ref_write(struct jcs *jcs, const char *key, const struct audit_ref *ref)
{
	jcs_object(jcs, key);
	if (ref->mode == AUDIT_KEEP_OFF) {
		jcs_bool(jcs, "off", true);
	} else {
		if (ref->salt[0])
			jcs_string(jcs, "salt", ref->salt);
		jcs_string(jcs, "sha256", ref->sha256);
		jcs_u64(jcs, "size", ref->size);
	}
	jcs_object_end(jcs);
}
