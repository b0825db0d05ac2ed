/* SPDX-License-Identifier: Apache-2.0 */
/* tiles.c: see tiles.h. */
#include "tiles.h"

#include "banned.h"
#include "ceilings.h"
#include "fs.h"
#include "io.h"

#include <fcntl.h>

void tile_path(unsigned level, uint64_t index, unsigned width, char ret[TILE_PATH])
{
	unsigned groups[7];
	size_t n = 0, len;

	do {
		groups[n++] = (unsigned)(index % 1000);
		index /= 1000;
	} while (index);
	if (level == TILE_ENTRIES)
		len = (size_t)snprintf(ret, TILE_PATH, "tile/entries");
	else
		len = (size_t)snprintf(ret, TILE_PATH, "tile/%u", level);
	while (n--)
		len += (size_t)snprintf(ret + len, TILE_PATH - len, n ? "/x%03u" : "/%03u",
					groups[n]);
	if (width < TILE_WIDTH)
		snprintf(ret + len, TILE_PATH - len, ".p/%u", width);
}

static int read_whole(int dirfd, unsigned level, uint64_t index, struct buf *ret)
{
	_cleanup_close_ int fd = -EBADF;
	char path[TILE_PATH], *room;
	struct stat st;
	int r;

	tile_path(level, index, TILE_WIDTH, path);
	fd = fs_open_beneath(dirfd, path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > ret->ceiling)
		return -EBADMSG;
	ret->len = 0;
	r = buf_reserve(ret, (size_t)st.st_size, &room);
	if (r == 0 && st.st_size)
		r = io_read_full(fd, room, (size_t)st.st_size);
	if (r < 0)
		return r == -EPIPE || r == -ENODATA ? -EBADMSG : r;
	ret->len = (size_t)st.st_size;
	return 0;
}

int tile_read(int dirfd, unsigned level, uint64_t index, struct merkle_hash ret[TILE_WIDTH])
{
	_cleanup_buf_ struct buf buf = BUF_INIT(TILE_BYTES);
	int r;

	r = read_whole(dirfd, level, index, &buf);
	if (r == 0 && buf.len != TILE_BYTES)
		r = -EBADMSG;
	if (r == 0)
		memcpy(ret, buf.data, TILE_BYTES);
	return r;
}

int tile_read_bundle(int dirfd, uint64_t index, struct buf *ret)
{
	return read_whole(dirfd, TILE_ENTRIES, index, ret);
}

/* The directory of path, made where it is missing; *ret_name is the last part. */
static int open_parent(int dirfd, const char *path, const char **ret_name)
{
	char parent[TILE_PATH];
	size_t len = (size_t)(strrchr(path, '/') - path);
	int fd, r;

	memcpy(parent, path, len);
	parent[len] = '\0';
	*ret_name = path + len + 1;
	fd = fs_open_beneath(dirfd, parent, O_RDONLY | O_DIRECTORY, 0);
	if (fd != -ENOENT)
		return fd;
	r = fs_mkdirs_beneath(dirfd, parent, 0700, (uid_t)-1, (gid_t)-1);
	return r < 0 ? r : fs_open_beneath(dirfd, parent, O_RDONLY | O_DIRECTORY, 0);
}

int tile_write(int dirfd, unsigned level, uint64_t index, unsigned width, const void *data,
	       size_t len)
{
	_cleanup_close_ int parent = -EBADF;
	char path[TILE_PATH];
	const char *name;

	tile_path(level, index, width, path);
	parent = open_parent(dirfd, path, &name);
	return parent < 0 ? parent : fs_replace_file(parent, name, data, len, 0600);
}

bool tile_entry(const struct buf *bundle, size_t *at, const uint8_t **ret, size_t *ret_len)
{
	const uint8_t *p = (const uint8_t *)bundle->data + *at;
	size_t left = bundle->len - *at, len;

	if (left < 2)
		return false;
	len = (size_t)p[0] << 8 | p[1];
	if (left - 2 < len)
		return false;
	*ret = p + 2;
	*ret_len = len;
	*at += 2 + len;
	return true;
}

void tiler_init(struct tiler *tiler, int dirfd, uint64_t first)
{
	*tiler =
		(struct tiler){.dirfd = dirfd, .next = first, .entries = BUF_INIT(TILE_BUNDLE_MAX)};
}

void tiler_done(struct tiler *tiler)
{
	buf_done(&tiler->entries);
}

static int write_if_new(const struct tiler *tiler, unsigned level, uint64_t index, const void *data,
			size_t len)
{
	_cleanup_buf_ struct buf there = BUF_INIT(TILE_BUNDLE_MAX);

	if (tiler->repair && read_whole(tiler->dirfd, level, index, &there) == 0 &&
	    there.len == len && memcmp(there.data, data, len) == 0)
		return 0;
	return tile_write(tiler->dirfd, level, index, TILE_WIDTH, data, len);
}

/* A tile of level >= 1, whose last child was just written. */
static int write_above(const struct tiler *tiler, unsigned level, uint64_t index)
{
	struct merkle_hash below[TILE_WIDTH], hashes[TILE_WIDTH];
	int r;

	for (unsigned i = 0; i < TILE_WIDTH; i++) {
		r = tile_read(tiler->dirfd, level - 1, index * TILE_WIDTH + i, below);
		if (r < 0)
			return r;
		merkle_subtree(below, TILE_WIDTH, &hashes[i]);
	}
	return write_if_new(tiler, level, index, hashes, sizeof(hashes));
}

static int write_full(const struct tiler *tiler)
{
	uint64_t index = tiler->next / TILE_WIDTH;
	int r;

	/* The bundle last: where it is, its tile is. */
	r = write_if_new(tiler, 0, index, tiler->leaves, sizeof(tiler->leaves));
	if (r == 0)
		r = write_if_new(tiler, TILE_ENTRIES, index, tiler->entries.data,
				 tiler->entries.len);
	for (unsigned level = 1; r == 0 && index % TILE_WIDTH == TILE_WIDTH - 1; level++) {
		index /= TILE_WIDTH;
		r = write_above(tiler, level, index);
	}
	return r;
}

int tiler_add(struct tiler *tiler, const void *data, size_t len, const struct merkle_hash *leaf)
{
	const uint8_t prefix[2] = {(uint8_t)(len >> 8), (uint8_t)len};
	size_t before = tiler->entries.len;
	int r;

	r = buf_append(&tiler->entries, prefix, sizeof(prefix));
	if (r == 0)
		r = buf_append(&tiler->entries, data, len);
	tiler->leaves[tiler->next % TILE_WIDTH] = *leaf;
	if (r == 0 && tiler->next % TILE_WIDTH == TILE_WIDTH - 1)
		r = write_full(tiler);
	if (r < 0) {
		tiler->entries.len = before;
		return r;
	}
	tiler->next++;
	if (tiler->next % TILE_WIDTH == 0)
		tiler->entries.len = 0;
	return 0;
}
