/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overlay's private marks made by hand: a whiteout is a 0:0 character device, which any user may
 * make since Linux 5.8 (mknod(2), renameat2(2) RENAME_WHITEOUT), and opaque or redirected
 * directories are xattrs (user.overlay.* for unprivileged overlays). In a directory of the
 * machine that some overlay later uses as a lower layer they hide or borrow files.
 * Held: they cannot be made in /workspace, and elsewhere have no effect on what a reader sees.
 * run: maybe-workspace
 */
#include "attack.h"

#include <linux/fs.h>
#include <sys/sysmacros.h>

struct place {
	const char *label, *directory;
};

static char path[128], other[128];

static void name_files(const struct place *p)
{
	snprintf(path, sizeof(path), "%s/creel-mark-%d", p->directory, (int)getpid());
	snprintf(other, sizeof(other), "%s/creel-other-%d", p->directory, (int)getpid());
}

/* Judged by effect: a 0:0 device is there afterwards. */
static long judge_device(long value, const char *file)
{
	struct stat info;

	if (value < 0)
		return value;
	if (lstat(file, &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0)) {
		unlink(file);
		return 1;
	}
	errno = EPERM;
	return -1;
}

static long mknod_call(void *arg)
{
	name_files(arg);
	return judge_device(syscall(SYS_mknodat, AT_FDCWD, path, S_IFCHR, makedev(0, 0)), path);
}

/* The old name is left as a whiteout. */
static long rename_call(void *arg)
{
	long value;
	int fd, err;

	name_files(arg);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	close(fd);
	value = syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, RENAME_WHITEOUT);
	value = judge_device(value, path);
	err = errno;
	unlink(path);
	unlink(other);
	errno = err;
	return value;
}

struct mark {
	const struct place *place;
	const char *key, *value;
};

static long xattr_call(void *arg)
{
	const struct mark *m = arg;
	long value;

	name_files(m->place);
	if (mkdir(path, 0755) < 0)
		return -1;
	value = syscall(SYS_setxattr, path, m->key, m->value, strlen(m->value), 0);
	if (value < 0) {
		int err = errno;

		rmdir(path);
		errno = err;
		return -1;
	}
	rmdir(path);
	return value;
}

/*
 * trusted.* is for the machine's root only. (What user.overlay.* marks do is judged from outside,
 * by the driver: the filter cannot see an xattr's name.)
 */
static void try_marks(const struct place *p)
{
	static const struct {
		const char *label, *key, *value;
	} marks[] = {
		{"opaque", "trusted.overlay.opaque", "y"},
		{"redirect", "trusted.overlay.redirect", "/etc"},
		{"metacopy", "trusted.overlay.metacopy", ""},
	};
	static const int more[] = {EOPNOTSUPP, EINVAL, 0};
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(marks); i++) {
		struct mark m = {p, marks[i].key, marks[i].value};

		snprintf(name, sizeof(name), "whiteout.%s_trusted_%s", p->label, marks[i].label);
		attack_judge(name, attack_try(xattr_call, &m), more);
	}
}

/* A file of the image that is made opaque or whited out must come back for nobody else. */
static void try_lower(void)
{
	struct place usr = {"usr", "/usr/share"};

	if (access(usr.directory, W_OK) < 0) {
		HELD("whiteout.usr", "read-only: %s", attack_errno_name(errno));
		return;
	}
	attack_judge("whiteout.usr_mknod", attack_try(mknod_call, &usr), NULL);
	attack_judge("whiteout.usr_rename", attack_try(rename_call, &usr),
		     (const int[]){EINVAL, 0});
	try_marks(&usr);
}

int main(void)
{
	struct place workspace = {"workspace", "/workspace"}, home = {"home", "/home/user"};

	attack_begin();
	attack_become_owner(workspace.directory);
	if (access(workspace.directory, W_OK) < 0) {
		SKIP("whiteout.workspace", "%s", attack_errno_name(errno));
	} else {
		attack_judge("whiteout.workspace_mknod", attack_try(mknod_call, &workspace), NULL);
		attack_judge("whiteout.workspace_rename", attack_try(rename_call, &workspace),
			     (const int[]){EINVAL, 0});
		try_marks(&workspace);
	}
	if (access(home.directory, W_OK) == 0) {
		attack_judge("whiteout.home_mknod", attack_try(mknod_call, &home), NULL);
		attack_judge("whiteout.home_rename", attack_try(rename_call, &home),
			     (const int[]){EINVAL, 0});
		try_marks(&home);
	}
	try_lower();
	return attack_done();
}
