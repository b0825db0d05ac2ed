/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-recover.c: after a kill or a power loss no acknowledged record is lost, what was torn is cut
 * and told, and damage to what was acknowledged stops the log. A power loss is played on the files:
 * the head is gone (another boot) and what was not synced is there in part, or not at all.
 */
#include "test-audit.h"

#include "wal.h"

#include <signal.h>
#include <sys/mman.h>

/* Where the frames of the first segment end. */
static uint64_t end_of_frames(void)
{
	int fd = open_segment(0);
	struct wal_reader reader;
	struct wal_frame frame;
	uint64_t end;

	assert_int_equal(wal_reader_init(&reader, fd, WAL_HEADER), 0);
	while (wal_reader_next(&reader, &frame) == 1)
		;
	end = wal_reader_at(&reader);
	wal_reader_done(&reader);
	close(fd);
	return end;
}

static void zero(uint64_t from, uint64_t to)
{
	int fd = open_segment(0);

	assert_int_equal(wal_zero(fd, from, to), 0);
	close(fd);
}

static void poke(uint64_t at, char byte)
{
	int fd = open_segment(0);

	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

static void fill(uint64_t from, uint64_t to, bool commit_each)
{
	struct audit *log = open_log();

	for (uint64_t i = from; i < to; i++) {
		uint64_t seq = append(log, i);

		if (commit_each)
			ok(audit_commit(log, seq, &err));
	}
	audit_close(log);
}

/* Of a log whose first `least` records were acknowledged; what is there is a prefix, and goes on.
 */
static void expect_prefix(uint64_t least, uint64_t most, bool may_cut)
{
	_cleanup_buf_ struct buf got = BUF_INIT(1000);
	struct audit *log = open_log();
	uint64_t seq = append(log, 99), n;
	bool cut;

	ok(audit_commit(log, seq, &err));
	n = seq;
	if (n > least) {
		ok(audit_read(log, n - 1, &got, &err));
		if (strstr(got.data, "log.recovered"))
			n--;
	}
	cut = n < seq;
	assert_true(n >= least && n <= most);
	assert_true(may_cut || !cut);
	for (uint64_t i = 0; i < n; i++)
		expect(log, i);
	audit_close(log);
	expect_sound(seq + 1);
}

/* Any prefix of the bytes that were not synced. */
static void power_loss_at_each_byte(void **state)
{
	uint64_t durable, end;

	(void)state;
	fill(0, 5, true);
	durable = end_of_frames();
	fill(5, 8, false);
	end = end_of_frames();
	assert_true(end > durable);
	keep("before");
	for (uint64_t at = durable; at <= end; at++) {
		zero(at, end);
		shell("rm local/head");
		expect_prefix(5, 8, at != durable && at != end);
		bring_back("before");
	}
}

/* Pages reach the disk in any order: a hole with whole frames behind it. */
static void power_loss_out_of_order(void **state)
{
	uint64_t durable, end;

	(void)state;
	fill(0, 5, true);
	durable = end_of_frames();
	fill(5, 12, false);
	end = end_of_frames();
	keep("before");
	for (uint64_t at = durable; at < end; at += 13) {
		zero(at, at + 7);
		shell("rm local/head");
		expect_prefix(5, 12, true);
		bring_back("before");
	}
}

/* The checkpoint of the last commits did not reach the disk; the records did. */
static void power_loss_of_the_checkpoint(void **state)
{
	_cleanup_buf_ struct buf got = BUF_INIT(1000);
	struct audit *log;

	(void)state;
	fill(0, 5, true);
	shell("cp local/checkpoint old");
	fill(5, 9, true);
	shell("cp old local/checkpoint && rm local/head");
	expect_prefix(9, 9, false);
	shell(": > local/checkpoint && rm local/head");
	log = open_log();
	assert_int_equal(audit_read(log, 0, &got, &err), -EUCLEAN);
	ok(audit_commit(log, append(log, 1), &err));
	ok(audit_read(log, 10, &got, &err));
	assert_non_null(strstr(got.data, "{\"checkpoint_lost\":true,\"cut_bytes\":0,"));
	audit_close(log);
	expect_sound(12);
	shell("printf '\\0\\0\\0' > local/checkpoint && rm local/head");
	log = open_log();
	ok(audit_commit(log, append(log, 1), &err));
	audit_close(log);
	expect_sound(14);
}

/* Tiles are not synced when they are written. */
static void power_loss_of_tiles(void **state)
{
	(void)state;
	fill(0, 600, false);
	fill(600, 601, true);
	keep("before");
	shell("rm local/head && : > local/tile/0/000 && rm local/tile/entries/001");
	fill(601, 602, true);
	expect_sound(602);
	shell("cmp local/tile/0/000 before/tile/0/000 && cmp local/tile/entries/001 "
	      "before/tile/entries/001");
}

static void expect_refused(const char *with)
{
	struct audit *log = open_log();
	uint64_t seq;

	assert_int_equal(audit_append(log, "{}", 2, &seq, &err), -EUCLEAN);
	if (!strstr(err.text, with))
		fail_msg("\"%s\" is not in: %s", with, err.text);
	assert_non_null(strstr(err.text, "creel audit verify --org local"));
	/* It stays so. */
	assert_int_equal(audit_append(log, "{}", 2, &seq, &err), -EUCLEAN);
	audit_close(log);
}

static void damage_stops_the_log(void **state)
{
	uint64_t early, end;

	(void)state;
	fill(0, 3, true);
	early = end_of_frames();
	shell("cp local/checkpoint old");
	fill(3, 10, true);
	end = end_of_frames();
	keep("before");
	/* A byte in the middle, with a checkpoint that still signs all, and with an older one. */
	for (int older = 0; older < 2; older++) {
		poke(early + 30, 'X');
		shell("rm local/head");
		if (older)
			shell("cp old local/checkpoint");
		expect_refused("record 3 in wal/00000000000000000000.seg cannot be read");
		bring_back("before");
	}
	/* Fewer than the checkpoint signs, cleanly. */
	zero(early, end);
	shell("rm local/head");
	expect_refused("it was acknowledged");
	bring_back("before");
	/* Head and boot as they were: the end is looked at by whoever comes. */
	poke(end - 5, 'X');
	expect_refused("its last record, 9, was changed");
	bring_back("before");
	shell("truncate -s 4200 local/wal/*.seg");
	expect_refused("was cut to 4200 bytes");
	bring_back("before");
	shell("rm local/wal/*.seg local/head");
	expect_refused("wal/ has no segment");
	bring_back("before");
	poke(100, 'X');
	shell("rm local/head");
	expect_refused("the header of wal/00000000000000000000.seg was changed");
	bring_back("before");
	shell("rm local/checkpoint local/head");
	expect_refused("its file checkpoint: No such file");
	bring_back("before");
	shell("sed -i 2s/10/11/ local/checkpoint && rm local/head");
	expect_refused("its checkpoint is not signed by its key");
	bring_back("before");
	fill(10, 11, true);
}

/* Whole frames with right checksums, but not what was signed. */
static void a_rewritten_segment_is_noticed(void **state)
{
	(void)state;
	fill(0, 6, true);
	shell("mv local mine");
	fill(7, 13, true);
	shell("cp local/wal/*.seg mine/wal/ && rm -rf local && mv mine local && rm local/head");
	expect_refused("records below 6 in wal/ are not what its checkpoint signs");
}

static volatile uint64_t *acknowledged;

static void write_until_killed(void)
{
	struct audit *log = open_log();
	struct audit_ref ref;

	for (uint64_t i = size_of(log);; i++) {
		uint64_t seq;
		char text[200];

		if (i % 7 == 0)
			ok(audit_blob(log, "payload", 7, AUDIT_KEEP_FULL, &ref, &err));
		ok(audit_append(log, text, record(text, sizeof(text), i), &seq, &err));
		if (i % 3)
			continue;
		ok(audit_commit(log, seq, &err));
		*acknowledged = seq + 1;
	}
}

static void killed_at_any_time(void **state)
{
	struct audit *log;
	int status;

	(void)state;
	acknowledged = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(acknowledged != MAP_FAILED);
	for (unsigned round = 0; round < 60; round++) {
		pid_t pid = fork();

		if (pid == 0) {
			write_until_killed();
			_exit(1);
		}
		usleep(3000 + round * 331);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		if (round % 3 == 0)
			continue;
		log = open_log();
		assert_true(size_of(log) >= *acknowledged);
		ok(audit_commit(log, append(log, 1), &err));
		expect_sound(size_of(log));
		*acknowledged = size_of(log);
		audit_close(log);
	}
	munmap((void *)acknowledged, 4096);
}

/* Killed between mark and end: a frame that is whole counts, a torn one is cut and told. */
static void a_marked_head(void **state)
{
	struct audit *log;
	uint64_t seq;
	int fd;

	(void)state;
	fill(0, 4, true);
	fd = openat(dir->fd, "local/head", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "\1", 1, 12), 1);
	close(fd);
	poke(end_of_frames() + 2, 'X');
	log = open_log();
	seq = append(log, 5);
	assert_int_equal(seq, 5);
	ok(audit_commit(log, seq, &err));
	audit_close(log);
	expect_sound(6);
	shell("grep -aq '{\"cut_bytes\":3,\"time\":\"[0-9TZ:.-]*\",\"type\":\"log.recovered\"}' "
	      "local/wal/*.seg");
}

/* Killed when a segment was begun and nothing was in it yet. */
static void an_empty_newest_segment(void **state)
{
	struct merkle_tree tree = {.size = 0};
	int waldir;

	(void)state;
	fill(0, 3, true);
	for (uint64_t i = 0; i < 3; i++) {
		struct merkle_hash leaf;
		char text[200];

		merkle_leaf(text, record(text, sizeof(text), i), &leaf);
		merkle_add(&tree, &leaf, NULL, NULL);
	}
	waldir = openat(dir->fd, "local/wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(wal_create(waldir, &tree, 1), 0);
	close(waldir);
	shell("rm local/head");
	fill(3, 6, true);
	expect_sound(6);
	shell("test $(ls local/wal | wc -l) = 2");
	shell("rm local/head");
	fill(6, 7, true);
	expect_sound(7);
	shell("rm local/wal/00000000000000000000.seg local/head");
	expect_refused("cannot be read");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(power_loss_at_each_byte, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(power_loss_out_of_order, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(power_loss_of_the_checkpoint, setup,
						test_dir_teardown),
		cmocka_unit_test_setup_teardown(power_loss_of_tiles, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(damage_stops_the_log, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(a_rewritten_segment_is_noticed, setup,
						test_dir_teardown),
		cmocka_unit_test_setup_teardown(killed_at_any_time, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(a_marked_head, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(an_empty_newest_segment, setup, test_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
