/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool-loop.c: the loop device over DATA/pool.img.
 *
 * Invariant: never two loop devices over the file. Two mounts through two devices would write over
 * each other, and since Linux 6.7 btrfs itself no longer refuses them (temp_fsid). So whoever
 * attaches the file holds a flock(2) on the very open file that it gives to the loop device. The
 * device keeps that open file, and with it the lock, until it has let go of the file completely;
 * the kernel keeps the book, for every process, container and mount namespace, and no crash can
 * leave it wrong. Without the lock there is a device already: it is found and shared.
 *
 * Buffered, not direct: the pages of the file outlive the mount, so that the next run reads its
 * home from memory (100 MB: 0.1 s less); the price is a third of the speed of large writes.
 */
#include "err.h"
#include "fs.h"
#include "io.h"
#include "parse.h"
#include "pool-private.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <time.h>

#define LOOP_MAJOR 7
#define TRIES	   200

static void pause_ms(unsigned ms)
{
	const struct timespec time = {.tv_nsec = (long)ms * 1000000};

	nanosleep(&time, NULL);
}

static bool loop_has(int loop, const struct stat *image)
{
	struct loop_info64 info;

	return ioctl(loop, LOOP_GET_STATUS64, &info) == 0 && info.lo_device == image->st_dev &&
	       info.lo_inode == image->st_ino && info.lo_offset == 0 && info.lo_sizelimit == 0;
}

bool loop_is_on(const char *data, const char *device)
{
	_cleanup_close_ int image = image_open(data, POOL_IMAGE, O_PATH), loop = -EBADF;
	struct stat st;

	loop = open(device, O_RDONLY | O_CLOEXEC);
	return image >= 0 && loop >= 0 && fstat(image, &st) == 0 && loop_has(loop, &st);
}

/* A container's /dev often lacks the nodes of devices that were made after its start. */
static int loop_open(unsigned number, int flags, char *ret_device, size_t size)
{
	int fd;

	snprintf(ret_device, size, "/dev/loop%u", number);
	fd = open(ret_device, flags | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT &&
	    (mknod(ret_device, S_IFBLK | 0600, makedev(LOOP_MAJOR, number)) == 0 ||
	     errno == EEXIST))
		fd = open(ret_device, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Is a loop device attached to a file of the image's name? Only those are worth a look. */
static bool loop_may_be_over(int block, const char *name)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	char path[NAME_MAX + sizeof("/loop/backing_file")];
	const char *slash;

	snprintf(path, sizeof(path), "%s/loop/backing_file", name);
	if (io_read_file(block, path, &text) < 0)
		return false;
	slash = strrchr(text.data, '/');
	return slash && strncmp(slash + 1, POOL_IMAGE, sizeof(POOL_IMAGE) - 1) == 0;
}

/* The device over the image, held open. -ENOENT: there is none that can be seen. */
static int loop_find(const struct stat *image, char *ret_device, size_t size)
{
	_cleanup_closedir_ DIR *block = opendir("/sys/block");
	struct dirent *entry;

	while (block && (entry = fs_next(block))) {
		uint64_t number;
		int fd;

		if (strncmp(entry->d_name, "loop", 4) != 0 ||
		    parse_u64(entry->d_name + 4, 0, (1u << 20) - 1, &number) < 0 ||
		    !loop_may_be_over(dirfd(block), entry->d_name))
			continue;
		fd = loop_open((unsigned)number, O_RDONLY, ret_device, size);
		if (fd >= 0 && loop_has(fd, image))
			return fd;
		fd_close(fd);
	}
	return -ENOENT;
}

/* -EBUSY: another process took the device that was free. */
static int loop_configure(int control, int image, char *ret_device, size_t size)
{
	struct loop_config config = {.fd = (uint32_t)image, .info.lo_flags = LO_FLAGS_AUTOCLEAR};
	int number = ioctl(control, LOOP_CTL_GET_FREE);
	_cleanup_close_ int loop = -EBADF;

	if (number < 0)
		return -errno;
	loop = loop_open((unsigned)number, O_RDWR, ret_device, size);
	if (loop < 0)
		return loop;
	snprintf((char *)config.info.lo_file_name, sizeof(config.info.lo_file_name), POOL_IMAGE);
	if (ioctl(loop, LOOP_CONFIGURE, &config) < 0)
		return -errno;
	/* Newer kernels can refuse to mount what is open for writing. */
	return loop_open((unsigned)number, O_RDONLY, ret_device, size);
}

static int loop_refused(int error, struct err *err)
{
	switch (error) {
	case EBUSY:
	case EAGAIN:
	case ENXIO:
		return -EAGAIN;
	case ENOENT:
	case ENODEV:
	case EPERM:
	case EACCES:
		return err_set(err, EOPNOTSUPP, "pool",
			       "no loop device to be had here (%s); load the module loop, or give "
			       "the container /dev/loop-control and the loop devices",
			       strerror(error));
	default:
		return err_errno(err, error, "pool", "cannot attach a loop device");
	}
}

/* One attempt to find or attach. -EAGAIN: others are just doing the same, or letting go. */
static int loop_try(const char *data, char *ret_device, size_t size, struct err *err)
{
	_cleanup_close_ int image = -EBADF, control = -EBADF;
	struct stat st;
	int r;

	image = image_open(data, POOL_IMAGE, O_RDWR);
	if (image == -ENOENT) {
		r = image_create(data, err);
		return r < 0 ? r : -EAGAIN;
	}
	if (image < 0 || fstat(image, &st) < 0)
		return err_errno(err, image < 0 ? -image : errno, "pool",
				 "cannot open %s/" POOL_IMAGE, data);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EUCLEAN, "pool", "%s/" POOL_IMAGE " is not a regular file",
			       data);
	r = loop_find(&st, ret_device, size);
	if (r >= 0)
		return r;
	if (flock(image, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? -EAGAIN
			       : err_errno(err, errno, "pool", "cannot lock %s/" POOL_IMAGE, data);
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	r = control < 0 ? -errno : loop_configure(control, image, ret_device, size);
	return r < 0 ? loop_refused(-r, err) : r;
}

int loop_attach(const char *data, char *ret_device, size_t size, struct err *err)
{
	int r = -EAGAIN;

	for (unsigned i = 0; i < TRIES && r == -EAGAIN; i++) {
		if (i > 2)
			pause_ms(MIN(i, 50u));
		r = loop_try(data, ret_device, size, err);
	}
	if (r == -EAGAIN)
		return err_set(err, EBUSY, "pool",
			       "%s/" POOL_IMAGE
			       " is in use by a loop device that cannot be seen here, "
			       "or by another machine",
			       data);
	return r;
}

int loop_resize(const char *device, const struct stat *image)
{
	_cleanup_close_ int loop = open(device, O_RDONLY | O_CLOEXEC);

	if (loop < 0 || !loop_has(loop, image))
		return -ENODEV;
	return ioctl(loop, LOOP_SET_CAPACITY) < 0 ? -errno : 0;
}
