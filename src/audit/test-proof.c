/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-proof.c: proofs hold for what they prove and for nothing else; an export is a complete
 * static log; witnesses get what they ask for. The witness is a curl(1) of the test's own.
 */
#include "test-audit.h"

#include "proof.h"
#include "source.h"

static struct audit *filled(unsigned n)
{
	struct audit *log = open_log();

	for (unsigned i = 0; i < n; i++)
		append(log, i);
	ok(audit_commit(log, n - 1, &err));
	return log;
}

static void records_are_proven(void **state)
{
	struct audit *log = filled(600);
	_cleanup_buf_ struct buf vkey = BUF_INIT(1000);

	(void)state;
	ok(audit_vkey(log, &vkey, &err));
	for (uint64_t seq = 0; seq < 600; seq += 37) {
		_cleanup_buf_ struct buf proof = BUF_INIT(PROOF_TEXT_MAX);
		char text[200];
		size_t len = record(text, sizeof(text), seq);
		uint64_t got = AUDIT_NONE;

		ok(audit_prove(log, seq, &proof, &err));
		ok(audit_prove_check(proof.data, proof.len, vkey.data, text, len, &got, &err));
		assert_int_equal(got, seq);
		/* Of another record it proves nothing; nor does it with any byte changed. */
		assert_int_equal(audit_prove_check(proof.data, proof.len, vkey.data, text, len - 1,
						   &got, &err),
				 -EBADMSG);
		for (size_t i = 0; i < proof.len; i += 3) {
			proof.data[i] ^= 1;
			assert_int_equal(audit_prove_check(proof.data, proof.len, vkey.data, text,
							   len, &got, &err),
					 -EBADMSG);
			proof.data[i] ^= 1;
		}
	}
	assert_int_equal(audit_prove(log, 600, &(struct buf){.ceiling = 9}, &err), -ENOENT);
	audit_close(log);
}

static void no_proof_from_changed_files(void **state)
{
	_cleanup_buf_ struct buf proof = BUF_INIT(PROOF_TEXT_MAX);
	struct audit *log = filled(600);

	(void)state;
	shell("printf X | dd of=local/tile/0/001 bs=1 seek=40 conv=notrunc status=none");
	assert_int_equal(audit_prove(log, 3, &proof, &err), -EUCLEAN);
	assert_int_equal(proof.len, 0);
	audit_close(log);
}

static void consistency(void **state)
{
	struct audit *log = filled(700);
	struct merkle_tree tree = {.size = 0};
	struct merkle_hash roots[701], leaf;
	struct merkle_source merkle;
	struct merkle_proof proof;
	struct source *source;
	char text[200];

	(void)state;
	for (uint64_t i = 0; i <= 700; i++) {
		merkle_root(&tree, &roots[i]);
		merkle_leaf(text, record(text, sizeof(text), i), &leaf);
		merkle_add(&tree, &leaf, NULL, NULL);
	}
	ok(source_new(log, 700, &source, &err));
	merkle = source_merkle(source);
	for (uint64_t old = 0; old <= 700; old += 7) {
		ok(merkle_consistency(&merkle, old, 700, &proof));
		assert_true(merkle_consistency_check(&proof, old, 700, &roots[old], &roots[700]));
		if (old && old < 700)
			assert_false(merkle_consistency_check(&proof, old, 700, &roots[old - 1],
							      &roots[700]));
	}
	source_free(source);
	audit_close(log);
}

static void exports_are_complete(void **state)
{
	struct audit *log = filled(700);
	int fd;

	(void)state;
	append(log, 700); /* not signed: not exported */
	assert_int_equal(mkdirat(dir->fd, "out", 0700), 0);
	fd = openat(dir->fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(audit_export_tiles(log, fd, &err));
	close(fd);
	audit_close(log);
	shell("cmp out/checkpoint local/checkpoint && cmp out/tile/0/000 local/tile/0/000 && "
	      "cmp out/tile/entries/001 local/tile/entries/001");
	shell("test $(wc -c < out/tile/0/002.p/188) = 6016 && test $(wc -c < out/tile/1/000.p/2) = "
	      "64 "
	      "&& test -s out/tile/entries/002.p/188");
	shell("test $(find out -type f | wc -l) = 8 && ! find out -name 'key*' | grep -q .");
}

static void a_file_remembers(void **state)
{
	struct audit *log = filled(3);
	const char *notes[1];
	struct audit_against against = {.notes = notes, .n_notes = 1};
	struct audit_stats stats;
	char path[100];

	(void)state;
	snprintf(path, sizeof(path), "%s/seen", dir->path);
	ok(audit_witness(log, path, 1000, &err));
	ok(audit_commit(log, append(log, 3), &err));
	ok(audit_witness(log, path, 1000, &err));
	audit_close(log);
	shell("test $(grep -c '^creel.local/' seen) = 2");
	{
		_cleanup_buf_ struct buf text = BUF_INIT(10000);
		int fd = openat(dir->fd, "seen", O_RDONLY | O_CLOEXEC);
		char chunk[5000];
		ssize_t n = read(fd, chunk, sizeof(chunk));

		close(fd);
		assert_true(n > 0);
		ok(buf_append(&text, chunk, (size_t)n));
		notes[0] = text.data;
		assert_int_equal(verify_org("local", &against, &stats), 0);
		shell("rm -r local");
		audit_close(filled(4));
		assert_int_equal(verify_org("local", &against, &stats), 1);
	}
	log = open_log();
	assert_int_equal(audit_witness(log, "/nonexistent/x", 1000, &err), -ENOENT);
	audit_close(log);
}

/* A curl that keeps its arguments and its input, and answers what the test has put there. */
static void make_curl(const char *first, const char *second)
{
	char path[2000];

	shell("mkdir -p bin && printf '%%s' '%s' > answer1 && printf '%%s' '%s' > answer2 && rm -f "
	      "count",
	      first, second);
	shell("printf '#!/bin/sh\\ncd %s; n=$(cat count 2>/dev/null || echo 1); echo $((n+1)) > "
	      "count\\n"
	      "printf \"%%%%s\\\\n\" \"$@\" > args; cat > body$n; cat answer$n\\n' > bin/curl && "
	      "chmod +x "
	      "bin/curl",
	      dir->path);
	snprintf(path, sizeof(path), "%s/bin:/usr/bin:/bin", dir->path);
	setenv("PATH", path, 1);
}

static void a_witness_signs(void **state)
{
	struct audit *log = filled(10);

	(void)state;
	/* It has seen four records. */
	make_curl("4\n\n409", "\xe2\x80\x94 witness.example/w CMp+6LWBU0anHGH5aNDT\n\n200");
	ok(audit_witness(log, "https://witness.example", 1500, &err));
	shell("head -1 body1 | grep -qx 'old 0' && sed -n 2p body1 | grep -qx ''");
	shell("head -1 body2 | grep -qx 'old 4' && test $(sed '/^$/q' body2 | wc -l) = 4");
	shell("grep -qx 'https://witness.example/add-checkpoint' args && grep -qx 1.500 args");
	shell("tail -1 local/checkpoint | grep -q '^. witness.example/w CMp+6LWBU0anHGH5aNDT$'");
	expect_sound(10);
	/* Once more: no line twice. */
	make_curl("\xe2\x80\x94 witness.example/w CMp+6LWBU0anHGH5aNDT\n\n200", "");
	ok(audit_witness(log, "https://witness.example/", 1500, &err));
	shell("test $(grep -c witness.example local/checkpoint) = 1");
	/* The next commit is without. */
	ok(audit_commit(log, append(log, 10), &err));
	shell("! grep -q witness.example local/checkpoint");
	expect_sound(11);
	audit_close(log);
}

static void a_witness_refuses(void **state)
{
	static const struct {
		const char *first, *second;
		int error;
		const char *text;
	} cases[] = {
		{"11\n\n409", "", -ESTALE, "rolled back or rewritten"},
		{"10\n\n409", "10\n\n409", -ESTALE, "rolled back or rewritten"},
		{"5\n\n409", "\n422", -ESTALE, "rolled back or rewritten"},
		{"unknown\n404", "", -EACCES, "does not know the log"},
		{"oops\n500", "", -EPROTO, "answered 500"},
		{"<html>\n200", "", -EPROTO, "answered no signature lines"},
		{"nothing", "", -EPROTO, "no sensible answer"},
	};
	struct audit *log = filled(10);

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		make_curl(cases[i].first, cases[i].second);
		assert_int_equal(audit_witness(log, "http://w", 1000, &err), cases[i].error);
		if (!strstr(err.text, cases[i].text))
			fail_msg("%s: %s", cases[i].first, err.text);
	}
	shell("printf '#!/bin/sh\\necho curl: no route >&2; exit 7\\n' > bin/curl");
	assert_int_equal(audit_witness(log, "http://w", 1000, &err), -ECOMM);
	assert_non_null(strstr(err.text, "cannot reach the witness http://w: curl: no route"));
	setenv("PATH", "/nonexistent", 1);
	assert_true(audit_witness(log, "http://w", 1000, &err) < 0);
	assert_non_null(strstr(err.text, "install it"));
	setenv("PATH", "/usr/bin:/bin", 1);
	audit_close(log);
	expect_sound(10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(records_are_proven, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(no_proof_from_changed_files, setup,
						test_dir_teardown),
		cmocka_unit_test_setup_teardown(consistency, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(exports_are_complete, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(a_file_remembers, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(a_witness_signs, setup, test_dir_teardown),
		cmocka_unit_test_setup_teardown(a_witness_refuses, setup, test_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
