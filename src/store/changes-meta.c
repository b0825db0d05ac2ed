/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes-meta.c: the overlay that is kept: who made it, over what, since when (changes.h), and
 * what apply did. Only creel writes these files; a file that is not exactly of the form is refused,
 * so that no later step works with half of the facts.
 */
#include "changes-private.h"

#include "err.h"
#include "fs.h"
#include "io.h"
#include "parse.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>

#define META_FORM "creel-changes 1"
#define META_MAX  (CEIL_PATH + 2048)

/* In the order of the file; DIR is the last, to its end, because it may hold any byte. */
enum meta_line { META_DEV, META_INO, META_UID, META_GID, META_STARTED, META_XATTR, META_NUMBERS };

static const struct {
	const char *key;
	uint64_t max;
} meta_numbers[META_NUMBERS] = {
	[META_DEV] = {"dev", UINT64_MAX},	 [META_INO] = {"ino", UINT64_MAX},
	[META_UID] = {"uid", UINT32_MAX},	 [META_GID] = {"gid", UINT32_MAX},
	[META_STARTED] = {"started", INT64_MAX}, [META_XATTR] = {"userxattr", 1},
};

static const struct {
	const char *key;
	size_t offset, size;
} meta_texts[] = {
	{"org", offsetof(struct changes_meta, org), CHANGES_NAME_MAX + 1},
	{"agent", offsetof(struct changes_meta, agent), CHANGES_NAME_MAX + 1},
	{"run", offsetof(struct changes_meta, run), CHANGES_NAME_MAX + 1},
	{"image", offsetof(struct changes_meta, image), sizeof(((struct changes_meta *)0)->image)},
	{"dir", offsetof(struct changes_meta, dir), CEIL_PATH},
};

static int meta_format(const struct changes_meta *meta, struct buf *out)
{
	const uint64_t numbers[META_NUMBERS] = {
		meta->dev,	meta->ino, meta->uid, meta->gid, (uint64_t)meta->started_ns,
		meta->userxattr};
	int r = buf_puts(out, META_FORM "\n");

	for (size_t i = 0; r == 0 && i < META_NUMBERS; i++)
		r = buf_printf(out, "%s %llu\n", meta_numbers[i].key,
			       (unsigned long long)numbers[i]);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(meta_texts); i++)
		r = buf_printf(out, "%s %s\n", meta_texts[i].key,
			       (const char *)meta + meta_texts[i].offset);
	return r;
}

/* Takes "key value\n" off *text. The last value may hold newlines: it ends where the text does. */
static char *meta_take(char **text, const char *key, bool last)
{
	size_t len = strlen(key);
	char *value = *text + len + 1, *end;

	if (strncmp(*text, key, len) != 0 || (*text)[len] != ' ')
		return NULL;
	end = last ? value + strlen(value) - 1 : strchr(value, '\n');
	if (!end || end < value || *end != '\n')
		return NULL;
	*end = '\0';
	*text = end + 1;
	return value;
}

static int meta_parse(char *text, struct changes_meta *ret_meta)
{
	struct changes_meta meta = {0};
	uint64_t numbers[META_NUMBERS];
	size_t n_texts = ELEMENTSOF(meta_texts);

	if (strncmp(text, META_FORM "\n", sizeof(META_FORM)) != 0)
		return -EBADMSG;
	text += sizeof(META_FORM);
	for (size_t i = 0; i < META_NUMBERS; i++) {
		const char *value = meta_take(&text, meta_numbers[i].key, false);

		if (!value || parse_u64(value, 0, meta_numbers[i].max, &numbers[i]) < 0)
			return -EBADMSG;
	}
	for (size_t i = 0; i < n_texts; i++) {
		const char *value = meta_take(&text, meta_texts[i].key, i == n_texts - 1);

		if (!value || strlen(value) >= meta_texts[i].size)
			return -EBADMSG;
		memcpy((char *)&meta + meta_texts[i].offset, value, strlen(value) + 1);
	}
	if (meta.dir[0] != '/' || parse_name(meta.org) < 0 || parse_name(meta.run) < 0 ||
	    (meta.agent[0] && parse_name(meta.agent) < 0))
		return -EBADMSG;
	meta.dev = numbers[META_DEV];
	meta.ino = numbers[META_INO];
	meta.uid = (uint32_t)numbers[META_UID];
	meta.gid = (uint32_t)numbers[META_GID];
	meta.started_ns = (int64_t)numbers[META_STARTED];
	meta.userxattr = numbers[META_XATTR];
	*ret_meta = meta;
	return 0;
}

static int known_sync(int base)
{
	_cleanup_close_ int fd = openat(base, "applied", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 || fsync(base) < 0 ? -errno : 0;
}

/*
 * What is written reaches the filesystem's current transaction, and so the disk no later than any
 * change that follows, whoever syncs that. The changes are not synced either: more than that would
 * only be a wait for the disk at the start of each run.
 */
static int meta_order(int base)
{
	_cleanup_close_ int fd = openat(base, "meta", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 || sync_file_range(fd, 0, 0,
					 SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) < 0
		       ? -errno
		       : 0;
}

/* File times are those of the last tick of the clock (time(7), CLOCK_REALTIME_COARSE). */
void changes_await(int64_t moment_ns)
{
	const struct timespec pause = {.tv_nsec = 500000};
	struct timespec now;

	for (int i = 0; i < 100; i++) {
		if (clock_gettime(CLOCK_REALTIME_COARSE, &now) < 0 || changes_ns(&now) >= moment_ns)
			return;
		nanosleep(&pause, NULL);
	}
}

int changes_create(int base, int dirfd, struct changes_meta *meta, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(META_MAX);
	struct changes_meta all = *meta;
	struct timespec now;
	struct stat st;
	int r = 0;

	if (fstat(dirfd, &st) < 0 || clock_gettime(CLOCK_REALTIME, &now) < 0)
		return err_errno(err, errno, "changes", "%s", meta->dir);
	all.dev = st.st_dev;
	all.ino = st.st_ino;
	all.uid = st.st_uid;
	all.gid = st.st_gid;
	all.started_ns = changes_ns(&now);
	if (all.dir[0] != '/' || parse_name(all.org) < 0 || parse_name(all.run) < 0 ||
	    strchr(all.image, '\n'))
		return err_set(err, EINVAL, "changes", "%s: no absolute path, or bad names",
			       all.dir);
	if (mkdirat(base, "upper", 0700) < 0 || mkdirat(base, "work", 0700) < 0)
		r = -errno;
	if (r == 0)
		r = meta_format(&all, &text);
	if (r == 0)
		r = fs_replace_file(base, "meta", text.data, text.len, 0600);
	if (r == 0)
		r = meta_order(base);
	if (r < 0)
		return err_errno(err, -r, "changes", "cannot keep the changes of %s", all.dir);
	*meta = all;
	return 0;
}

int changes_read_meta(int base, struct changes_meta *ret_meta, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(META_MAX);
	int r = io_read_file(base, "meta", &text);

	if (r == 0 && strlen(text.data) == text.len)
		r = meta_parse(text.data, ret_meta);
	else if (r == 0)
		r = -EBADMSG;
	return r < 0 ? err_errno(err, -r, "changes", "cannot read what is kept of the run") : 0;
}

int changes_lock(int base, bool exclusive, struct err *err)
{
	if (flock(base, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return err_errno(err, errno, "changes", "cannot lock what is kept of the run");
	return err_set(err, EBUSY, "changes",
		       "a run or another creel is working on these changes: wait for its end");
}

static int known_compare(const void *a, const void *b)
{
	const struct changes_known *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->ctime_ns < y->ctime_ns ? -1 : x->ctime_ns > y->ctime_ns;
}

/* Sorts, and keeps the latest of each inode. */
static void known_tidy(struct changes *changes)
{
	struct changes_known *known = changes->known;
	size_t n = 0;

	if (changes->n_known)
		qsort(known, changes->n_known, sizeof(*known), known_compare);
	for (size_t i = 0; i < changes->n_known; i++)
		if (i + 1 == changes->n_known || known[i + 1].ino != known[i].ino)
			known[n++] = known[i];
	changes->n_known = n;
}

int changes_known_add(struct changes *changes, const struct stat *st)
{
	if (changes->n_known == changes->known_allocated) {
		size_t size = changes->known_allocated ? 2 * changes->known_allocated : 64;
		struct changes_known *grown =
			realloc(changes->known, size * sizeof(*changes->known));

		if (!grown)
			return -ENOMEM;
		changes->known = grown;
		changes->known_allocated = size;
	}
	changes->known[changes->n_known++] =
		(struct changes_known){.ino = st->st_ino, .ctime_ns = changes_ns(&st->st_ctim)};
	return 0;
}

/* Lines "INODE CTIME". */
static int known_parse(struct changes *changes, char *text)
{
	int r = 0;

	for (char *end; r == 0 && (end = strchr(text, '\n')); text = end + 1) {
		char *space = strchr(text, ' ');
		struct stat st = {0};
		uint64_t ino, ctime;

		*end = '\0';
		if (!space || space > end)
			return -EBADMSG;
		*space = '\0';
		if (parse_u64(text, 0, UINT64_MAX, &ino) < 0 ||
		    parse_u64(space + 1, 0, INT64_MAX, &ctime) < 0)
			return -EBADMSG;
		st.st_ino = ino;
		st.st_ctim = (struct timespec){.tv_sec = (time_t)(ctime / 1000000000),
					       .tv_nsec = (long)(ctime % 1000000000)};
		r = changes_known_add(changes, &st);
	}
	known_tidy(changes);
	return r < 0 ? r : *text ? -EBADMSG : 0;
}

int changes_known_load(struct changes *changes)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_CHANGES_KNOWN);
	int r = io_read_file(changes->base, "applied", &text);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : known_parse(changes, text.data);
}

int changes_known_save(struct changes *changes)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_CHANGES_KNOWN);
	struct stat st;
	int r = 0;

	known_tidy(changes);
	for (size_t i = 0; r == 0 && i < changes->n_known; i++)
		r = buf_printf(&text, "%llu %lld\n", (unsigned long long)changes->known[i].ino,
			       (long long)changes->known[i].ctime_ns);
	if (r == 0)
		r = buf_puts(&text, "");
	changes_as_own(changes);
	if (r == 0)
		r = fs_replace_file(changes->base, "applied", text.data, text.len, 0600);
	/* Of BASE's owner, not of the root of a user namespace. */
	if (r == 0 && (fstat(changes->base, &st) < 0 ||
		       fchownat(changes->base, "applied", st.st_uid, st.st_gid, 0) < 0))
		r = -errno;
	if (r == 0)
		r = known_sync(changes->base);
	changes_as_host(changes);
	return r;
}

static bool known_is(const struct changes *changes, const struct stat *st)
{
	size_t low = 0, high = changes->n_known;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (changes->known[middle].ino < st->st_ino)
			low = middle + 1;
		else
			high = middle;
	}
	return low < changes->n_known && changes->known[low].ino == st->st_ino &&
	       changes->known[low].ctime_ns == changes_ns(&st->st_ctim);
}

bool changes_is_foreign(const struct changes *changes, const struct stat *st)
{
	if (changes_ns(&st->st_ctim) < changes->meta.started_ns || known_is(changes, st))
		return false;
	/* The ctime of a hard link changes when another name of it is replaced. */
	if (changes->interrupted)
		return !S_ISDIR(st->st_mode) &&
		       changes_ns(&st->st_mtim) >= changes->meta.started_ns;
	return true;
}
