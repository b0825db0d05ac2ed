/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c: what layers cost beside what one would do without them, and the disk's own sync.
 *
 *   bench-store layers DIR FILES ROUNDS   a subvolume, a snapshot of a tree, and the same by tools
 *   bench-store sync DIR ROUNDS           write and fdatasync(2), nothing else
 *   bench-store hold DATA RUN             keeps DATA's pool mounted until standard input ends
 *
 * Prints one line of JSON: nanoseconds of every sample. The operations of a round follow each
 * other, so that all see the same minute of the disk. The tools are processes, as they are for
 * whoever calls them; one that fails or is missing has no samples. Needs root, but for sync.
 */
#include "err.h"
#include "io.h"
#include "pool.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define ROUNDS_MAX 10000
#define LIMIT	   (1ull << 30)
#define FILES_EACH 100 /* in a directory */
#define COPIES	   3   /* they take seconds each */

struct bench {
	char plain[256], data[256], run[256]; /* plain: on the disk itself */
	struct pool *pool;
	char path[4][512]; /* the tree and its copy, in the pool; the same plain */
	unsigned long files, rounds;
};

static struct err err;

static void die_unless(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "bench-store: %s: %s\n", what, err.text[0] ? err.text : strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static unsigned long number(const char *text, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	die_unless(end != text && !*end && value > 0 && value <= max, text);
	return value;
}

/* 0: it ended well. */
static int tool(const char *const *argv)
{
	posix_spawn_file_actions_t quiet;
	int status = -1;
	pid_t pid;

	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, argv[0], &quiet, NULL, (char *const *)argv, environ) == 0)
		die_unless(waitpid(pid, &status, 0) == pid, argv[0]);
	posix_spawn_file_actions_destroy(&quiet);
	return status;
}

static int create(struct bench *bench)
{
	return pool_subvolume(bench->pool, "bench/empty", LIMIT, &err);
}

static int delete_created(struct bench *bench)
{
	return pool_delete(bench->pool, "bench/empty", &err);
}

static int snapshot(struct bench *bench)
{
	return pool_snapshot(bench->pool, "bench/tree", "bench/copy", LIMIT, false, &err);
}

static int delete_snapshot(struct bench *bench)
{
	return pool_delete(bench->pool, "bench/copy", &err);
}

static int tool_snapshot(struct bench *bench)
{
	return tool((const char *[]){"btrfs", "subvolume", "snapshot", bench->path[0],
				     bench->path[1], NULL});
}

static int tool_delete(struct bench *bench)
{
	return tool((const char *[]){"btrfs", "subvolume", "delete", bench->path[1], NULL});
}

static int plain_create(struct bench *bench)
{
	return mkdir(bench->path[3], 0700);
}

static int plain_remove(struct bench *bench)
{
	return rmdir(bench->path[3]);
}

static int copy(struct bench *bench)
{
	return tool((const char *[]){"cp", "-a", "--reflink=never", bench->path[2], bench->path[3],
				     NULL});
}

static int delete_copy(struct bench *bench)
{
	return tool((const char *[]){"rm", "-rf", bench->path[3], NULL});
}

static struct operation {
	const char *name;
	int (*run)(struct bench *bench);
	int64_t *ns;
	unsigned long count;
	enum { OURS, THEIRS, SLOW } kind; /* ours may not fail */
	int failed;
} operations[] = {
	{.name = "create", .run = create},
	{.name = "delete", .run = delete_created},
	{.name = "plain_create", .run = plain_create, .kind = THEIRS},
	{.name = "plain_delete", .run = plain_remove, .kind = THEIRS},
	{.name = "snapshot", .run = snapshot},
	{.name = "snapshot_delete", .run = delete_snapshot},
	{.name = "tool_snapshot", .run = tool_snapshot, .kind = THEIRS},
	{.name = "tool_delete", .run = tool_delete, .kind = THEIRS},
	{.name = "copy", .run = copy, .kind = SLOW},
	{.name = "copy_delete", .run = delete_copy, .kind = SLOW},
};

static void make_tree(const char *root, unsigned long files)
{
	static const char text[] = "a file of a project, as small as most of them are\n";
	char path[600];

	if (mkdir(root, 0755) < 0 && errno != EEXIST)
		die_unless(false, root);
	for (unsigned long i = 0; i < files; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%lu", root, i / FILES_EACH);
		die_unless(i % FILES_EACH || mkdir(path, 0755) == 0, path);
		snprintf(path, sizeof(path), "%s/%lu/%lu", root, i / FILES_EACH, i);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		die_unless(fd >= 0 && io_write_full(fd, text, sizeof(text) - 1) == 0, path);
		close(fd);
	}
}

static void make_trees(struct bench *bench, const char *dir)
{
	const char *pool;

	snprintf(bench->data, sizeof(bench->data), "%s/data", dir);
	snprintf(bench->run, sizeof(bench->run), "%s/run", dir);
	snprintf(bench->plain, sizeof(bench->plain), "%s/plain", dir);
	die_unless(mkdir(dir, 0700) == 0 || errno == EEXIST, dir);
	die_unless(mkdir(bench->data, 0700) == 0 && mkdir(bench->run, 0700) == 0 &&
			   mkdir(bench->plain, 0700) == 0,
		   dir);
	die_unless(pool_open(bench->data, bench->run, &bench->pool, &err) == 0, "pool");
	die_unless(pool_subvolume(bench->pool, "bench/tree", LIMIT, &err) == 0, "tree");
	pool = pool_path(bench->pool);
	snprintf(bench->path[0], sizeof(bench->path[0]), "%s/bench/tree", pool);
	snprintf(bench->path[1], sizeof(bench->path[1]), "%s/bench/copy", pool);
	snprintf(bench->path[2], sizeof(bench->path[2]), "%s/tree", bench->plain);
	snprintf(bench->path[3], sizeof(bench->path[3]), "%s/copy", bench->plain);
	make_tree(bench->path[0], bench->files);
	make_tree(bench->path[2], bench->files);
	sync();
}

static void operate(struct bench *bench, struct operation *op, unsigned long round)
{
	int64_t begin;

	if (op->failed || (op->kind == SLOW && round >= COPIES))
		return;
	begin = now_ns();
	op->failed = op->run(bench);
	die_unless(!op->failed || op->kind != OURS, op->name);
	if (!op->failed)
		op->ns[op->count++] = now_ns() - begin;
}

static void print_samples(const char *name, const int64_t *ns, unsigned long count)
{
	printf("\"%s\":[", name);
	for (unsigned long i = 0; i < count; i++)
		printf("%s%lld", i ? "," : "", (long long)ns[i]);
	printf("]");
}

static void layers(const char *dir, unsigned long files, unsigned long rounds)
{
	struct bench bench = {.files = files, .rounds = rounds};

	make_trees(&bench, dir);
	for (size_t i = 0; i < ELEMENTSOF(operations); i++) {
		operations[i].ns = calloc(rounds, sizeof(*operations[i].ns));
		die_unless(operations[i].ns != NULL, "memory");
	}
	for (unsigned long round = 0; round < rounds; round++)
		for (size_t i = 0; i < ELEMENTSOF(operations); i++)
			operate(&bench, &operations[i], round);
	for (size_t i = 0; i < ELEMENTSOF(operations); i++) {
		fputs(i ? "," : "{", stdout);
		print_samples(operations[i].name, operations[i].ns, operations[i].count);
		free(operations[i].ns);
	}
	puts("}");
	pool_close(bench.pool);
}

/* The same bytes as a small record, over blocks that are there: no metadata has to follow. */
static void sync_alone(const char *dir, unsigned long rounds)
{
	static const char zeros[1u << 20], text[200];
	static int64_t ns[ROUNDS_MAX];
	int fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

	die_unless(fd >= 0 && io_write_full(fd, zeros, sizeof(zeros)) == 0 && fsync(fd) == 0, dir);
	for (unsigned long i = 0; i < rounds; i++) {
		off_t at = (off_t)(i * sizeof(text) % (sizeof(zeros) - sizeof(text)));
		int64_t begin = now_ns();

		die_unless(pwrite(fd, text, sizeof(text), at) > 0 && fdatasync(fd) == 0, dir);
		ns[i] = now_ns() - begin;
	}
	close(fd);
	fputs("{", stdout);
	print_samples("sync", ns, rounds);
	puts("}");
}

static void hold(const char *data, const char *run)
{
	struct pool *pool = NULL;
	char c;

	die_unless(pool_open(data, run, &pool, &err) == 0, "pool");
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	pool_close(pool);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "layers"))
		layers(argv[2], number(argv[3], 1000000), number(argv[4], ROUNDS_MAX));
	else if (argc == 4 && !strcmp(argv[1], "sync"))
		sync_alone(argv[2], number(argv[3], ROUNDS_MAX));
	else if (argc == 4 && !strcmp(argv[1], "hold"))
		hold(argv[2], argv[3]);
	else {
		fputs("usage: bench-store layers DIR FILES ROUNDS | sync DIR ROUNDS | hold DATA "
		      "RUN\n",
		      stderr);
		return 1;
	}
	return 0;
}
