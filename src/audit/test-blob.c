/* SPDX-License-Identifier: Apache-2.0 */
/* test-blob.c: payloads come back whole or not at all, survive a power loss, and can be erased. */
#include "test-audit.h"

#include "jcs.h"
#include "wal.h"

#include <sys/mman.h>
#include <sys/wait.h>

#define LARGE (300u << 10)

static struct audit_ref blob(struct audit *log, const void *data, size_t len, enum audit_keep mode)
{
	struct audit_ref ref;

	ok(audit_blob(log, data, len, mode, &ref, &err));
	return ref;
}

static void expect_blob(struct audit *log, const struct audit_ref *ref, const void *data,
			size_t len)
{
	_cleanup_buf_ struct buf got = BUF_INIT(1u << 20);

	ok(audit_blob_read(log, ref->sha256, &got, &err));
	assert_int_equal(got.len, len);
	if (len)
		assert_memory_equal(got.data, data, len);
}

static void expect_gone(struct audit *log, const struct audit_ref *ref)
{
	_cleanup_buf_ struct buf got = BUF_INIT(1u << 20);

	assert_int_equal(audit_blob_read(log, ref->sha256, &got, &err), -ENOENT);
	assert_int_equal(got.len, 0);
}

static void modes(void **state)
{
	struct audit *log = open_log();
	struct audit_ref full, again, hash, off;

	(void)state;
	full = blob(log, "secret", 6, AUDIT_KEEP_FULL);
	again = blob(log, "secret", 6, AUDIT_KEEP_FULL);
	hash = blob(log, "secret", 6, AUDIT_KEEP_HASH);
	off = blob(log, "secret", 6, AUDIT_KEEP_OFF);
	/* The same payload has another hash each time. */
	assert_string_not_equal(full.sha256, again.sha256);
	assert_string_equal(full.salt, "");
	assert_int_equal(strlen(hash.salt), AUDIT_HEX);
	assert_int_equal(hash.size, 6);
	assert_string_equal(off.sha256, "");
	assert_int_equal(off.size, 0);
	expect_blob(log, &full, "secret", 6);
	expect_blob(log, &again, "secret", 6);
	expect_gone(log, &hash);
	assert_int_equal(audit_blob_read(log, "../key", &(struct buf){.ceiling = 9}, &err),
			 -EINVAL);
	audit_close(log);
	shell("! grep -aqr secret local/checkpoint local/tile");
}

static void references(void **state)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1000);
	struct audit_ref ref = {.mode = AUDIT_KEEP_OFF};
	struct jcs jcs;

	(void)state;
	jcs_init(&jcs, &text);
	jcs_object(&jcs, NULL);
	audit_ref_write(&jcs, "a", &ref);
	ref = (struct audit_ref){.mode = AUDIT_KEEP_FULL, .sha256 = "ab", .size = 7};
	audit_ref_write(&jcs, "b", &ref);
	ref = (struct audit_ref){.mode = AUDIT_KEEP_HASH, .sha256 = "ab", .salt = "cd", .size = 7};
	audit_ref_write(&jcs, "c", &ref);
	jcs_object_end(&jcs);
	assert_int_equal(jcs_done(&jcs), 0);
	assert_string_equal(text.data, "{\"a\":{\"off\":true},\"b\":{\"sha256\":\"ab\",\"size\":7},"
				       "\"c\":{\"salt\":\"cd\",\"sha256\":\"ab\",\"size\":7}}");
}

static void sizes(void **state)
{
	static const size_t lens[] = {0,     1,	   WAL_BLOB_MAX - 1, WAL_BLOB_MAX, WAL_BLOB_MAX + 1,
				      70000, LARGE};
	struct audit *log = open_log();
	char *data = malloc(LARGE);

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < LARGE; i++)
		data[i] = (char)(i * 7 + i / 251);
	for (size_t i = 0; i < ELEMENTSOF(lens); i++) {
		struct audit_ref ref = blob(log, data, lens[i], AUDIT_KEEP_FULL);

		assert_int_equal(ref.size, lens[i]);
		expect_blob(log, &ref, data, lens[i]);
	}
	ok(audit_commit(log, append(log, 0), &err));
	audit_close(log);
	free(data);
	expect_sound(1);
	shell("test $(find local/blobs -name '.*' | wc -l) = 0");
}

static void in_pieces(void **state)
{
	struct audit *log = open_log();
	struct audit_blob *piecewise;
	struct audit_ref ref;
	char data[5000];
	int fd;

	(void)state;
	memset(data, 'p', sizeof(data));
	ok(audit_blob_new(log, AUDIT_KEEP_FULL, &piecewise, &err));
	for (int i = 0; i < 20; i++)
		ok(audit_blob_write(piecewise, data, sizeof(data), &err));
	ok(audit_blob_finish(piecewise, &ref, &err));
	audit_blob_free(piecewise);
	assert_int_equal(ref.size, 100000);
	fd = openat(dir->fd, "out", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ok(audit_blob_copy(log, ref.sha256, fd, &err));
	close(fd);
	shell("test $(tr -d p < out | wc -c) = 0 && test $(wc -c < out) = 100000");
	/* What is not finished leaves nothing; what a killed writer left goes with the next one. */
	ok(audit_blob_new(log, AUDIT_KEEP_FULL, &piecewise, &err));
	for (int i = 0; i < 20; i++)
		ok(audit_blob_write(piecewise, data, sizeof(data), &err));
	shell("touch local/blobs/.new-1-1 && test $(ls -A local/blobs | grep -c new) = 2");
	audit_blob_free(audit_blob_free(piecewise));
	ref = blob(log, "x", 1, AUDIT_KEEP_FULL);
	ok(audit_blob_new(log, AUDIT_KEEP_FULL, &piecewise, &err));
	for (int i = 0; i < 20; i++)
		ok(audit_blob_write(piecewise, data, sizeof(data), &err));
	audit_blob_free(piecewise);
	audit_close(log);
	shell("test $(ls -A local/blobs | grep -c new) = 0");
}

static void erased_for_good(void **state)
{
	struct audit *log = open_log();
	char large[70000];
	struct audit_ref small, big, other;
	uint64_t seq;

	(void)state;
	memset(large, 'L', sizeof(large));
	small = blob(log, "my secret", 9, AUDIT_KEEP_FULL);
	other = blob(log, "stays", 5, AUDIT_KEEP_FULL);
	big = blob(log, large, sizeof(large), AUDIT_KEEP_FULL);
	seq = append(log, 0);
	ok(audit_commit(log, seq, &err));
	shell("grep -aq 'my secret' local/wal/*");
	ok(audit_blob_erase(log, small.sha256, &err));
	ok(audit_blob_erase(log, big.sha256, &err));
	assert_int_equal(audit_blob_erase(log, small.sha256, &err), -ENOENT);
	expect_gone(log, &small);
	expect_gone(log, &big);
	expect_blob(log, &other, "stays", 5);
	audit_close(log);
	shell("! grep -aqr 'my secret' local");
	/* Not even recovery brings it back. */
	shell("rm local/head");
	log = open_log();
	append(log, 1);
	expect_gone(log, &small);
	expect_blob(log, &other, "stays", 5);
	ok(audit_commit(log, 1, &err));
	audit_close(log);
	expect_sound(2);
}

/* The file was not synced; the segment was. */
static void power_loss(void **state)
{
	struct audit *log = open_log();
	struct audit_ref ref = blob(log, "payload", 7, AUDIT_KEEP_FULL), torn;

	(void)state;
	torn = blob(log, "another", 7, AUDIT_KEEP_FULL);
	ok(audit_commit(log, append(log, 0), &err));
	audit_close(log);
	shell("rm local/head && rm local/blobs/*/%s && truncate -s 0 local/blobs/*/%s", ref.sha256,
	      torn.sha256);
	/* Somebody reads before the next record comes. */
	ok(audit_open_reader(dir->path, "local", &log, &err));
	expect_blob(log, &ref, "payload", 7);
	audit_close(log);
	log = open_log();
	append(log, 1);
	audit_close(log);
	shell("test -s local/blobs/*/%s && test -s local/blobs/*/%s", ref.sha256, torn.sha256);
	log = open_log();
	expect_blob(log, &ref, "payload", 7);
	expect_blob(log, &torn, "another", 7);
	audit_close(log);
}

static void changed(void **state)
{
	_cleanup_buf_ struct buf got = BUF_INIT(1000);
	struct audit *log = open_log();
	struct audit_ref ref = blob(log, "payload", 7, AUDIT_KEEP_FULL);

	(void)state;
	ok(audit_settle(log, &err));
	shell("truncate -s -1 local/blobs/*/%s", ref.sha256);
	assert_int_equal(audit_blob_read(log, ref.sha256, &got, &err), -EUCLEAN);
	assert_int_equal(got.len, 0);
	audit_close(log);
}

/* The record comes first, the files when there is time: who reads before that reads the segment. */
static void files_come_later(void **state)
{
	struct audit *log = open_log(), *other;
	struct audit_ref refs[20];
	char text[20];

	(void)state;
	refs[0] = blob(log, "early", 5, AUDIT_KEEP_FULL);
	refs[1] = blob(log, "erased", 6, AUDIT_KEEP_FULL);
	shell("! grep -aqr early local");
	ok(audit_commit(log, append(log, 0), &err));
	shell("grep -aq early local/wal/* && ! grep -aqr early local/blobs");
	other = open_log();
	expect_blob(other, &refs[0], "early", 5);
	/* What is erased meanwhile stays away. */
	ok(audit_blob_erase(other, refs[1].sha256, &err));
	audit_close(other);
	ok(audit_settle(log, &err));
	shell("grep -aqr early local/blobs && ! grep -aqr erased local");
	/* More than wait at a time. */
	for (unsigned i = 0; i < ELEMENTSOF(refs); i++)
		refs[i] = blob(log, text, (size_t)snprintf(text, sizeof(text), "text %u", i),
			       AUDIT_KEEP_FULL);
	ok(audit_commit(log, append(log, 1), &err));
	audit_close(log);
	shell("test $(grep -alr 'text [0-9]' local/blobs | wc -l) = %zu", ELEMENTSOF(refs));
	log = open_log();
	for (unsigned i = 0; i < ELEMENTSOF(refs); i++)
		expect_blob(log, &refs[i], text,
			    (size_t)snprintf(text, sizeof(text), "text %u", i));
	audit_close(log);
	expect_sound(2);
}

/* Killed before it made the files: the segment has the payload, and a file when it goes. */
static void killed_before_the_files(void **state)
{
	static char texts[4096][200];
	static struct audit_record records[4096];
	struct audit_ref *refs =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct audit *log;
	uint64_t first, n = 1;
	pid_t pid;

	(void)state;
	assert_true(refs != MAP_FAILED);
	audit_close(open_log());
	pid = fork();
	if (pid == 0) {
		log = open_log();
		refs[0] = blob(log, "stays", 5, AUDIT_KEEP_FULL);
		refs[1] = blob(log, "erased", 6, AUDIT_KEEP_FULL);
		ok(audit_commit(log, append(log, 0), &err));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	shell("! grep -aqr stays local/blobs");
	log = open_log();
	ok(audit_blob_erase(log, refs[1].sha256, &err));
	while (n < 3 * WAL_SEGMENT_RECORDS) {
		for (size_t i = 0; i < ELEMENTSOF(records); i++)
			records[i] = (struct audit_record){
				texts[i], record(texts[i], sizeof(texts[i]), n + i)};
		ok(audit_append_group(log, records, ELEMENTSOF(records), &first, &err));
		n += ELEMENTSOF(records);
	}
	ok(audit_commit(log, n - 1, &err));
	audit_close(log);
	shell("test ! -e local/wal/00000000000000000000.seg && grep -aqr stays local/blobs");
	log = open_log();
	expect_blob(log, &refs[0], "stays", 5);
	expect_gone(log, &refs[1]);
	audit_close(log);
	expect_sound(n);
	munmap(refs, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(modes, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(references, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(sizes, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(in_pieces, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(erased_for_good, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(power_loss, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(changed, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(files_come_later, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(killed_before_the_files, setup, test_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
