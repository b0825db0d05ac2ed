/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create.c: a log begins: key, an empty tree, its signed checkpoint. All of it is made and synced
 * under another name, so that a log is there as a whole or not at all, and one without its key can
 * only be one that lost it.
 */
#include "audit-private.h"
#include "banned.h"
#include "err.h"
#include "fs.h"
#include "io.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>

static int write_synced(int dir, const char *name, const struct buf *text, mode_t mode)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	int r;

	if (fd < 0)
		return -errno;
	r = io_write_full(fd, text->data, text->len);
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

/* The name is the log's origin, too; witnesses tell logs by it, so no two machines may share one.
 */
static int make_signer(const char *org, struct note_signer *ret)
{
	char name[NOTE_NAME_MAX];
	uint32_t number;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return -EIO;
	snprintf(name, sizeof(name), "creel.local/%08x/%s", number, org);
	return note_signer_new(name, ret);
}

static int write_key(int dir, const struct note_signer *signer)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1024);
	int r;

	r = note_signer_format(signer, &text);
	if (r == 0)
		r = buf_putc(&text, '\n');
	if (r == 0)
		r = write_synced(dir, "key", &text, 0600);
	if (text.data)
		explicit_bzero(text.data, text.len);
	text.len = 0;
	if (r == 0)
		r = note_key_format(&signer->key, &text);
	if (r == 0)
		r = buf_putc(&text, '\n');
	return r == 0 ? write_synced(dir, "key.pub", &text, 0600) : r;
}

static int write_checkpoint(int dir, const struct note_signer *signer,
			    const struct merkle_tree *tree)
{
	_cleanup_buf_ struct buf text = BUF_INIT(AUDIT_NOTE_MAX), note = BUF_INIT(AUDIT_NOTE_MAX);
	struct checkpoint checkpoint = {.size = tree->size};
	int r;

	memcpy(checkpoint.origin, signer->key.name, sizeof(checkpoint.origin));
	merkle_root(tree, &checkpoint.root);
	r = checkpoint_format(&checkpoint, &text);
	if (r == 0)
		r = note_sign(signer, text.data, text.len, &note);
	return r == 0 ? write_synced(dir, "checkpoint", &note, 0600) : r;
}

/* So that the first append has nothing to recover. */
static int write_head(int dir)
{
	const struct head head = {.end = WAL_HEADER, .tiled_at = WAL_HEADER};
	_cleanup_close_ int fd = openat(dir, "head", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint8_t boot[16];
	int r;

	if (fd < 0)
		return -errno;
	r = head_boot(boot);
	return r < 0 ? r : head_write(fd, boot, &head, false);
}

static int fill(int dir, const char *org)
{
	static const char *const parts[] = {"wal", "tile", "blobs"};
	static const struct merkle_tree empty = {.size = 0};
	_cleanup_close_ int wal = -EBADF;
	struct note_signer signer;
	int r;

	for (size_t i = 0; i < ELEMENTSOF(parts); i++)
		if (mkdirat(dir, parts[i], 0700) < 0)
			return -errno;
	wal = openat(dir, "wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (wal < 0)
		return -errno;
	r = make_signer(org, &signer);
	if (r == 0)
		r = write_key(dir, &signer);
	if (r == 0)
		r = write_checkpoint(dir, &signer, &empty);
	note_signer_done(&signer);
	if (r == 0)
		r = wal_create(wal, &empty, 1);
	if (r == 0)
		r = write_head(dir);
	return r == 0 && fsync(dir) < 0 ? -errno : r;
}

static int create_locked(int parent, const char *org)
{
	_cleanup_close_ int dir = -EBADF;
	char name[100];
	struct stat st;
	int r;

	if (fstatat(parent, org, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	snprintf(name, sizeof(name), ".%s.new", org);
	/* Who made it was killed: we have the lock. */
	r = fs_remove_tree(parent, name);
	if (r < 0)
		return r;
	if (mkdirat(parent, name, 0700) < 0)
		return -errno;
	dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dir < 0 ? -errno : fill(dir, org);
	if (r == 0 && renameat(parent, name, parent, org) < 0)
		r = -errno;
	if (r < 0) {
		fs_remove_tree(parent, name); /* what stays is removed by the next one */
		return r;
	}
	return fsync(parent) < 0 ? -errno : 0;
}

int audit_create(const char *dir, const char *org, struct err *err)
{
	_cleanup_close_ int parent = -EBADF;
	int r;

	r = fs_mkdirs(dir, 0700, err);
	if (r < 0)
		return r;
	parent = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		return err_errno(err, errno, "audit", "cannot open %s", dir);
	while ((r = flock(parent, LOCK_EX)) < 0 && errno == EINTR)
		;
	r = r < 0 ? -errno : create_locked(parent, org);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot make the log %s/%s", dir, org);
	return 0;
}
