/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btrfs lets any user who may write a directory make subvolumes in it, outside the limit of the
 * subvolume around it, and these block its deletion; tree search reads metadata of everybody
 * (btrfs-ioctl(2)). Walls: btrfs is only shown through overlay, whose files answer ENOTTY, and
 * the filter refuses ioctl magic 0x94 but for FICLONE, FICLONERANGE and FIDEDUPERANGE.
 * The driver's host test repeats this with a btrfs directory as workspace, where the filter is
 * alone. run: workspace
 */
#include "attack.h"

#include <linux/btrfs.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

static union {
	struct btrfs_ioctl_vol_args old;
	struct btrfs_ioctl_vol_args_v2 new;
	struct btrfs_ioctl_search_args search;
	struct btrfs_ioctl_ino_lookup_args lookup;
	struct btrfs_ioctl_quota_ctl_args quota;
	struct btrfs_ioctl_qgroup_limit_args limit;
	unsigned char bytes[8192];
	uint64_t flags;
} args;

static const struct {
	const char *name;
	unsigned long request;
} requests[] = {
	{"subvol_create", BTRFS_IOC_SUBVOL_CREATE},
	{"subvol_create_v2", BTRFS_IOC_SUBVOL_CREATE_V2},
	{"snap_create", BTRFS_IOC_SNAP_CREATE},
	{"snap_create_v2", BTRFS_IOC_SNAP_CREATE_V2},
	{"snap_destroy", BTRFS_IOC_SNAP_DESTROY},
	{"snap_destroy_v2", BTRFS_IOC_SNAP_DESTROY_V2},
	{"subvol_getflags", BTRFS_IOC_SUBVOL_GETFLAGS},
	{"subvol_setflags", BTRFS_IOC_SUBVOL_SETFLAGS},
	{"tree_search", BTRFS_IOC_TREE_SEARCH},
	{"tree_search_v2", BTRFS_IOC_TREE_SEARCH_V2},
	{"ino_lookup", BTRFS_IOC_INO_LOOKUP},
	{"ino_lookup_user", BTRFS_IOC_INO_LOOKUP_USER},
	{"subvol_info", BTRFS_IOC_GET_SUBVOL_INFO},
	{"subvol_rootref", BTRFS_IOC_GET_SUBVOL_ROOTREF},
	{"fs_info", BTRFS_IOC_FS_INFO},
	{"dev_info", BTRFS_IOC_DEV_INFO},
	{"space_info", BTRFS_IOC_SPACE_INFO},
	{"sync", BTRFS_IOC_SYNC},
	{"start_sync", BTRFS_IOC_START_SYNC},
	{"defrag", BTRFS_IOC_DEFRAG},
	{"send", BTRFS_IOC_SEND},
	{"quota_ctl", BTRFS_IOC_QUOTA_CTL},
	{"qgroup_limit", BTRFS_IOC_QGROUP_LIMIT},
	{"qgroup_create", BTRFS_IOC_QGROUP_CREATE},
	{"default_subvol", BTRFS_IOC_DEFAULT_SUBVOL},
	{"balance", BTRFS_IOC_BALANCE},
	{"resize", BTRFS_IOC_RESIZE},
	{"add_device", BTRFS_IOC_ADD_DEV},
	{"received_subvol", BTRFS_IOC_SET_RECEIVED_SUBVOL},
	{"encoded_read", _IOR(0x94, 64, char[128])},
	{"encoded_write", _IOW(0x94, 64, char[128])},
	{"subvol_sync_wait", _IOW(0x94, 65, char[16])},
	{"unknown_200", _IO(0x94, 200)},
};

struct ioctl_try {
	const char *directory;
	unsigned long request;
};

static long ioctl_call(void *arg)
{
	const struct ioctl_try *t = arg;
	int fd = open(t->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	memset(&args, 0, sizeof(args));
	if (t->request == BTRFS_IOC_SUBVOL_CREATE_V2 || t->request == BTRFS_IOC_SNAP_CREATE_V2) {
		args.new.fd = fd;
		strncpy(args.new.name, "creel-nested", sizeof(args.new.name) - 1);
	} else if ((t->request & 0xffffffff) == BTRFS_IOC_SUBVOL_CREATE ||
		   t->request == BTRFS_IOC_SNAP_CREATE) {
		args.old.fd = fd;
		strncpy(args.old.name, "creel-nested", sizeof(args.old.name) - 1);
	}
	return syscall(SYS_ioctl, fd, t->request, &args);
}

static void try_directory(const char *label, const char *directory)
{
	static const int not_btrfs[] = {ENOTTY, 0};
	char name[64];

	if (access(directory, R_OK) < 0)
		return;
	for (size_t i = 0; i < ATTACK_LENGTH(requests); i++) {
		struct ioctl_try t = {directory, requests[i].request};

		snprintf(name, sizeof(name), "btrfs.%s_%s", label, requests[i].name);
		attack_judge(name, attack_try(ioctl_call, &t), not_btrfs);
	}
	for (size_t i = 0; i < 2; i++) {
		struct ioctl_try t = {directory, requests[i * 6].request | (1UL << 32)};

		snprintf(name, sizeof(name), "btrfs.%s_high_bits_%s", label, requests[i * 6].name);
		attack_judge(name, attack_try(ioctl_call, &t), not_btrfs);
	}
}

/* The clone calls, which cp --reflink uses, must not be caught in the same net. */
static void try_clone(void)
{
	char from[] = "/workspace/creel-from-XXXXXX", to[] = "/workspace/creel-to-XXXXXX";
	int source = mkstemp(from), target = mkstemp(to);
	long value = syscall(SYS_ioctl, target, FICLONE, source);

	if (value < 0 && (errno == EPERM || errno == ENOSYS))
		BROKEN("btrfs.clone_allowed", "FICLONE is refused: %s", attack_errno_name(errno));
	else
		HELD("btrfs.clone_allowed", "%s", value < 0 ? attack_errno_name(errno) : "cloned");
	unlink(from);
	unlink(to);
}

int main(void)
{
	attack_begin();
	try_directory("workspace", "/workspace");
	try_directory("home", "/home/user");
	try_directory("tmp", "/tmp");
	try_directory("usr", "/usr");
	if (access("/workspace", W_OK) == 0)
		try_clone();
	return attack_done();
}
