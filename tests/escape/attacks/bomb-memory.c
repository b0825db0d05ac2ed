/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory by every road that leads to a page: heap, /dev/shm, /tmp, a memfd, System V shared
 * memory (outlives its process), page cache of a written file, pipes and sockets full of data,
 * page tables of a sparse mapping. The driver sets --memory 256M; the ceiling here is 1 GiB.
 */
#include "bomb.h"

#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>

#define CEILING (1024 * MIB)

static char block[MIB];

static int run_heap(void)
{
	for (unsigned long done = 0; done < CEILING; done += MIB) {
		char *p =
			mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return bomb_refused("heap", errno, done);
		memset(p, 0x5a, MIB);
	}
	return bomb_unlimited("memory.heap", CEILING);
}

/* In many processes at once, each of them small. */
static int run_children(void)
{
	for (unsigned long done = 0; done < CEILING; done += 16 * MIB) {
		pid_t child = fork();

		if (child < 0)
			return bomb_refused("children", errno, done);
		if (child == 0) {
			char *p = mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

			if (p != MAP_FAILED)
				memset(p, 0x5a, 16 * MIB);
			pause();
		}
		usleep(10000);
	}
	sleep(1);
	return bomb_unlimited("memory.children", CEILING);
}

static int fill_fd(const char *what, int fd)
{
	if (fd < 0)
		return bomb_refused(what, errno, 0);
	memset(block, 0x5a, sizeof(block));
	for (unsigned long done = 0; done < CEILING; done += MIB) {
		ssize_t written = write(fd, block, MIB);

		if (written < 0)
			return bomb_refused(what, errno, done);
		if (written == 0)
			return bomb_refused(what, ENOSPC, done);
	}
	return bomb_unlimited(what, CEILING);
}

static int run_dev_shm(void)
{
	return fill_fd("dev_shm", open("/dev/shm/bomb", O_CREAT | O_WRONLY, 0600));
}

static int run_tmp(void)
{
	return fill_fd("tmp", open("/tmp/bomb", O_CREAT | O_WRONLY, 0600));
}

static int run_memfd(void)
{
	return fill_fd("memfd", (int)syscall(SYS_memfd_create, "bomb", 0));
}

/* Many small ones, closed to view: no mapping, no file, nothing in any process' counters. */
static int run_memfds(void)
{
	memset(block, 0x5a, sizeof(block));
	for (unsigned long done = 0; done < CEILING; done += 4 * MIB) {
		int fd = (int)syscall(SYS_memfd_create, "bomb", 0);

		for (int i = 0; i < 4; i++)
			if (fd < 0 || write(fd, block, MIB) < 0)
				return bomb_refused("memfds", errno, done);
	}
	return bomb_unlimited("memory.memfds", CEILING);
}

static int run_sysv(void)
{
	for (unsigned long done = 0; done < CEILING; done += 16 * MIB) {
		int id = shmget(IPC_PRIVATE, 16 * MIB, IPC_CREAT | 0600);
		char *p = id < 0 ? (char *)-1 : shmat(id, NULL, 0);

		if (p == (char *)-1)
			return bomb_refused("sysv", errno, done);
		memset(p, 0x5a, 16 * MIB);
		shmdt(p);
	}
	return bomb_unlimited("memory.sysv", CEILING);
}

/* Data that lies in the kernel: full pipes, as many as there may be. */
static int run_pipes(void)
{
	unsigned long done = 0;

	while (done < CEILING) {
		int fds[2];
		ssize_t written;

		if (pipe2(fds, O_NONBLOCK) < 0)
			return bomb_refused("pipes", errno, done);
		fcntl(fds[1], F_SETPIPE_SZ, MIB);
		written = write(fds[1], block, MIB);
		done += written > 0 ? (unsigned long)written : 0;
	}
	return bomb_unlimited("memory.pipes", done);
}

static int run_sockets(void)
{
	unsigned long done = 0;

	while (done < CEILING) {
		int fds[2], size = (int)(4 * MIB);
		ssize_t written;

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
			return bomb_refused("sockets", errno, done);
		setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		while ((written = write(fds[0], block, MIB)) > 0)
			done += (unsigned long)written;
	}
	return bomb_unlimited("memory.sockets", done);
}

/* One page in each 2 MiB of address space: page tables weigh as much as the pages. */
static int run_page_tables(void)
{
	unsigned long step = 2 * MIB, count = CEILING / 8192;
	char *p = mmap(NULL, step * count, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return bomb_refused("page_tables", errno, 0);
	for (unsigned long i = 0; i < count; i++)
		p[i * step] = 1;
	return bomb_unlimited("memory.page_tables", CEILING);
}

/* Page cache is given back under pressure: reading and writing much must just work. */
static int run_page_cache(void)
{
	int fd = open("/workspace/bomb", O_CREAT | O_RDWR, 0600);

	if (fd < 0)
		return bomb_refused("page_cache", errno, 0);
	for (unsigned long round = 0; round < 16; round++) {
		for (unsigned long i = 0; i < 32; i++)
			if (write(fd, block, MIB) < 0)
				return bomb_refused("page_cache", errno, round * 32 + i);
		lseek(fd, 0, SEEK_SET);
		while (read(fd, block, MIB) > 0)
			;
		lseek(fd, 0, SEEK_SET);
	}
	puts("DONE page_cache");
	return 0;
}

/* A child that the OOM killer takes, with a parent that then says that all is well. */
static int run_quiet(void)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(run_heap());
	waitpid(child, &status, 0);
	puts("DONE quiet");
	return 0;
}

int main(int argc, char **argv)
{
	static const struct bomb bombs[] = {
		{"heap", run_heap},
		{"children", run_children},
		{"dev_shm", run_dev_shm},
		{"tmp", run_tmp},
		{"memfd", run_memfd},
		{"memfds", run_memfds},
		{"sysv", run_sysv},
		{"pipes", run_pipes},
		{"sockets", run_sockets},
		{"page_tables", run_page_tables},
		{"page_cache", run_page_cache},
		{"quiet", run_quiet},
	};

	bomb_begin();
	return bomb_dispatch(bombs, ATTACK_LENGTH(bombs), argc, argv);
}
