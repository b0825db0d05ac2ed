/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * test-changes.h: a project in DIR and what an overlay would have left in BASE/upper, made by hand;
 * for the tests of changes and of apply.
 */
#include "changes.h"

#include "buf.h"
#include "err.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "../testing/testing.h"

static struct test_dir *dir;
static int base, project, upper;

/* DIR is `project`, with a few files; the test goes on with begin(). */
static inline int changes_setup(void **state)
{
	if (test_dir_setup(state) < 0)
		return -1;
	dir = *state;
	if (mkdirat(dir->fd, "base", 0700) < 0 || mkdirat(dir->fd, "project", 0755) < 0)
		return -1;
	base = openat(dir->fd, "base", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	project = openat(dir->fd, "project", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	upper = -1;
	return base < 0 || project < 0 ? -1 : 0;
}

static inline int changes_teardown(void **state)
{
	fd_close(base);
	fd_close(project);
	fd_close(upper);
	return test_dir_teardown(state);
}

/* The run starts: what is done to project from here on is the host's work during the run. */
static inline void begin(void)
{
	struct changes_meta meta = {.org = "local", .run = "i1234", .userxattr = true};
	struct err err = {0};

	snprintf(meta.dir, sizeof(meta.dir), "%s/project", dir->path);
	if (changes_create(base, project, &meta, &err) < 0)
		fail_msg("%s", err.text);
	changes_await(meta.started_ns);
	upper = openat(base, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(upper >= 0);
}

static inline void make_dir(int at, const char *path)
{
	assert_int_equal(mkdirat(at, path, 0755), 0);
}

static inline void whiteout(const char *path)
{
	if (mknodat(upper, path, S_IFCHR | 0600, makedev(0, 0)) < 0)
		skip(); /* a container's rule */
}

/* A mark of the overlay itself, as with userxattr. */
static inline void mark(const char *path, const char *name, const char *value)
{
	char full[256];

	snprintf(full, sizeof(full), "/proc/self/fd/%d/%s", upper, path);
	if (setxattr(full, name, value, strlen(value), 0) < 0)
		skip(); /* no user attributes on this filesystem */
}

static inline struct changes *open_changes(void)
{
	struct changes *changes = NULL;
	struct err err = {0};

	if (changes_open(base, NULL, false, &changes, &err) < 0)
		fail_msg("%s", err.text);
	return changes;
}

static inline int tell_change(const struct change *change, void *data)
{
	static const char kinds[] = "+~-mt@", refusals[] = " CGLRSU";

	if (change->implied)
		return 0;
	return buf_printf(data, "%c%s%.*s ", kinds[change->kind], change->path,
			  change->refusal != CHANGES_FINE, &refusals[change->refusal]);
}

/* "+added ~modified -deleted mmode ttype @link ", then C, G, L, R, S, U for why not. */
static inline void expect_changes(const char *wanted)
{
	_cleanup_changes_ struct changes *changes = open_changes();
	_cleanup_buf_ struct buf told = BUF_INIT(1u << 16);

	assert_int_equal(buf_puts(&told, ""), 0);
	assert_int_equal(changes_list(changes, tell_change, &told), 0);
	assert_string_equal(told.data, wanted);
}
