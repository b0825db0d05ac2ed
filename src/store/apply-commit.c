/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply-commit.c: each change by one call on a name in a directory that is opened without following
 * a link (apply.h). Nothing is removed with what is in it: rmdir(2) refuses a directory in which
 * the host has put a file meanwhile.
 */
#include "apply-private.h"

#include "err.h"

#include <fcntl.h>

/* A name of an inode with several goes: what that does to the others' ctime is apply's doing. */
static int commit_gone(struct apply *apply, int parent, const char *name, int flags)
{
	struct changes *changes = apply->changes;
	_cleanup_close_ int old = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	bool linked = old >= 0 && fstat(old, &st) == 0 && st.st_nlink > 1 && !S_ISDIR(st.st_mode) &&
		      !changes_is_foreign(changes, &st);

	if (unlinkat(parent, name, flags) < 0)
		return errno == ENOENT ? 0 : -errno;
	return linked && fstat(old, &st) == 0 ? changes_known_add(changes, &st) : 0;
}

static int commit_staged(struct apply *apply, size_t i, int parent, const char *name)
{
	struct changes *changes = apply->changes;
	_cleanup_close_ int old = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char number[24];
	struct stat st;
	bool linked = old >= 0 && fstat(old, &st) == 0 && st.st_nlink > 1 &&
		      !changes_is_foreign(changes, &st);

	snprintf(number, sizeof(number), "%zu", i);
	if (renameat(apply->stage, number, parent, name) < 0)
		return -errno;
	return linked && fstat(old, &st) == 0 ? changes_known_add(changes, &st) : 0;
}

/* A directory keeps its special bits, and its owner's rights until everything is in it. */
static int commit_directory(const struct change *change, int parent, const char *name, bool last)
{
	mode_t mode = change->mode & 0777;
	struct stat st;

	if (!last && change->kind != CHANGES_MODE && mkdirat(parent, name, 0700) < 0 &&
	    errno != EEXIST)
		return -errno;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	mode |= (st.st_mode & 07000) | (last ? 0 : 0700);
	return fchmodat(parent, name, mode, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Pass 0: what goes; 1: what comes; 2: the modes of directories. 1: nothing to do in this pass. */
static int commit_one(struct apply *apply, size_t i, int pass)
{
	struct apply_item *item = &apply->items[i];
	const struct change *change = item->change;
	bool was_dir = S_ISDIR(change->old_mode), is_dir = S_ISDIR(change->mode);
	bool goes = change->kind == CHANGES_DELETED ||
		    (change->kind == CHANGES_TYPE && was_dir != is_dir);
	_cleanup_close_ int parent = -EBADF;
	const char *name;

	if (pass == 0 ? !goes : pass == 1 ? !change->mode : !is_dir)
		return 1;
	parent = changes_host_parent(apply->changes, change->path, &name);
	if (parent < 0)
		return parent == -ENOENT && !change->mode ? 0 : parent;
	if (pass == 0)
		return commit_gone(apply, parent, name, was_dir ? AT_REMOVEDIR : 0);
	if (is_dir)
		return commit_directory(change, parent, name, pass == 2);
	if (item->staged)
		return commit_staged(apply, i, parent, name);
	return fchmodat(parent, name, change->mode & 0777, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

void apply_pass(struct apply *apply, int pass)
{
	size_t n = apply->changes->n;

	for (size_t k = 0; k < n; k++) {
		size_t i = pass == 1 ? k : n - 1 - k;
		struct apply_item *item = &apply->items[i];
		int r = item->selected ? commit_one(apply, i, pass) : 1;

		if (r > 0)
			continue;
		item->done = r == 0;
		if (r == 0)
			continue;
		item->selected = false;
		apply_tell(apply, item, APPLY_LEFT,
			   r == -ENOTEMPTY ? "the directory on the host is not empty"
					   : strerror(-r));
	}
}
