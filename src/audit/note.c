/* SPDX-License-Identifier: Apache-2.0 */
/*
 * note.c: see note.h. What is read may be anything: from a file that somebody edited, or from a
 * witness. Every length is checked before it is used, base64 is taken in its one canonical form.
 */
#include "note.h"

#include "banned.h"
#include "jsonw.h"

#include <sodium/crypto_sign.h>
#include <sodium/utils.h>
#include <sys/random.h>

#define KEY_TYPE_ED25519 1
#define PRIVATE_PREFIX	 "PRIVATE+KEY+"
#define DASH_LEN	 4u
#define SIGNATURE_BYTES	 (4u + crypto_sign_BYTES)
#define NAMED_KEY_MAX	 (NOTE_NAME_MAX + 80)

/* U+0085, U+00A0, U+1680, U+2000–200A, U+2028, 2029, 202F, 205F, 3000: Unicode's spaces. */
static bool has_unicode_space(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		unsigned a = p[i], b = p[i + 1], c = i + 2 < len ? p[i + 2] : 0;

		if ((a == 0xc2 && (b == 0x85 || b == 0xa0)) ||
		    (a == 0xe1 && b == 0x9a && c == 0x80) ||
		    (a == 0xe2 && b == 0x80 &&
		     (c <= 0x8a || c == 0xa8 || c == 0xa9 || c == 0xaf)) ||
		    (a == 0xe2 && b == 0x81 && c == 0x9f) || (a == 0xe3 && b == 0x80 && c == 0x80))
			return true;
	}
	return false;
}

static bool is_name(const char *name, size_t len)
{
	if (len == 0 || len >= NOTE_NAME_MAX || !jsonw_is_utf8(name, len))
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == '+' || name[i] == 0x7f)
			return false;
	return !has_unicode_space((const unsigned char *)name, len);
}

static uint32_t key_id(const char *name, const uint8_t public[32])
{
	uint8_t hash[SHA_LEN];
	struct sha sha;

	sha_init(&sha);
	sha_update(&sha, name, strlen(name));
	sha_update(&sha, "\n\x01", 2);
	sha_update(&sha, public, 32);
	sha_final(&sha, hash);
	return (uint32_t)hash[0] << 24 | (uint32_t)hash[1] << 16 | (uint32_t)hash[2] << 8 | hash[3];
}

/* Exactly size bytes of base64 in its canonical form. */
static int decode(const char *text, size_t len, uint8_t *ret, size_t size)
{
	size_t got = 0;

	if (len != (size + 2) / 3 * 4 || note_base64_parse(text, len, ret, size, &got) < 0)
		return -EINVAL;
	return got == size ? 0 : -EINVAL;
}

static int append_base64(struct buf *buf, const uint8_t *data, size_t len)
{
	size_t size = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL);
	char *room;
	int r;

	r = buf_reserve(buf, size, &room);
	if (r < 0)
		return r;
	sodium_bin2base64(room, size, data, len, sodium_base64_VARIANT_ORIGINAL);
	buf->len += size - 1;
	return 0;
}

static int signer_from_seed(const char *name, const uint8_t seed[32], struct note_signer *ret)
{
	snprintf(ret->key.name, sizeof(ret->key.name), "%s", name);
	/* Always from the seed: signing with another public key would give the secret away. */
	if (crypto_sign_seed_keypair(ret->key.public, ret->secret, seed) != 0)
		return -EINVAL;
	ret->key.id = key_id(ret->key.name, ret->key.public);
	return 0;
}

int note_signer_new(const char *name, struct note_signer *ret)
{
	uint8_t seed[32];
	int r;

	if (!is_name(name, strlen(name)))
		return -EINVAL;
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return -EIO;
	r = signer_from_seed(name, seed, ret);
	sodium_memzero(seed, sizeof(seed));
	return r;
}

void note_signer_done(struct note_signer *signer)
{
	sodium_memzero(signer, sizeof(*signer));
}

/* "<name>+<8 hex digits>+<base64(1 || 32 bytes)>" */
static int named_key_parse(const char *text, size_t len, char name[NOTE_NAME_MAX], uint32_t *ret_id,
			   uint8_t ret_key[32])
{
	const size_t tail = 1 + 8 + 1 + 44;
	uint8_t id[4], key[33];
	size_t name_len, got = 0;

	if (len && text[len - 1] == '\n')
		len--;
	if (len <= tail)
		return -EINVAL;
	name_len = len - tail;
	if (!is_name(text, name_len) || text[name_len] != '+' || text[name_len + 9] != '+')
		return -EINVAL;
	/* libsodium's reader would take capitals. */
	for (size_t i = 1; i <= 8; i++)
		if (text[name_len + i] < '0' || text[name_len + i] > 'f' ||
		    (text[name_len + i] > '9' && text[name_len + i] < 'a'))
			return -EINVAL;
	if (sodium_hex2bin(id, sizeof(id), text + name_len + 1, 8, NULL, &got, NULL) != 0 ||
	    got != sizeof(id) || decode(text + name_len + 10, 44, key, sizeof(key)) < 0 ||
	    key[0] != KEY_TYPE_ED25519) {
		sodium_memzero(key, sizeof(key));
		return -EINVAL;
	}
	memcpy(name, text, name_len);
	name[name_len] = '\0';
	*ret_id = (uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3];
	memcpy(ret_key, key + 1, 32);
	sodium_memzero(key, sizeof(key));
	return 0;
}

static int named_key_format(const struct note_key *key, const uint8_t bytes[32], struct buf *ret)
{
	uint8_t typed[33] = {KEY_TYPE_ED25519};
	int r;

	memcpy(typed + 1, bytes, 32);
	r = buf_printf(ret, "%s+%08x+", key->name, key->id);
	if (r == 0)
		r = append_base64(ret, typed, sizeof(typed));
	sodium_memzero(typed, sizeof(typed));
	return r;
}

int note_signer_parse(const char *text, size_t len, struct note_signer *ret)
{
	const size_t skip = sizeof(PRIVATE_PREFIX) - 1;
	struct note_signer signer;
	char name[NOTE_NAME_MAX];
	uint8_t seed[32];
	uint32_t id;
	int r;

	if (len < skip || memcmp(text, PRIVATE_PREFIX, skip) != 0)
		return -EINVAL;
	r = named_key_parse(text + skip, len - skip, name, &id, seed);
	if (r < 0)
		return r;
	r = signer_from_seed(name, seed, &signer);
	sodium_memzero(seed, sizeof(seed));
	if (r == 0 && signer.key.id != id)
		r = -EINVAL;
	if (r == 0)
		*ret = signer;
	note_signer_done(&signer);
	return r;
}

int note_signer_format(const struct note_signer *signer, struct buf *ret)
{
	int r = buf_puts(ret, PRIVATE_PREFIX);

	return r < 0 ? r : named_key_format(&signer->key, signer->secret, ret);
}

int note_key_parse(const char *text, size_t len, struct note_key *ret)
{
	struct note_key key;
	int r;

	r = named_key_parse(text, len, key.name, &key.id, key.public);
	if (r < 0)
		return r;
	if (key.id != key_id(key.name, key.public))
		return -EINVAL;
	*ret = key;
	return 0;
}

int note_key_format(const struct note_key *key, struct buf *ret)
{
	return named_key_format(key, key->public, ret);
}

int note_sign(const struct note_signer *signer, const char *text, size_t len, struct buf *ret)
{
	uint8_t signature[SIGNATURE_BYTES];
	int r;

	for (size_t i = 0; i < 4; i++)
		signature[i] = (uint8_t)(signer->key.id >> (24 - 8 * i));
	crypto_sign_detached(signature + 4, NULL, (const unsigned char *)text, len, signer->secret);
	r = buf_append(ret, text, len);
	if (r == 0)
		r = buf_printf(ret, "\n" NOTE_DASH "%s ", signer->key.name);
	if (r == 0)
		r = append_base64(ret, signature, sizeof(signature));
	return r < 0 ? r : buf_putc(ret, '\n');
}

/* One line of the signatures; what it holds are slices of it. */
struct signature_line {
	const char *name, *base64;
	size_t name_len, base64_len;
	size_t len; /* with its newline */
};

static int signature_parse(const char *data, size_t len, struct signature_line *ret)
{
	const char *end = memchr(data, '\n', len), *space;

	if (!end || (size_t)(end - data) < DASH_LEN || memcmp(data, NOTE_DASH, DASH_LEN) != 0)
		return -EINVAL;
	ret->name = data + DASH_LEN;
	space = memchr(ret->name, ' ', (size_t)(end - ret->name));
	if (!space || !is_name(ret->name, (size_t)(space - ret->name)))
		return -EINVAL;
	ret->name_len = (size_t)(space - ret->name);
	ret->base64 = space + 1;
	ret->base64_len = (size_t)(end - ret->base64);
	ret->len = (size_t)(end - data) + 1;
	return 0;
}

/* Base64 of at least four bytes of key id and one of signature. */
static bool is_signature(const struct signature_line *line)
{
	uint8_t bytes[8192];
	size_t got = 0;

	return note_base64_parse(line->base64, line->base64_len, bytes, sizeof(bytes), &got) == 0 &&
	       got > 4;
}

bool note_is_signatures(const char *data, size_t len)
{
	struct signature_line line;

	if (len == 0)
		return false;
	for (size_t at = 0, n = 0; at < len; at += line.len)
		if (++n > NOTE_SIGNATURES_MAX || signature_parse(data + at, len - at, &line) < 0 ||
		    !is_signature(&line))
			return false;
	return true;
}

/* The text and the signatures are parted by the last empty line. */
static int note_split(const char *note, size_t len, size_t *ret_text_len)
{
	if (len == 0 || note[len - 1] != '\n' || !jsonw_is_utf8(note, len))
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)note[i] < ' ' && note[i] != '\n')
			return -EINVAL;
	for (size_t i = len - 1; i >= 2; i--)
		if (note[i - 1] == '\n' && note[i - 2] == '\n') {
			*ret_text_len = i - 1;
			return note_is_signatures(note + i, len - i) ? 0 : -EINVAL;
		}
	return -EINVAL;
}

static bool signature_holds(const struct signature_line *line, const struct note_key *key,
			    const char *text, size_t len)
{
	uint8_t bytes[SIGNATURE_BYTES];

	return decode(line->base64, line->base64_len, bytes, sizeof(bytes)) == 0 &&
	       crypto_sign_verify_detached(bytes + 4, (const unsigned char *)text, len,
					   key->public) == 0;
}

static bool signed_by(const struct signature_line *line, const struct note_key *key)
{
	uint8_t id[6];
	size_t got = 0;

	if (line->name_len != strlen(key->name) ||
	    memcmp(line->name, key->name, line->name_len) != 0 || line->base64_len < 8)
		return false;
	return note_base64_parse(line->base64, 8, id, sizeof(id), &got) == 0 &&
	       ((uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3]) ==
		       key->id;
}

int note_verify(const char *note, size_t len, const struct note_key *key, size_t *ret_text_len)
{
	struct signature_line line;
	bool found = false;
	size_t text_len;
	int r;

	r = note_split(note, len, &text_len);
	if (r < 0)
		return r;
	for (size_t at = text_len + 1; at < len; at += line.len) {
		r = signature_parse(note + at, len - at, &line);
		if (r < 0)
			return r;
		if (!signed_by(&line, key))
			continue;
		if (!signature_holds(&line, key, note, text_len))
			return -EBADMSG;
		found = true;
	}
	if (!found)
		return -EBADMSG;
	*ret_text_len = text_len;
	return 0;
}
