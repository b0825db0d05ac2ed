/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts.c: the sandbox's tree, by descriptor: fsopen, open_tree, mount_setattr, move_mount, and
 * openat2 for every target, so that no symbolic link of an image leads a mount astray
 * (CVE-2025-31133). Built on a staging mount that only this mount namespace sees; pivot_root leaves
 * nothing of the host behind.
 */
#include "cell-private.h"
#include "err.h"
#include "io.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

static int open_in(int dirfd, const char *path, uint64_t flags)
{
	struct open_how how = {.flags = flags | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS |
					  RESOLVE_NO_MAGICLINKS};

	return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
}

/* Opens path below rootfd, making what is missing: directories, and last a directory or a file. */
static int open_target(int rootfd, const char *path, bool dir)
{
	_cleanup_close_ int at = open_in(rootfd, path, O_PATH);
	char name[NAME_MAX + 1];

	if (at >= 0)
		return TAKE_FD(at);
	at = openat(rootfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	while (at >= 0 && *(path += strspn(path, "/"))) {
		size_t len = strcspn(path, "/");
		bool last = path[len + strspn(path + len, "/")] == '\0';
		int next;

		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, len);
		name[len] = '\0';
		next = open_in(at, name, O_PATH | (last ? 0 : O_DIRECTORY));
		if (next < 0 && errno == ENOENT) {
			if (last && !dir ? mknodat(at, name, S_IFREG | 0644, 0)
					 : mkdirat(at, name, 0755))
				return -errno;
			next = open_in(at, name, O_PATH);
		}
		if (next < 0)
			return -errno;
		close(at);
		at = next;
		path += len;
	}
	return at < 0 ? -errno : TAKE_FD(at);
}

static int fs_new(const struct cell_mount *mount, struct err *err)
{
	_cleanup_close_ int fs = fsopen(mount->source, FSOPEN_CLOEXEC), fd = -EBADF;
	struct statfs st;

	if (fs < 0)
		return FAIL("fsopen %s", mount->source);
	for (const char *const *o = mount->options; *o; o += 2)
		if (fsconfig(fs, o[1] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, o[0], o[1], 0))
			return FAIL("%s option %s", mount->source, o[0]);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ||
	    (fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)mount->attr)) < 0 || fstatfs(fd, &st) < 0)
		return FAIL("cannot make a new %s", mount->source);
	/* An overlay that cannot write to its upper layer comes up read-only and says nothing. */
	if (st.f_flags & ST_RDONLY && !(mount->attr & MOUNT_ATTR_RDONLY))
		return err_set(err, EROFS, "cell", "%s came up read-only", mount->target);
	if (strcmp(mount->source, "proc") == 0 && st.f_type != PROC_SUPER_MAGIC)
		return err_set(err, EINVAL, "cell", "%s is no proc filesystem", mount->target);
	return TAKE_FD(fd);
}

/* A detached copy of the mounts at path below dirfd, with the attributes that are asked for. */
static int clone_of(const struct cell_plan *plan, int dirfd, const char *path,
		    const struct cell_mount *mount, struct err *err)
{
	struct mount_attr set = {.attr_set = mount->attr, .propagation = MS_PRIVATE};
	_cleanup_close_ int fd =
		open_tree(dirfd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (mount->idmap) {
		set.attr_set |= MOUNT_ATTR_IDMAP;
		set.userns_fd = (unsigned)plan->fds[mount->idmap - 1];
	}
	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &set, sizeof(set)) < 0) {
		if (mount->idmap && errno == EINVAL) /* this filesystem has no mapped ids */
			errno = EOPNOTSUPP;
		return FAIL("cannot bind%s %s", mount->idmap ? " with mapped ids" : "", path);
	}
	return TAKE_FD(fd);
}

/* cwd: the caller's working directory, which the source "." names whatever its path leads to now.
 */
static int mount_one(const struct cell_plan *plan, int cwd, int stage, int rootfd,
		     const struct cell_mount *mount, struct err *err)
{
	const char *name = mount->target + (*mount->target == '/');
	int base = name > mount->target ? rootfd : stage;
	_cleanup_close_ int target = -EBADF, fd = -EBADF;
	struct mount_attr seal = {.attr_set = mount->attr};
	struct stat st = {0};

	if ((mount->kind == CELL_SYMLINK && symlinkat(mount->source, base, name) < 0) ||
	    (mount->kind == CELL_SEAL && mount_setattr(base, name, 0, &seal, sizeof(seal)) < 0))
		return FAIL("cannot link or seal %s", name);
	if (mount->kind == CELL_SYMLINK || mount->kind == CELL_SEAL)
		return 0;
	if (mount->kind == CELL_MASK || mount->kind == CELL_READONLY) {
		target = open_in(base, name, O_PATH);
		if (target < 0 && errno == ENOENT)
			return 0;
		if (target < 0 || fstat(target, &st) < 0)
			return FAIL("cannot mask %s", name);
	}
	if (mount->kind == CELL_FS)
		fd = fs_new(mount, err);
	else if (mount->kind == CELL_BIND)
		fd = clone_of(plan, *mount->source == '.' ? cwd : AT_FDCWD, mount->source, mount,
			      err);
	else if (mount->kind == CELL_READONLY)
		fd = clone_of(plan, base, name, mount, err);
	else
		fd = S_ISDIR(st.st_mode) ? clone_of(plan, stage, "empty", mount, err)
					 : clone_of(plan, rootfd, "dev/null", mount, err);
	if (fd < 0)
		return fd;
	if (target < 0 && fstat(fd, &st) == 0)
		target = open_target(base, name, S_ISDIR(st.st_mode));
	if (target < 0)
		return err_errno(err, -target, "cell", "cannot make the mount point %s", name);
	if (move_mount(fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return FAIL("cannot mount on %s", mount->target);
	return 0;
}

/* The writable layer, attached over the stage: from here on the host's tree is not looked at. */
static int stage_open(const struct cell_plan *plan, struct err *err)
{
	struct mount_attr private = {.propagation = MS_PRIVATE};
	_cleanup_close_ int fd = -EBADF;

	/*
	 * Root's files are made as the sandbox's root, capabilities kept: through a mount with
	 * mapped ids the host's own root has no id, and an overlay over one would come up
	 * read-only.
	 */
	if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &private, sizeof(private)) < 0 ||
	    (!plan->rootless && prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0))
		return FAIL("cannot make mounts private and keep capabilities");
	setfsgid(plan->root_gid);
	setfsuid(plan->root_uid);
	fd = plan->layer.kind == CELL_FS
		     ? fs_new(&plan->layer, err)
		     : clone_of(plan, AT_FDCWD, plan->layer.source, &plan->layer, err);
	if (fd < 0)
		return fd;
	if (move_mount(fd, "", AT_FDCWD, plan->stage, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return FAIL("cannot mount on %s", plan->stage);
	for (const struct cell_dir *dir = plan->stage_dirs; dir->name; dir++)
		if ((mkdirat(fd, dir->name, 0755) < 0 && errno != EEXIST) ||
		    fchownat(fd, dir->name, dir->owner, dir->group, 0) < 0)
			return FAIL("cannot make %s in the layer", dir->name);
	return TAKE_FD(fd);
}

int mounts_build(const struct cell_plan *plan, int *ret_layer, int *ret_sysctl, struct err *err)
{
	_cleanup_close_ int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int stage = stage_open(plan, err), rootfd = -EBADF, sysctl = -EBADF;

	/* Overlay options name their directories relative to the stage. */
	if (stage < 0 || fchdir(stage) < 0)
		return stage < 0 ? stage : FAIL("cannot enter the stage");
	for (size_t i = 0; i < plan->n_mounts; i++) {
		if (rootfd < 0 && plan->mounts[i].target[0] == '/')
			rootfd = open_in(stage, plan->root, O_PATH | O_DIRECTORY);
		if (mount_one(plan, cwd, stage, rootfd, &plan->mounts[i], err) < 0)
			return -EIO;
		if (sysctl < 0 && plan->mounts[i].kind == CELL_FS &&
		    strcmp(plan->mounts[i].target, "/proc") == 0)
			sysctl = open_in(rootfd, "proc/sys/user", O_PATH | O_DIRECTORY);
	}
	if (rootfd < 0 || fchdir(rootfd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return FAIL("cannot make the tree the root");
	*ret_layer = TAKE_FD(stage);
	*ret_sysctl = TAKE_FD(sysctl);
	return 0;
}
