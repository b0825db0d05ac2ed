/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes-text.c: see changes-text.h.
 *
 * diff(1) compares modified files: it has done so for everybody's files for decades. It gets copies
 * in memory, no name and no environment, so that nothing of what a sandbox wrote is more to it than
 * bytes, and it is not root. Lines of added and deleted files need no comparison.
 */
#include "changes-text.h"

#include "changes-private.h"
#include "err.h"
#include "io.h"
#include "jsonw.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define BINARY_LOOK 8000u		     /* a NUL in so many bytes: no text (git's rule) */
#define SIDE_MAX    (CEIL_DIFF_TEXT + 65536) /* and the room of the last read */

/* Exit codes of a diff that did not compare; its own are 0, 1 and 2. */
enum { DIFF_TROUBLE = 126, DIFF_MISSING = 127, DIFF_NOBODY = 65534 };

/* One side of a change as bytes. */
struct side {
	struct buf data;
	bool there, too_large;
};

size_t changes_unsafe(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;

	if (len == 0)
		return 0;
	if (p[0] < 0x20 || p[0] == 0x7f)
		return 1;
	/* C1 controls, which a terminal obeys like ESC [. */
	if (len >= 2 && p[0] == 0xc2 && p[1] < 0xa0)
		return 2;
	/* Marks that turn the direction of what follows (CVE-2021-42574). */
	if (len >= 3 && p[0] == 0xe2 &&
	    ((p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae))) ||
	     (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)))
		return 3;
	return 0;
}

static bool needs_quotes(const char *name)
{
	size_t len = strlen(name);

	if (!jsonw_is_utf8(name, len))
		return true;
	for (size_t i = 0; i < len; i++)
		if (name[i] == '"' || name[i] == '\\' || changes_unsafe(name + i, len - i))
			return true;
	return false;
}

static int quote_byte(struct buf *out, unsigned char c)
{
	static const char letters[] = "abtnvfr"; /* 7 to 13 */

	if (c >= 7 && c <= 13)
		return buf_printf(out, "\\%c", letters[c - 7]);
	if (c == '"' || c == '\\')
		return buf_printf(out, "\\%c", c);
	return c < 0x20 || c >= 0x7f ? buf_printf(out, "\\%03o", c) : buf_putc(out, (char)c);
}

int changes_quote(struct buf *out, const char *prefix, const char *name)
{
	int r;

	if (!needs_quotes(name)) {
		r = buf_puts(out, prefix);
		return r < 0 ? r : buf_puts(out, name);
	}
	r = buf_printf(out, "\"%s", prefix);
	for (; r == 0 && *name; name++)
		r = quote_byte(out, (unsigned char)*name);
	return r < 0 ? r : buf_putc(out, '"');
}

/* ---- the two sides ---- */

static int read_all(int fd, struct buf *out)
{
	char *room;
	ssize_t n;

	do {
		int r = buf_reserve(out, 65536, &room);

		if (r < 0)
			return r;
		n = read(fd, room, 65536);
		if (n > 0)
			out->len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

static int side_read(struct side *side, int fd)
{
	struct stat st;

	side->there = true;
	if (fstat(fd, &st) < 0)
		return -errno;
	side->too_large = st.st_size > (off_t)CEIL_DIFF_TEXT;
	return side->too_large ? 0 : read_all(fd, &side->data);
}

static bool side_is_binary(const struct side *side)
{
	size_t len = MIN(side->data.len, (size_t)BINARY_LOOK);

	return side->too_large || (len && memchr(side->data.data, '\0', len));
}

static int sides_read(const struct changes *changes, const struct change *change,
		      struct side sides[2])
{
	_cleanup_close_ int old = -EBADF, now = -EBADF;
	char targets[2][CEIL_PATH];
	int r = 0;

	changes_contents(changes, change, &old, &now);
	if (old >= 0)
		r = side_read(&sides[0], old);
	if (r == 0 && now >= 0)
		r = side_read(&sides[1], now);
	changes_targets(changes, change, targets[0], targets[1]);
	for (int i = 0; r == 0 && i < 2; i++) {
		if (!*targets[i])
			continue;
		sides[i].there = true;
		r = buf_puts(&sides[i].data, targets[i]);
	}
	/* What is there and cannot be read has no lines. */
	if (S_ISREG(change->old_mode) && !sides[0].there)
		sides[0].there = sides[0].too_large = true;
	if (S_ISREG(change->mode) && !sides[1].there)
		sides[1].there = sides[1].too_large = true;
	return r;
}

/* ---- diff(1) ---- */

static int memory_file(const struct buf *data)
{
	_cleanup_close_ int fd = memfd_create("creel-diff", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : 0;

	if (r == 0 && data->len)
		r = io_write_full(fd, data->data, data->len);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : io_fd_above(TAKE_FD(fd), 4);
}

/* Never root: a fault of diff(1) must be worth nothing to who wrote the files. */
static int diff_become(const struct changes *changes)
{
	const struct changes_ids *host = &changes->host;
	uid_t uid = host->uid ? host->uid : DIFF_NOBODY;
	gid_t gid = host->uid ? host->gid : DIFF_NOBODY;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (geteuid() != 0)
		return 0;
	/* In a user namespace of one id there are no groups to set. */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return -errno;
	return setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0 ? -errno : 0;
}

static _Noreturn void diff_exec(const struct changes *changes, int old, int now, int out)
{
	static const char *const argv[] = {"diff", "-u", "-a", "--", "-", "/dev/fd/3", NULL};
	static const char *const env[] = {"LC_ALL=C", NULL};

	signal(SIGPIPE, SIG_DFL);
	if (dup2(out, 1) < 0 || dup2(old, 0) < 0 || dup2(now, 3) < 0 || diff_become(changes) < 0)
		_exit(DIFF_TROUBLE);
	execvpe(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
	_exit(DIFF_MISSING);
}

/* Its whole output: two lines with names, then the hunks. */
static int diff_run(const struct changes *changes, const struct side sides[2], struct buf *out,
		    struct err *err)
{
	_cleanup_close_ int old = memory_file(&sides[0].data), now = memory_file(&sides[1].data);
	int pair[2], status = 0, r;
	pid_t pid;

	if (old < 0 || now < 0 || pipe2(pair, O_CLOEXEC) < 0)
		return err_errno(err, errno, "diff", "cannot compare two files");
	pair[1] = io_fd_above(pair[1], 4);
	pid = fork();
	if (pid == 0)
		diff_exec(changes, old, now, pair[1]);
	r = pid < 0 ? -errno : 0;
	fd_close(pair[1]);
	if (r == 0)
		r = read_all(pair[0], out);
	fd_close(pair[0]); /* what was not read to its end ends diff */
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r == 0 && WIFEXITED(status) && WEXITSTATUS(status) == DIFF_MISSING)
		return err_set(
			err, ENOENT, "diff",
			"cannot run diff; install it (package diffutils) or use -z or --json");
	if (r == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) > 1))
		r = -EIO;
	return r < 0 ? err_errno(err, -r, "diff", "diff(1) failed") : 0;
}

/* ---- the patch ---- */

static int put_name(struct changes_text *text, const struct change *change, const char *prefix,
		    bool there)
{
	return there ? changes_quote(&text->patch, prefix, change->path)
		     : buf_puts(&text->patch, "/dev/null");
}

/* "{before}a/NAME{between}b/NAME{after}" */
static int put_names(struct changes_text *text, const struct change *change, bool old, bool now,
		     const char *const words[3])
{
	int r = buf_puts(&text->patch, words[0]);

	if (r == 0)
		r = put_name(text, change, "a/", old);
	if (r == 0)
		r = buf_puts(&text->patch, words[1]);
	if (r == 0)
		r = put_name(text, change, "b/", now);
	return r < 0 ? r : buf_puts(&text->patch, words[2]);
}

static const char *line_end(const char *p, const char *end)
{
	const char *newline = memchr(p, '\n', (size_t)(end - p));

	return newline ? newline + 1 : end;
}

static uint64_t count_lines(const struct buf *data)
{
	const char *end = data->data + data->len;
	uint64_t n = 0;

	for (const char *p = data->data; p < end; p = line_end(p, end))
		n++;
	return n;
}

static int put_lines(struct changes_text *text, const struct buf *data, char sign)
{
	const char *end = data->data + data->len;
	int r = 0;

	for (const char *p = data->data, *next; r == 0 && p < end; p = next) {
		next = line_end(p, end);
		r = buf_putc(&text->patch, sign);
		if (r == 0)
			r = buf_append(&text->patch, p, (size_t)(next - p));
		if (r == 0 && next[-1] != '\n')
			r = buf_puts(&text->patch, "\n\\ No newline at end of file\n");
	}
	return r;
}

/* All of one side goes, all of the other comes; the numbers as diff(1) writes them. */
static int put_whole(struct changes_text *text, const struct side sides[2])
{
	char range[2][32];
	uint64_t n[2];
	int r;

	for (int i = 0; i < 2; i++) {
		n[i] = sides[i].data.len ? count_lines(&sides[i].data) : 0;
		if (n[i] == 1)
			snprintf(range[i], sizeof(range[i]), "1");
		else
			snprintf(range[i], sizeof(range[i]), "%d,%llu", n[i] > 0,
				 (unsigned long long)n[i]);
	}
	text->removed += n[0];
	text->added += n[1];
	r = buf_printf(&text->patch, "@@ -%s +%s @@\n", range[0], range[1]);
	if (r == 0 && n[0])
		r = put_lines(text, &sides[0].data, '-');
	return r == 0 && n[1] ? put_lines(text, &sides[1].data, '+') : r;
}

static int put_hunks(const struct changes *changes, struct changes_text *text,
		     const struct side sides[2], struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(CEIL_PATCH);
	const char *p, *end;
	int r = diff_run(changes, sides, &out, err);

	if (r < 0)
		return r;
	p = out.data;
	end = p + out.len;
	for (int i = 0; i < 2 && p < end; i++)
		p = line_end(p, end);
	r = buf_append(&text->patch, p, (size_t)(end - p));
	for (; p < end; p = line_end(p, end)) {
		text->added += *p == '+';
		text->removed += *p == '-';
	}
	return r;
}

static int put_content(const struct changes *changes, const struct change *change,
		       const struct side sides[2], struct changes_text *text, struct err *err)
{
	static const char *const binary[] = {"Binary files ", " and ", " differ\n"};
	static const char *const names[] = {"--- ", "\n+++ ", "\n"};
	int r;

	text->binary = side_is_binary(&sides[0]) || side_is_binary(&sides[1]);
	if (text->binary)
		return put_names(text, change, sides[0].there, sides[1].there, binary);
	if (!sides[0].data.len && !sides[1].data.len)
		return 0; /* an empty file came or went */
	r = put_names(text, change, sides[0].there, sides[1].there, names);
	if (r < 0)
		return r;
	if (sides[0].data.len && sides[1].data.len && !S_ISLNK(change->mode))
		return put_hunks(changes, text, sides, err);
	return put_whole(text, sides);
}

/* The permission bits of a link are none in git. */
static mode_t patch_mode(mode_t mode)
{
	return S_ISLNK(mode) ? S_IFLNK : mode & (S_IFMT | 0777);
}

static int put_head(struct changes_text *text, const struct change *change)
{
	static const char *const words[] = {"diff --git ", " ", "\n"};
	mode_t old = patch_mode(change->old_mode), now = patch_mode(change->mode);
	int r = put_names(text, change, true, true, words);

	if (r < 0 || old == now)
		return r;
	if (!old)
		return buf_printf(&text->patch, "new file mode %06o\n", now);
	if (!now)
		return buf_printf(&text->patch, "deleted file mode %06o\n", old);
	return buf_printf(&text->patch, "old mode %06o\nnew mode %06o\n", old, now);
}

static const char *file_kind(mode_t mode)
{
	return S_ISDIR(mode)	? "directory"
	       : S_ISLNK(mode)	? "link"
	       : S_ISREG(mode)	? "file"
	       : S_ISFIFO(mode) ? "FIFO"
	       : S_ISSOCK(mode) ? "socket"
				: "device";
}

/* What a patch cannot say: a line that no name makes look like one that git apply reads. */
static int put_other(struct changes_text *text, const struct change *change)
{
	mode_t old = change->old_mode, now = change->mode;
	int r = buf_puts(&text->patch, "# ");

	if (r == 0)
		r = changes_quote(&text->patch, "", change->path);

	if (r < 0)
		return r;
	if (!old || !now)
		return buf_printf(&text->patch, ": %s %s\n", file_kind(old ? old : now),
				  old ? "deleted" : "added");
	if ((old & S_IFMT) != (now & S_IFMT))
		return buf_printf(&text->patch, ": %s became %s\n", file_kind(old), file_kind(now));
	return buf_printf(&text->patch, ": %s mode %04o became %04o\n", file_kind(now), old & 0777,
			  now & 0777);
}

static bool fits_patch(const struct change *change)
{
	mode_t old = change->old_mode, now = change->mode;

	return (!old || S_ISREG(old) || S_ISLNK(old)) && (!now || S_ISREG(now) || S_ISLNK(now));
}

static int put_change(const struct changes *changes, const struct change *change,
		      struct changes_text *text, struct err *err)
{
	struct side sides[2] = {{.data = BUF_INIT(SIDE_MAX)}, {.data = BUF_INIT(SIDE_MAX)}};
	int r;

	if (!fits_patch(change))
		return put_other(text, change);
	r = put_head(text, change);
	if (r < 0 || change->kind == CHANGES_MODE)
		return r;
	r = sides_read(changes, change, sides);
	if (r == 0)
		r = put_content(changes, change, sides, text, err);
	buf_done(&sides[0].data);
	buf_done(&sides[1].data);
	return r;
}

int changes_text(const struct changes *changes, const struct change *change,
		 struct changes_text *ret, struct err *err)
{
	struct change gone = *change, come = *change;
	struct err why = {0};
	int r;

	ret->patch.len = 0;
	ret->added = ret->removed = 0;
	ret->binary = false;
	/* As git has it: one goes, another comes. */
	gone.mode = come.old_mode = 0;
	r = put_change(changes, change->kind == CHANGES_TYPE ? &gone : change, ret, &why);
	if (r == 0 && change->kind == CHANGES_TYPE)
		r = put_change(changes, &come, ret, &why);
	if (r < 0 && why.code)
		return err_set(err, why.code, "changes", "%s", why.text);
	return r < 0 ? err_errno(err, -r, "changes", "cannot show the change of %s", change->path)
		     : 0;
}

void changes_text_done(struct changes_text *text)
{
	buf_done(&text->patch);
}
