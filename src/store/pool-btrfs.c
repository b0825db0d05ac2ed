/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool-btrfs.c: the few ioctls of btrfs(5) that the pool needs, by hand: a library would be one
 * more thing to link and to trust as root.
 *
 * Facts about the filesystem are read from its trees (the search ioctl, for CAP_SYS_ADMIN only),
 * one item at a time: the layout on disk is stable since Linux 3.6, what sysfs shows is not.
 * Nothing here walks paths inside a subvolume: they are an attacker's.
 */
#include "ceilings.h"
#include "err.h"
#include "io.h"
#include "pool-private.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#define SUBVOLUME_INODE 256	    /* of the root directory of each subvolume */
#define HANDLE_OF_INODE 0x4d	    /* FILEID_BTRFS_WITHOUT_PARENT of the kernel's exportfs.h */
#define SIMPLE_QUOTAS	(1ULL << 3) /* a status flag since 6.7, missing in older headers */

/* The first item of one object and type whose offset is in a range. */
struct search {
	uint64_t tree, objectid;
	uint32_t type;
	uint64_t from, to;
};

struct item {
	uint64_t offset;
	uint32_t len;
	uint8_t data[512];
};

static int search_first(int fd, const struct search *search, struct item *ret_item)
{
	struct btrfs_ioctl_search_args args = {.key = {
						       .tree_id = search->tree,
						       .min_objectid = search->objectid,
						       .max_objectid = search->objectid,
						       .min_type = search->type,
						       .max_type = search->type,
						       .min_offset = search->from,
						       .max_offset = search->to,
						       .max_transid = UINT64_MAX,
						       .nr_items = 1,
					       }};
	struct btrfs_ioctl_search_header header;

	if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args) < 0)
		return -errno;
	if (args.key.nr_items == 0)
		return -ENOENT;
	memcpy(&header, args.buf, sizeof(header));
	if (header.len > sizeof(ret_item->data))
		header.len = sizeof(ret_item->data);
	*ret_item = (struct item){.offset = header.offset, .len = header.len};
	memcpy(ret_item->data, args.buf + sizeof(header), header.len);
	return 0;
}

bool btrfs_is_here(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC;
}

bool btrfs_is_subvolume(int fd)
{
	struct stat st;

	return btrfs_is_here(fd) && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_ino == SUBVOLUME_INODE;
}

int btrfs_subvolume_id(int subvol, uint64_t *ret_id)
{
	struct btrfs_ioctl_ino_lookup_args args = {.objectid = SUBVOLUME_INODE};

	if (ioctl(subvol, BTRFS_IOC_INO_LOOKUP, &args) < 0)
		return -errno;
	*ret_id = args.treeid;
	return 0;
}

static int name_put(struct btrfs_ioctl_vol_args_v2 *args, const char *name)
{
	size_t len = strlen(name);

	if (len > BTRFS_VOL_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(args->name, name, len + 1);
	return 0;
}

int btrfs_create(int dirfd, const char *name, uint64_t limit)
{
	/* Also if there is none: the account can be that of a subvolume which had this number
	 * before. */
	struct btrfs_qgroup_inherit inherit = {
		.flags = BTRFS_QGROUP_INHERIT_SET_LIMITS,
		.lim = {.flags = limit ? BTRFS_QGROUP_LIMIT_MAX_RFER : 0, .max_rfer = limit},
	};
	struct btrfs_ioctl_vol_args_v2 args = {
		.flags = BTRFS_SUBVOL_QGROUP_INHERIT,
		.size = sizeof(inherit),
		.qgroup_inherit = &inherit,
	};
	int r = name_put(&args, name);
	mode_t mask;

	if (r < 0)
		return r;
	mask = umask(0077);
	r = ioctl(dirfd, BTRFS_IOC_SUBVOL_CREATE_V2, &args) < 0 ? -errno : 0;
	umask(mask);
	return r;
}

int btrfs_snapshot(int subvol, int dirfd, const char *name)
{
	struct btrfs_ioctl_vol_args_v2 args = {.fd = subvol};
	int r = name_put(&args, name);

	if (r < 0)
		return r;
	return ioctl(dirfd, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0 ? -errno : 0;
}

static int set_readonly(int subvol, bool readonly)
{
	uint64_t flags, wanted;

	if (ioctl(subvol, BTRFS_IOC_SUBVOL_GETFLAGS, &flags) < 0)
		return -errno;
	wanted = readonly ? flags | BTRFS_SUBVOL_RDONLY : flags & ~BTRFS_SUBVOL_RDONLY;
	if (wanted == flags)
		return 0;
	return ioctl(subvol, BTRFS_IOC_SUBVOL_SETFLAGS, &wanted) < 0 ? -errno : 0;
}

int btrfs_set_readonly(int subvol)
{
	return set_readonly(subvol, true);
}

/* The root directory of a subvolume by a file handle, as an NFS server would. */
static int subvolume_open(int fd, uint64_t id)
{
	const struct search search = {
		.tree = id, .objectid = SUBVOLUME_INODE, .type = BTRFS_INODE_ITEM_KEY};
	struct {
		struct file_handle head;
		struct {
			uint64_t inode, subvolume;
			uint32_t generation;
		} __attribute__((packed)) body;
	} handle = {
		.head = {.handle_bytes = sizeof(handle.body), .handle_type = HANDLE_OF_INODE},
		.body = {.inode = SUBVOLUME_INODE, .subvolume = id},
	};
	struct btrfs_inode_item inode;
	struct item item = {0};
	int r = search_first(fd, &search, &item), opened;

	if (r < 0)
		return r;
	memcpy(&inode, item.data, sizeof(inode));
	handle.body.generation = (uint32_t)le64toh(inode.generation);
	opened = open_by_handle_at(fd, &handle.head, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return opened < 0 ? -errno : opened;
}

int btrfs_set_writable(int fd, uint64_t id)
{
	_cleanup_close_ int subvol = subvolume_open(fd, id);

	return subvol < 0 ? subvol : set_readonly(subvol, false);
}

int btrfs_limit(int subvol, uint64_t limit)
{
	/* All ones takes the limit away (CLEAR_VALUE of the kernel). */
	struct btrfs_ioctl_qgroup_limit_args args = {
		.lim = {.flags = BTRFS_QGROUP_LIMIT_MAX_RFER,
			.max_rfer = limit ? limit : UINT64_MAX},
	};

	return ioctl(subvol, BTRFS_IOC_QGROUP_LIMIT, &args) < 0 ? -errno : 0;
}

int btrfs_usage(int subvol, struct pool_usage *ret_usage)
{
	struct search search = {.tree = BTRFS_QUOTA_TREE_OBJECTID, .type = BTRFS_QGROUP_INFO_KEY};
	struct btrfs_qgroup_limit_item limit;
	struct btrfs_qgroup_info_item info;
	struct item item = {0};
	uint64_t id = 0;
	int r;

	r = btrfs_subvolume_id(subvol, &id);
	if (r < 0)
		return r;
	search.from = search.to = id;
	r = search_first(subvol, &search, &item);
	if (r < 0)
		return r;
	memcpy(&info, item.data, sizeof(info));
	search.type = BTRFS_QGROUP_LIMIT_KEY;
	r = search_first(subvol, &search, &item);
	if (r < 0)
		return r;
	memcpy(&limit, item.data, sizeof(limit));
	*ret_usage = (struct pool_usage){
		.referenced = le64toh(info.rfer),
		.exclusive = le64toh(info.excl),
		.limit = le64toh(limit.flags) & BTRFS_QGROUP_LIMIT_MAX_RFER
				 ? le64toh(limit.max_rfer)
				 : 0,
	};
	return 0;
}

int btrfs_sync(int fd)
{
	return ioctl(fd, BTRFS_IOC_SYNC) < 0 ? -errno : 0;
}

int btrfs_destroy(int fd, uint64_t id)
{
	struct btrfs_ioctl_vol_args_v2 args = {.flags = BTRFS_SUBVOL_SPEC_BY_ID, .subvolid = id};

	return ioctl(fd, BTRFS_IOC_SNAP_DESTROY_V2, &args) < 0 ? -errno : 0;
}

int btrfs_first_inside(int fd, uint64_t id, uint64_t *ret_id)
{
	const struct search search = {.tree = BTRFS_ROOT_TREE_OBJECTID,
				      .objectid = id,
				      .type = BTRFS_ROOT_REF_KEY,
				      .to = UINT64_MAX};
	struct item item = {0};
	int r = search_first(fd, &search, &item);

	if (r == 0)
		*ret_id = item.offset;
	return r;
}

static bool subvolume_exists(int fd, uint64_t id)
{
	const struct search search = {.tree = BTRFS_ROOT_TREE_OBJECTID,
				      .objectid = id,
				      .type = BTRFS_ROOT_ITEM_KEY,
				      .to = UINT64_MAX};
	struct item item = {0};

	return search_first(fd, &search, &item) != -ENOENT;
}

void btrfs_drop_stale_qgroups(int fd)
{
	/* Level 0 only, where the number is the subvolume's. */
	struct search search = {.tree = BTRFS_QUOTA_TREE_OBJECTID,
				.type = BTRFS_QGROUP_INFO_KEY,
				.from = BTRFS_FIRST_FREE_OBJECTID,
				.to = (1ULL << BTRFS_QGROUP_LEVEL_SHIFT) - 1};
	struct item item = {0};

	while (search_first(fd, &search, &item) == 0) {
		struct btrfs_ioctl_qgroup_create_args args = {.qgroupid = item.offset};

		/* One that cannot go now is found again the next time. */
		if (!subvolume_exists(fd, item.offset))
			(void)ioctl(fd, BTRFS_IOC_QGROUP_CREATE, &args);
		search.from = item.offset + 1;
	}
}

void btrfs_nudge_cleaner(int fd)
{
	const struct search search = {.tree = BTRFS_ROOT_TREE_OBJECTID,
				      .objectid = BTRFS_ORPHAN_OBJECTID,
				      .type = BTRFS_ORPHAN_ITEM_KEY,
				      .to = UINT64_MAX};
	struct item item = {0};

	/*
	 * The thread that commits wakes the one that cleans. A commit of its own, which nobody
	 * waits for: BTRFS_IOC_SYNC would wait for everything that others have written.
	 */
	if (search_first(fd, &search, &item) == 0 && futimens(fd, NULL) == 0)
		(void)ioctl(fd, BTRFS_IOC_START_SYNC, NULL);
}

int btrfs_quota_state(int fd)
{
	const struct search search = {.tree = BTRFS_QUOTA_TREE_OBJECTID,
				      .type = BTRFS_QGROUP_STATUS_KEY};
	struct btrfs_qgroup_status_item status;
	struct item item = {0};
	uint64_t flags;
	int r = search_first(fd, &search, &item);

	if (r == -ENOENT)
		return BTRFS_QUOTA_OFF;
	if (r < 0)
		return r;
	memcpy(&status, item.data, sizeof(status));
	flags = le64toh(status.flags);
	if (!(flags & BTRFS_QGROUP_STATUS_FLAG_ON))
		return BTRFS_QUOTA_OFF;
	if (flags & SIMPLE_QUOTAS)
		return BTRFS_QUOTA_ON;
	if (flags & BTRFS_QGROUP_STATUS_FLAG_RESCAN)
		return BTRFS_QUOTA_COUNTING;
	return flags & BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT ? BTRFS_QUOTA_INCONSISTENT
							     : BTRFS_QUOTA_ON;
}

int btrfs_quota_wait(int fd)
{
	int r;

	do {
		r = ioctl(fd, BTRFS_IOC_QUOTA_RESCAN_WAIT);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int btrfs_quota_enable(int fd)
{
	struct btrfs_ioctl_quota_ctl_args args = {.cmd = BTRFS_QUOTA_CTL_ENABLE};

	if (ioctl(fd, BTRFS_IOC_QUOTA_CTL, &args) < 0)
		return -errno;
	return btrfs_quota_wait(fd);
}

int btrfs_quota_recount(int fd)
{
	struct btrfs_ioctl_quota_rescan_args args = {0};

	/* It may be running already. */
	if (ioctl(fd, BTRFS_IOC_QUOTA_RESCAN, &args) < 0 && errno != EINPROGRESS)
		return -errno;
	return btrfs_quota_wait(fd);
}

void btrfs_quota_always(int fd)
{
	struct btrfs_ioctl_fs_info_args info = {0};
	char path[128];
	size_t n;

	if (ioctl(fd, BTRFS_IOC_FS_INFO, &info) < 0)
		return;
	n = (size_t)snprintf(path, sizeof(path), "/sys/fs/btrfs/");
	for (size_t i = 0; i < sizeof(info.fsid); i++)
		n += (size_t)snprintf(path + n, sizeof(path) - n, "%s%02x",
				      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
				      info.fsid[i]);
	snprintf(path + n, sizeof(path) - n, "/qgroups/drop_subtree_threshold");
	/* No such file: an older kernel, which never skips. In a container that may not, see above.
	 */
	if (io_write_file(AT_FDCWD, path, "8") < 0)
		errno = 0;
}

int btrfs_device(int fd, uint64_t *ret_bytes, char *ret_path, size_t size)
{
	struct btrfs_ioctl_dev_info_args args = {.devid = 1};
	size_t len;

	if (ioctl(fd, BTRFS_IOC_DEV_INFO, &args) < 0)
		return -errno;
	len = strnlen((const char *)args.path, sizeof(args.path));
	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(ret_path, args.path, len);
	ret_path[len] = '\0';
	*ret_bytes = args.total_bytes;
	return 0;
}

int btrfs_trim(int fd)
{
	struct fstrim_range range = {.len = UINT64_MAX, .minlen = MIB};

	return ioctl(fd, FITRIM, &range) < 0 ? -errno : 0;
}

int btrfs_fill_device(int fd)
{
	struct btrfs_ioctl_vol_args args = {.name = "1:max"};

	return ioctl(fd, BTRFS_IOC_RESIZE, &args) < 0 ? -errno : 0;
}
