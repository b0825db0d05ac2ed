/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c: see tree.h. */
#include "tree.h"

#include "ceilings.h"
#include "err.h"
#include "fs.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

struct tree_walk {
	struct tree *tree; /* NULL: only bytes are wanted */
	uint64_t bytes;
	size_t seen, most, path_bytes;
	dev_t dev;
	bool truncated;
};

static int tree_add(struct tree *tree, const char *path, const struct stat *st, bool opaque)
{
	struct tree_entry *entry;

	if (tree->n == tree->allocated) {
		size_t size = tree->allocated ? 2 * tree->allocated : 64;
		struct tree_entry *grown = realloc(tree->entries, size * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		tree->entries = grown;
		tree->allocated = size;
	}
	entry = &tree->entries[tree->n];
	*entry = (struct tree_entry){
		.path = strdup(path),
		.mode = st->st_mode,
		.rdev = st->st_rdev,
		.size = (uint64_t)st->st_size,
		.ino = st->st_ino,
		.mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
		.ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
		.opaque = opaque,
	};
	if (!entry->path)
		return -ENOMEM;
	tree->n++;
	return 0;
}

/* In the namespace that the overlay uses: the other one a sandbox may write. */
static bool tree_is_opaque(const struct tree *tree, int fd)
{
	const char *name = tree->userxattr ? "user.overlay.opaque" : "trusted.overlay.opaque";
	char value[2];

	return fgetxattr(fd, name, value, sizeof(value)) == 1 && value[0] == 'y';
}

static int tree_walk_dir(struct tree_walk *walk, int dirfd, char *path, size_t len, unsigned depth);

static int tree_walk_entry(struct tree_walk *walk, int dirfd, const char *name, char *path,
			   size_t len, unsigned depth)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	size_t at = 0;
	int n, r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	n = snprintf(path + len, CEIL_PATH - len, "%s%s", len ? "/" : "", name);
	if (n < 0 || (size_t)n >= CEIL_PATH - len || st.st_dev != walk->dev ||
	    ++walk->seen > walk->most) {
		walk->truncated |= st.st_dev == walk->dev;
		return 0;
	}
	/* An empty file takes an inode and a name: as much as a small one. */
	walk->bytes += st.st_blocks ? (uint64_t)st.st_blocks * 512 : 4096;
	if (S_ISDIR(st.st_mode)) {
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0) {
			walk->truncated = true;
			return 0;
		}
	}
	if (walk->tree) {
		walk->path_bytes += len + (size_t)n;
		if (walk->path_bytes > CEIL_TREE_PATHS) {
			walk->truncated = true;
			return 0;
		}
		r = tree_add(walk->tree, path, &st, fd >= 0 && tree_is_opaque(walk->tree, fd));
		if (r < 0)
			return r;
		at = walk->tree->n;
	}
	r = fd < 0 ? 0 : tree_walk_dir(walk, fd, path, len + (size_t)n, depth + 1);
	if (walk->tree) /* what was added since lies in it */
		walk->tree->entries[at - 1].has_children = walk->tree->n > at;
	return r;
}

static int tree_walk_dir(struct tree_walk *walk, int dirfd, char *path, size_t len, unsigned depth)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;
	int r = 0;

	if (depth > CEIL_TREE_DEPTH) {
		walk->truncated = true;
		return 0;
	}
	/* A directory that was removed meanwhile is empty. */
	dir = fs_opendir(dirfd);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (entry = fs_next(dir)))
		r = tree_walk_entry(walk, dirfd, entry->d_name, path, len, depth);
	path[len] = '\0';
	return r == 0 && errno != ENOENT ? -errno : r;
}

static int tree_compare(const void *a, const void *b)
{
	return strcmp(((const struct tree_entry *)a)->path, ((const struct tree_entry *)b)->path);
}

int tree_scan(int dirfd, struct tree *tree)
{
	struct tree_walk walk = {.tree = tree, .most = tree->most ? tree->most : CEIL_TREE_ENTRIES};
	char path[CEIL_PATH] = "";
	struct stat st;
	int r;

	if (fstat(dirfd, &st) < 0)
		return -errno;
	walk.dev = st.st_dev;
	r = tree_walk_dir(&walk, dirfd, path, 0, 0);
	if (r < 0)
		return r;
	tree->bytes = walk.bytes;
	tree->truncated = walk.truncated;
	if (tree->n)
		qsort(tree->entries, tree->n, sizeof(*tree->entries), tree_compare);
	return 0;
}

uint64_t tree_disk_bytes(int dirfd)
{
	struct tree_walk walk = {.most = CEIL_TREE_ENTRIES};
	char path[CEIL_PATH] = "";
	struct stat st;

	if (fstat(dirfd, &st) < 0)
		return 0;
	walk.dev = st.st_dev;
	/* What vanishes while we look is not there: a partial sum is as good as any sample. */
	if (tree_walk_dir(&walk, dirfd, path, 0, 0) < 0)
		errno = 0;
	/* What is too deep or too much to look at would hide from the limit. */
	return walk.truncated ? UINT64_MAX : walk.bytes;
}

void tree_done(struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		free(tree->entries[i].path);
	free(tree->entries);
	*tree = TREE_INIT;
}

const struct tree_entry *tree_find(const struct tree *tree, const char *path)
{
	const struct tree_entry key = {.path = (char *)(uintptr_t)path};

	return tree->n ? bsearch(&key, tree->entries, tree->n, sizeof(key), tree_compare) : NULL;
}

static bool tree_same(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->ino == b->ino && a->mode == b->mode && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns && (S_ISDIR(a->mode) || a->ctime_ns == b->ctime_ns);
}

/* No link of the lower tree is followed: one may lead out of it, into the host. */
static bool tree_has(int dirfd, const char *path)
{
	_cleanup_close_ int fd = fs_open_beneath(dirfd, path, O_PATH | O_NOFOLLOW, 0);

	return fd >= 0;
}

/* What an entry that is there now means; false: nothing to tell. */
static bool tree_judge(const struct tree *before, const struct tree *now, size_t i, int lowerfd,
		       struct tree_change *change)
{
	const struct tree_entry *entry = &now->entries[i], *old = tree_find(before, entry->path);
	bool dir = S_ISDIR(entry->mode), below, whiteout;

	*change = (struct tree_change){.path = entry->path, .kind = TREE_ADDED, .entry = entry};
	if (old && (tree_same(old, entry) || (dir && S_ISDIR(old->mode))))
		return false;
	below = lowerfd >= 0 && tree_has(lowerfd, entry->path);
	whiteout = lowerfd >= 0 && S_ISCHR(entry->mode) && entry->rdev == makedev(0, 0);
	/* An opaque directory took the place of what was below, any of a file. */
	if (whiteout || (dir && ((below && entry->opaque) || old))) {
		change->kind = TREE_DELETED;
		change->entry = NULL;
		return below || !whiteout;
	}
	if (dir)
		return !below && !entry->has_children;
	change->kind = old || below ? TREE_MODIFIED : TREE_ADDED;
	return true;
}

int tree_diff(const struct tree *before, const struct tree *now, int lowerfd,
	      int (*fn)(const struct tree_change *change, void *data), void *data)
{
	struct tree_change change;
	size_t b = 0;
	int r = 0;

	for (size_t i = 0; r >= 0 && i <= now->n; i++) {
		const char *path = i < now->n ? now->entries[i].path : NULL;

		for (; r >= 0 && b < before->n &&
		       (!path || strcmp(before->entries[b].path, path) < 0);
		     b++) {
			change = (struct tree_change){.path = before->entries[b].path,
						      .kind = TREE_DELETED};
			if (!S_ISDIR(before->entries[b].mode))
				r = fn(&change, data);
		}
		if (path && b < before->n && strcmp(before->entries[b].path, path) == 0)
			b++;
		if (r >= 0 && path && tree_judge(before, now, i, lowerfd, &change))
			r = fn(&change, data);
	}
	return r;
}
