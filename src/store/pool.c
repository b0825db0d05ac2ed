/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c: see pool.h. Names are checked here and resolved below the pool's root without following
 * links. Every step is one that the kernel does whole or not at all, a subvolume and its limit in
 * particular; what has several (deletion, the first use) is gone on with by the next process.
 *
 * Deliberately not done: quotas are never switched on in a filesystem that is somebody else's, and
 * a pool that was once in one place is never looked for in the other.
 */
#include "pool-private.h"

#include "err.h"
#include "fs.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/statvfs.h>

#define COMPONENT_MOST 64

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool name_is_valid(const char *name)
{
	size_t len;

	if (strnlen(name, CEIL_PATH) == CEIL_PATH)
		return false;
	for (;; name += len + 1) {
		for (len = 0; name[len] && name[len] != '/'; len++)
			if (!is_alnum(name[len]) && (len == 0 || !strchr("._-", name[len])))
				return false;
		if (len == 0 || len > COMPONENT_MOST)
			return false;
		if (!name[len])
			return true;
	}
}

/* The directory that holds name, made on demand; *ret_last points to the last component. */
static int pool_parent(const struct pool *pool, const char *name, bool make, const char **ret_last,
		       struct err *err)
{
	const char *slash;
	char parent[CEIL_PATH];
	int fd, r = 0;

	if (!name_is_valid(name))
		return err_set(
			err, EINVAL, "pool",
			"%s is no name in the pool: letters, digits, '.', '_' and '-' in parts "
			"of at most %d that begin with a letter or digit",
			name, COMPONENT_MOST);
	slash = strrchr(name, '/');
	*ret_last = slash ? slash + 1 : name;
	snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - name) : 1,
		 slash ? name : ".");
	if (make && slash)
		r = fs_mkdirs_beneath(pool->fd, parent, 0700, 0, 0);
	fd = r < 0 ? r : fs_open_beneath(pool->fd, parent, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_errno(err, -fd, "pool", "no directory %s in %s", parent, pool->path);
	return fd;
}

/* The subvolume of that name, open. */
static int pool_find(int dirfd, const char *last, const char *name, struct err *err)
{
	_cleanup_close_ int fd = fs_open_beneath(dirfd, last, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return err_errno(err, -fd, "pool", "cannot open %s in the pool", name);
	if (!btrfs_is_subvolume(fd))
		return err_set(err, ENOTDIR, "pool", "%s in the pool is no subvolume", name);
	return TAKE_FD(fd);
}

static int refuse_small(const char *name, uint64_t limit, const struct pool_usage *usage,
			struct err *err)
{
	if (limit == 0 || usage->referenced <= limit)
		return 0;
	return err_set(
		err, EDQUOT, "pool",
		"%s holds %llu bytes, more than the limit of %llu; raise the limit, or delete "
		"something first",
		name, (unsigned long long)usage->referenced, (unsigned long long)limit);
}

static int pool_account(int subvol, const char *name, bool sync, struct pool_usage *ret_usage,
			struct err *err)
{
	int r = sync ? btrfs_sync(subvol) : 0;

	if (r == 0)
		r = btrfs_usage(subvol, ret_usage);
	return r < 0 ? err_errno(err, -r, "pool", "cannot read the usage of %s", name) : 0;
}

static int pool_relimit(int dirfd, const char *last, const char *name, uint64_t limit,
			struct err *err)
{
	_cleanup_close_ int fd = pool_find(dirfd, last, name, err);
	struct pool_usage usage = {0};
	int r;

	if (fd < 0)
		return fd;
	/* The usual case must not wait for what other tenants are writing. */
	r = pool_account(fd, name, false, &usage, err);
	if (r < 0 || usage.limit == limit)
		return r;
	r = pool_account(fd, name, true, &usage, err);
	if (r == 0)
		r = refuse_small(name, limit, &usage, err);
	if (r < 0)
		return r;
	r = btrfs_limit(fd, limit);
	return r < 0 ? err_errno(err, -r, "pool", "cannot limit %s to %llu bytes", name,
				 (unsigned long long)limit)
		     : 0;
}

int pool_subvolume(struct pool *pool, const char *name, uint64_t limit_bytes, struct err *err)
{
	_cleanup_close_ int dir = -EBADF;
	const char *last = "";
	int r;

	r = image_has_room(pool->data, err);
	if (r < 0)
		return r;
	dir = pool_parent(pool, name, true, &last, err);
	if (dir < 0)
		return dir;
	r = btrfs_create(dir, last, limit_bytes);
	if (r == -EEXIST)
		return pool_relimit(dir, last, name, limit_bytes, err);
	if (r < 0)
		return err_errno(err, -r, "pool", "cannot make the subvolume %s", name);
	return 0;
}

/* What the new one holds is known: the commit that made it counted it. */
static int snapshot_limit(int trash, const char *taken, const char *from, uint64_t limit,
			  struct err *err)
{
	_cleanup_close_ int fd = pool_find(trash, taken, from, err);
	struct pool_usage usage = {0};
	int r = fd < 0 ? fd : pool_account(fd, from, false, &usage, err);

	if (r == 0)
		r = refuse_small(from, limit, &usage, err);
	if (r < 0)
		return r;
	/* A limit given at the start is overwritten by that of the source. */
	r = btrfs_limit(fd, limit);
	return r < 0 ? err_errno(err, -r, "pool", "cannot limit a snapshot of %s", from) : 0;
}

/* It is made in the trash, where a crash would leave it, and moved out when it is as it should be.
 */
static int snapshot_make(const struct pool *pool, int source, const char *from, int dir,
			 const char *last, uint64_t limit, bool readonly, struct err *err)
{
	_cleanup_close_ int trash = trash_lock(pool), made = -EBADF;
	uint64_t token;
	char taken[64];
	int r;

	if (trash < 0)
		return err_errno(err, -trash, "pool", "cannot lock the trash of %s", pool->path);
	/* A number of the process would not do: containers that share the pool have the same ones.
	 */
	if (getrandom(&token, sizeof(token), 0) != sizeof(token))
		return err_errno(err, errno, "pool", "no random number");
	snprintf(taken, sizeof(taken), "new-%llx", (unsigned long long)token);
	r = btrfs_snapshot(source, trash, taken);
	if (r < 0)
		return err_errno(err, -r, "pool", "cannot make a snapshot of %s", from);
	r = snapshot_limit(trash, taken, from, limit, err);
	if (r == 0 && renameat2(trash, taken, dir, last, RENAME_NOREPLACE) < 0)
		r = err_errno(err, errno, "pool", "cannot name a snapshot of %s %s", from, last);
	if (r < 0) {
		trash_drop(pool, trash, taken);
		return r;
	}
	/* Last, because a read-only one cannot be moved. */
	if (!readonly)
		return 0;
	made = pool_find(dir, last, last, err);
	r = made < 0 ? made : btrfs_set_readonly(made);
	return r < 0 ? err_errno(err, -r, "pool", "cannot make %s read-only", last) : 0;
}

int pool_snapshot(struct pool *pool, const char *from, const char *to, uint64_t limit_bytes,
		  bool readonly, struct err *err)
{
	_cleanup_close_ int dir = -EBADF, source = -EBADF;
	const char *last = "";
	int r;

	r = image_has_room(pool->data, err);
	if (r < 0)
		return r;
	dir = pool_parent(pool, from, false, &last, err);
	source = dir < 0 ? dir : pool_find(dir, last, from, err);
	if (source < 0)
		return source;
	cleanup_closep(&dir);
	dir = pool_parent(pool, to, true, &last, err);
	if (dir < 0)
		return dir;
	if (faccessat(dir, last, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(err, EEXIST, "pool", "there is a %s in the pool already", to);
	return snapshot_make(pool, source, from, dir, last, limit_bytes, readonly, err);
}

int pool_delete(struct pool *pool, const char *name, struct err *err)
{
	const char *last = "";
	_cleanup_close_ int dir = pool_parent(pool, name, false, &last, err);
	int r;

	if (dir < 0)
		return dir;
	r = trash_take(pool, dir, last);
	if (r < 0)
		return err_errno(err, -r, "pool", "cannot delete %s from the pool", name);
	btrfs_drop_stale_qgroups(pool->fd);
	return 0;
}

int pool_usage(struct pool *pool, const char *name, struct pool_usage *ret_usage, struct err *err)
{
	_cleanup_close_ int dir = -EBADF, fd = -EBADF;
	const char *last = "";

	dir = pool_parent(pool, name, false, &last, err);
	fd = dir < 0 ? dir : pool_find(dir, last, name, err);
	if (fd < 0)
		return fd;
	return pool_account(fd, name, true, ret_usage, err);
}

const char *pool_path(const struct pool *pool)
{
	return pool->path;
}

bool pool_is_native(const struct pool *pool)
{
	return pool->native;
}

struct pool *pool_close(struct pool *pool)
{
	if (pool) {
		fd_close(pool->fd);
		free(pool);
	}
	return NULL;
}

/* Quotas of the host's own filesystem, which are not ours to change. */
static int quotas_native(const struct pool *pool, int state, struct err *err)
{
	if (state == BTRFS_QUOTA_OFF)
		return err_set(err, EUCLEAN, "pool",
			       "%s was a pool with quotas, and they are off now; switch them on: "
			       "btrfs quota enable %s",
			       pool->path, pool->path);
	if (state == BTRFS_QUOTA_INCONSISTENT)
		return err_set(
			err, EUCLEAN, "pool",
			"the quotas below %s are inconsistent and would not hold; count anew: "
			"btrfs quota rescan -w %s",
			pool->path, pool->path);
	return 0;
}

/* In a filesystem of our own they are for us to see to. */
static int quotas_own(const struct pool *pool, int state)
{
	if (state == BTRFS_QUOTA_OFF)
		return btrfs_quota_enable(pool->fd);
	return state == BTRFS_QUOTA_INCONSISTENT ? btrfs_quota_recount(pool->fd) : 0;
}

static int pool_quotas(const struct pool *pool, struct err *err)
{
	int state = btrfs_quota_state(pool->fd), r;

	if (state < 0)
		return err_errno(err, -state, "pool", "cannot see the quotas of %s", pool->path);
	if (state == BTRFS_QUOTA_COUNTING)
		r = btrfs_quota_wait(pool->fd);
	else if (pool->native)
		return quotas_native(pool, state, err);
	else
		r = quotas_own(pool, state);
	return r < 0 ? err_errno(err, -r, "pool", "cannot set up quotas in %s", pool->path) : 0;
}

/* What every opening sees to; all of it is there already but for the first. */
static int pool_prepare(const struct pool *pool, struct err *err)
{
	struct statvfs fs;
	struct stat st;
	int r;

	if (fstatvfs(pool->fd, &fs) == 0 && (fs.f_flag & ST_RDONLY))
		return err_set(err, EROFS, "pool",
			       "%s turned read-only after an error of the disk below; end the runs "
			       "that use it (and umount %s if it is mounted), then try again",
			       pool->path, pool->path);
	r = pool_quotas(pool, err);
	if (r < 0)
		return r;
	if (!pool->native)
		btrfs_quota_always(pool->fd);
	/* No change where none is needed: it would cost a commit when the mount ends. */
	if (fstat(pool->fd, &st) < 0 ||
	    (!pool->native && (st.st_mode & 0777) != 0700 && fchmod(pool->fd, 0700) < 0) ||
	    (mkdirat(pool->fd, POOL_TRASH, 0700) < 0 && errno != EEXIST))
		return err_errno(err, errno, "pool", "cannot set up %s", pool->path);
	r = pool->native ? 0 : image_fit(pool, err);
	if (r == 0)
		trash_sweep(pool);
	if (!pool->native)
		btrfs_nudge_cleaner(pool->fd);
	return r;
}

static struct pool *pool_new(const char *data, const char *path, bool native)
{
	_cleanup_pool_ struct pool *pool = malloc(sizeof(*pool));

	if (!pool)
		return NULL;
	*pool = (struct pool){.native = native, .fd = -EBADF};
	/* Absolute, whatever directory the process goes to later. */
	if (!realpath(data, pool->data) || !realpath(path, pool->path))
		return NULL;
	pool->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return pool->fd < 0 ? NULL : TAKE_PTR(pool);
}

/* Is DATA on btrfs and to be used as it is? A pool.img that exists decides it, so does a .trash. */
static bool pool_native(const char *data)
{
	_cleanup_close_ int fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && btrfs_is_here(fd) && faccessat(fd, POOL_IMAGE, F_OK, 0) < 0 &&
	       (btrfs_quota_state(fd) > BTRFS_QUOTA_OFF ||
		faccessat(fd, POOL_TRASH, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
}

/* Sees to it that the pool of pool.img is mounted at path. */
static int pool_mount(const char *data, const char *path, bool own_namespace, struct err *err)
{
	_cleanup_close_ int loop = -EBADF;
	char device[32];

	if (geteuid() != 0)
		return err_set(err, EOPNOTSUPP, "pool", "only root can have a pool");
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(err, errno, "pool", "cannot make the directory %s", path);
	if (mount_is_there(data, path))
		return 0;
	loop = loop_attach(data, device, sizeof(device), err);
	return loop < 0 ? loop : mount_pool(device, path, own_namespace, err);
}

static int pool_place(const char *data, const char *run, char *ret_path, size_t size,
		      bool *ret_native, struct err *err)
{
	bool native = pool_native(data);
	int n = native ? snprintf(ret_path, size, "%s", data)
		       : snprintf(ret_path, size, "%s/pool", run);

	if (n < 0 || (size_t)n >= size || strlen(data) >= CEIL_PATH / 2)
		return err_set(err, ENAMETOOLONG, "pool", "the state directory's path is too long");
	*ret_native = native;
	return 0;
}

int pool_open(const char *data, const char *run, struct pool **ret_pool, struct err *err)
{
	_cleanup_pool_ struct pool *pool = NULL;
	char path[CEIL_PATH];
	bool native = false;
	int r;

	r = pool_place(data, run, path, sizeof(path), &native, err);
	if (r == 0 && !native)
		r = pool_mount(data, path, true, err);
	if (r < 0)
		return r;
	pool = pool_new(data, path, native);
	if (!pool)
		return err_errno(err, errno, "pool", "cannot open %s", path);
	r = pool_prepare(pool, err);
	if (r < 0)
		return r;
	*ret_pool = TAKE_PTR(pool);
	return 0;
}

int pool_show(const char *data, const char *run, char *ret_path, size_t size, struct err *err)
{
	_cleanup_close_ int lock = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char path[CEIL_PATH];
	bool native = false;
	int r;

	/* Two at once would mount it twice. */
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return err_errno(err, errno, "pool", "cannot lock %s", run);
	r = pool_place(data, run, path, sizeof(path), &native, err);
	if (r == 0 && !native)
		r = pool_mount(data, path, false, err);
	if (r < 0)
		return r;
	if ((size_t)snprintf(ret_path, size, "%s", path) >= size)
		return err_set(err, ENAMETOOLONG, "pool", "the path %s is too long", path);
	return 0;
}
