/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-wal.c: the input is what stands behind a segment's header, after a power loss or an edit.
 * Reading ends, within the file, and what was read as frames encodes to the same bytes.
 */
#include "wal.h"

#include "ceilings.h"
#include "io.h"

#include "../testing/fuzz.h"

#include <sys/mman.h>

static void read_frames(int fd, const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT(1u << 20);
	struct wal_reader reader;
	struct wal_frame frame;
	struct wal_tail tail;
	uint64_t at = 0;
	int r;

	FUZZ_MUST(wal_reader_init(&reader, fd, 0) == 0);
	while ((r = wal_reader_next(&reader, &frame)) == 1) {
		FUZZ_MUST(frame.at == at && frame.end <= size && frame.synced <= frame.seq);
		bytes.len = 0;
		FUZZ_MUST(wal_encode(&frame, &bytes) == 0);
		FUZZ_MUST(bytes.len == frame.end - at);
		FUZZ_MUST(memcmp(bytes.data, data + at, bytes.len) == 0);
		at = frame.end;
	}
	FUZZ_MUST(r == 0 || r == -EBADMSG);
	FUZZ_MUST(wal_reader_at(&reader) == at);
	wal_reader_done(&reader);
	FUZZ_MUST(wal_tail_scan(fd, at, 0, &tail) == 0);
	FUZZ_MUST(tail.dirty_end >= at && tail.dirty_end <= size);
	FUZZ_MUST(tail.dirty_end == at || data[tail.dirty_end - 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz-wal", MFD_CLOEXEC);
	struct merkle_tree tree;

	FUZZ_MUST(fd >= 0);
	if (size)
		FUZZ_MUST(io_write_full(fd, data, size) == 0);
	read_frames(fd, data, size);
	FUZZ_MUST(wal_read_header(fd, &tree) <= 0);
	close(fd);
	return 0;
}
