/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-replay.c: a main for fuzzers without libFuzzer: runs the entry point over every file of the
 * corpus directory that is named, then over each file cut short at every length, because a parser's
 * ends are where it breaks. An empty corpus is a failure: then nothing was tested.
 *
 * usage: fuzz-x DIRECTORY
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPLAY_MAX  (1u << 20)
#define REPLAY_CUTS 512

static int replay_file(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	uint8_t *data = malloc(REPLAY_MAX);
	ssize_t n = fd < 0 || !data ? -1 : read(fd, data, REPLAY_MAX);

	if (n >= 0)
		LLVMFuzzerTestOneInput(data, (size_t)n);
	for (ssize_t cut = 0; cut < n && cut < REPLAY_CUTS; cut++)
		LLVMFuzzerTestOneInput(data, (size_t)cut);
	free(data);
	close(fd);
	return n < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	struct dirent *entry;
	int n = 0, failed = 0;

	if (!dir) {
		fprintf(stderr, "usage: fuzz-x DIRECTORY\n");
		return 2;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		failed |= replay_file(dirfd(dir), entry->d_name) < 0;
		n++;
	}
	closedir(dir);
	printf("%d inputs of %s\n", n, argv[1]);
	return failed || n == 0;
}
