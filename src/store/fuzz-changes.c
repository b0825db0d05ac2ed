/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-changes.c: the input is what a run made in its layer, what was in the project before, and
 * what its owner did meanwhile, three bytes an entry. Whatever it was: nothing outside the project
 * changes, nothing harmful is in it after apply, and what apply with force says it applied is
 * there: the list of what is left holds nothing but what no force takes. Names go through quoting,
 * and the input is read as `meta`, too.
 */
#include "apply.h"
#include "changes-text.h"
#include "err.h"
#include "fs.h"
#include "tree.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "../testing/fuzz.h"

#define ENTRIES_MAX 64u

static const char *const names[] = {
	"a",	  "b",		 "a/b",	    "a/c",    "b/a", "a/b/a",		"a/b/c",
	".git",	  ".git/config", "b/a/x\n", "b/\xff", "a-b", ".creel-apply-i1", "a/../b",
	"a/.git", "a/b/hooks"};
static const char *const targets[] = {"a", "../outside", "/etc", "../../outside/f", "b/..", "."};

static int top = -1;

static char top_path[64];

static void remove_top(void)
{
	(void)!fs_remove_tree(AT_FDCWD, top_path);
}

static void make_top(void)
{
	/* In memory, if it can be had: apply syncs whole filesystems. */
	snprintf(top_path, sizeof(top_path), "%s/creel-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	FUZZ_MUST(mkdtemp(top_path) && atexit(remove_top) == 0);
	top = open(top_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_MUST(top >= 0);
}

static int make(const char *name)
{
	int fd;

	FUZZ_MUST(fs_remove_tree(top, name) == 0 && mkdirat(top, name, 0755) == 0);
	fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FUZZ_MUST(fd >= 0);
	return fd;
}

static void put_file(int at, const char *path, uint8_t value)
{
	int fd = fs_open_beneath(at, path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0644);
	char text[16];

	if (fd < 0)
		return;
	snprintf(text, sizeof(text), "%u\n", value % 4u);
	(void)!write(fd, text, strlen(text));
	(void)!fchmod(fd, value & 4 ? 06755 : 0644);
	if (value & 8)
		(void)!fsetxattr(fd, "user.overlay.origin", "", 0, 0);
	close(fd);
}

/* No path leads out of `at`: its owner would not be surprised by what its own links do. */
static void put_entry(int at, const uint8_t *entry)
{
	const char *path = names[entry[1] % ELEMENTSOF(names)], *slash = strrchr(path, '/');
	char parent[64] = ".";
	int dir, fd;

	if (slash)
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	dir = fs_open_beneath(at, parent, O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0)
		return;
	path = slash ? slash + 1 : path;
	switch (entry[0] & 7) {
	case 0:
	case 1:
		(void)!mkdirat(dir, path, 0755);
		fd = fs_open_beneath(dir, path, O_RDONLY | O_DIRECTORY, 0);
		if (fd >= 0 && entry[2] & 1)
			(void)!fsetxattr(fd, "user.overlay.opaque", "y", 1, 0);
		if (fd >= 0)
			(void)!fchmod(fd, entry[2] & 2 ? 0700 : 0755);
		fd_close(fd);
		break;
	case 2:
		(void)!symlinkat(targets[entry[2] % ELEMENTSOF(targets)], dir, path);
		break;
	case 3:
		(void)!mknodat(dir, path, S_IFCHR, makedev(0, 0));
		break;
	case 4:
		(void)!mkfifoat(dir, path, 0644);
		break;
	case 5:
		(void)!linkat(at, "a", dir, path, 0);
		break;
	default:
		put_file(dir, path, entry[2]);
	}
	close(dir);
}

static void put_entries(int at, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + 3 <= size && i < 3 * ENTRIES_MAX; i += 3)
		put_entry(at, data + i);
}

static int check_left(const struct change *change, void *data)
{
	(void)data;
	/* A directory stays for what is in it. */
	FUZZ_MUST(change->refusal >= CHANGES_SPECIAL || S_ISDIR(change->mode | change->old_mode));
	return 0;
}

static int show(const struct change *change, void *data)
{
	struct changes_text text = CHANGES_TEXT_INIT;
	struct err err = {0};

	/* No process for each pair of files: that is diff(1)'s part. */
	if (change->kind != CHANGES_MODIFIED) {
		FUZZ_MUST(changes_text(data, change, &text, &err) == 0);
		FUZZ_MUST(text.patch.len && text.patch.data[text.patch.len - 1] == '\n');
	}
	changes_text_done(&text);
	return 0;
}

static void ignore(const struct change *change, enum apply_fate fate, const char *why, void *data)
{
	(void)change, (void)data;
	FUZZ_MUST((why == NULL) == (fate == APPLY_DONE));
}

static void try_apply(int base, bool force)
{
	struct apply_request request = {.force = force, .tell = ignore};
	struct changes *changes = NULL;
	struct apply_result result = {0};
	struct err err = {0};
	int r = changes_open(base, NULL, false, &changes, &err);

	FUZZ_MUST(r == 0 || (err.code == -r && err.text[0] && !strchr(err.text, '\n')));
	if (r < 0)
		return;
	if (!force)
		FUZZ_MUST(changes_list(changes, show, changes) == 0);
	FUZZ_MUST(apply_changes(changes, &request, &result, &err) == 0);
	FUZZ_MUST(!force || result.conflicts == 0);
	changes_close(changes);
	if (!force)
		return;
	FUZZ_MUST(changes_open(base, NULL, false, &changes, &err) == 0);
	FUZZ_MUST(result.left || changes_list(changes, check_left, NULL) == 0);
	changes_close(changes);
}

/* Of what the layer brings; a FIFO or a whiteout that the project had is its own. */
static void check_project(int project, const struct tree *before)
{
	struct tree tree = TREE_INIT;

	FUZZ_MUST(tree_scan(project, &tree) == 0);
	for (size_t i = 0; i < tree.n; i++) {
		const struct tree_entry *entry = &tree.entries[i];

		if (tree_find(before, entry->path))
			continue;
		FUZZ_MUST(S_ISREG(entry->mode) || S_ISDIR(entry->mode) || S_ISLNK(entry->mode));
		FUZZ_MUST(S_ISLNK(entry->mode) || !(entry->mode & 07000));
		FUZZ_MUST(strncmp(entry->path, ".creel-apply", 12) != 0);
	}
	tree_done(&tree);
}

static void fuzz_meta(int base, const uint8_t *data, size_t size)
{
	struct changes_meta meta;
	struct err err = {0};
	int r, fd = openat(base, "meta", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
	r = changes_read_meta(base, &meta, &err);
	FUZZ_MUST(r == 0 ? meta.dir[0] == '/' : !strchr(err.text, '\n'));
}

/* A third each: the project before, the layer, the host meanwhile. */
static void fuzz_trees(int base, int project, int outside, const uint8_t *data, size_t third)
{
	struct changes_meta meta = {.org = "local", .run = "i1", .userxattr = true};
	struct tree before = TREE_INIT, outside_before = TREE_INIT, outside_now = TREE_INIT;
	struct err err = {0};
	char link[32];
	int upper;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", project);
	FUZZ_MUST(readlink(link, meta.dir, sizeof(meta.dir) - 1) > 0);
	put_file(outside, "f", 1);
	put_entries(project, data, third);
	FUZZ_MUST(changes_create(base, project, &meta, &err) == 0);
	changes_await(meta.started_ns);
	upper = openat(base, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put_entries(upper, data + third, third);
	put_entries(project, data + 2 * third, third);
	close(upper);
	FUZZ_MUST(tree_scan(project, &before) == 0 && tree_scan(outside, &outside_before) == 0);
	try_apply(base, false);
	try_apply(base, true);
	check_project(project, &before);
	FUZZ_MUST(tree_scan(outside, &outside_now) == 0 && outside_now.n == outside_before.n &&
		  outside_now.entries[0].ctime_ns == outside_before.entries[0].ctime_ns);
	tree_done(&before);
	tree_done(&outside_before);
	tree_done(&outside_now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int project, base, outside;

	if (top < 0)
		make_top();
	project = make("project");
	base = make("base");
	outside = make("outside");
	if (size && size % 9 == 0)
		fuzz_trees(base, project, outside, data, size / 3);
	fuzz_meta(base, data, size);
	close(project);
	close(base);
	close(outside);
	return 0;
}
