/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar-check.c: see tar-check.h. It is the first of three walls: the archive is unpacked by a
 * program that resolves paths inside its root, and that program is nobody on the host. So it need
 * not understand everything: what is unusual is refused. It keeps no file's data, and of names only
 * the hashes of a layer's links: a collision refuses an honest image, and lets no other through.
 */
#include "tar-check.h"

#include "buf.h"
#include "ceilings.h"
#include "err.h"

#include <stdbool.h>

#define TAR_BLOCK    512u
#define TAR_LONG_MAX (1u << 20) /* a pax header, a GNU long name */

struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
	char magic[8], uname[32], gname[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a header is one block");

enum tar_state { TAR_HEADER, TAR_DATA, TAR_LONG, TAR_ZERO, TAR_END };

struct tar_check {
	const char *layer;
	enum tar_state state;
	unsigned char block[TAR_BLOCK];
	size_t have;	  /* of the block */
	uint64_t left;	  /* data and padding that follow */
	uint64_t in_long; /* of them, what belongs to `text` */
	char long_type;
	struct buf text;		   /* of the long header that is being read */
	struct buf path, link;		   /* what long headers said about the next entry */
	bool has_path, has_link, has_size; /* they did */
	uint64_t size;
	uint64_t entries, bytes; /* of all layers */
	uint64_t *links;	 /* hash set of the layer's links; 0 is free */
	size_t n_links, size_links;
	struct err *err;
};

int tar_check_new(struct tar_check **ret)
{
	struct tar_check *check = calloc(1, sizeof(*check));

	if (!check)
		return -ENOMEM;
	check->text = check->path = check->link = BUF_INIT(TAR_LONG_MAX + 1);
	*ret = check;
	return 0;
}

struct tar_check *tar_check_free(struct tar_check *check)
{
	if (!check)
		return NULL;
	buf_done(&check->text);
	buf_done(&check->path);
	buf_done(&check->link);
	free(check->links);
	free(check);
	return NULL;
}

uint64_t tar_check_entries(const struct tar_check *check)
{
	return check->entries;
}

static void forget_long(struct tar_check *check)
{
	check->path.len = check->link.len = 0;
	check->has_path = check->has_link = check->has_size = false;
}

void tar_check_begin(struct tar_check *check, const char *layer)
{
	check->layer = layer;
	check->state = TAR_HEADER;
	check->have = 0;
	check->left = 0;
	forget_long(check);
	if (check->links)
		memset(check->links, 0, check->size_links * sizeof(*check->links));
	check->n_links = 0;
}

static int refuse(struct tar_check *check, int code, const char *path, const char *why)
{
	return err_set(check->err, code, "import", "%s is refused: %s%.200s%s%s", check->layer,
		       path ? "'" : "", path ? path : "", path ? "' " : "", why);
}

/* ---- the layer's links ---- */

static uint64_t hash_part(uint64_t hash, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3ull;
	return hash;
}

#define HASH_START 0xcbf29ce484222325ull

static bool links_have(const struct tar_check *check, uint64_t hash)
{
	hash = hash ? hash : 1;
	if (check->size_links == 0)
		return false;
	for (size_t i = hash & (check->size_links - 1); check->links[i];
	     i = (i + 1) & (check->size_links - 1))
		if (check->links[i] == hash)
			return true;
	return false;
}

static void links_put(struct tar_check *check, uint64_t hash)
{
	size_t i = hash & (check->size_links - 1);

	while (check->links[i])
		i = (i + 1) & (check->size_links - 1);
	check->links[i] = hash;
}

static int links_add(struct tar_check *check, uint64_t hash)
{
	hash = hash ? hash : 1;
	if (links_have(check, hash))
		return 0;
	if (2 * check->n_links >= check->size_links) {
		size_t old_size = check->size_links, size = old_size ? 2 * old_size : 1024;
		uint64_t *old = check->links, *grown = calloc(size, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		check->links = grown;
		check->size_links = size;
		for (size_t i = 0; i < old_size; i++)
			if (old[i])
				links_put(check, old[i]);
		free(old);
	}
	links_put(check, hash);
	check->n_links++;
	return 0;
}

/* ---- paths ---- */

/*
 * A path that stays below the root and goes through no link of this layer. *ret_hash: of its
 * normal form. target: it is what a hard link names.
 */
static int check_path(struct tar_check *check, const char *path, const char *entry,
		      uint64_t *ret_hash)
{
	uint64_t hash = HASH_START;
	unsigned depth = 0;

	if (path[0] == '\0')
		return refuse(check, EINVAL, entry, "has an empty path");
	if (path[0] == '/')
		return refuse(check, EINVAL, entry, "has an absolute path");
	if (strlen(path) >= CEIL_PATH)
		return refuse(check, EINVAL, entry, "has too long a path");
	for (size_t len; *path; path += len) {
		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 0 || (len == 1 && path[0] == '.'))
			continue;
		if (len == 2 && path[0] == '.' && path[1] == '.')
			return refuse(check, EINVAL, entry, "has '..' in its path");
		if (len > 255)
			return refuse(check, EINVAL, entry, "has too long a name");
		if (depth && links_have(check, hash))
			return refuse(check, EINVAL, entry, "lies behind a link of the same layer");
		if (++depth >= CEIL_TREE_DEPTH)
			return refuse(check, EINVAL, entry, "lies too deep");
		hash = hash_part(hash_part(hash, "/", 1), path, len);
	}
	*ret_hash = hash;
	return 0;
}

/* ".wh.NAME" deletes NAME of the layers below. */
static int check_whiteout(struct tar_check *check, const char *path)
{
	size_t end = strlen(path), start;

	while (end && path[end - 1] == '/')
		end--;
	for (start = end; start && path[start - 1] != '/';)
		start--;
	if (end - start < 4 || strncmp(path + start, ".wh.", 4) != 0)
		return 0;
	start += 4;
	if (start == end || (end - start <= 2 && strspn(path + start, ".") >= end - start))
		return refuse(check, EINVAL, path, "deletes a directory that it lies in");
	return 0;
}

static int check_entry(struct tar_check *check, char type, const char *path, const char *link,
		       uint64_t size)
{
	uint64_t hash, target;
	int r;

	if (++check->entries > CEIL_TREE_ENTRIES)
		return refuse(check, E2BIG, NULL, "the image has too many entries");
	check->bytes += size;
	if (check->bytes > CEIL_IMAGE_BYTES)
		return refuse(check, E2BIG, path, "is more than an image may hold");
	if (type == '3' || type == '4')
		return refuse(check, EINVAL, path, "is a device");
	if (type == 'S')
		return refuse(check, EINVAL, path, "is a sparse file");
	if (!strchr("012567", type))
		return refuse(check, EINVAL, path, "is of an unknown kind");
	if (size && !strchr("07", type))
		return refuse(check, EINVAL, path, "has data, and is no file");
	r = check_path(check, path, path, &hash);
	if (r == 0)
		r = check_whiteout(check, path);
	if (r == 0 && type == '1')
		r = check_path(check, link, path, &target);
	/* A second name of a link is a link. */
	if (r == 0 && (type == '2' || (type == '1' && links_have(check, target))))
		r = links_add(check, hash);
	return r;
}

/* ---- numbers ---- */

/* Octal with spaces around, or base 256 (GNU). */
static bool take_number(const char *field, size_t size, uint64_t *ret)
{
	const unsigned char *p = (const unsigned char *)field, *end = p + size;
	uint64_t value = 0;

	if (*p & 0x80) {
		if (*p != 0x80)
			return false; /* negative, or beyond all sizes */
		while (++p < end) {
			if (value >> 55)
				return false;
			value = value << 8 | *p;
		}
		*ret = value;
		return true;
	}
	while (p < end && *p == ' ')
		p++;
	for (; p < end && *p >= '0' && *p <= '7'; p++)
		value = value * 8 + (*p - '0');
	for (; p < end; p++)
		if (*p != ' ' && *p != '\0')
			return false;
	*ret = value;
	return true;
}

static bool sum_fits(const unsigned char *block, uint64_t sum)
{
	uint64_t own = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++)
		own += i >= 148 && i < 156 ? ' ' : block[i];
	return own == sum;
}

static bool is_zero(const unsigned char *block)
{
	for (size_t i = 0; i < TAR_BLOCK; i++)
		if (block[i])
			return false;
	return true;
}

/* ---- pax ---- */

/* "LENGTH KEY=VALUE\n" at text; *ret_len: of it. */
static bool pax_record(char *text, size_t room, char **ret_key, char **ret_value, size_t *ret_len)
{
	size_t digits = 0, len = 0;
	char *equals;

	while (digits < room && digits < 8 && text[digits] >= '0' && text[digits] <= '9')
		len = len * 10 + (size_t)(text[digits++] - '0');
	if (digits == 0 || digits >= room || text[digits] != ' ' || len > room ||
	    len < digits + 3 || text[len - 1] != '\n')
		return false;
	equals = memchr(text + digits + 1, '=', len - digits - 2);
	if (!equals || memchr(text, '\0', len))
		return false;
	*equals = '\0';
	text[len - 1] = '\0';
	*ret_key = text + digits + 1;
	*ret_value = equals + 1;
	*ret_len = len;
	return true;
}

static int set_text(struct tar_check *check, struct buf *buf, bool *has, const char *value)
{
	if (*has)
		return refuse(check, EINVAL, NULL, "two headers name one entry");
	*has = true;
	buf->len = 0;
	return buf_puts(buf, value);
}

static int pax_size(struct tar_check *check, const char *value)
{
	size_t len = strlen(value);

	if (check->has_size || len == 0 || len > 18 || strspn(value, "0123456789") != len)
		return refuse(check, EINVAL, NULL, "a size is no number");
	check->has_size = true;
	check->size = strtoull(value, NULL, 10);
	return 0;
}

static int pax_key(struct tar_check *check, const char *key, const char *value)
{
	bool path = strcmp(key, "path") == 0, link = strcmp(key, "linkpath") == 0;
	bool size = strcmp(key, "size") == 0;

	if (strncmp(key, "GNU.sparse.", 11) == 0)
		return refuse(check, EINVAL, NULL, "it has a sparse file");
	if (strncmp(key, "SCHILY.xattr.trusted.", 21) == 0 ||
	    strncmp(key, "SCHILY.xattr.user.overlay.", 26) == 0)
		return refuse(check, EINVAL, key + 13, "is an attribute that images may not have");
	if (check->long_type == 'g' && (path || link || size))
		return refuse(check, EINVAL, NULL, "a header names all entries at once");
	if (path)
		return set_text(check, &check->path, &check->has_path, value);
	if (link)
		return set_text(check, &check->link, &check->has_link, value);
	return size ? pax_size(check, value) : 0;
}

static int long_ends(struct tar_check *check)
{
	char *text = check->text.data, *key, *value;
	size_t left = check->text.len, len;
	int r = 0;

	if (check->long_type == 'L' || check->long_type == 'K') {
		/* Its NUL ends it; what follows would be read by some. */
		if (left && text[left - 1] == '\0')
			left--;
		if (left == 0 || memchr(text, '\0', left))
			return refuse(check, EINVAL, NULL, "a long name has a NUL in it");
		return check->long_type == 'L'
			       ? set_text(check, &check->path, &check->has_path, text)
			       : set_text(check, &check->link, &check->has_link, text);
	}
	for (; r == 0 && left; text += len, left -= len) {
		if (!pax_record(text, left, &key, &value, &len))
			return refuse(check, EINVAL, NULL, "a pax header is malformed");
		r = pax_key(check, key, value);
	}
	return r;
}

/* ---- headers ---- */

static int long_begins(struct tar_check *check, char type, uint64_t size)
{
	if (size > TAR_LONG_MAX || size == 0)
		return refuse(check, EINVAL, NULL, "a long header is too long or empty");
	if (++check->entries > CEIL_TREE_ENTRIES * 3ull)
		return refuse(check, E2BIG, NULL, "the image has too many headers");
	check->entries--;
	check->long_type = type;
	check->text.len = 0;
	check->in_long = size;
	check->left = (size + TAR_BLOCK - 1) & ~(uint64_t)(TAR_BLOCK - 1);
	check->state = TAR_LONG;
	return 0;
}

static int header_names(struct tar_check *check, const struct tar_header *header)
{
	bool ustar = memcmp(header->magic, "ustar\0", 6) == 0;
	char path[sizeof(header->prefix) + sizeof(header->name) + 2];

	if (!check->has_path) {
		bool prefix = ustar && header->prefix[0];

		/* Here star keeps other things: readers differ. */
		if (prefix && memcmp(header->rest + 8, "tar\0", 4) == 0)
			return refuse(check, EINVAL, NULL, "it is an archive of star");
		snprintf(path, sizeof(path), "%.155s%s%.100s", prefix ? header->prefix : "",
			 prefix ? "/" : "", header->name);
		check->path.len = 0;
		if (buf_puts(&check->path, path) < 0)
			return -ENOMEM;
	}
	if (!check->has_link) {
		snprintf(path, sizeof(path), "%.100s", header->link);
		check->link.len = 0;
		if (buf_puts(&check->link, path) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int take_header(struct tar_check *check)
{
	const struct tar_header *header = (const struct tar_header *)(const void *)check->block;
	char type = header->type ? header->type : '0';
	uint64_t size, sum;
	int r;

	if (is_zero(check->block)) {
		check->state = TAR_ZERO;
		return 0;
	}
	if (!take_number(header->sum, sizeof(header->sum), &sum) || !sum_fits(check->block, sum) ||
	    !take_number(header->size, sizeof(header->size), &size))
		return refuse(check, EINVAL, NULL, "it is no tar archive, or damaged");
	if (strchr("xgLK", type))
		return long_begins(check, type, size);
	r = header_names(check, header);
	if (check->has_size)
		size = check->size;
	/* A directory's name may end in a slash whatever its type says (V7). */
	if (r == 0 && type == '0' && check->path.len &&
	    check->path.data[check->path.len - 1] == '/')
		type = '5';
	if (r == 0)
		r = check_entry(check, type, check->path.data, check->link.data, size);
	check->left = (size + TAR_BLOCK - 1) & ~(uint64_t)(TAR_BLOCK - 1);
	check->state = check->left ? TAR_DATA : TAR_HEADER;
	forget_long(check);
	return r;
}

/* A block that is not data is whole. */
static int take_block(struct tar_check *check)
{
	if (check->state == TAR_HEADER)
		return take_header(check);
	/* One block of zeros is no end: what follows it would be read by some. */
	if (!is_zero(check->block))
		return refuse(check, EINVAL, NULL, "an entry follows a block of zeros");
	check->state = TAR_END;
	return 0;
}

static int take_data(struct tar_check *check, const unsigned char *data, size_t n)
{
	size_t mine = (size_t)MIN((uint64_t)n, check->in_long);
	int r = 0;

	if (check->state == TAR_LONG && mine) {
		r = buf_append(&check->text, data, mine);
		check->in_long -= mine;
	}
	check->left -= n;
	if (r == 0 && check->left == 0) {
		if (check->state == TAR_LONG)
			r = long_ends(check);
		check->state = TAR_HEADER;
	}
	return r;
}

int tar_check_feed(struct tar_check *check, const void *data, size_t len, struct err *err)
{
	const unsigned char *p = data;
	int r = 0;

	check->err = err;
	while (r == 0 && len && check->state != TAR_END) {
		bool skip = check->state == TAR_DATA || check->state == TAR_LONG;
		size_t n = skip ? (size_t)MIN((uint64_t)len, check->left)
				: MIN(len, TAR_BLOCK - check->have);

		if (skip) {
			r = take_data(check, p, n);
		} else {
			memcpy(check->block + check->have, p, n);
			check->have += n;
			if (check->have == TAR_BLOCK) {
				check->have = 0;
				r = take_block(check);
			}
		}
		p += n;
		len -= n;
	}
	/* A message is there whatever went wrong. */
	return r == -ENOMEM ? err_errno(err, ENOMEM, "import", "%s", check->layer) : r;
}

int tar_check_end(struct tar_check *check, struct err *err)
{
	check->err = err;
	if (check->state == TAR_END || (check->state == TAR_HEADER && check->have == 0))
		return check->has_path || check->has_link || check->has_size
			       ? refuse(check, EINVAL, NULL, "a header without an entry ends it")
			       : 0;
	if (check->state == TAR_ZERO && check->have == 0)
		return 0;
	return refuse(check, EINVAL, NULL, "it is cut short");
}
