/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* test-audit.h: what the tests of the log share: a log in a directory of its own, records, copies.
 */
#include "audit.h"
#include "err.h"

#include "../testing/testing.h"

static struct test_dir *dir;
static struct err err;

static _unused_ int setup(void **state)
{
	int r = test_dir_setup(state);

	dir = *state;
	err = (struct err){0};
	return r;
}

static inline void ok(int r)
{
	if (r < 0)
		fail_msg("%d: %s", r, err.text);
}

static inline struct audit *open_org(const char *org)
{
	struct audit *log = NULL;

	ok(audit_open(dir->path, org, &log, &err));
	return log;
}

static inline struct audit *open_log(void)
{
	return open_org("local");
}

/* {"n":7,"type":"test"} with what makes each record's length another. */
static inline size_t record(char *text, size_t size, uint64_t n)
{
	return (size_t)snprintf(text, size, "{\"n\":%llu,\"pad\":\"%0*d\",\"type\":\"test\"}",
				(unsigned long long)n, (int)(n % 37) + 1, 0);
}

static inline uint64_t append(struct audit *log, uint64_t n)
{
	uint64_t seq = AUDIT_NONE;
	char text[200];

	ok(audit_append(log, text, record(text, sizeof(text), n), &seq, &err));
	return seq;
}

/* Record n of a log that append() filled from 0 on. */
static inline void expect(struct audit *log, uint64_t n)
{
	_cleanup_buf_ struct buf got = BUF_INIT(1u << 20);
	char text[200];

	record(text, sizeof(text), n);
	ok(audit_read(log, n, &got, &err));
	assert_string_equal(got.data, text);
}

static inline uint64_t size_of(struct audit *log)
{
	uint64_t size = AUDIT_NONE;

	ok(audit_size(log, &size, &err));
	return size;
}

static _unused_ char problem_text[40000];

static inline void keep_problem(const struct audit_problem *problem, void *data)
{
	size_t len = strlen(problem_text);

	(void)data;
	snprintf(problem_text + len, sizeof(problem_text) - len, "%lld %s: %s\n",
		 (long long)problem->seq, problem->file, problem->text);
}

static inline int verify_org(const char *org, const struct audit_against *against,
			     struct audit_stats *stats)
{
	char path[200];
	int r;

	problem_text[0] = '\0';
	snprintf(path, sizeof(path), "%s/%s", dir->path, org);
	r = audit_verify(path, against, keep_problem, NULL, stats, &err);
	ok(r);
	return r;
}

/* All is well, with so many signed records. */
static inline void expect_sound(uint64_t records)
{
	struct audit_stats stats;

	if (verify_org("local", NULL, &stats) != 0)
		fail_msg("%s", problem_text);
	assert_int_equal(stats.records, records);
}

static inline void shell(const char *fmt, ...)
{
	char command[600], inner[500];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(inner, sizeof(inner), fmt, ap);
	va_end(ap);
	snprintf(command, sizeof(command), "cd %s && %s", dir->path, inner);
	assert_int_equal(system(command), 0);
}

/* The log as it is now, and back to it. */
static inline void keep(const char *name)
{
	shell("rm -rf %s && cp -a local %s", name, name);
}

static inline void bring_back(const char *name)
{
	shell("rm -rf local && cp -a %s local", name);
}

static inline int open_segment(uint64_t first)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "local/wal/%020llu.seg", (unsigned long long)first);
	fd = openat(dir->fd, path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}
