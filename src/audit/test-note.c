/* SPDX-License-Identifier: Apache-2.0 */
/* test-note.c: notes and keys as Go's sumdb/note writes them, and none that it would not take. */
#include "note.h"

#include "err.h"

#include "../testing/testing.h"

/* The example of golang.org/x/mod/sumdb/note. */
#define THEIR_KEY  "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
#define THEIR_VKEY "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define THEIR_TEXT                                                                                 \
	"If you think cryptography is the answer to your problem,\n"                               \
	"then you don't know what your problem is.\n"
#define THEIR_LINE                                                                                 \
	"\xe2\x80\x94 PeterNeumann "                                                               \
	"x08go/ZJkuBS9UG/"                                                                         \
	"SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"

static struct note_key their_key(void)
{
	struct note_key key;

	assert_int_equal(note_key_parse(THEIR_VKEY, strlen(THEIR_VKEY), &key), 0);
	return key;
}

static int verify(const char *note)
{
	struct note_key key = their_key();
	size_t len = 0;
	int r = note_verify(note, strlen(note), &key, &len);

	if (r == 0)
		assert_int_equal(len, strlen(THEIR_TEXT));
	return r;
}

static void their_note(void **state)
{
	_cleanup_buf_ struct buf note = BUF_INIT(1000), text = BUF_INIT(1000);
	struct note_signer signer;

	(void)state;
	assert_int_equal(note_signer_parse(THEIR_KEY "\n", strlen(THEIR_KEY) + 1, &signer), 0);
	assert_int_equal(note_sign(&signer, THEIR_TEXT, strlen(THEIR_TEXT), &note), 0);
	assert_string_equal(note.data, THEIR_TEXT "\n" THEIR_LINE);
	assert_int_equal(note_signer_format(&signer, &text), 0);
	assert_string_equal(text.data, THEIR_KEY);
	text.len = 0;
	assert_int_equal(note_key_format(&signer.key, &text), 0);
	assert_string_equal(text.data, THEIR_VKEY);
	assert_int_equal(verify(note.data), 0);
	note_signer_done(&signer);
	assert_int_equal(signer.secret[0], 0);
}

static void other_signatures(void **state)
{
	(void)state;
	assert_int_equal(verify(THEIR_TEXT "\n\xe2\x80\x94 other AAAAAAAA\n" THEIR_LINE), 0);
	assert_int_equal(verify(THEIR_TEXT "\n" THEIR_LINE "\xe2\x80\x94 other AAAAAAAA\n"), 0);
	assert_int_equal(verify(THEIR_TEXT "\n\xe2\x80\x94 other AAAAAAAA\n"), -EBADMSG);
	/* The same name with another key id is another key; the same id must hold. */
	assert_int_equal(verify(THEIR_TEXT "\n\xe2\x80\x94 PeterNeumann AAAAAAAA\n" THEIR_LINE), 0);
	assert_int_equal(verify(THEIR_TEXT "\n\xe2\x80\x94 PeterNeumann x08go/AA\n" THEIR_LINE),
			 -EBADMSG);
	assert_int_equal(verify("x" THEIR_TEXT "\n" THEIR_LINE), -EBADMSG);
}

static void no_notes(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"\n\n",
		THEIR_TEXT,
		THEIR_TEXT "\n",
		THEIR_TEXT THEIR_LINE,
		THEIR_TEXT "\n" THEIR_LINE "\n",
		THEIR_TEXT "\n- PeterNeumann AAAAAAAA\n",
		THEIR_TEXT "\n\xe2\x80\x94 PeterNeumann\n",
		THEIR_TEXT "\n\xe2\x80\x94  AAAAAAAA\n",
		THEIR_TEXT "\n\xe2\x80\x94 a+b AAAAAAAA\n",
		THEIR_TEXT "\n\xe2\x80\x94 a\xe2\x80\x83z AAAAAAAA\n",
		THEIR_TEXT "\n\xe2\x80\x94 a AAA\n",
		THEIR_TEXT "\n\xe2\x80\x94 a AAAA\n",
		THEIR_TEXT "\n\xe2\x80\x94 a AAAAAAAA extra\n",
		"tab\t\n\n\xe2\x80\x94 a AAAAAAAA\n",
		"\xff\n\n\xe2\x80\x94 a AAAAAAAA\n",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		if (verify(bad[i]) != -EINVAL)
			fail_msg("note %zu is taken", i);
}

static void no_keys(void **state)
{
	static const char *const bad[] = {
		"",
		"a",
		"PeterNeumann+c74f20a3",
		"PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumanm+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
		"+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"Peter Neuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	};
	struct note_signer signer;
	struct note_key key;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		if (note_key_parse(bad[i], strlen(bad[i]), &key) != -EINVAL)
			fail_msg("key %zu is taken", i);
	assert_int_equal(note_signer_parse(THEIR_VKEY, strlen(THEIR_VKEY), &signer), -EINVAL);
	assert_int_equal(note_signer_new("a b", &signer), -EINVAL);
	assert_int_equal(note_signer_new("a+b", &signer), -EINVAL);
	assert_int_equal(note_signer_new("", &signer), -EINVAL);
	assert_int_equal(note_signer_new("example.com/a", &signer), 0);
}

static int parse(const char *text, struct checkpoint *ret)
{
	return checkpoint_parse(text, strlen(text), ret);
}

#define ROOT "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

static void checkpoints(void **state)
{
	static const char *const bad[] = {
		"",
		"a\n0\n",
		"a\n0\n" ROOT,
		"\n0\n" ROOT "\n",
		"a\n00\n" ROOT "\n",
		"a\n-1\n" ROOT "\n",
		"a\n1 \n" ROOT "\n",
		"a\n99999999999999999999\n" ROOT "\n",
		"a\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n",
		"a\n1\n" ROOT "\nextension\n",
		"a\n1\n" ROOT "\n\n",
	};
	_cleanup_buf_ struct buf text = BUF_INIT(1000);
	struct checkpoint checkpoint;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		if (parse(bad[i], &checkpoint) != -EINVAL)
			fail_msg("checkpoint %zu is taken", i);
	assert_int_equal(parse("example.com/x\n1234\n" ROOT "\n", &checkpoint), 0);
	assert_string_equal(checkpoint.origin, "example.com/x");
	assert_int_equal(checkpoint.size, 1234);
	assert_int_equal(checkpoint_format(&checkpoint, &text), 0);
	assert_string_equal(text.data, "example.com/x\n1234\n" ROOT "\n");
}

static void many_in_one_text(void **state)
{
	const char *text = "\n\na\n1\nroot\n\n" NOTE_DASH "a x\n" NOTE_DASH
			   "b y\n\nc\n2\nroot\n\n" NOTE_DASH "c z\nd\n3\nroot\n";
	size_t skip;

	(void)state;
	assert_int_equal(checkpoint_next(text, strlen(text), &skip), 26);
	assert_int_equal(skip, 2);
	text += 28;
	assert_int_equal(checkpoint_next(text, strlen(text), &skip), 18);
	assert_int_equal(skip, 1);
	text += 19;
	assert_int_equal(checkpoint_next(text, strlen(text), &skip), 9);
	assert_int_equal(skip, 0);
	assert_int_equal(checkpoint_next("\n\n", 2, &skip), 0);
	assert_int_equal(checkpoint_next("", 0, &skip), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(their_note),  cmocka_unit_test(other_signatures),
		cmocka_unit_test(no_notes),    cmocka_unit_test(no_keys),
		cmocka_unit_test(checkpoints), cmocka_unit_test(many_in_one_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
