/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.c: C2SP tlog-checkpoint, the text that the log's notes sign; see note.h. */
#include "banned.h"
#include "io.h"
#include "note.h"

#include <ctype.h>
#include <sodium/utils.h>

void note_hash_format(const struct merkle_hash *hash, char ret[NOTE_HASH_LEN + 1])
{
	sodium_bin2base64(ret, NOTE_HASH_LEN + 1, hash->bytes, SHA_LEN,
			  sodium_base64_VARIANT_ORIGINAL);
}

int note_base64_parse(const char *text, size_t len, uint8_t *ret, size_t size, size_t *ret_len)
{
	size_t digits = 0;

	while (digits < len &&
	       (isalnum((unsigned char)text[digits]) || text[digits] == '+' || text[digits] == '/'))
		digits++;
	if (len % 4 || len - digits > 2 ||
	    sodium_base642bin(ret, size, text, len, NULL, ret_len, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0)
		return -EINVAL;
	return 0;
}

int note_hash_parse(const char *text, size_t len, struct merkle_hash *ret)
{
	struct merkle_hash hash;
	size_t got = 0;

	if (len != NOTE_HASH_LEN || note_base64_parse(text, len, hash.bytes, SHA_LEN, &got) < 0 ||
	    got != SHA_LEN)
		return -EINVAL;
	*ret = hash;
	return 0;
}

int note_number_parse(const char *text, size_t len, uint64_t *ret)
{
	uint64_t value = 0;

	if (len == 0 || len > 19 || (text[0] == '0' && len > 1))
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	*ret = value;
	return 0;
}

int checkpoint_format(const struct checkpoint *checkpoint, struct buf *ret)
{
	char root[NOTE_HASH_LEN + 1];

	note_hash_format(&checkpoint->root, root);
	return buf_printf(ret, "%s\n%llu\n%s\n", checkpoint->origin,
			  (unsigned long long)checkpoint->size, root);
}

int checkpoint_parse(const char *text, size_t len, struct checkpoint *ret)
{
	const char *lines[3], *end = text + len;
	struct checkpoint checkpoint;
	size_t lens[3];

	for (size_t i = 0; i < 3; i++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));

		if (!newline || newline == text)
			return -EINVAL;
		lines[i] = text;
		lens[i] = (size_t)(newline - text);
		text = newline + 1;
	}
	if (text != end || lens[0] >= sizeof(checkpoint.origin) ||
	    note_number_parse(lines[1], lens[1], &checkpoint.size) < 0 ||
	    note_hash_parse(lines[2], lens[2], &checkpoint.root) < 0)
		return -EINVAL;
	memcpy(checkpoint.origin, lines[0], lens[0]);
	checkpoint.origin[lens[0]] = '\0';
	*ret = checkpoint;
	return 0;
}

static size_t line_len(const char *text, size_t len)
{
	const char *newline = memchr(text, '\n', len);

	return newline ? (size_t)(newline - text) + 1 : len;
}

size_t checkpoint_next(const char *text, size_t len, size_t *ret_skip)
{
	size_t at = 0, start;
	bool signatures = false;

	while (at < len && text[at] == '\n')
		at++;
	start = at;
	*ret_skip = start;
	/* Its text has no empty lines: what follows the first one are signatures. */
	while (at < len) {
		size_t n = line_len(text + at, len - at);
		bool signature = n > 4 && memcmp(text + at, NOTE_DASH, 4) == 0;

		if (signatures && !signature)
			break;
		signatures |= n == 1;
		at += n;
	}
	return at - start;
}

int checkpoint_open(const char *note, size_t len, const struct note_key *key,
		    struct checkpoint *ret)
{
	struct checkpoint checkpoint;
	size_t text_len;
	int r;

	r = note_verify(note, len, key, &text_len);
	if (r == 0)
		r = checkpoint_parse(note, text_len, &checkpoint);
	if (r == 0 && strcmp(checkpoint.origin, key->name) != 0)
		r = -EBADMSG;
	if (r == 0)
		*ret = checkpoint;
	return r;
}

int checkpoint_read(int dir, const struct note_key *key, struct buf *note, struct checkpoint *ret)
{
	_cleanup_buf_ struct buf again = BUF_INIT(note->ceiling);
	int r, opened;

	r = io_read_file(dir, "checkpoint", note);
	for (int i = 0; r == 0 && i < 1000; i++) {
		opened = checkpoint_open(note->data, note->len, key, ret);
		if (opened == 0)
			return 0;
		again.len = 0;
		r = io_read_file(dir, "checkpoint", &again);
		if (r == 0 && again.len == note->len &&
		    memcmp(again.data, note->data, note->len) == 0)
			return opened;
		note->len = 0;
		if (r == 0)
			r = buf_append(note, again.data, again.len);
	}
	return r < 0 ? r : -EBADMSG;
}
