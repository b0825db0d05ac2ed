/* SPDX-License-Identifier: Apache-2.0 */
/* test-wal.c: what was written is read, and nothing else; tails are judged by what they tell. */
#include "wal-chain.h"

#include "ceilings.h"
#include "err.h"

#include "../testing/testing.h"

static struct test_dir *dir;

static int setup(void **state)
{
	int r = test_dir_setup(state);

	dir = *state;
	return r;
}

static int segment(const struct merkle_tree *tree)
{
	char name[WAL_NAME];
	int fd;

	assert_int_equal(wal_create(dir->fd, tree, 1), 0);
	wal_name(tree->size, name);
	fd = openat(dir->fd, name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static uint64_t put(int fd, uint64_t at, const struct wal_frame *frame)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT(1u << 20);

	assert_int_equal(wal_encode(frame, &bytes), 0);
	assert_int_equal(wal_reserve(fd, at + bytes.len), 0);
	assert_int_equal(pwrite(fd, bytes.data, bytes.len, (off_t)at), bytes.len);
	return at + bytes.len;
}

static void checksums(void **state)
{
	(void)state;
	assert_int_equal(wal_crc(0, "123456789", 9), 0xe3069283);
	assert_int_equal(wal_crc(wal_crc(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void frames_come_back(void **state)
{
	static uint8_t data[CEIL_AUDIT_RECORD];
	static const size_t lens[] = {1, 2, 100, 255, 256, 257, 4096, CEIL_AUDIT_RECORD};
	struct merkle_tree tree = {.size = 0};
	struct wal_reader reader;
	struct wal_frame frame;
	uint64_t at = WAL_HEADER;
	int fd = segment(&tree);

	(void)state;
	memset(data, 'd', sizeof(data));
	for (uint64_t i = 0; i < 200; i++)
		at = put(fd, at,
			 &(struct wal_frame){.seq = i,
					     .synced = i / 2,
					     .data = data,
					     .len = lens[i % ELEMENTSOF(lens)],
					     .blob = i % 8 == 4});
	assert_int_equal(wal_reader_init(&reader, fd, WAL_HEADER), 0);
	for (uint64_t i = 0; i < 200; i++) {
		assert_int_equal(wal_reader_next(&reader, &frame), 1);
		assert_int_equal(frame.seq, i);
		assert_int_equal(frame.synced, i / 2);
		assert_int_equal(frame.len, lens[i % ELEMENTSOF(lens)]);
		assert_int_equal(frame.blob, i % 8 == 4);
		assert_memory_equal(frame.data, data, frame.len);
	}
	assert_int_equal(wal_reader_next(&reader, &frame), 0);
	assert_int_equal(wal_reader_at(&reader), at);
	wal_reader_done(&reader);
	close(fd);
}

static void tails(void **state)
{
	struct merkle_tree tree = {.size = 0};
	struct wal_tail tail;
	int fd = segment(&tree);
	uint64_t far = 200000;

	(void)state;
	assert_int_equal(wal_tail_scan(fd, WAL_HEADER, 0, &tail), 0);
	assert_int_equal(tail.dirty_end, WAL_HEADER);
	assert_int_equal(tail.synced, 0);
	/* A byte far behind, then a frame whose length ends in a zero byte, with what it knows. */
	assert_int_equal(pwrite(fd, "x", 1, (off_t)far), 1);
	assert_int_equal(wal_tail_scan(fd, WAL_HEADER, 0, &tail), 0);
	assert_int_equal(tail.dirty_end, far + 1);
	assert_int_equal(tail.synced, 0);
	for (size_t len = 254; len < 258; len++) {
		uint8_t data[300];
		uint64_t end;

		memset(data, 'a', sizeof(data));
		end = put(fd, far + 7,
			  &(struct wal_frame){.seq = 9, .synced = 5, .data = data, .len = len});
		assert_int_equal(wal_tail_scan(fd, WAL_HEADER, 3, &tail), 0);
		assert_int_equal(tail.dirty_end, end);
		assert_int_equal(tail.synced, 5);
		/* One that comes before is none. */
		assert_int_equal(wal_tail_scan(fd, WAL_HEADER, 10, &tail), 0);
		assert_int_equal(tail.synced, 0);
		assert_int_equal(wal_zero(fd, far, end), 0);
	}
	close(fd);
}

static void segments_are_one(void **state)
{
	struct merkle_tree tree = {.size = 0};
	struct wal_chain chain;
	struct wal_frame frame;
	uint64_t *firsts, seq = 0;
	size_t n;

	(void)state;
	for (int s = 0; s < 3; s++) {
		int fd = segment(&tree);
		uint64_t at = WAL_HEADER;

		for (int i = 0; i < 5; i++, seq++) {
			struct merkle_hash leaf;

			at = put(fd, at,
				 &(struct wal_frame){
					 .seq = seq, .data = (const uint8_t *)"{}", .len = 2});
			merkle_leaf("{}", 2, &leaf);
			merkle_add(&tree, &leaf, NULL, NULL);
		}
		close(fd);
	}
	test_write(dir->fd, "00000000000000000001.segx", "");
	test_write(dir->fd, "1.seg", "");
	assert_int_equal(wal_list(dir->fd, &firsts, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(firsts[2], 10);
	free(firsts);
	assert_int_equal(wal_chain_init(&chain, dir->fd, 0, 0, 0), 0);
	assert_int_equal(wal_chain_seek(&chain, 7), 0);
	for (uint64_t i = 7; i < 15; i++) {
		assert_int_equal(wal_chain_next(&chain, &frame), 1);
		assert_int_equal(frame.seq, i);
		assert_int_equal(chain.entered, i == 10);
	}
	assert_int_equal(wal_chain_next(&chain, &frame), 0);
	assert_int_equal(wal_chain_seek(&chain, 15), 0);
	assert_int_equal(wal_chain_seek(&chain, 16), -ENOENT);
	assert_int_equal(chain.header.size, 10);
	wal_chain_done(&chain);
	assert_int_equal(wal_chain_init(&chain, dir->fd, 3, 0, 3), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksums),
		cmocka_unit_test_setup_teardown(frames_come_back, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(tails, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(segments_are_one, setup, test_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
