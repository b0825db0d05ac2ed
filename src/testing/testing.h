/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * testing.h: what the unit tests share: cmocka with the headers that it wants before it, and a
 * directory of its own for a test that needs files. Included after the product's headers, because
 * cmocka defines names of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct test_dir {
	char path[64];
	int fd;
};

/* Setup of a group or a test: *state is a struct test_dir of an empty directory. */
static inline int test_dir_setup(void **state)
{
	struct test_dir *dir = calloc(1, sizeof(*dir));

	if (!dir)
		return -1;
	snprintf(dir->path, sizeof(dir->path), "/tmp/creel-test-XXXXXX");
	if (!mkdtemp(dir->path))
		return -1;
	dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = dir;
	return dir->fd < 0 ? -1 : 0;
}

/* By rm(1) and not by the code under test, which may be what failed. */
static inline int test_dir_teardown(void **state)
{
	struct test_dir *dir = *state;
	char command[200];

	snprintf(command, sizeof(command), "chmod -R u+rwx %s && rm -rf %s", dir->path, dir->path);
	close(dir->fd);
	free(dir);
	return system(command) == 0 ? 0 : -1;
}

static inline void test_write(int dirfd, const char *name, const char *text)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* The start of a file as text; "" if it cannot be read. */
static inline const char *test_read(int dirfd, const char *name)
{
	static char text[256];
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}
