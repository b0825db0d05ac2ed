/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-note.c: the input is a note, a key, signature lines or many checkpoints, as a witness or an
 * edited file may have them. What is taken must be written back as it was.
 */
#include "note.h"

#include "../testing/fuzz.h"

#define VKEY "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"

static void read_note(const char *text, size_t size)
{
	struct checkpoint checkpoint;
	struct note_key key;
	size_t len = 0;

	FUZZ_MUST(note_key_parse(VKEY, strlen(VKEY), &key) == 0);
	if (note_verify(text, size, &key, &len) == 0) {
		FUZZ_MUST(len > 0 && len < size);
		FUZZ_MUST(memcmp(text + len - 1, "\n\n", 2) == 0);
	}
	FUZZ_MUST(checkpoint_open(text, size, &key, &checkpoint) <= 0);
	if (size > 0 && note_is_signatures(text, size))
		FUZZ_MUST(memcmp(text + size - 1, "\n", 1) == 0);
}

static void read_key(const char *text, size_t size)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	struct note_signer signer;
	struct note_key key;

	size -= size && text[size - 1] == '\n';
	if (note_key_parse(text, size, &key) == 0) {
		FUZZ_MUST(note_key_format(&key, &out) == 0);
		FUZZ_MUST(out.len == size && memcmp(out.data, text, size) == 0);
	}
	out.len = 0;
	if (note_signer_parse(text, size, &signer) == 0) {
		FUZZ_MUST(note_signer_format(&signer, &out) == 0);
		FUZZ_MUST(out.len == size && memcmp(out.data, text, size) == 0);
	}
}

static void read_checkpoint(const char *text, size_t size)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	struct checkpoint checkpoint;

	if (checkpoint_parse(text, size, &checkpoint) < 0 || memchr(text, '\0', size))
		return;
	FUZZ_MUST(checkpoint_format(&checkpoint, &out) == 0);
	FUZZ_MUST(out.len == size && memcmp(out.data, text, size) == 0);
}

static void read_many(const char *text, size_t size)
{
	size_t skip, n;

	while ((n = checkpoint_next(text, size, &skip))) {
		FUZZ_MUST(skip + n <= size);
		text += skip + n;
		size -= skip + n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);

	read_note(text, size);
	read_key(text, size);
	read_checkpoint(text, size);
	read_many(text, size);
	free(text);
	return 0;
}
