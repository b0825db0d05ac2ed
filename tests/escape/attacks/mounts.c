/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount(2), umount2(2), the new mount API (fsopen(2), open_tree(2), move_mount(2),
 * mount_setattr(2), ...), pivot_root(2) and chroot(2). With any of them a sandbox could uncover
 * the masks of /proc, drop nosuid, reach cgroup file systems (CVE-2022-0492) or feed overlayfs
 * (CVE-2023-0386, GameOver(lay) CVE-2023-2640, CVE-2023-32629). Two walls: seccomp refuses the
 * calls, and no process inside has CAP_SYS_ADMIN over its mount namespace nor can make another.
 */
#include "attack.h"

#include <sys/mount.h>

#define NR_OPEN_TREE	  428
#define NR_MOVE_MOUNT	  429
#define NR_FSOPEN	  430
#define NR_FSCONFIG	  431
#define NR_FSMOUNT	  432
#define NR_FSPICK	  433
#define NR_MOUNT_SETATTR  442
#define NR_OPEN_TREE_ATTR 467
#define TREE_CLONE	  1UL
#define TREE_RECURSIVE	  0x8000UL
#define CWD		  ((unsigned long)AT_FDCWD)

struct setattr {
	uint64_t set, clear, propagation, userns_fd;
};

static struct setattr clear_nosuid = {.clear = 2 /* MOUNT_ATTR_NOSUID */};
static char place[] = "/tmp/creel-mount-XXXXXX";

#define P ATTACK_PTR

/* umount of the root answers EINVAL or EBUSY only to those who may unmount at all. */
static struct attack_syscall old_calls[] = {
	{"mount.tmpfs", SYS_mount, {P("none"), P(place), P("tmpfs"), 0, 0}, {0}},
	{"mount.proc", SYS_mount, {P("none"), P(place), P("proc"), 0, 0}, {0}},
	{"mount.sysfs", SYS_mount, {P("none"), P(place), P("sysfs"), 0, 0}, {0}},
	{"mount.devpts", SYS_mount, {P("none"), P(place), P("devpts"), 0, 0}, {0}},
	{"mount.mqueue", SYS_mount, {P("none"), P(place), P("mqueue"), 0, 0}, {0}},
	{"mount.binfmt_misc", SYS_mount, {P("none"), P(place), P("binfmt_misc"), 0, 0}, {0}},
	{"mount.fuse",
	 SYS_mount,
	 {P("none"), P(place), P("fuse"), 0, P("fd=0,rootmode=40000,user_id=0,group_id=0")},
	 {0}},
	{"mount.overlay",
	 SYS_mount,
	 {P("none"), P(place), P("overlay"), 0, P("lowerdir=/usr:/etc")},
	 {0}},
	{"mount.bind", SYS_mount, {P("/"), P(place), 0, MS_BIND | MS_REC, 0}, {0}},
	{"mount.bind_over_mask", SYS_mount, {P(place), P("/proc"), 0, MS_BIND, 0}, {0}},
	{"mount.remount_suid", SYS_mount, {0, P("/"), 0, MS_REMOUNT | MS_BIND, 0}, {0}},
	{"mount.remount_usr_rw", SYS_mount, {0, P("/usr"), 0, MS_REMOUNT | MS_BIND, 0}, {0}},
	{"mount.remount_procsys_rw",
	 SYS_mount,
	 {0, P("/proc/sys"), 0, MS_REMOUNT | MS_BIND, 0},
	 {0}},
	{"mount.propagation", SYS_mount, {0, P("/"), 0, MS_SHARED | MS_REC, 0}, {0}},
	{"mount.move", SYS_mount, {P("/proc"), P(place), 0, MS_MOVE, 0}, {0}},
	{"mount.umount_proc", SYS_umount2, {P("/proc"), MNT_DETACH}, {0}},
	{"mount.umount_procsys", SYS_umount2, {P("/proc/sys"), MNT_DETACH}, {0}},
	{"mount.umount_kallsyms", SYS_umount2, {P("/proc/kallsyms"), MNT_DETACH}, {0}},
	{"mount.umount_dev", SYS_umount2, {P("/dev"), MNT_DETACH}, {0}},
	{"mount.umount_root", SYS_umount2, {P("/"), MNT_DETACH}, {0}},
	{"mount.pivot_root", SYS_pivot_root, {P(place), P(place)}, {0}},
	{"mount.pivot_root_stacked", SYS_pivot_root, {P("."), P(".")}, {0}},
};

static struct attack_syscall new_calls[] = {
	{"newmount.fsopen_tmpfs", NR_FSOPEN, {P("tmpfs"), 1}, {0}},
	{"newmount.fsopen_proc", NR_FSOPEN, {P("proc"), 1}, {0}},
	{"newmount.fsopen_overlay", NR_FSOPEN, {P("overlay"), 1}, {0}},
	{"newmount.fsopen_cgroup2", NR_FSOPEN, {P("cgroup2"), 1}, {0}},
	{"newmount.fsopen_ext4", NR_FSOPEN, {P("ext4"), 1}, {0}},
	{"newmount.fsconfig", NR_FSCONFIG, {0, 6, 0, 0, 0}, {0}},
	{"newmount.fsmount", NR_FSMOUNT, {0, 1, 0}, {0}},
	{"newmount.fspick", NR_FSPICK, {CWD, P("/"), 1}, {0}},
	{"newmount.open_tree_clone",
	 NR_OPEN_TREE,
	 {CWD, P("/"), TREE_CLONE | TREE_RECURSIVE | O_CLOEXEC},
	 {0}},
	{"newmount.open_tree_procsys", NR_OPEN_TREE, {CWD, P("/proc/sys"), TREE_CLONE}, {0}},
	{"newmount.open_tree_attr",
	 NR_OPEN_TREE_ATTR,
	 {CWD, P("/"), TREE_CLONE, P(&clear_nosuid), sizeof(clear_nosuid)},
	 {0}},
	{"newmount.move_mount", NR_MOVE_MOUNT, {CWD, P("/proc"), CWD, P(place), 0}, {0}},
	{"newmount.setattr_nosuid",
	 NR_MOUNT_SETATTR,
	 {CWD, P("/"), 0, P(&clear_nosuid), sizeof(clear_nosuid)},
	 {0}},
	{"newmount.setattr_recursive",
	 NR_MOUNT_SETATTR,
	 {CWD, P("/"), TREE_RECURSIVE, P(&clear_nosuid), sizeof(clear_nosuid)},
	 {0}},
};

#ifdef __x86_64__
static struct attack_syscall high_bits[] = {
	{"mount.high_bits", SYS_mount | (1L << 32), {P("none"), P(place), P("tmpfs"), 0, 0}, {0}},
	{"mount.high_bits_open_tree", NR_OPEN_TREE | (1L << 32), {CWD, P("/"), TREE_CLONE}, {0}},
};
#endif

/* A file system made, turned into a mount and moved into place, each step from the one before. */
static long chain_call(void *arg)
{
	long context = syscall(NR_FSOPEN, "tmpfs", 0), tree;

	if (context < 0 || syscall(NR_FSCONFIG, context, 6 /* CREATE */, 0, 0, 0) < 0)
		return -1;
	tree = syscall(NR_FSMOUNT, context, 0, 0);
	return tree < 0 ? -1
			: syscall(NR_MOVE_MOUNT, tree, "", AT_FDCWD, arg, 4 /* F_EMPTY_PATH */);
}

/*
 * chroot(2)'s classic way out: keep a directory open, chroot below it, fchdir to it and walk up.
 * What counts is where "/" and ".." end: the root seen at the start.
 */
static long chroot_call(void *arg)
{
	return syscall(SYS_chroot, arg);
}

static long chroot_walk_call(void *arg)
{
	struct stat start, end;
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &start) < 0 || syscall(SYS_chroot, arg) < 0 || fchdir(fd) < 0)
		return -1;
	for (int i = 0; i < 64; i++)
		if (chdir("..") < 0)
			return -1;
	if (stat(".", &end) < 0)
		return -1;
	if (start.st_dev != end.st_dev || start.st_ino != end.st_ino)
		return 1;
	errno = EPERM;
	return -1;
}

static void try_chroot(void)
{
	attack_judge("chroot.call", attack_try(chroot_call, place), NULL);
	attack_judge("chroot.root", attack_try(chroot_call, "/"), NULL);
	attack_judge("chroot.walk_out", attack_try(chroot_walk_call, place), NULL);
}

/* ".." above the root stays at the root, also by openat on a directory fd. */
static void try_dotdot(void)
{
	struct stat root, up;
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || stat("/", &root) < 0 || fstatat(fd, "../../../../../..", &up, 0) < 0) {
		SKIP("chroot.dotdot", "%s", attack_errno_name(errno));
		return;
	}
	if (root.st_dev == up.st_dev && root.st_ino == up.st_ino)
		HELD("chroot.dotdot", "ends at the root");
	else
		BROKEN("chroot.dotdot", "reached inode %lu", (unsigned long)up.st_ino);
	close(fd);
}

static void try_all(struct attack_syscall *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		attack_syscall_case(&cases[i]);
}

int main(void)
{
	attack_begin();
	if (!mkdtemp(place)) {
		SKIP("mount.place", "mkdtemp: %s", attack_errno_name(errno));
		return attack_done();
	}
	try_all(old_calls, ATTACK_LENGTH(old_calls));
	try_all(new_calls, ATTACK_LENGTH(new_calls));
#ifdef __x86_64__
	try_all(high_bits, ATTACK_LENGTH(high_bits));
#endif
	attack_judge("newmount.chain", attack_try(chain_call, place), NULL);
	try_chroot();
	try_dotdot();
	rmdir(place);
	return attack_done();
}
