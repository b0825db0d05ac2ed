/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest-check.c: whether a tree is what its manifest says (manifest.h), in two steps.
 *
 * The sweep compares stat(2) of every entry with the file `stat`: no list of a directory is read
 * (an entry that came or went changed its directory's times), nothing is allocated or sorted, names
 * are looked up in the directory that was opened last, and the parts of a large image are looked at
 * at the same time. If anything differs, the manifest
 * decides: what is as `stat` says is believed, the rest is read and hashed.
 */
#include "err.h"
#include "fs.h"
#include "io.h"
#include "manifest-private.h"
#include "manifest.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SWEEP_PARTS 4u	  /* processes at most */
#define SWEEP_LEAST 2000u /* entries that are worth one */

int stat_begin(struct buf *stat)
{
	struct stat_head head = {0};

	return buf_append(stat, &head, sizeof(head));
}

int stat_record_put(struct buf *stat, const struct stat_record *record, const char *name,
		    unsigned depth)
{
	static const char zeros[8];
	struct stat_record full = *record;
	size_t size = strlen(name) + 1, padding = -size & 7;
	struct stat_head *head = (struct stat_head *)(void *)stat->data;
	int r;

	full.depth = (uint16_t)depth;
	full.name_size = (uint16_t)(size + padding);
	head->n++;
	r = buf_append(stat, &full, sizeof(full));
	if (r == 0)
		r = buf_append(stat, name, size);
	return r == 0 ? buf_append(stat, zeros, padding) : r;
}

/* The file `manifest` itself, as the head knows it. */
static int stat_of_manifest(int dirfd, struct stat_head *head)
{
	struct stat_record record;
	struct stat st;

	if (fstatat(dirfd, "manifest", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	record = stat_record_of(&st);
	head->ino = record.ino;
	head->size = record.size;
	head->mtime_ns = record.mtime_ns;
	head->ctime_ns = record.ctime_ns;
	return 0;
}

int stat_write(int dirfd, const char *hex, struct buf *stat)
{
	struct stat_head *head = (struct stat_head *)(void *)stat->data;
	int r = stat_of_manifest(dirfd, head);

	memcpy(head->magic, STAT_MAGIC, sizeof(head->magic));
	memcpy(head->hex, hex, sizeof(head->hex));
	return r == 0 ? fs_replace_file(dirfd, "stat", stat->data, stat->len, 0644) : r;
}

/* ---- reading `stat` ---- */

struct stat_cursor {
	const char *at, *end;
	uint64_t n, left;
};

/* false: it is not of this manifest as it lies here now. */
static bool stat_open(int dirfd, const char *hex, const struct buf *stat,
		      struct stat_cursor *ret_cursor)
{
	const struct stat_head *head = (const struct stat_head *)(const void *)stat->data;
	struct stat_head now;

	if (stat->len < sizeof(*head) || memcmp(head->magic, STAT_MAGIC, 8) != 0 ||
	    memcmp(head->hex, hex, sizeof(head->hex)) != 0)
		return false;
	now = *head;
	if (stat_of_manifest(dirfd, &now) < 0 || memcmp(&now, head, sizeof(now)) != 0)
		return false;
	*ret_cursor = (struct stat_cursor){.at = stat->data + sizeof(*head),
					   .end = stat->data + stat->len,
					   .n = head->n,
					   .left = head->n};
	return true;
}

/* The next record and its name, or NULL: the end, or damaged (then left is not 0). */
static const struct stat_record *stat_take(struct stat_cursor *cursor, const char **ret_name)
{
	const struct stat_record *record = (const struct stat_record *)(const void *)cursor->at;
	size_t room = (size_t)(cursor->end - cursor->at);

	if (cursor->left == 0 || room < sizeof(*record) || record->name_size == 0 ||
	    record->name_size & 7 || room - sizeof(*record) < record->name_size ||
	    record->depth >= CEIL_TREE_DEPTH)
		return NULL;
	*ret_name = cursor->at + sizeof(*record);
	if ((*ret_name)[record->name_size - 1] != '\0')
		return NULL;
	cursor->at += sizeof(*record) + record->name_size;
	cursor->left--;
	return record;
}

/* ---- the directories on the way down ---- */

struct stack {
	int fds[CEIL_TREE_DEPTH + 1]; /* [0]: the image's own directory; -1: not opened yet */
	const char *names[CEIL_TREE_DEPTH + 1];
	unsigned n;
};

static void stack_cut(struct stack *stack, unsigned n)
{
	while (stack->n > n)
		fd_close(stack->fds[--stack->n]);
}

static void stack_done(struct stack *stack)
{
	stack_cut(stack, 1); /* the first is the caller's */
}

#define _cleanup_stack_ _cleanup_(stack_done)

/* Comes to an entry of this depth; a directory is opened when it is looked into. */
static int stack_enter(struct stack *stack, unsigned depth, const char *name, bool dir)
{
	if (depth >= CEIL_TREE_DEPTH || depth + 1 > stack->n)
		return -EBADMSG;
	stack_cut(stack, depth + 1);
	if (dir) {
		stack->names[stack->n] = name;
		stack->fds[stack->n++] = -EBADF;
	}
	return 0;
}

static int stack_fd(struct stack *stack, unsigned depth)
{
	for (unsigned i = 1; i <= depth; i++) {
		if (stack->fds[i] >= 0)
			continue;
		stack->fds[i] = openat(stack->fds[i - 1], stack->names[i],
				       O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (stack->fds[i] < 0)
			return -errno;
	}
	return stack->fds[depth];
}

static int stack_stat(struct stack *stack, unsigned depth, const char *name, struct stat *st)
{
	int fd = stack_fd(stack, depth);

	return fd < 0 ? fd : fstatat(fd, name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* ---- the sweep ---- */

/* Is all as `stat` says, from one record to before another? */
static bool sweep(int dirfd, struct stat_cursor cursor, uint64_t from, uint64_t to)
{
	_cleanup_stack_ struct stack stack = {.fds = {dirfd}, .n = 1};
	const struct stat_record *record;
	const char *name;

	for (uint64_t i = 0; i < to && (record = stat_take(&cursor, &name)); i++) {
		struct stat_record now;
		struct stat st = {0};

		if (stack_enter(&stack, record->depth, name, S_ISDIR(record->mode)) < 0)
			return false;
		if (i < from)
			continue;
		if (stack_stat(&stack, record->depth, name, &st) < 0)
			return false;
		now = stat_record_of(&st);
		if (!stat_record_same(&now, record))
			return false;
	}
	/* The last part ends where the file does. */
	return cursor.left == 0 ? cursor.at == cursor.end : cursor.left == cursor.n - to;
}

static unsigned sweep_parts(uint64_t n)
{
	unsigned parts = (unsigned)MIN(n / SWEEP_LEAST + 1, (uint64_t)SWEEP_PARTS);
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 1;
	return MIN(parts, (unsigned)CPU_COUNT(&cpus));
}

/* In as many processes as there are CPUs: most of the time is the kernel's, in stat(2). */
static bool sweep_all(int dirfd, struct stat_cursor cursor)
{
	unsigned parts = sweep_parts(cursor.n);
	pid_t pids[SWEEP_PARTS] = {0}, parent = getpid();
	bool same = true;
	int status;

	for (unsigned i = 1; i < parts; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(getppid() != parent || !sweep(dirfd, cursor, cursor.n * i / parts,
							    cursor.n * (i + 1) / parts));
		}
	}
	same = sweep(dirfd, cursor, 0, cursor.n / parts);
	/* A part that could not be started counts as different: then all is looked at again. */
	for (unsigned i = 1; i < parts; i++) {
		while (pids[i] > 0 && waitpid(pids[i], &status, 0) < 0)
			if (errno != EINTR)
				pids[i] = -1;
		same = same && pids[i] > 0 && status == 0;
	}
	return same;
}

/* ---- against the manifest ---- */

struct recheck {
	struct stack stack;
	uint32_t listed[CEIL_TREE_DEPTH + 1], seen[CEIL_TREE_DEPTH + 1];
	struct stat_cursor old; /* what was known; left is 0 where nothing is */
	struct buf stat;	/* what is known now */
	struct err *err;
};

static int differs(struct recheck *check, const char *path, const char *how)
{
	return err_set(check->err, EUCLEAN, "image", "%s %s", path, how);
}

static int count_entries(int fd, uint32_t *ret)
{
	_cleanup_closedir_ DIR *dir = fs_opendir(fd);
	uint32_t n = 0;

	if (!dir)
		return -errno;
	while (fs_next(dir))
		n++;
	*ret = n;
	return -errno;
}

static mode_t kind_mode(char kind)
{
	return kind == 'D' ? S_IFDIR : kind == 'F' ? S_IFREG : kind == 'L' ? S_IFLNK : S_IFIFO;
}

static int recheck_content(struct recheck *check, const struct manifest_entry *entry, int dirfd,
			   const char *name)
{
	_cleanup_close_ int fd = -EBADF;
	char text[CEIL_PATH];
	int r = 0;

	if (entry->kind == 'L') {
		r = manifest_read_link(dirfd, name, text, sizeof(text));
		if (r == 0 && strcmp(text, entry->target) != 0)
			return differs(check, entry->path, "leads elsewhere");
	} else if (entry->kind == 'F') {
		fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		r = fd < 0 ? -errno : manifest_hash_fd(fd, text);
		if (r == 0 && strcmp(text, entry->sha256) != 0)
			return differs(check, entry->path, "differs");
	}
	return r < 0 ? differs(check, entry->path, "cannot be read") : 0;
}

/* Directories that are left behind held as many entries as the manifest has for them. */
static int recheck_leave(struct recheck *check, unsigned depth)
{
	for (unsigned i = check->stack.n - 1; i > depth; i--)
		if (check->listed[i] != check->seen[i])
			return err_set(check->err, EUCLEAN, "image",
				       "a directory at depth %u holds %u entries, not %u", i,
				       check->listed[i], check->seen[i]);
	return 0;
}

static int recheck_entry(struct recheck *check, const struct manifest_entry *entry)
{
	const char *slash = strrchr(entry->path, '/'), *old_name = NULL;
	const char *name = slash ? slash + 1 : entry->path;
	const struct stat_record *old = stat_take(&check->old, &old_name);
	struct stat_record now;
	unsigned depth = 1;
	struct stat st = {0};
	bool dir = entry->kind == 'D';
	int r;

	for (const char *p = entry->path; (p = strchr(p, '/')); p++)
		depth++;
	if (strcmp(entry->path, ".") == 0) {
		depth = 0;
		name = "root";
	}
	r = recheck_leave(check, depth);
	if (r == 0)
		r = stack_enter(&check->stack, depth, name, dir);
	if (r == 0)
		r = stack_stat(&check->stack, depth, name, &st);
	if (r < 0)
		return r == -EUCLEAN ? r
				     : differs(check, entry->path,
					       r == -ENOENT    ? "is missing"
					       : r == -ENOTDIR ? "is no directory"
							       : "cannot be looked at");
	now = stat_record_of(&st);
	if ((st.st_mode & S_IFMT) != kind_mode(entry->kind))
		return differs(check, entry->path, "is of another kind");
	if ((!S_ISLNK(st.st_mode) && (st.st_mode & 07777) != entry->mode) ||
	    st.st_uid != entry->uid || st.st_gid != entry->gid)
		return differs(check, entry->path, "has another mode or owner");
	if (entry->kind == 'F' && (uint64_t)st.st_size != entry->size)
		return differs(check, entry->path, "differs");
	if (!old || strcmp(old_name, name) != 0 || !stat_record_same(old, &now))
		r = recheck_content(check, entry, check->stack.fds[depth], name);
	check->seen[depth]++;
	if (r == 0 && dir) {
		int fd = stack_fd(&check->stack, depth + 1);

		check->seen[depth + 1] = 0;
		r = fd < 0 ? fd : count_entries(fd, &check->listed[depth + 1]);
		now.children = check->listed[depth + 1];
	}
	return r == 0 ? stat_record_put(&check->stat, &now, name, depth) : r;
}

static int recheck_all(struct recheck *check, char *text)
{
	struct manifest_entry entry;
	int r = stat_begin(&check->stat);

	text = strstr(text, "\n\n");
	if (!text)
		return -EBADMSG;
	text += 2;
	while (r == 0 && (r = manifest_next(&text, &entry)) == 1)
		r = recheck_entry(check, &entry);
	return r == 0 ? recheck_leave(check, 0) : r;
}

static int recheck(int dirfd, const char *hex, struct stat_cursor old, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_MANIFEST);
	struct recheck check = {.stack = {.fds = {dirfd}, .n = 1},
				.old = old,
				.stat = BUF_INIT(CEIL_MANIFEST),
				.err = err};
	char now[65];
	int r = io_read_file(dirfd, "manifest", &text);

	if (r < 0)
		return err_errno(err, EUCLEAN, "image", "its manifest cannot be read");
	manifest_hash_text(text.data, text.len, now);
	if (strcmp(now, hex) != 0)
		return err_set(err, EUCLEAN, "image", "its manifest differs");
	r = recheck_all(&check, text.data);
	stack_done(&check.stack);
	/* Where it cannot be written the next check is as slow as this one, and as right. */
	if (r == 0 && stat_write(dirfd, hex, &check.stat) < 0)
		errno = 0;
	buf_done(&check.stat);
	return r < 0 && r != -EUCLEAN ? err_errno(err, -r, "image", "cannot be checked") : r;
}

int manifest_check(int dirfd, const char *hex, struct err *err)
{
	_cleanup_buf_ struct buf stat = BUF_INIT(CEIL_MANIFEST);
	struct stat_cursor cursor = {0};

	if (io_read_file(dirfd, "stat", &stat) == 0 && stat_open(dirfd, hex, &stat, &cursor) &&
	    sweep_all(dirfd, cursor))
		return 0;
	return recheck(dirfd, hex, cursor, err);
}
