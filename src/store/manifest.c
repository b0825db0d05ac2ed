/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.c: see manifest.h. The tree may be what a hostile archive held: it is walked by
 * descriptor, nothing in it is followed, and nothing but files and directories is opened.
 */
#include "manifest.h"
#include "sha.h"

#include "err.h"
#include "fs.h"
#include "io.h"
#include "manifest-private.h"

#include <fcntl.h>

struct maker {
	struct buf text, stat;
	struct manifest_totals totals;
	char path[CEIL_PATH];
	size_t entries;
	struct err *err;
};

struct names {
	char **names;
	size_t n, allocated;
};

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->names[i]);
	free(names->names);
}

static int names_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int names_read(int dirfd, struct names *names)
{
	_cleanup_closedir_ DIR *dir = fs_opendir(dirfd);
	struct dirent *entry;

	if (!dir)
		return -errno;
	while ((entry = fs_next(dir))) {
		if (names->n == names->allocated) {
			size_t size = names->allocated ? 2 * names->allocated : 32;
			char **grown = realloc(names->names, size * sizeof(*grown));

			if (!grown)
				return -ENOMEM;
			names->names = grown;
			names->allocated = size;
		}
		names->names[names->n] = strdup(entry->d_name);
		if (!names->names[names->n])
			return -ENOMEM;
		names->n++;
	}
	if (errno)
		return -errno;
	if (names->n)
		qsort(names->names, names->n, sizeof(*names->names), names_compare);
	return 0;
}

int manifest_hash_fd(int fd, char *ret_hex)
{
	struct sha sha;
	int r;

	sha_init(&sha);
	r = sha_update_fd(&sha, fd);
	if (r == 0)
		sha_final_hex(&sha, ret_hex);
	return r;
}

void manifest_hash_text(const char *text, size_t len, char *ret_hex)
{
	struct sha sha;

	sha_init(&sha);
	sha_update(&sha, text, len);
	sha_final_hex(&sha, ret_hex);
}

int manifest_read_link(int dirfd, const char *name, char *ret, size_t size)
{
	ssize_t n = readlinkat(dirfd, name, ret, size);

	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	ret[n] = '\0';
	return 0;
}

/* What would end a word or a line goes as \ooo; all else, UTF-8 or not, as it is. */
static int put_word(struct buf *text, const char *word)
{
	int r = 0;

	for (const unsigned char *p = (const unsigned char *)word; *p && r == 0; p++)
		r = *p <= ' ' || *p == 0x7f || *p == '\\' ? buf_printf(text, "\\%03o", *p)
							  : buf_putc(text, (char)*p);
	return r;
}

static int put_entry(struct maker *maker, char kind, const struct stat *st, const char *hex,
		     const char *target)
{
	struct buf *text = &maker->text;
	int r = buf_printf(text, "%c %o %u %u ", kind, st->st_mode & 07777, st->st_uid, st->st_gid);

	if (r == 0 && hex)
		r = buf_printf(text, "%llu %s ", (unsigned long long)st->st_size, hex);
	if (r == 0)
		r = put_word(text, *maker->path ? maker->path : ".");
	if (r == 0 && target)
		r = buf_putc(text, ' ');
	if (r == 0 && target)
		r = put_word(text, target);
	return r == 0 ? buf_putc(text, '\n') : r;
}

static int make_file(struct maker *maker, int dirfd, const char *name, struct stat *st)
{
	_cleanup_close_ int fd =
		openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char hex[65];
	int r;

	/* Again, by descriptor: what is hashed is what is described. */
	if (fd < 0 || fstat(fd, st) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -ESTALE;
	r = manifest_hash_fd(fd, hex);
	maker->totals.files++;
	maker->totals.bytes += (uint64_t)st->st_size;
	return r == 0 ? put_entry(maker, 'F', st, hex, NULL) : r;
}

static int make_link(struct maker *maker, int dirfd, const char *name, const struct stat *st)
{
	char target[CEIL_PATH];
	int r = manifest_read_link(dirfd, name, target, sizeof(target));

	return r == 0 ? put_entry(maker, 'L', st, NULL, target) : r;
}

static int make_directory(struct maker *maker, int dirfd, const char *name, size_t len,
			  unsigned depth);

static int make_entry(struct maker *maker, int dirfd, const char *name, size_t len, unsigned depth)
{
	struct stat_record record;
	struct stat st = {0};
	int n, r;

	n = snprintf(maker->path + len, CEIL_PATH - len, "%s%s", len ? "/" : "", name);
	if (n < 0 || (size_t)n >= CEIL_PATH - len)
		return -ENAMETOOLONG;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (++maker->entries > CEIL_TREE_ENTRIES)
		return -E2BIG;
	if (S_ISDIR(st.st_mode))
		return make_directory(maker, dirfd, name, len + (size_t)n, depth);
	if (S_ISREG(st.st_mode))
		r = make_file(maker, dirfd, name, &st);
	else if (S_ISLNK(st.st_mode))
		r = make_link(maker, dirfd, name, &st);
	else if (S_ISFIFO(st.st_mode))
		r = put_entry(maker, 'P', &st, NULL, NULL);
	else
		r = err_set(maker->err, EINVAL, "manifest", "/%s is a device or a socket",
			    maker->path);
	record = stat_record_of(&st);
	return r == 0 ? stat_record_put(&maker->stat, &record, name, depth) : r;
}

static int make_directory(struct maker *maker, int dirfd, const char *name, size_t len,
			  unsigned depth)
{
	_cleanup_close_ int fd =
		openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct names names = {0};
	struct stat_record record;
	struct stat st = {0};
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (depth >= CEIL_TREE_DEPTH)
		return -ELOOP;
	r = names_read(fd, &names);
	if (r == 0)
		r = put_entry(maker, 'D', &st, NULL, NULL);
	record = stat_record_of(&st);
	record.children = (uint32_t)names.n;
	if (r == 0)
		r = stat_record_put(&maker->stat, &record, name, depth);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		r = make_entry(maker, fd, names.names[i], len, depth + 1);
		if (r == 0)
			maker->path[len] = '\0';
	}
	names_done(&names);
	return r;
}

static int make_write(int dirfd, struct maker *maker, char *ret_hex)
{
	int r;

	manifest_hash_text(maker->text.data, maker->text.len, ret_hex);
	r = fs_replace_file(dirfd, "manifest", maker->text.data, maker->text.len, 0644);
	return r == 0 ? stat_write(dirfd, ret_hex, &maker->stat) : r;
}

int manifest_make(int dirfd, const char *head, char *ret_hex, struct manifest_totals *ret_totals,
		  struct err *err)
{
	struct maker maker = {.text = BUF_INIT(CEIL_MANIFEST), .stat = BUF_INIT(CEIL_MANIFEST)};
	struct err why = {0};
	int r;

	maker.err = &why;
	r = stat_begin(&maker.stat);
	if (r == 0)
		r = buf_printf(&maker.text, "creel image 1\n%s\n", head);
	if (r == 0)
		r = make_directory(&maker, dirfd, "root", 0, 0);
	if (r == 0)
		r = make_write(dirfd, &maker, ret_hex);
	if (r == 0)
		*ret_totals = maker.totals;
	else if (why.code)
		err_set(err, why.code, why.module, "%s", why.text);
	else
		err_errno(err, -r, "manifest", "cannot list the image at /%s", maker.path);
	buf_done(&maker.text);
	buf_done(&maker.stat);
	return r;
}

int manifest_head(int dirfd, struct buf *ret)
{
	_cleanup_close_ int fd = openat(dirfd, "manifest", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[16384], *end;
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	end = strstr(text, "\n\n");
	if (!end || strncmp(text, "creel image 1\n", 14) != 0)
		return -EBADMSG;
	end[1] = '\0';
	return buf_puts(ret, text + 14);
}

/* ---- reading ---- */

static char *take_word(char **line)
{
	char *word = *line;

	*line += strcspn(*line, " ");
	if (**line)
		*(*line)++ = '\0';
	return word;
}

static bool unescape(char *word)
{
	char *out = word;

	for (const char *in = word; *in;) {
		unsigned value = 0;

		if (*in != '\\') {
			*out++ = *in++;
			continue;
		}
		for (int i = 1; i <= 3; i++) {
			if (in[i] < '0' || in[i] > '7')
				return false;
			value = value * 8 + (unsigned)(in[i] - '0');
		}
		if (value == 0 || value > 255)
			return false;
		*out++ = (char)value;
		in += 4;
	}
	*out = '\0';
	return true;
}

static bool take_number(char **line, int base, uint64_t max, uint64_t *ret)
{
	char *word = take_word(line), *end;

	if (word[0] < '0' || word[0] > '9' || strlen(word) > 20)
		return false;
	errno = 0;
	*ret = strtoull(word, &end, base);
	return errno == 0 && *end == '\0' && *ret <= max;
}

static bool take_path(char **line, char **ret)
{
	*ret = take_word(line);
	return **ret && unescape(*ret);
}

int manifest_next(char **text, struct manifest_entry *ret)
{
	struct manifest_entry entry = {0};
	uint64_t mode, uid, gid;
	char *line = *text, *end = strchr(line, '\n');

	if (!*line)
		return 0;
	if (!end || line[0] == '\0' || !strchr("DFLP", line[0]) || line[1] != ' ')
		return -EBADMSG;
	*end = '\0';
	entry.kind = line[0];
	line += 2;
	if (!take_number(&line, 8, 07777, &mode) || !take_number(&line, 10, UINT32_MAX - 1, &uid) ||
	    !take_number(&line, 10, UINT32_MAX - 1, &gid))
		return -EBADMSG;
	entry.mode = (uint32_t)mode;
	entry.uid = (uint32_t)uid;
	entry.gid = (uint32_t)gid;
	if (entry.kind == 'F') {
		if (!take_number(&line, 10, INT64_MAX, &entry.size))
			return -EBADMSG;
		entry.sha256 = take_word(&line);
		if (strlen(entry.sha256) != 64)
			return -EBADMSG;
	}
	if (!take_path(&line, &entry.path) ||
	    (entry.kind == 'L' && !take_path(&line, &entry.target)) || *line)
		return -EBADMSG;
	*text = end + 1;
	*ret = entry;
	return 1;
}
