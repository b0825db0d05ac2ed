/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * note.h: C2SP signed notes with Ed25519 keys (key type 1), and the checkpoints that are written as
 * such notes. Keys are in the text form of Go's sumdb/note, so that its tools can read them.
 */
#include "buf.h"
#include "merkle.h"

#include <stdbool.h>

#define NOTE_NAME_MAX	    128u
#define NOTE_SIGNATURES_MAX 32u
#define NOTE_DASH	    "\xe2\x80\x94 " /* U+2014 and a space: a signature line begins */

struct note_key {
	char name[NOTE_NAME_MAX];
	uint32_t id;
	uint8_t public[32];
};

struct note_signer {
	struct note_key key;
	uint8_t secret[64]; /* seed || public */
};

/* A new key; name has no spaces and no '+'. */
_must_check_ int note_signer_new(const char *name, struct note_signer *ret);
void note_signer_done(struct note_signer *signer);
/* "PRIVATE+KEY+<name>+<hash>+<base64(1 || seed)>"; an ending newline is allowed. -EINVAL. */
_must_check_ int note_signer_parse(const char *text, size_t len, struct note_signer *ret);
_must_check_ int note_signer_format(const struct note_signer *signer, struct buf *ret);
/* "<name>+<hash>+<base64(1 || public key)>" */
_must_check_ int note_key_parse(const char *text, size_t len, struct note_key *ret);
_must_check_ int note_key_format(const struct note_key *key, struct buf *ret);

/* text ends in a newline; the whole note is appended to ret. */
_must_check_ int note_sign(const struct note_signer *signer, const char *text, size_t len,
			   struct buf *ret);
/*
 * *ret_text_len: the signed text, from the start of the note. -EINVAL: no note;
 * -EBADMSG: not, or wrongly, signed by that key. Other keys' signatures are passed over.
 */
_must_check_ int note_verify(const char *note, size_t len, const struct note_key *key,
			     size_t *ret_text_len);
/* Whether data is one or more signature lines, each with a well-formed name and base64. */
bool note_is_signatures(const char *data, size_t len);

struct checkpoint {
	char origin[NOTE_NAME_MAX];
	uint64_t size;
	struct merkle_hash root;
};

_must_check_ int checkpoint_format(const struct checkpoint *checkpoint, struct buf *ret);
/*
 * The first checkpoint of many, one after the other, as a witness file has them; empty lines may
 * part them. Its length, with what was skipped before it in *ret_skip; 0: there is none.
 */
size_t checkpoint_next(const char *text, size_t len, size_t *ret_skip);
/* The text without signatures. Extension lines are refused: this log writes none. */
_must_check_ int checkpoint_parse(const char *text, size_t len, struct checkpoint *ret);
/* A whole note: signature, text, and that the origin is the key's name. -EINVAL or -EBADMSG. */
_must_check_ int checkpoint_open(const char *note, size_t len, const struct note_key *key,
				 struct checkpoint *ret);

/*
 * The file `checkpoint` of a log, appended to note, and what it says. A writer may be at it: what
 * is wrong is read again as long as it changes.
 */
_must_check_ int checkpoint_read(int dir, const struct note_key *key, struct buf *note,
				 struct checkpoint *ret);

/*
 * Standard base64 in its one canonical form; at most size bytes. libsodium's reader alone takes
 * some bytes above 0x7f for digits.
 */
_must_check_ int note_base64_parse(const char *text, size_t len, uint8_t *ret, size_t size,
				   size_t *ret_len);
/* Standard base64 of a hash, and back (exactly 44 characters). */
#define NOTE_HASH_LEN 44u
void note_hash_format(const struct merkle_hash *hash, char ret[NOTE_HASH_LEN + 1]);
_must_check_ int note_hash_parse(const char *text, size_t len, struct merkle_hash *ret);
/* ASCII decimal without leading zeroes; ends at end. */
_must_check_ int note_number_parse(const char *text, size_t len, uint64_t *ret);
