/* SPDX-License-Identifier: Apache-2.0 */
/* test-log.c: records get numbers without gaps, are signed when committed, and can be read again.
 */
#include "test-audit.h"

#include "ceilings.h"
#include "jcs.h"
#include "wal.h"

#include <signal.h>
#include <sys/resource.h>

static void first_use_makes_a_log(void **state)
{
	_cleanup_buf_ struct buf note = BUF_INIT(AUDIT_NOTE_MAX), vkey = BUF_INIT(500);
	struct audit *log = NULL;
	struct stat st;

	(void)state;
	assert_int_equal(audit_open_reader(dir->path, "local", &log, &err), -ENOENT);
	assert_int_equal(fstatat(dir->fd, "local", &st, 0), -1);
	log = open_log();
	assert_int_equal(size_of(log), 0);
	ok(audit_checkpoint(log, &note, &err));
	ok(audit_vkey(log, &vkey, &err));
	assert_non_null(strstr(vkey.data, "/local+"));
	assert_int_equal(fstatat(dir->fd, "local", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstatat(dir->fd, "local/key", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	audit_close(log);
	expect_sound(0);
}

static void append_commit_read(void **state)
{
	struct audit *log = open_log();
	_cleanup_buf_ struct buf got = BUF_INIT(CEIL_AUDIT_RECORD);

	(void)state;
	for (uint64_t i = 0; i < 600; i++)
		assert_int_equal(append(log, i), i);
	assert_int_equal(size_of(log), 0);
	assert_int_equal(audit_read(log, 0, &got, &err), -ENOENT);
	assert_int_equal(audit_commit(log, 600, &err), -EINVAL);
	ok(audit_commit(log, 4, &err));
	assert_int_equal(size_of(log), 600);
	for (uint64_t i = 0; i < 600; i++)
		expect(log, i);
	assert_int_equal(audit_read(log, 600, &got, &err), -ENOENT);
	audit_close(log);
	expect_sound(600);
	log = open_log();
	assert_int_equal(append(log, 600), 600);
	audit_close(log);
	expect_sound(600);
}

static void bad_records_are_refused(void **state)
{
	static const char *const bad[] = {"",	 " {}", "{\"b\":1,\"a\":2}", "{\"a\":1.5}",
					  "{} ", "{"};
	struct audit *log = open_log();
	char *large = malloc(CEIL_AUDIT_RECORD + 1);
	uint64_t seq = 77;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_int_equal(audit_append(log, bad[i], strlen(bad[i]), &seq, &err), -EINVAL);
	assert_non_null(large);
	memset(large, 'x', CEIL_AUDIT_RECORD + 1);
	large[0] = large[CEIL_AUDIT_RECORD] = '"';
	assert_int_equal(audit_append(log, large, CEIL_AUDIT_RECORD + 1, &seq, &err), -E2BIG);
	assert_int_equal(seq, 77);
	large[CEIL_AUDIT_RECORD - 1] = '"';
	ok(audit_append(log, large, CEIL_AUDIT_RECORD, &seq, &err));
	assert_int_equal(seq, 0);
	ok(audit_commit(log, 0, &err));
	free(large);
	audit_close(log);
	expect_sound(1);
}

static void names_of_orgs(void **state)
{
	static const char *const bad[] = {"", ".", "..", "a/b", ".a", "a b", "-a"};
	struct audit *log = NULL;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_int_equal(audit_open(dir->path, bad[i], &log, &err), -EINVAL);
}

static void iterators_see_later_commits(void **state)
{
	struct audit *log = open_log();
	struct audit_iter *iter;
	const void *data;
	uint64_t seq, next = 290;
	char text[200];
	size_t len;

	(void)state;
	for (uint64_t i = 0; i < 300; i++)
		append(log, i);
	ok(audit_commit(log, 299, &err));
	ok(audit_iter_new(log, next, &iter, &err));
	for (int round = 0; round < 3; round++) {
		int r;

		while ((r = audit_iter_next(iter, &seq, &data, &len, &err)) == 1) {
			assert_int_equal(seq, next);
			assert_int_equal(len, record(text, sizeof(text), next++));
			assert_memory_equal(data, text, len);
		}
		ok(r);
		assert_int_equal(next, 300 + 10 * round);
		for (int i = 0; i < 10; i++)
			append(log, next + (uint64_t)i);
		ok(audit_commit(log, next + 9, &err));
	}
	audit_iter_free(iter);
	audit_close(log);
}

static void a_group_is_one_append(void **state)
{
	static char texts[1000][200];
	struct audit_record records[1000];
	struct audit *log = open_log();
	uint64_t first;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		records[i] = (struct audit_record){texts[i], record(texts[i], sizeof(texts[i]), i)};
	ok(audit_append_group(log, records, 1000, &first, &err));
	assert_int_equal(first, 0);
	assert_int_equal(audit_append_group(log, records, 0, &first, &err), -EINVAL);
	ok(audit_commit(log, 999, &err));
	for (uint64_t i = 0; i < 1000; i += 111)
		expect(log, i);
	append(log, 1000);
	audit_close(log);
	expect_sound(1000);
}

/* More than one segment by number of records; the oldest goes, and all can be read. */
static void segments_turn_over(void **state)
{
	static char texts[4096][200];
	static struct audit_record records[4096];
	struct audit *log = open_log();
	uint64_t first, n = 0;

	(void)state;
	while (n < 4 * WAL_SEGMENT_RECORDS) {
		for (size_t i = 0; i < 4096; i++)
			records[i] = (struct audit_record){
				texts[i], record(texts[i], sizeof(texts[i]), n + i)};
		ok(audit_append_group(log, records, 4096, &first, &err));
		assert_int_equal(first, n);
		n += 4096;
	}
	append(log, n);
	ok(audit_commit(log, n, &err));
	audit_close(log);
	shell("test $(ls local/wal | wc -l) = 2 && test -e local/tile/1/003 && test -e "
	      "local/tile/0/x001/023");
	expect_sound(n + 1);
	log = open_log();
	for (uint64_t i = 0; i <= n; i += 9973)
		expect(log, i);
	expect(log, n);
	/* After a reboot, the same, and it goes on. */
	audit_close(log);
	shell("rm local/head");
	log = open_log();
	assert_int_equal(append(log, n + 1), n + 1);
	ok(audit_commit(log, n + 1, &err));
	audit_close(log);
	expect_sound(n + 2);
}

#define PROCESSES 16
#define EACH	  200

static void work(int process)
{
	struct audit *log = open_log();
	uint64_t seq, last = 0;
	char text[100];
	int n;

	for (int i = 0; i < EACH; i++) {
		n = snprintf(text, sizeof(text), "{\"i\":%d,\"process\":%d}", i, process);
		ok(audit_append(log, text, (size_t)n, &seq, &err));
		assert_true(i == 0 || seq > last);
		last = seq;
		ok(audit_commit(log, seq, &err));
		assert_true(size_of(log) > seq);
	}
	audit_close(log);
}

static void many_processes(void **state)
{
	long next[PROCESSES] = {0}, i, process;
	int status;
	char *end;
	struct audit *log;
	pid_t pids[PROCESSES];

	(void)state;
	for (int p = 0; p < PROCESSES; p++) {
		pids[p] = fork();
		if (pids[p] == 0) {
			work(p);
			_exit(0);
		}
	}
	for (int p = 0; p < PROCESSES; p++) {
		assert_int_equal(waitpid(pids[p], &status, 0), pids[p]);
		assert_int_equal(status, 0);
	}
	log = open_log();
	assert_int_equal(size_of(log), PROCESSES * EACH);
	for (uint64_t seq = 0; seq < PROCESSES * EACH; seq++) {
		_cleanup_buf_ struct buf got = BUF_INIT(1000);

		ok(audit_read(log, seq, &got, &err));
		i = strtol(got.data + strlen("{\"i\":"), &end, 10);
		process = strtol(end + strlen(",\"process\":"), &end, 10);
		assert_string_equal(end, "}");
		assert_in_range(process, 0, PROCESSES - 1);
		assert_int_equal(i, next[process]++);
	}
	audit_close(log);
	expect_sound(PROCESSES * EACH);
}

/* A limit on the size of files fails a write as a full disk does, and needs no root. */
static void disk_full(void **state)
{
	struct rlimit old, tight = {.rlim_cur = WAL_CHUNK};
	struct audit *log = open_log();
	uint64_t n = 0, seq;
	char text[200];
	int r;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	while ((r = audit_append(log, text, record(text, sizeof(text), n), &seq, &err)) == 0)
		assert_int_equal(seq, n++);
	assert_int_equal(r, -EFBIG);
	assert_int_equal(audit_append(log, text, record(text, sizeof(text), n), &seq, &err),
			 -EFBIG);
	ok(audit_commit(log, n - 1, &err));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	expect_sound(n);
	assert_int_equal(append(log, n), n);
	ok(audit_commit(log, n, &err));
	for (uint64_t i = 0; i <= n; i += 100)
		expect(log, i);
	audit_close(log);
	expect_sound(n + 1);
}

static void a_key_is_not_made_twice(void **state)
{
	struct audit *log = open_log();
	uint64_t seq = append(log, 0);

	(void)state;
	ok(audit_commit(log, seq, &err));
	audit_close(log);
	shell("mv local/key key");
	assert_int_equal(audit_open(dir->path, "local", &log, &err), -ENOKEY);
	assert_non_null(strstr(err.text, "put its file `key` back"));
	ok(audit_open_reader(dir->path, "local", &log, &err));
	expect(log, 0);
	assert_int_equal(audit_append(log, "{}", 2, &seq, &err), -EBADF);
	audit_close(log);
	expect_sound(1);
	shell("mv key local/key");
	/* A key of another log is not taken. */
	audit_close(open_org("other"));
	shell("cp other/key local/key");
	log = open_log();
	seq = append(log, 1);
	assert_int_equal(audit_commit(log, seq, &err), -EUCLEAN);
	audit_close(log);
}

static void left_over_halves_of_a_new_log(void **state)
{
	struct audit *log;

	(void)state;
	shell("mkdir -p .local.new/wal && touch .local.new/key");
	log = open_log();
	ok(audit_commit(log, append(log, 0), &err));
	audit_close(log);
	expect_sound(1);
	shell("test ! -e .local.new");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(first_use_makes_a_log, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(append_commit_read, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(bad_records_are_refused, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(names_of_orgs, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(iterators_see_later_commits, setup,
						test_dir_teardown),
		cmocka_unit_test_setup_teardown(a_group_is_one_append, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(segments_turn_over, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(many_processes, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(disk_full, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(a_key_is_not_made_twice, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(left_over_halves_of_a_new_log, setup,
						test_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
