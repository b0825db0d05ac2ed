/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal-read.c: reading segments; see wal.h. The file may have been cut by a power loss or edited by
 * anybody: a length is believed only when the checksum agrees, and nothing is mapped, so that a
 * file that shrinks meanwhile is a short read and not a signal.
 */
#include "wal.h"

#include "banned.h"
#include "ceilings.h"

#include <endian.h>

#define READER_BUFFER  (256u << 10)
#define FRAME_DATA_MAX MAX_OF(CEIL_AUDIT_RECORD, WAL_BLOB_MAX + 2 * SHA_LEN)
#define MAX_OF(a, b)   ((a) > (b) ? (a) : (b))

_Static_assert(READER_BUFFER >= 2 * (WAL_FRAME + FRAME_DATA_MAX), "frames fit");

int wal_reader_init(struct wal_reader *reader, int fd, uint64_t at)
{
	*reader = (struct wal_reader){.fd = fd, .from = at, .buffer = malloc(READER_BUFFER)};
	return reader->buffer ? 0 : -ENOMEM;
}

void wal_reader_done(struct wal_reader *reader)
{
	free(reader->buffer);
	*reader = WAL_READER_INIT;
}

/* At least need bytes at the reader's place, or all that the file still has. */
static int fill(struct wal_reader *reader, size_t need)
{
	if (reader->have - reader->used >= need)
		return 0;
	memmove(reader->buffer, reader->buffer + reader->used, reader->have - reader->used);
	reader->from += reader->used;
	reader->have -= reader->used;
	reader->used = 0;
	while (reader->have < need) {
		ssize_t n =
			pread(reader->fd, reader->buffer + reader->have,
			      READER_BUFFER - reader->have, (off_t)(reader->from + reader->have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		reader->have += (size_t)n;
	}
	return 0;
}

static size_t leading_zeros(const uint8_t *p, size_t len)
{
	size_t n = 0;

	/* The zeros that were written ahead are many. */
	for (uint64_t word; n + sizeof(word) <= len; n += sizeof(word)) {
		memcpy(&word, p + n, sizeof(word));
		if (word)
			break;
	}
	while (n < len && p[n] == 0)
		n++;
	return n;
}

/* Reads the frame at p of which len bytes are there; the data must be there, too. */
static bool decode(const uint8_t *p, size_t len, struct wal_frame *ret)
{
	uint32_t coded, crc;

	memcpy(&coded, p, 4);
	memcpy(&crc, p + 4, 4);
	memcpy(&ret->seq, p + 8, 8);
	memcpy(&ret->synced, p + 16, 8);
	ret->seq = le64toh(ret->seq);
	ret->synced = le64toh(ret->synced);
	ret->blob = le32toh(coded) & WAL_BLOB;
	ret->len = le32toh(coded) & ~WAL_BLOB;
	ret->data = p + WAL_FRAME;
	if (ret->len > len - WAL_FRAME || ret->synced > ret->seq ||
	    (ret->blob && ret->len < 2 * SHA_LEN))
		return false;
	crc = le32toh(crc);
	return crc == wal_crc(wal_crc(wal_crc(0, p, 4), p + 8, 16), ret->data,
			      ret->blob ? SHA_LEN : ret->len);
}

static size_t frame_len_at(const uint8_t *p)
{
	uint32_t coded;

	memcpy(&coded, p, 4);
	coded = le32toh(coded);
	if ((coded & ~WAL_BLOB) >
	    (coded & WAL_BLOB ? WAL_BLOB_MAX + 2 * SHA_LEN : CEIL_AUDIT_RECORD))
		return 0;
	return WAL_FRAME + (coded & ~WAL_BLOB);
}

int wal_reader_next(struct wal_reader *reader, struct wal_frame *ret)
{
	struct wal_frame frame;
	const uint8_t *p;
	size_t need, have;
	int r;

	r = fill(reader, WAL_FRAME);
	if (r < 0)
		return r;
	p = reader->buffer + reader->used;
	have = reader->have - reader->used;
	if (leading_zeros(p, MIN(have, (size_t)WAL_FRAME)) == MIN(have, (size_t)WAL_FRAME))
		return 0;
	need = have < WAL_FRAME ? 0 : frame_len_at(p);
	if (need == 0)
		return -EBADMSG;
	r = fill(reader, need);
	if (r < 0)
		return r;
	p = reader->buffer + reader->used;
	have = reader->have - reader->used;
	if (have < need || !decode(p, need, &frame))
		return -EBADMSG;
	frame.at = wal_reader_at(reader);
	frame.end = frame.at + need;
	reader->used += need;
	*ret = frame;
	return 1;
}

int wal_read_frame(int fd, uint64_t at, uint64_t end, struct buf *buf, struct wal_frame *ret)
{
	size_t len = (size_t)MIN(end - at, (uint64_t)(WAL_FRAME + FRAME_DATA_MAX)), need;
	struct wal_frame frame;
	char *room;
	ssize_t n;
	int r;

	if (end < at + WAL_FRAME)
		return -EBADMSG;
	r = buf_reserve(buf, len, &room);
	if (r < 0)
		return r;
	n = pread(fd, room, len, (off_t)at);
	if (n < 0)
		return -errno;
	need = n < (ssize_t)WAL_FRAME ? 0 : frame_len_at((const uint8_t *)room);
	if (need == 0 || need > (size_t)n || !decode((const uint8_t *)room, need, &frame))
		return -EBADMSG;
	frame.at = at;
	frame.end = at + need;
	*ret = frame;
	return 1;
}

/* Whether a whole frame that could come after seq stands at p. */
static bool later_frame(const uint8_t *p, size_t have, uint64_t seq, struct wal_frame *ret)
{
	size_t need;
	uint64_t value;

	memcpy(&value, p + 8, 8);
	value = le64toh(value);
	if (value < seq || value - seq > WAL_SEGMENT_BYTES / WAL_FRAME)
		return false;
	need = frame_len_at(p);
	return need && need <= have && decode(p, need, ret);
}

int wal_tail_scan(int fd, uint64_t from, uint64_t seq, struct wal_tail *ret)
{
	struct wal_tail tail = {.dirty_end = from};
	struct wal_reader reader;
	struct wal_frame frame;
	int r;

	r = wal_reader_init(&reader, fd, from);
	for (; r == 0; reader.used++) {
		const uint8_t *p;
		size_t have, zeros;

		r = fill(&reader, WAL_FRAME + FRAME_DATA_MAX);
		p = reader.buffer + reader.used;
		have = reader.have - reader.used;
		if (r < 0 || have == 0)
			break;
		zeros = leading_zeros(p, have);
		/* A frame begins with at most one zero byte: its length is not 0 and below 2^16. */
		if (zeros > 1) {
			reader.used += zeros - 2;
			continue;
		}
		if (*p)
			tail.dirty_end = wal_reader_at(&reader) + 1;
		if (have >= WAL_FRAME && later_frame(p, have, seq, &frame) &&
		    frame.synced > tail.synced)
			tail.synced = frame.synced;
	}
	wal_reader_done(&reader);
	if (r == 0)
		*ret = tail;
	return r;
}
