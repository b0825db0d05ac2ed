/* SPDX-License-Identifier: Apache-2.0 */
/* wal.c: the segments' form and how they grow; see wal.h. */
#include "wal.h"

#include "banned.h"
#include "ceilings.h"
#include "fs.h"
#include "io.h"
#include "parse.h"

#include <endian.h>
#include <fcntl.h>

#if defined(__x86_64__) && __has_include(<sys/platform/x86.h>)
#include <nmmintrin.h>
#include <sys/platform/x86.h>
#define CRC_X86 1
#endif

#define WAL_MAGIC   "creelwal"
#define WAL_VERSION 1u
#define MAX_STEP    ((uint64_t)4 << 20)
#define MAX(a, b)   ((a) > (b) ? (a) : (b))

struct wal_disk_header {
	char magic[8];
	uint32_t version, crc;
	uint64_t first;
	struct merkle_hash peaks[64];
};

struct wal_disk_frame {
	uint32_t len, crc;
	uint64_t seq, synced;
};

_Static_assert(sizeof(struct wal_disk_header) <= WAL_HEADER, "the header has its place");
_Static_assert(sizeof(struct wal_disk_frame) == WAL_FRAME, "no padding");

#ifdef CRC_X86
__attribute__((target("sse4.2"))) static uint32_t crc_x86(uint32_t crc, const uint8_t *p,
							  size_t len)
{
	uint64_t wide = crc, word;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&word, p, sizeof(word));
		wide = _mm_crc32_u64(wide, word);
	}
	for (crc = (uint32_t)wide; len; len--)
		crc = _mm_crc32_u8(crc, *p++);
	return crc;
}
#endif

/* Four bits at a time: a table that fits into a line of the cache and needs no making. */
static uint32_t crc_plain(uint32_t crc, const uint8_t *p, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	for (; len; len--) {
		crc ^= *p++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

uint32_t wal_crc(uint32_t crc, const void *data, size_t len)
{
#ifdef CRC_X86
	if (CPU_FEATURE_ACTIVE(SSE4_2))
		return ~crc_x86(~crc, data, len);
#endif
	return ~crc_plain(~crc, data, len);
}

void wal_name(uint64_t first, char ret[WAL_NAME])
{
	snprintf(ret, WAL_NAME, "%020llu.seg", (unsigned long long)first);
}

/* Over len, seq, synced and the data; of a blob its hash only. */
static uint32_t frame_crc(const struct wal_disk_frame *disk, const void *data, size_t len)
{
	uint32_t crc = wal_crc(0, &disk->len, sizeof(disk->len));

	crc = wal_crc(crc, &disk->seq, 2 * sizeof(uint64_t));
	return wal_crc(crc, data, le32toh(disk->len) & WAL_BLOB ? SHA_LEN : len);
}

int wal_encode(const struct wal_frame *frame, struct buf *ret)
{
	struct wal_disk_frame disk = {
		.len = htole32((uint32_t)frame->len | (frame->blob ? WAL_BLOB : 0)),
		.seq = htole64(frame->seq),
		.synced = htole64(frame->synced),
	};
	int r;

	disk.crc = htole32(frame_crc(&disk, frame->data, frame->len));
	r = buf_append(ret, &disk, sizeof(disk));
	return r < 0 ? r : buf_append(ret, frame->data, frame->len);
}

int wal_zero(int fd, uint64_t from, uint64_t to)
{
	static const char zeros[64 << 10];

	while (from < to) {
		ssize_t n = pwrite(fd, zeros, (size_t)MIN(to - from, (uint64_t)sizeof(zeros)),
				   (off_t)from);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		from += (uint64_t)n;
	}
	return 0;
}

int wal_reserve(int fd, uint64_t end)
{
	uint64_t size, step;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	size = (uint64_t)st.st_size;
	if (end <= size)
		return 0;
	/* A segment that grows fast grows in larger steps: each one costs the next sync a journal.
	 */
	step = MIN(MAX_STEP, MAX(WAL_CHUNK, size / WAL_CHUNK * WAL_CHUNK));
	r = wal_zero(fd, size, (end / step + 1) * step);
	if (r < 0 && ftruncate(fd, (off_t)size) < 0)
		return -errno;
	return r;
}

static uint32_t header_crc(const struct wal_disk_header *header)
{
	struct wal_disk_header copy = *header;

	copy.crc = 0;
	return wal_crc(0, &copy, sizeof(copy));
}

static int write_segment(int fd, const struct merkle_tree *tree, uint64_t room)
{
	struct wal_disk_header header = {
		.magic = WAL_MAGIC,
		.version = htole32(WAL_VERSION),
		.first = htole64(tree->size),
	};
	char page[WAL_HEADER] = {0};
	int r;

	for (unsigned h = 0; h < 64; h++)
		if (tree->size >> h & 1)
			header.peaks[h] = tree->peaks[h];
	header.crc = htole32(header_crc(&header));
	memcpy(page, &header, sizeof(header));
	r = io_write_full(fd, page, sizeof(page));
	if (r == 0)
		r = wal_reserve(fd, WAL_HEADER + room);
	return r == 0 && fdatasync(fd) < 0 ? -errno : r;
}

int wal_create(int waldir, const struct merkle_tree *tree, uint64_t room)
{
	_cleanup_close_ int fd = -EBADF;
	char name[WAL_NAME];
	int r;

	/* Under the append lock there is one that makes segments; a killed one's is made anew. */
	fd = openat(waldir, ".new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	wal_name(tree->size, name);
	r = write_segment(fd, tree, room);
	if (r == 0 && renameat(waldir, ".new", waldir, name) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(waldir, ".new", 0);
		return r;
	}
	return fsync(waldir) < 0 ? -errno : 0;
}

int wal_read_header(int fd, struct merkle_tree *ret)
{
	struct wal_disk_header header;
	char page[WAL_HEADER];
	ssize_t n = pread(fd, page, sizeof(page), 0);

	if (n < 0)
		return -errno;
	memcpy(&header, page, sizeof(header));
	if (n != (ssize_t)sizeof(page) ||
	    memcmp(header.magic, WAL_MAGIC, sizeof(header.magic)) != 0 ||
	    le32toh(header.version) != WAL_VERSION || le32toh(header.crc) != header_crc(&header))
		return -EBADMSG;
	for (size_t i = sizeof(header); i < sizeof(page); i++)
		if (page[i])
			return -EBADMSG;
	ret->size = le64toh(header.first);
	memcpy(ret->peaks, header.peaks, sizeof(ret->peaks));
	return 0;
}

static int compare_firsts(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* "<20 digits>.seg", and nothing else. */
static bool segment_first(const char *name, uint64_t *ret)
{
	char digits[WAL_NAME], again[WAL_NAME];

	if (strlen(name) != WAL_NAME - 1)
		return false;
	memcpy(digits, name, 20);
	digits[20] = '\0';
	if (parse_u64(digits, 0, UINT64_MAX, ret) < 0)
		return false;
	wal_name(*ret, again);
	return strcmp(name, again) == 0;
}

struct segment_list {
	uint64_t *firsts;
	size_t n, allocated;
};

static int add_segment(struct segment_list *list, uint64_t first)
{
	if (list->n == list->allocated) {
		size_t size = list->allocated + 16;
		uint64_t *grown = realloc(list->firsts, size * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list->firsts = grown;
		list->allocated = size;
	}
	list->firsts[list->n++] = first;
	return 0;
}

int wal_list(int waldir, uint64_t **ret, size_t *ret_n)
{
	_cleanup_closedir_ DIR *dir = fs_opendir(waldir);
	struct segment_list list = {.n = 0};
	struct dirent *entry;
	uint64_t first;
	int r = 0;

	if (!dir)
		return -errno;
	while (r == 0 && (entry = fs_next(dir)))
		if (segment_first(entry->d_name, &first))
			r = add_segment(&list, first);
	if (r == 0)
		r = -errno;
	if (r < 0) {
		free(list.firsts);
		return r;
	}
	if (list.n)
		qsort(list.firsts, list.n, sizeof(*list.firsts), compare_firsts);
	*ret = list.firsts;
	*ret_n = list.n;
	return 0;
}
