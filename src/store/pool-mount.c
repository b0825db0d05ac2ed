/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool-mount.c: where the pool is seen.
 *
 * A mount namespace of the process that uses the pool is what makes a kill harmless: nothing has to
 * be unmounted by anybody. The mounts in it are slaves of the host's: what the host mounts later
 * arrives, what is mounted here does not leave. The mount itself is made as a descriptor and put in
 * its place as the last step, so that nothing half done can be seen.
 */
#include "err.h"
#include "pool-private.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <time.h>

#define TRIES 100

bool mount_is_there(const char *data, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	char device[CEIL_PATH];
	uint64_t bytes;

	/* A file that was made anew since is another pool. */
	return fd >= 0 && btrfs_is_subvolume(fd) &&
	       btrfs_device(fd, &bytes, device, sizeof(device)) == 0 && loop_is_on(data, device);
}

/* What the filesystem itself says about a failure (fsopen(2): lines of "e text"). */
static void mount_says(int fs, char *ret, size_t size)
{
	char line[256];
	ssize_t n;

	ret[0] = '\0';
	while ((n = read(fs, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == 'e' && n > 2)
			snprintf(ret, size, " (%s)", line + 2);
	}
}

static int mount_failed(int error, int fs, const char *device, struct err *err)
{
	char said[200];

	mount_says(fs, said, sizeof(said));
	switch (error) {
	case EPERM:
	case EACCES:
		return err_set(err, EOPNOTSUPP, "pool",
			       "not allowed to mount btrfs here: %s%s; creel needs CAP_SYS_ADMIN "
			       "outside of any user namespace",
			       strerror(error), said);
	case EEXIST:
		return err_set(err, EBUSY, "pool",
			       "%s holds a copy of a filesystem that is mounted already; give the "
			       "copied pool.img another id with btrfstune -u",
			       device);
	case EINVAL:
	case EIO:
	case EUCLEAN:
	case ENOENT:
		return err_set(err, EUCLEAN, "pool",
			       "cannot mount pool.img (%s): %s%s; it is damaged: look at it with "
			       "btrfs check, or move it away to begin with an empty pool",
			       device, strerror(error), said);
	default:
		return err_errno(err, error, "pool", "cannot mount pool.img (%s)%s", device, said);
	}
}

/* The mount as a descriptor. */
static int mount_make(const char *device, struct err *err)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	_cleanup_close_ int fs = -EBADF;
	int fd, error = 0;

	/* Busy for a moment: another process mounts it, or its last mount is just ending. */
	for (unsigned i = 0; i < TRIES; i++) {
		cleanup_closep(&fs);
		fs = fsopen("btrfs", FSOPEN_CLOEXEC);
		if (fs < 0 && errno == ENODEV)
			return err_set(err, EOPNOTSUPP, "pool",
				       "this kernel has no btrfs; load or install its module");
		if (fs < 0)
			return mount_failed(errno, fs, device, err);
		if (fsconfig(fs, FSCONFIG_SET_STRING, "source", device, 0) == 0 &&
		    fsconfig(fs, FSCONFIG_SET_FLAG, "nodiscard", NULL, 0) == 0 &&
		    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0) {
			fd = fsmount(fs, FSMOUNT_CLOEXEC,
				     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME);
			return fd < 0 ? mount_failed(errno, fs, device, err) : fd;
		}
		error = errno;
		if (error != EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	return mount_failed(error, fs, device, err);
}

int mount_pool(const char *device, const char *path, bool own_namespace, struct err *err)
{
	_cleanup_close_ int fd = mount_make(device, err);

	if (fd < 0)
		return fd;
	if (own_namespace &&
	    (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0))
		return err_errno(err, errno, "pool", "cannot enter a mount namespace of its own");
	if (move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_errno(err, errno, "pool", "cannot mount the pool at %s", path);
	return 0;
}
