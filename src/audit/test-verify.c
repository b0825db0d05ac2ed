/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-verify.c: each attack on a copy of a log is found, and named; what cannot be found without a
 * remembered checkpoint is not, and is with one.
 */
#include "test-audit.h"

#include "wal.h"

#define RECORDS 700u /* two full bundles, and a rest in the segment alone */

static void fill(const char *org, uint64_t from, uint64_t to)
{
	struct audit *log = open_org(org);
	uint64_t seq = 0;

	for (uint64_t i = from; i < to; i++)
		seq = append(log, i);
	ok(audit_commit(log, seq, &err));
	audit_close(log);
}

static int setup_log(void **state)
{
	struct audit_ref ref;
	struct audit *log;

	if (setup(state) < 0)
		return -1;
	log = open_log();
	ok(audit_blob(log, "argv", 4, AUDIT_KEEP_FULL, &ref, &err));
	audit_close(log);
	fill("local", 0, RECORDS);
	keep("sound");
	return 0;
}

static void expect_found(const char *with)
{
	struct audit_stats stats;

	assert_int_equal(verify_org("local", NULL, &stats), 1);
	assert_true(stats.problems >= 1);
	if (!strstr(problem_text, with))
		fail_msg("\"%s\" is not in: %s", with, problem_text);
	bring_back("sound");
}

static void sound(void **state)
{
	struct audit_stats stats;

	(void)state;
	assert_int_equal(verify_org("local", NULL, &stats), 0);
	assert_int_equal(stats.records, RECORDS);
	assert_int_equal(stats.unsigned_, 0);
	assert_int_equal(stats.tiles, 4);
	assert_int_equal(stats.segments, 1);
	assert_int_equal(stats.blobs, 1);
	/* What is not signed yet is no problem. */
	audit_close(({
		struct audit *log = open_log();
		append(log, RECORDS);
		log;
	}));
	assert_int_equal(verify_org("local", NULL, &stats), 0);
	assert_int_equal(stats.records, RECORDS);
	assert_int_equal(stats.unsigned_, 1);
}

/* One byte of each kind of file, at many places. */
static void every_byte_counts(void **state)
{
	static const char *const files[] = {"tile/0/000", "tile/entries/001", "checkpoint",
					    "wal/00000000000000000000.seg", "key.pub"};
	struct audit_stats stats;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		char path[100];
		struct stat st;
		off_t size;
		int fd;

		snprintf(path, sizeof(path), "local/%s", files[i]);
		fd = openat(dir->fd, path, O_RDWR | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		/* Behind the frames stand only zeros. */
		size = i == 3 ? 40000 : st.st_size;
		for (off_t at = 0; at < size; at += i == 3 ? 211 : size / 50 + 1) {
			char byte, changed;
			int r;

			assert_int_equal(pread(fd, &byte, 1, at), 1);
			changed = byte ^ 4;
			assert_int_equal(pwrite(fd, &changed, 1, at), 1);
			r = audit_verify("/nonexistent", NULL, keep_problem, NULL, &stats, &err);
			assert_true(r < 0);
			snprintf(path, sizeof(path), "%s/local", dir->path);
			r = audit_verify(path, NULL, keep_problem, NULL, &stats, &err);
			if (r == 0)
				fail_msg("%s: a change of byte %lld is not found", files[i],
					 (long long)at);
			assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		}
		close(fd);
	}
	expect_sound(RECORDS);
}

static void deletions(void **state)
{
	(void)state;
	shell("rm local/tile/0/001");
	expect_found("256 tile/0/001: it is missing or no tile");
	shell("rm local/tile/entries/001");
	/* The segment still has the records, but the bundle must be there. */
	expect_found("tile/entries/001: it is missing");
	shell("rm local/tile/entries/000");
	expect_found("tile/entries/000: it is missing");
	shell("rm local/wal/*.seg");
	expect_found("checkpoint: it signs 700 records, and only the first 512 can be read");
	shell("rm local/checkpoint");
	expect_found("checkpoint: it is missing");
	shell("rm local/tile/entries/001 local/tile/0/001 local/wal/*.seg");
	expect_found("only the first 256 can be read");
}

static void cuts_and_swaps(void **state)
{
	(void)state;
	shell("truncate -s 20000 local/wal/*.seg");
	expect_found("the record was changed or cut");
	shell("truncate -s 8000 local/tile/0/000");
	expect_found("0 tile/0/000: it is missing or no tile");
	shell("truncate -s -1 local/tile/entries/000");
	expect_found("it does not hold 256 records");
	shell("cd local/tile/entries && mv 000 x && mv 001 000 && mv x 001");
	expect_found("tile/entries/000: the record is not what tile/0 has the hash of");
	/* Swapped with their hashes: only the tree tells. */
	shell("cd local/tile && mv entries/000 x && mv entries/001 entries/000 && mv x entries/001 "
	      "&& "
	      "mv 0/000 x && mv 0/001 0/000 && mv x 0/001");
	expect_found("some of them were changed");
}

/* The frame's checksum made right again: the tree tells. */
static void a_forged_frame(void **state)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT(10000);
	struct wal_reader reader;
	struct wal_frame frame;
	char data[300];
	int fd = open_segment(0);

	(void)state;
	assert_int_equal(wal_reader_init(&reader, fd, WAL_HEADER), 0);
	do
		assert_int_equal(wal_reader_next(&reader, &frame), 1);
	while (frame.blob || frame.seq != 600);
	memcpy(data, frame.data, frame.len);
	data[6] ^= 1;
	frame.data = (const uint8_t *)data;
	assert_int_equal(wal_encode(&frame, &bytes), 0);
	assert_int_equal(pwrite(fd, bytes.data, bytes.len, (off_t)frame.at), bytes.len);
	wal_reader_done(&reader);
	close(fd);
	expect_found("some of them were changed");
}

static void payloads(void **state)
{
	struct audit_stats stats;

	(void)state;
	shell("rm local/blobs/*/*");
	assert_int_equal(verify_org("local", NULL, &stats), 0);
	bring_back("sound");
	shell("printf X >> $(ls local/blobs/*/*)");
	expect_found("the payload was changed");
}

/* What the owner of key and disk can do: found by those alone who remember. */
static void remembered_checkpoints(void **state)
{
	_cleanup_buf_ struct buf old = BUF_INIT(AUDIT_NOTE_MAX), both = BUF_INIT(AUDIT_NOTE_MAX);
	const char *notes[1];
	struct audit_against against = {.notes = notes, .n_notes = 1};
	struct audit_stats stats;
	struct audit *log;

	(void)state;
	log = open_log();
	ok(audit_checkpoint(log, &old, &err));
	audit_close(log);
	fill("local", RECORDS, RECORDS + 50);
	log = open_log();
	ok(buf_append(&both, old.data, old.len));
	ok(buf_putc(&both, '\n'));
	ok(audit_checkpoint(log, &both, &err));
	audit_close(log);
	notes[0] = both.data;
	assert_int_equal(verify_org("local", &against, &stats), 0);
	/* Log and state together go back. */
	bring_back("sound");
	assert_int_equal(verify_org("local", NULL, &stats), 0);
	assert_int_equal(verify_org("local", &against, &stats), 1);
	assert_non_null(strstr(problem_text,
			       "rolled back: it signs 700 records, and a remembered one 750"));
	notes[0] = old.data;
	assert_int_equal(verify_org("local", &against, &stats), 0);
	/* Another history, signed with the same key. */
	shell("cp local/key local/key.pub . && rm -rf local");
	audit_close(open_log());
	shell("cp key key.pub local/ && cp sound/checkpoint local/ && : > local/checkpoint");
	fill("local", 1, RECORDS + 50);
	assert_int_equal(verify_org("local", NULL, &stats), 0);
	assert_int_equal(verify_org("local", &against, &stats), 1);
	assert_non_null(strstr(problem_text, "history was rewritten: the first 700 records"));
	/* A note of somebody else, or none. */
	fill("other", 0, 3);
	shell("cp other/checkpoint theirs");
	notes[0] = test_read(dir->fd, "theirs");
	assert_int_equal(verify_org("local", &against, &stats), 1);
	assert_non_null(strstr(problem_text, "remembered checkpoint 1 is not signed by the key"));
	notes[0] = "";
	assert_int_equal(verify_org("local", &against, &stats), 1);
	assert_non_null(strstr(problem_text, "no checkpoint is remembered in text 1"));
}

static void a_remembered_key(void **state)
{
	struct audit_against against = {.vkey = "nonsense"};
	_cleanup_buf_ struct buf vkey = BUF_INIT(1000);
	struct audit_stats stats;
	struct audit *log = open_log();
	char path[100];

	(void)state;
	ok(audit_vkey(log, &vkey, &err));
	audit_close(log);
	snprintf(path, sizeof(path), "%s/local", dir->path);
	assert_int_equal(audit_verify(path, &against, keep_problem, NULL, &stats, &err), -EINVAL);
	against.vkey = vkey.data;
	assert_int_equal(verify_org("local", &against, &stats), 0);
	/* All of it made anew, with a new key. */
	shell("rm -rf local");
	fill("local", 0, 10);
	assert_int_equal(verify_org("local", NULL, &stats), 0);
	assert_int_equal(verify_org("local", &against, &stats), 1);
}

/* Beside writers nothing is found that is not there. */
static void beside_writers(void **state)
{
	struct audit_stats stats;
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct audit *log = open_log();

		for (uint64_t i = RECORDS; i < RECORDS + 3000; i++) {
			uint64_t seq = append(log, i);

			if (i % 5 == 0)
				ok(audit_commit(log, seq, &err));
		}
		audit_close(log);
		_exit(0);
	}
	do {
		if (verify_org("local", NULL, &stats) != 0)
			fail_msg("%s", problem_text);
	} while (waitpid(pid, &status, WNOHANG) == 0);
	assert_int_equal(status, 0);
	assert_int_equal(verify_org("local", NULL, &stats), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_log, test_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sound),
		TEST(every_byte_counts),
		TEST(deletions),
		TEST(cuts_and_swaps),
		TEST(a_forged_frame),
		TEST(payloads),
		TEST(remembered_checkpoints),
		TEST(a_remembered_key),
		TEST(beside_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
