/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes.c: the two trees of an overlay run by descriptor, and the list that changes-scan.c made
 * of them (changes.h).
 *
 * Threat: names, kinds and sizes in upper; DIR changing while it is looked at, by its owner, who
 * may be no friend of the root that calls. What is written here is upper only, by changes_settle().
 */
#include "changes-private.h"

#include "err.h"
#include "fs.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

const char *const changes_kind_names[CHANGES_KIND_MAX] = {"added", "modified", "deleted",
							  "mode",  "type",     "symlink"};

const char *const changes_refusal_texts[CHANGES_REFUSAL_MAX] = {
	[CHANGES_CONFLICT] = "changed on the host since the run began",
	[CHANGES_GONE] = "deleted on the host since the run began",
	[CHANGES_LINK_LEAVES] = "a link that leads out of the directory",
	[CHANGES_GIT_RUNS] = "git on the host would execute it",
	[CHANGES_SPECIAL] = "a device, socket or FIFO",
	[CHANGES_UNREACHABLE] = "its directory cannot be written or is another filesystem",
};

static void ids_set(const struct changes_ids *ids)
{
	setfsgid(ids->gid);
	setfsuid(ids->uid);
}

/* Root's own directory, a caller with a single id: nothing to change. */
static bool ids_same(const struct changes *changes)
{
	return changes->own.uid == changes->host.uid && changes->own.gid == changes->host.gid;
}

void changes_as_own(const struct changes *changes)
{
	if (!ids_same(changes))
		ids_set(&changes->own);
}

void changes_as_host(const struct changes *changes)
{
	if (!ids_same(changes))
		ids_set(&changes->host);
}

/* The calls tell of no failure but by what they find the next time (setfsuid(2)). */
static bool ids_are(const struct changes_ids *ids)
{
	return (uid_t)setfsuid((uid_t)-1) == ids->uid && (gid_t)setfsgid((gid_t)-1) == ids->gid;
}

int changes_host_open(const struct changes *changes, const char *path, int flags)
{
	struct open_how how = {
		.flags = (unsigned)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};
	long fd;

	do {
		fd = syscall(SYS_openat2, changes->dir, *path ? path : ".", &how, sizeof(how));
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : (int)fd;
}

int changes_host_stat(const struct changes *changes, const char *path, struct stat *ret_st)
{
	_cleanup_close_ int fd = changes_host_open(changes, path, O_PATH | O_NOFOLLOW);

	if (fd < 0)
		return fd;
	return fstat(fd, ret_st) < 0 ? -errno : 0;
}

int changes_host_parent(const struct changes *changes, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char parent[CEIL_PATH];

	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 0, path);
	*ret_name = slash ? slash + 1 : path;
	return changes_host_open(changes, parent, O_PATH | O_DIRECTORY);
}

int changes_upper_open(const struct changes *changes, const char *path, int flags)
{
	int fd;

	changes_as_own(changes);
	fd = fs_open_beneath(changes->upper, path, flags | O_NOFOLLOW, 0);
	changes_as_host(changes);
	return fd;
}

/* ---- the list ---- */

void change_done(struct change *change)
{
	free(change->path);
	change->path = NULL;
}

size_t changes_find(const struct changes *changes, const char *path)
{
	size_t low = 0, high = changes->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(changes->list[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool changes_any_below(const struct changes *changes, const char *path)
{
	char below[CEIL_PATH + 1];
	size_t len = (size_t)snprintf(below, sizeof(below), "%s/", path);
	size_t i = changes_find(changes, path);

	if (i < changes->n && strcmp(changes->list[i].path, path) == 0)
		return true;
	i = changes_find(changes, below);
	return i < changes->n && strncmp(changes->list[i].path, below, len) == 0;
}

/* ---- open and close ---- */

static int open_dir(struct changes *changes, bool any_dir, struct err *err)
{
	const struct changes_meta *meta = &changes->meta;
	struct stat st;

	changes->dir = open(meta->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (changes->dir < 0 || fstat(changes->dir, &st) < 0)
		return err_set(err, errno == ENOENT ? ESTALE : errno, "changes",
			       "cannot open %s, which the run worked on: %s", meta->dir,
			       strerror(errno));
	if (!any_dir && (st.st_dev != meta->dev || st.st_ino != meta->ino))
		return err_set(err, ESTALE, "changes",
			       "%s is not the directory that the run worked on: it was replaced "
			       "since; --force takes it nevertheless",
			       meta->dir);
	return 0;
}

/* In force from here to changes_close(). */
static int take_ids(struct changes *changes, const struct changes_ids *host, struct err *err)
{
	changes->host = *host;
	changes_as_host(changes);
	if (!ids_are(&changes->host))
		return err_set(err, EPERM, "changes", "%s belongs to uid %u, not to you",
			       changes->meta.dir, changes->meta.uid);
	return 0;
}

static int open_all(struct changes *changes, int base, const struct changes_ids *host, bool any_dir,
		    struct err *err)
{
	struct changes_ids owner;
	int r = changes_read_meta(base, &changes->meta, err);

	if (r < 0)
		return r;
	snprintf(changes->stage, sizeof(changes->stage), ".creel-apply-%s", changes->meta.run);
	changes->base = fcntl(base, F_DUPFD_CLOEXEC, 3);
	changes->upper = openat(base, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (changes->base < 0 || changes->upper < 0)
		return err_errno(err, errno, "changes", "cannot open the kept changes");
	changes->interrupted = faccessat(base, CHANGES_APPLYING, F_OK, 0) == 0;
	r = changes_known_load(changes);
	if (r < 0)
		return err_errno(err, -r, "changes", "cannot read what was applied before");
	owner = (struct changes_ids){changes->meta.uid, changes->meta.gid};
	r = take_ids(changes, host ? host : &owner, err);
	if (r == 0)
		r = open_dir(changes, any_dir, err);
	return r < 0 ? r : changes_scan(changes, err);
}

int changes_open(int base, const struct changes_ids *host, bool any_dir,
		 struct changes **ret_changes, struct err *err)
{
	_cleanup_changes_ struct changes *changes = calloc(1, sizeof(*changes));
	int r;

	if (!changes)
		return err_errno(err, ENOMEM, "changes", "cannot list the changes");
	changes->base = changes->upper = changes->dir = -EBADF;
	changes->own = changes->host = (struct changes_ids){geteuid(), getegid()};
	if (err)
		err->code = 0;
	r = open_all(changes, base, host, any_dir, err);
	if (r == 0)
		*ret_changes = TAKE_PTR(changes);
	return r;
}

struct changes *changes_close(struct changes *changes)
{
	if (!changes)
		return NULL;
	changes_as_own(changes);
	for (size_t i = 0; i < changes->n; i++)
		change_done(&changes->list[i]);
	free(changes->list);
	free(changes->known);
	tree_done(&changes->tree);
	fd_close(changes->base);
	fd_close(changes->upper);
	fd_close(changes->dir);
	free(changes);
	return NULL;
}

/* ---- what the caller sees ---- */

int changes_list(const struct changes *changes, int (*fn)(const struct change *change, void *data),
		 void *data)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < changes->n; i++)
		r = fn(&changes->list[i], data);
	return r;
}

size_t changes_count(const struct changes *changes)
{
	size_t n = 0;

	for (size_t i = 0; i < changes->n; i++)
		n += !changes->list[i].implied;
	return n;
}

const struct changes_meta *changes_meta(const struct changes *changes)
{
	return &changes->meta;
}

static int regular(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fd : fd_close(fd);
}

void changes_contents(const struct changes *changes, const struct change *change, int *ret_old,
		      int *ret_now)
{
	*ret_old = *ret_now = -EBADF;
	if (S_ISREG(change->old_mode))
		*ret_old = regular(changes_host_open(changes, change->path,
						     O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
	if (S_ISREG(change->mode))
		*ret_now =
			regular(changes_upper_open(changes, change->path, O_RDONLY | O_NONBLOCK));
}

static void read_target(int fd, char ret[CEIL_PATH])
{
	ssize_t n = fd < 0 ? 0 : readlinkat(fd, "", ret, CEIL_PATH - 1);

	ret[n > 0 ? n : 0] = '\0';
}

void changes_targets(const struct changes *changes, const struct change *change,
		     char ret_old[CEIL_PATH], char ret_now[CEIL_PATH])
{
	_cleanup_close_ int old = -EBADF, now = -EBADF;

	if (S_ISLNK(change->old_mode))
		old = changes_host_open(changes, change->path, O_PATH | O_NOFOLLOW);
	if (S_ISLNK(change->mode))
		now = changes_upper_open(changes, change->path, O_PATH);
	read_target(old, ret_old);
	read_target(now, ret_now);
}

/* ---- after apply ---- */

/* A directory that hides what DIR has: what is taken from it would look deleted. */
static bool hidden_with_changes(const struct changes *changes, const char *path)
{
	char up[CEIL_PATH];

	snprintf(up, sizeof(up), "%s", path);
	for (char *slash; (slash = strrchr(up, '/'));) {
		const struct tree_entry *entry;

		*slash = '\0';
		entry = tree_find(&changes->tree, up);
		if (entry && entry->opaque && changes_any_below(changes, up))
			return true;
	}
	return false;
}

static int settle_one(const struct changes *changes, const struct tree_entry *entry)
{
	const char *slash = strrchr(entry->path, '/'), *name = slash ? slash + 1 : entry->path;
	_cleanup_close_ int parent = -EBADF;
	char up[CEIL_PATH] = ".";

	if (slash)
		snprintf(up, sizeof(up), "%.*s", (int)(slash - entry->path), entry->path);
	parent = fs_open_beneath(changes->upper, up, O_PATH | O_DIRECTORY, 0);
	if (parent < 0)
		return parent;
	if (unlinkat(parent, name, S_ISDIR(entry->mode) ? AT_REMOVEDIR : 0) < 0 &&
	    errno != ENOTEMPTY && errno != ENOENT)
		return -errno;
	return 0;
}

int changes_settle(struct changes *changes)
{
	int r = 0;

	changes_as_own(changes);
	for (size_t i = changes->tree.n; r == 0 && i-- > 0;) {
		const struct tree_entry *entry = &changes->tree.entries[i];

		if (!changes_any_below(changes, entry->path) &&
		    !hidden_with_changes(changes, entry->path))
			r = settle_one(changes, entry);
	}
	changes_as_host(changes);
	return r;
}
