/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.c: what the log costs beside the disk itself: one durable record, sixteen processes that
 * each want theirs, groups, and a whole verification. One line of JSON; microseconds.
 *
 *   bench-audit DIRECTORY
 *
 * The directory is made and stays; it must lie on the disk that is to be measured.
 */
#include "audit.h"

#include "err.h"
#include "io.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define ROUNDS	  1000
#define PROCESSES 16
#define EACH	  200
#define GROUP	  256
#define GROUPS	  4096 /* 1,048,576 records */

static struct err err;

static void die_unless(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "bench-audit: %s: %s\n", what, err.text[0] ? err.text : strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double percentile(double *times, size_t n, size_t percent)
{
	qsort(times, n, sizeof(*times), compare);
	return times[n * percent / 100];
}

/* A record as long as a small run.end. */
static size_t record(char *text, size_t size, unsigned long n)
{
	return (size_t)snprintf(
		text, size,
		"{\"duration_ms\":%lu,\"ended_by\":\"exit\",\"exit_code\":0,\"run\":"
		"\"i3f9c0a8b7d6e5f4a3b2c\",\"time\":\"2026-01-01T00:00:00.000Z\",\"type\":"
		"\"run.end\",\"v\":1}",
		n);
}

/* The floor: the same bytes over blocks that are there, and fdatasync(2). */
static double bare(const char *dir)
{
	static const char zeros[1u << 20];
	static double times[ROUNDS];
	char path[300], text[256];
	int fd;

	snprintf(path, sizeof(path), "%s/bare", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	die_unless(fd >= 0 && io_write_full(fd, zeros, sizeof(zeros)) == 0 && fsync(fd) == 0, path);
	for (unsigned i = 0; i < ROUNDS; i++) {
		size_t len = record(text, sizeof(text), i);
		double start = now();

		die_unless(pwrite(fd, text, len, (off_t)i * 200) > 0 && fdatasync(fd) == 0, path);
		times[i] = now() - start;
	}
	close(fd);
	unlink(path);
	return percentile(times, ROUNDS, 50);
}

static void durable(struct audit *log, double *times, unsigned n)
{
	char text[256];
	uint64_t seq;

	for (unsigned i = 0; i < n; i++) {
		size_t len = record(text, sizeof(text), i);
		double start = now();

		die_unless(audit_append(log, text, len, &seq, &err) == 0 &&
				   audit_commit(log, seq, &err) == 0,
			   "append");
		times[i] = now() - start;
	}
}

static struct audit *open_log(const char *dir, const char *org)
{
	struct audit *log = NULL;

	die_unless(audit_open(dir, org, &log, &err) == 0, "open");
	return log;
}

static double alone(const char *dir)
{
	static double times[ROUNDS];
	struct audit *log = open_log(dir, "alone");

	durable(log, times, ROUNDS);
	audit_close(log);
	return percentile(times, ROUNDS, 50);
}

static void together(const char *dir, double *ret_p50, double *ret_p99)
{
	size_t size = sizeof(double) * PROCESSES * EACH;
	double *times = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	die_unless(times != MAP_FAILED, "mmap");
	audit_close(open_log(dir, "together"));
	for (int p = 0; p < PROCESSES; p++)
		if (fork() == 0) {
			struct audit *log = open_log(dir, "together");

			durable(log, times + p * EACH, EACH);
			audit_close(log);
			_exit(0);
		}
	while (wait(&status) > 0)
		die_unless(status == 0, "a process");
	*ret_p50 = percentile(times, PROCESSES * EACH, 50);
	*ret_p99 = percentile(times, PROCESSES * EACH, 99);
	munmap(times, size);
}

static double groups(const char *dir)
{
	static char texts[GROUP][256];
	struct audit_record records[GROUP];
	struct audit *log = open_log(dir, "groups");
	double start, spent;
	uint64_t first;

	for (unsigned i = 0; i < GROUP; i++)
		records[i] = (struct audit_record){texts[i], record(texts[i], sizeof(texts[i]), i)};
	start = now();
	for (unsigned i = 0; i < GROUPS; i++)
		die_unless(audit_append_group(log, records, GROUP, &first, &err) == 0 &&
				   audit_commit(log, first + GROUP - 1, &err) == 0,
			   "group");
	spent = now() - start;
	audit_close(log);
	return GROUP * GROUPS / spent * 1e6;
}

static double verified(const char *dir)
{
	struct audit_stats stats;
	double start = now();
	char path[300];

	snprintf(path, sizeof(path), "%s/groups", dir);
	die_unless(audit_verify(path, NULL, NULL, NULL, &stats, &err) == 0, "verify");
	return (double)stats.records / (now() - start) * 1e6;
}

int main(int argc, char **argv)
{
	double disk, one, p50, p99, per_second;

	if (argc != 2 || (mkdir(argv[1], 0700) < 0 && errno != EEXIST)) {
		fprintf(stderr, "usage: bench-audit DIRECTORY\n");
		return 1;
	}
	disk = bare(argv[1]);
	one = alone(argv[1]);
	together(argv[1], &p50, &p99);
	per_second = groups(argv[1]);
	printf("{\"fdatasync_p50_us\":%.1f,\"durable_append_p50_us\":%.1f,\"processes\":%d,"
	       "\"processes_p50_us\":%.1f,\"processes_p99_us\":%.1f,\"group\":%d,"
	       "\"group_records_per_s\":%.0f,\"verify_records_per_s\":%.0f}\n",
	       disk, one, PROCESSES, p50, p99, GROUP, per_second, verified(argv[1]));
	return 0;
}
