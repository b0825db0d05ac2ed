/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes-scan.c: the list of what a run changed (changes.h), from two trees: upper, which the run
 * wrote, and DIR as it is now.
 *
 * An entry of upper stands over what DIR has at the same path; where upper hides a directory of DIR
 * (a whiteout, an opaque directory, another kind of file), what is below it in DIR and not in upper
 * is deleted, each path by itself: so a file that came to be there meanwhile is seen, and nothing
 * is ever removed that was not listed. A file whose content and mode are those of DIR is no change.
 *
 * A change of the host is a ctime since the run began. Two are not seen: a clock that was set back,
 * and a directory of older files that was moved to where the run made one, too.
 */
#include "changes-private.h"

#include "err.h"
#include "fs.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

/* The nearest directory of DIR above a path, kept for the next one, which mostly has the same. */
struct changes_above {
	char path[CEIL_PATH];
	bool valid, foreign, writable;
};

/* A file that the run may have renamed: a copy keeps size and time. */
struct changes_source {
	uint64_t size;
	int64_t mtime_ns;
};

struct changes_scan {
	struct changes *changes;
	struct changes_above above;
	struct changes_source *sources; /* the deleted files */
	size_t n_sources, allocated;
	struct err *err;
};

enum { MARK_OPAQUE = 1, MARK_ORIGIN = 2, MARK_ELSEWHERE = 4, MARK_UNREACHABLE = 8 };

static bool has_xattr(const struct changes *changes, int fd, const char *name, const char *wanted)
{
	char key[64], value[64];
	ssize_t n;

	snprintf(key, sizeof(key), "%s.overlay.%s", changes->meta.userxattr ? "user" : "trusted",
		 name);
	n = fgetxattr(fd, key, value, sizeof(value));
	if (!wanted)
		return n >= 0 || errno == ERANGE;
	return n == (ssize_t)strlen(wanted) && memcmp(value, wanted, (size_t)n) == 0;
}

/* What the overlay itself noted at an entry of upper; a sandbox can write none of these. */
static int upper_marks(const struct changes *changes, const struct tree_entry *entry)
{
	_cleanup_close_ int fd = changes_upper_open(changes, entry->path, O_RDONLY | O_NONBLOCK);
	int marks = 0;

	if (fd < 0)
		return fd;
	changes_as_own(changes);
	if (has_xattr(changes, fd, "opaque", "y"))
		marks |= MARK_OPAQUE;
	if (has_xattr(changes, fd, "origin", NULL))
		marks |= MARK_ORIGIN;
	if (has_xattr(changes, fd, "redirect", NULL) || has_xattr(changes, fd, "metacopy", NULL))
		marks |= MARK_ELSEWHERE;
	changes_as_host(changes);
	return marks;
}

static bool is_whiteout(const struct tree_entry *entry)
{
	return S_ISCHR(entry->mode) && entry->rdev == makedev(0, 0);
}

/* ---- the list ---- */

static int list_add(struct changes *changes, const struct change *change)
{
	if (changes->n == changes->allocated) {
		size_t size = changes->allocated ? 2 * changes->allocated : 64;
		struct change *grown = realloc(changes->list, size * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		changes->list = grown;
		changes->allocated = size;
	}
	changes->list[changes->n] = *change;
	changes->list[changes->n].path = strdup(change->path);
	return changes->list[changes->n].path ? (changes->n++, 0) : -ENOMEM;
}

static int list_compare(const void *a, const void *b)
{
	return strcmp(((const struct change *)a)->path, ((const struct change *)b)->path);
}

/* ---- why not ---- */

static bool link_leaves(const struct changes *changes, const struct change *change)
{
	char old[CEIL_PATH], now[CEIL_PATH];

	changes_targets(changes, change, old, now);
	return !tree_link_stays(change->path, now);
}

/* A directory of DIR's owner that the run made writable: apply does that first. */
static bool gets_writable(const struct changes *changes, const char *path, const struct stat *st)
{
	const struct tree_entry *entry = tree_find(&changes->tree, path);

	return entry && entry->mode & S_IWUSR && st->st_uid == changes->host.uid;
}

/* What the nearest directory of DIR above the path is like. */
static void look_above(struct changes_scan *scan, const char *path)
{
	struct changes_above *above = &scan->above;
	char up[CEIL_PATH];
	struct stat st;

	snprintf(up, sizeof(up), "%s", path);
	for (;;) {
		_cleanup_close_ int fd = -EBADF;
		char *slash = strrchr(up, '/');

		*(slash ? slash : up) = '\0';
		if (above->valid && strcmp(above->path, up) == 0)
			return;
		fd = changes_host_open(scan->changes, up, O_PATH | O_NOFOLLOW);
		if ((fd < 0 && fd != -EXDEV && *up) ||
		    (fd >= 0 && fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode)))
			continue; /* upper has a directory where DIR has none */
		snprintf(above->path, sizeof(above->path), "%s", up);
		above->valid = true;
		above->foreign = fd < 0 || changes_is_foreign(scan->changes, &st);
		above->writable = fd >= 0 && (gets_writable(scan->changes, up, &st) ||
					      syscall(SYS_faccessat2, fd, "", W_OK | X_OK,
						      AT_EACCESS | AT_EMPTY_PATH) == 0);
		return;
	}
}

static enum changes_refusal judge(struct changes_scan *scan, const struct change *change,
				  const struct stat *old, int marks)
{
	const struct changes *changes = scan->changes;
	mode_t mode = change->mode;

	if (fs_is_below(change->path, changes->stage))
		return CHANGES_UNREACHABLE; /* apply's own place */
	if (mode && !S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode))
		return CHANGES_SPECIAL;
	look_above(scan, change->path);
	if (!scan->above.writable || marks & MARK_UNREACHABLE)
		return CHANGES_UNREACHABLE;
	/* A directory changes with each name in it: only its mode is a change of its own. */
	if (old && (!S_ISDIR(old->st_mode) || change->kind == CHANGES_MODE) &&
	    changes_is_foreign(changes, old))
		return CHANGES_CONFLICT;
	/* A copy of a host file, in a directory in which the host changed names: it was deleted
	 * there, unless the run renamed it, which is known at the end. */
	if (!old && marks & MARK_ORIGIN && !S_ISDIR(mode) && scan->above.foreign)
		return CHANGES_GONE;
	if (S_ISLNK(mode) && link_leaves(changes, change))
		return CHANGES_LINK_LEAVES;
	return mode && changes_git_runs(changes, change) ? CHANGES_GIT_RUNS : CHANGES_FINE;
}

/* ---- old against now ---- */

static bool same_content(const struct changes *changes, const struct change *change)
{
	char a[32768], b[sizeof(a)];
	_cleanup_close_ int old = -EBADF, now = -EBADF;
	ssize_t n, m;

	changes_contents(changes, change, &old, &now);
	if (old < 0 || now < 0)
		return false;
	do {
		n = read(old, a, sizeof(a));
		m = n > 0 ? pread(now, b, (size_t)n, lseek(old, 0, SEEK_CUR) - n) : 0;
		if (n < 0 || (n > 0 && (m != n || memcmp(a, b, (size_t)n) != 0)))
			return false;
	} while (n > 0);
	return true;
}

static bool same_target(const struct changes *changes, const struct change *change)
{
	char old[CEIL_PATH], now[CEIL_PATH];

	changes_targets(changes, change, old, now);
	return strcmp(old, now) == 0;
}

/* Sets the kind; false: there is no change. */
static bool compare(const struct changes *changes, struct change *change)
{
	mode_t old = change->old_mode, now = change->mode;

	if (!old || !now) {
		change->kind = old ? CHANGES_DELETED : CHANGES_ADDED;
		return old || now;
	}
	if ((old & S_IFMT) != (now & S_IFMT)) {
		change->kind = CHANGES_TYPE;
		return true;
	}
	if (S_ISLNK(now)) {
		change->kind = CHANGES_SYMLINK;
		return !same_target(changes, change);
	}
	change->kind = CHANGES_MODIFIED;
	if (S_ISREG(now) && (change->old_size != change->size || !same_content(changes, change)))
		return true;
	change->kind = CHANGES_MODE;
	return S_ISREG(now) || S_ISDIR(now) ? (old & 0777) != (now & 0777) : true;
}

static int add_source(struct changes_scan *scan, const struct stat *st)
{
	if (scan->n_sources == scan->allocated) {
		size_t size = scan->allocated ? 2 * scan->allocated : 64;
		struct changes_source *grown = realloc(scan->sources, size * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		scan->sources = grown;
		scan->allocated = size;
	}
	scan->sources[scan->n_sources++] = (struct changes_source){
		.size = (uint64_t)st->st_size, .mtime_ns = changes_ns(&st->st_mtim)};
	return 0;
}

static int add_change(struct changes_scan *scan, const char *path, const struct tree_entry *entry,
		      const struct stat *old, int marks)
{
	struct change change = {.path = (char *)(uintptr_t)path};

	if (old) {
		change.old_mode = old->st_mode;
		change.old_size = S_ISREG(old->st_mode) ? (uint64_t)old->st_size : 0;
	}
	if (entry) {
		change.mode = entry->mode;
		change.size = S_ISDIR(entry->mode) ? 0 : entry->size;
	}
	if (!compare(scan->changes, &change))
		return 0;
	change.refusal = judge(scan, &change, old, marks);
	if (old && !entry && S_ISREG(old->st_mode) && add_source(scan, old) < 0)
		return -ENOMEM;
	return list_add(scan->changes, &change);
}

static bool hides_below(const struct tree_entry *entry, int marks)
{
	return !S_ISDIR(entry->mode) || marks & MARK_OPAQUE;
}

/* Of a path of DIR that is not in upper: an entry above it may hide a larger tree already. */
static bool listed_above(const struct changes *changes, const char *path)
{
	char up[CEIL_PATH];
	const struct tree_entry *entry;

	snprintf(up, sizeof(up), "%s", path);
	for (char *slash; (slash = strrchr(up, '/'));) {
		*slash = '\0';
		entry = tree_find(&changes->tree, up);
		if (entry && (!S_ISDIR(entry->mode) || entry->opaque))
			return true;
	}
	return false;
}

/* Everything in DIR below a directory that upper hides, and that upper does not have. */
static int add_hidden(struct changes_scan *scan, const char *top)
{
	struct changes *changes = scan->changes;
	_cleanup_close_ int fd = changes_host_open(changes, top, O_RDONLY | O_DIRECTORY);
	_cleanup_(tree_done) struct tree tree = TREE_INIT;
	char path[CEIL_PATH];
	int r = fd < 0 ? fd : tree_scan(fd, &tree);

	if (r < 0)
		return err_errno(scan->err, -r, "changes", "cannot read %s/%s", changes->meta.dir,
				 top);
	if (tree.truncated)
		return err_set(scan->err, E2BIG, "changes",
			       "%s/%s, which the run deleted or replaced, has more than can be "
			       "looked at, or directories that you cannot read",
			       changes->meta.dir, top);
	for (size_t i = 0; r == 0 && i < tree.n; i++) {
		struct stat st;
		int n = snprintf(path, sizeof(path), "%s/%s", top, tree.entries[i].path);

		if ((size_t)n >= sizeof(path))
			return err_set(scan->err, ENAMETOOLONG, "changes", "%s/%.100s...: too long",
				       changes->meta.dir, top);
		if (!tree_find(&changes->tree, path) && changes_host_stat(changes, path, &st) == 0)
			r = add_change(scan, path, NULL, &st, 0);
	}
	return r;
}

static int add_entry(struct changes_scan *scan, struct tree_entry *entry)
{
	struct changes *changes = scan->changes;
	const struct tree_entry *now = is_whiteout(entry) ? NULL : entry;
	struct stat st;
	int r, marks = 0;
	bool old;

	if (S_ISREG(entry->mode) || S_ISDIR(entry->mode))
		marks = upper_marks(changes, entry);
	if (marks < 0 || marks & MARK_ELSEWHERE)
		return err_set(scan->err, marks < 0 ? -marks : EUCLEAN, "changes",
			       marks < 0 ? "cannot read %s of the kept changes"
					 : "%s is not whole in the kept changes: the overlay was "
					   "mounted with redirect_dir or metacopy",
			       entry->path);
	entry->opaque = marks & MARK_OPAQUE;
	r = changes_host_stat(changes, entry->path, &st);
	old = r == 0;
	if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -ELOOP)
		marks |= MARK_UNREACHABLE;
	r = add_change(scan, entry->path, now, old ? &st : NULL, marks);
	if (r == 0 && old && S_ISDIR(st.st_mode) && hides_below(entry, marks) &&
	    !listed_above(changes, entry->path))
		r = add_hidden(scan, entry->path);
	return r;
}

/* A directory is not worth a line if one of the same kind is below it. */
static void mark_implied(struct changes *changes)
{
	char below[CEIL_PATH + 1];

	for (size_t i = 0; i < changes->n; i++) {
		struct change *change = &changes->list[i];
		mode_t mode = change->mode ? change->mode : change->old_mode;
		size_t len = (size_t)snprintf(below, sizeof(below), "%s/", change->path), k;

		if (!S_ISDIR(mode) ||
		    (change->kind != CHANGES_ADDED && change->kind != CHANGES_DELETED))
			continue;
		k = changes_find(changes, below);
		change->implied = k < changes->n && strncmp(changes->list[k].path, below, len) == 0;
	}
}

static int source_compare(const void *a, const void *b)
{
	const struct changes_source *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return x->mtime_ns < y->mtime_ns ? -1 : x->mtime_ns > y->mtime_ns;
}

/* What looked deleted by the host, but has the size and time of a file that the run deleted. */
static void clear_renamed(struct changes_scan *scan)
{
	struct changes *changes = scan->changes;

	if (!scan->n_sources)
		return;
	qsort(scan->sources, scan->n_sources, sizeof(*scan->sources), source_compare);
	for (size_t i = 0; i < changes->n; i++) {
		struct change *change = &changes->list[i];
		const struct tree_entry *entry = tree_find(&changes->tree, change->path);
		struct changes_source key;

		if (change->refusal != CHANGES_GONE || !entry)
			continue;
		key = (struct changes_source){entry->size, entry->mtime_ns};
		if (bsearch(&key, scan->sources, scan->n_sources, sizeof(key), source_compare))
			change->refusal =
				changes_git_runs(changes, change) ? CHANGES_GIT_RUNS : CHANGES_FINE;
	}
}

static void scan_done(struct changes_scan *scan)
{
	free(scan->sources);
}

int changes_scan(struct changes *changes, struct err *err)
{
	_cleanup_(scan_done) struct changes_scan scan = {.changes = changes, .err = err};
	int r;

	changes_as_own(changes);
	r = tree_scan(changes->upper, &changes->tree);
	changes_as_host(changes);
	if (r < 0)
		return err_errno(err, -r, "changes", "cannot read the kept changes");
	if (changes->tree.truncated)
		return err_set(err, E2BIG, "changes",
			       "the run made more than %u files, or directories %u deep: more than "
			       "creel looks at",
			       CEIL_TREE_ENTRIES, CEIL_TREE_DEPTH);
	for (size_t i = 0; r == 0 && i < changes->tree.n; i++)
		r = add_entry(&scan, &changes->tree.entries[i]);
	if (r < 0)
		return err && err->code ? r
					: err_errno(err, -r, "changes", "cannot list the changes");
	if (changes->n)
		qsort(changes->list, changes->n, sizeof(*changes->list), list_compare);
	clear_renamed(&scan);
	mark_implied(changes);
	return 0;
}
