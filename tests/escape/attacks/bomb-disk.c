/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk and output: filling, a million inodes, sparse files, deep directories, O_DIRECT floods,
 * hard links, long names, extended attributes; 1 GB of output and output without end.
 * argv[2] is the directory. The driver sets --disk 64M (and --write-total, --io, --output); the
 * ceilings here are 1 GiB and 1,000,000 inodes.
 */
#include "bomb.h"

#include <sys/xattr.h>

static unsigned long ceiling = 1024 * MIB; /* CREEL_BOMB_MIB */
static unsigned long inodes = 1000000;	   /* CREEL_BOMB_INODES */

static const char *directory = "/workspace";
static char block[MIB] __attribute__((aligned(4096)));

static int open_here(const char *name, int flags)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return open(path, flags | O_CREAT | O_CLOEXEC, 0600);
}

static int run_fill(void)
{
	int fd = open_here("bomb-fill", O_WRONLY);

	memset(block, 0x5a, sizeof(block));
	for (unsigned long done = 0; done < ceiling; done += MIB)
		if (fd < 0 || write(fd, block, MIB) < (ssize_t)MIB)
			return bomb_refused("fill", errno ? errno : ENOSPC, done);
	return bomb_unlimited("disk.fill", ceiling);
}

/* A file without a name, as big as it likes: who adds up a directory does not see it. */
static int run_fill_unlinked(void)
{
	int fd = open_here("bomb-unlinked", O_WRONLY);
	char path[256];

	snprintf(path, sizeof(path), "%s/bomb-unlinked", directory);
	unlink(path);
	memset(block, 0x5a, sizeof(block));
	for (unsigned long done = 0; done < ceiling; done += MIB)
		if (fd < 0 || write(fd, block, MIB) < (ssize_t)MIB)
			return bomb_refused("fill_unlinked", errno ? errno : ENOSPC, done);
	sleep(1);
	return bomb_unlimited("disk.fill_unlinked", ceiling);
}

static int run_fallocate(void)
{
	int fd = open_here("bomb-fallocate", O_WRONLY);

	for (unsigned long done = 0; done < ceiling; done += 16 * MIB)
		if (fd < 0 || fallocate(fd, 0, (off_t)done, 16 * MIB) < 0)
			return bomb_refused("fallocate", errno, done);
	return bomb_unlimited("disk.fallocate", ceiling);
}

static int run_inodes(void)
{
	char name[64];

	for (unsigned long done = 0; done < inodes; done++) {
		int fd;

		snprintf(name, sizeof(name), "bomb-%lu", done);
		fd = open_here(name, O_WRONLY);
		if (fd < 0)
			return bomb_refused("inodes", errno, done);
		close(fd);
	}
	return bomb_unlimited("disk.inodes", inodes);
}

/*
 * A file of 4 TiB with nothing in it (or as large as CREEL_BOMB_MIB says): nobody outside may copy
 * or hash it in full.
 */
static int run_sparse(void)
{
	off_t size = getenv("CREEL_BOMB_MIB") ? (off_t)ceiling : 4L << 40;
	int fd = open_here("bomb-sparse", O_WRONLY);

	if (fd < 0 || ftruncate(fd, size) < 0)
		return bomb_refused("sparse", errno, 0);
	puts("DONE sparse");
	return 0;
}

static int run_deep(void)
{
	if (chdir(directory) < 0)
		return bomb_refused("deep", errno, 0);
	for (unsigned long depth = 0; depth < 20000; depth++)
		if (mkdir("d", 0755) < 0 || chdir("d") < 0)
			return bomb_refused("deep", errno, depth);
	puts("DONE deep");
	return 0;
}

static int run_xattrs(void)
{
	int fd = open_here("bomb-xattr", O_WRONLY);
	char name[64];

	for (unsigned long done = 0; done < 20000; done++) {
		snprintf(name, sizeof(name), "user.bomb%lu", done);
		if (fd < 0 || fsetxattr(fd, name, block, 60000, 0) < 0)
			return bomb_refused("xattrs", errno, done);
	}
	return bomb_unlimited("disk.xattrs", 20000);
}

/* Past the page cache, over and over the same 16 MiB: only a rate or a total can stop it. */
static int run_direct(void)
{
	int fd = open_here("bomb-direct", O_WRONLY | O_DIRECT | O_DSYNC);

	if (fd < 0)
		return bomb_refused("direct", errno, 0);
	for (unsigned long done = 0; done < ceiling; done += MIB)
		if (pwrite(fd, block, MIB, (off_t)(done % (16 * MIB))) < 0)
			return bomb_refused("direct", errno, done);
	return bomb_unlimited("disk.direct", ceiling);
}

/* The same through the page cache: rewriting never grows the disk use, but writes for ever. */
static int run_rewrite(void)
{
	int fd = open_here("bomb-rewrite", O_WRONLY);

	for (unsigned long done = 0; done < ceiling; done += MIB) {
		if (fd < 0 || pwrite(fd, block, MIB, (off_t)(done % (16 * MIB))) < 0)
			return bomb_refused("rewrite", errno, done);
		if (done % (64 * MIB) == 0)
			fsync(fd);
	}
	return bomb_unlimited("disk.rewrite", ceiling);
}

/* Each 8 MiB by another child that is gone before anybody asks how much it wrote. */
static int run_rewrite_children(void)
{
	int fd = open_here("bomb-rewrite", O_WRONLY);

	for (unsigned long done = 0; done < ceiling; done += 8 * MIB) {
		pid_t child = fork();

		if (child < 0)
			return bomb_refused("rewrite_children", errno, done);
		if (child == 0) {
			for (unsigned long i = 0; i < 8; i++)
				if (pwrite(fd, block, MIB, (off_t)(i * MIB)) < 0)
					_exit(1);
			_exit(fsync(fd) < 0);
		}
		waitpid(child, NULL, 0);
	}
	return bomb_unlimited("disk.rewrite_children", ceiling);
}

static int run_output(void)
{
	memset(block, 'x', sizeof(block));
	for (unsigned long done = 0; done < ceiling; done += MIB)
		for (size_t sent = 0; sent < MIB;) {
			ssize_t written = write(1, block, MIB - sent);

			if (written < 0)
				return BOMB_REFUSED;
			sent += (size_t)written;
		}
	return 0;
}

static int run_endless_output(void)
{
	memset(block, 'y', sizeof(block));
	for (;;)
		if (write(2, block, 65536) < 0 && errno != EAGAIN)
			return BOMB_REFUSED;
}

int main(int argc, char **argv)
{
	static const struct bomb bombs[] = {
		{"fill", run_fill},
		{"fallocate", run_fallocate},
		{"fill_unlinked", run_fill_unlinked},
		{"rewrite_children", run_rewrite_children},
		{"inodes", run_inodes},
		{"sparse", run_sparse},
		{"deep", run_deep},
		{"xattrs", run_xattrs},
		{"direct", run_direct},
		{"rewrite", run_rewrite},
		{"output", run_output},
		{"endless_output", run_endless_output},
	};

	bomb_begin();
	if (argc > 2)
		directory = argv[2];
	if (getenv("CREEL_BOMB_MIB"))
		ceiling = strtoul(getenv("CREEL_BOMB_MIB"), NULL, 10) * MIB;
	if (getenv("CREEL_BOMB_INODES"))
		inodes = strtoul(getenv("CREEL_BOMB_INODES"), NULL, 10);
	return bomb_dispatch(bombs, ATTACK_LENGTH(bombs), argc, argv);
}
