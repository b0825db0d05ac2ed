/* SPDX-License-Identifier: Apache-2.0 */
/* head.c: see head.h. */
#include "head.h"

#include "banned.h"
#include "io.h"
#include "wal.h"

#include <fcntl.h>
#include <sodium/utils.h>

#define HEAD_MAGIC "creelhd2"

/* It never leaves the machine, nor outlives a boot: it is in the machine's own order. */
struct head_disk {
	char magic[8];
	uint32_t crc, dirty;
	uint8_t boot[16];
	struct head head;
};

static uint32_t head_crc(const struct head_disk *disk)
{
	return wal_crc(0, &disk->dirty, sizeof(*disk) - offsetof(struct head_disk, dirty));
}

int head_read(int fd, const uint8_t boot[16], struct head *ret)
{
	struct head_disk disk;
	ssize_t n = pread(fd, &disk, sizeof(disk), 0);

	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(disk) || memcmp(disk.magic, HEAD_MAGIC, sizeof(disk.magic)) != 0 ||
	    disk.crc != head_crc(&disk) || disk.dirty || memcmp(disk.boot, boot, 16) != 0)
		return 0;
	*ret = disk.head;
	return 1;
}

int head_write(int fd, const uint8_t boot[16], const struct head *head, bool dirty)
{
	struct head_disk disk;
	ssize_t n;

	memset(&disk, 0, sizeof(disk));
	memcpy(disk.magic, HEAD_MAGIC, sizeof(disk.magic));
	memcpy(disk.boot, boot, sizeof(disk.boot));
	disk.dirty = dirty;
	disk.head = *head;
	disk.crc = head_crc(&disk);
	n = pwrite(fd, &disk, sizeof(disk), 0);
	return n == (ssize_t)sizeof(disk) ? 0 : n < 0 ? -errno : -ENOSPC;
}

int head_boot(uint8_t ret[16])
{
	_cleanup_buf_ struct buf buf = BUF_INIT(256);
	size_t n = 0;
	int r;

	r = io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &buf);
	if (r < 0)
		return r;
	return sodium_hex2bin(ret, 16, buf.data, buf.len, "-\n", &n, NULL) == 0 && n == 16
		       ? 0
		       : -EINVAL;
}
