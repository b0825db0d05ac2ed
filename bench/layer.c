/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer.c: a command beside a fresh writable layer, as container engines give it: layer LOWER DIR
 * CMD [ARG...]. An overlay of LOWER is mounted at DIR/root, CMD runs, all of it goes again. It lets
 * a bare runtime be compared with what has a writable root, and is no wall. `volatile`, in the
 * runtime's favour: nothing is synced at the unmount. Needs root.
 */
#include <errno.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_LAYER 125
#define OPEN_DIRS  16

extern char **environ;

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "layer: %s: %s\n", what, strerror(errno));
	exit(EXIT_LAYER);
}

static int delete_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
	(void)info, (void)kind, (void)place;
	return remove(path);
}

static void delete_tree(const char *path)
{
	check(nftw(path, delete_one, OPEN_DIRS, FTW_DEPTH | FTW_PHYS), path);
}

static void mount_layer(const char *lower, const char *dir)
{
	char options[4096];

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		check(-1, dir);
	check(chdir(dir), dir);
	check(mkdir("upper", 0755), "mkdir upper");
	check(mkdir("work", 0755), "mkdir work");
	check(mkdir("root", 0755), "mkdir root");
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=upper,workdir=work,volatile",
		 lower);
	check(mount("overlay", "root", "overlay", 0, options), "mount overlay");
}

int main(int argc, char **argv)
{
	int status = 0, error;
	pid_t pid;

	if (argc < 4) {
		fputs("usage: layer LOWER DIR CMD [ARG...]\n", stderr);
		return EXIT_LAYER;
	}
	mount_layer(argv[1], argv[2]);
	error = posix_spawn(&pid, argv[3], NULL, NULL, argv + 3, environ);
	if (error == 0)
		check(waitpid(pid, &status, 0), "waitpid");
	check(umount2("root", 0), "umount");
	delete_tree("root");
	delete_tree("work");
	delete_tree("upper");
	errno = error;
	check(error ? -1 : 0, argv[3]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
