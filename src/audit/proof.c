/* SPDX-License-Identifier: Apache-2.0 */
/* proof.c: proofs that one record is in the tree that a checkpoint signs; see proof.h. */
#include "proof.h"

#include "audit-private.h"
#include "banned.h"
#include "err.h"
#include "source.h"

#define PROOF_MAGIC "c2sp.org/tlog-proof@v1"

/* The next line, without its newline; *text moves behind it. */
static bool next_line(const char **text, const char *end, const char **ret, size_t *ret_len)
{
	const char *newline = memchr(*text, '\n', (size_t)(end - *text));

	if (!newline)
		return false;
	*ret = *text;
	*ret_len = (size_t)(newline - *text);
	*text = newline + 1;
	return true;
}

static bool starts(const char *line, size_t len, const char *with)
{
	return len >= strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

int proof_parse(const char *text, size_t len, struct proof *ret)
{
	const char *end = text + len, *line = "";
	struct proof proof = {.index = 0};
	size_t n;

	if (!next_line(&text, end, &line, &n) || n != strlen(PROOF_MAGIC) ||
	    !starts(line, n, PROOF_MAGIC) || !next_line(&text, end, &line, &n))
		return -EINVAL;
	if (starts(line, n, "extra ") && !next_line(&text, end, &line, &n))
		return -EINVAL;
	if (!starts(line, n, "index ") || note_number_parse(line + 6, n - 6, &proof.index) < 0)
		return -EINVAL;
	while (next_line(&text, end, &line, &n) && n) {
		if (proof.path.n == MERKLE_PROOF_MAX ||
		    note_hash_parse(line, n, &proof.path.hashes[proof.path.n]) < 0)
			return -EINVAL;
		proof.path.n++;
	}
	if (n || text == end)
		return -EINVAL;
	proof.note = text;
	proof.note_len = (size_t)(end - text);
	*ret = proof;
	return 0;
}

int proof_format(const struct proof *proof, struct buf *ret)
{
	char hash[NOTE_HASH_LEN + 1];
	int r;

	r = buf_printf(ret, PROOF_MAGIC "\nindex %llu\n", (unsigned long long)proof->index);
	for (size_t i = 0; r == 0 && i < proof->path.n; i++) {
		note_hash_format(&proof->path.hashes[i], hash);
		r = buf_printf(ret, "%s\n", hash);
	}
	if (r == 0)
		r = buf_putc(ret, '\n');
	return r < 0 ? r : buf_append(ret, proof->note, proof->note_len);
}

/* The path of a record to the root that the note signs, checked. */
static int make_path(struct audit *log, uint64_t seq, const struct checkpoint *checkpoint,
		     struct merkle_proof *ret, struct err *err)
{
	_cleanup_buf_ struct buf record = BUF_INIT(CEIL_AUDIT_RECORD);
	struct merkle_hash leaf;
	struct merkle_source merkle;
	struct source *source;
	int r;

	r = audit_read(log, seq, &record, err);
	if (r < 0)
		return r;
	merkle_leaf(record.data, record.len, &leaf);
	r = source_new(log, checkpoint->size, &source, err);
	if (r < 0)
		return r;
	merkle = source_merkle(source);
	r = merkle_inclusion(&merkle, seq, checkpoint->size, ret);
	source_free(source);
	if (r < 0)
		return r;
	if (!merkle_inclusion_check(ret, seq, checkpoint->size, &leaf, &checkpoint->root))
		return audit_damaged(log, err, "record %llu does not lead to the signed root",
				     (unsigned long long)seq);
	return 0;
}

int audit_prove(struct audit *log, uint64_t seq, struct buf *ret, struct err *err)
{
	_cleanup_buf_ struct buf note = BUF_INIT(AUDIT_NOTE_MAX);
	struct checkpoint checkpoint;
	struct proof proof = {.index = seq};
	int r;

	r = audit_load_signed(log, &note, &checkpoint, err);
	if (r < 0)
		return r;
	if (seq >= checkpoint.size)
		return err_set(err, ENOENT, "audit", "the log %s has %llu records, no record %llu",
			       log->path, (unsigned long long)checkpoint.size,
			       (unsigned long long)seq);
	r = make_path(log, seq, &checkpoint, &proof.path, err);
	if (r < 0)
		return r;
	proof.note = note.data;
	proof.note_len = note.len;
	r = proof_format(&proof, ret);
	return r < 0 ? err_errno(err, -r, "audit", "cannot write the proof") : 0;
}

int audit_prove_check(const char *text, size_t len, const char *vkey, const void *record,
		      size_t record_len, uint64_t *ret_seq, struct err *err)
{
	struct checkpoint checkpoint;
	struct merkle_hash leaf;
	struct note_key key;
	struct proof proof;

	if (note_key_parse(vkey, strlen(vkey), &key) < 0)
		return err_set(err, EINVAL, "audit", "\"%.200s\" is no verifier key", vkey);
	if (len > PROOF_TEXT_MAX || proof_parse(text, len, &proof) < 0)
		return err_set(err, EBADMSG, "audit", "this is no proof (c2sp.org/tlog-proof@v1)");
	if (checkpoint_open(proof.note, proof.note_len, &key, &checkpoint) < 0)
		return err_set(err, EBADMSG, "audit",
			       "the proof's checkpoint is not signed by the key %s", key.name);
	merkle_leaf(record, record_len, &leaf);
	if (!merkle_inclusion_check(&proof.path, proof.index, checkpoint.size, &leaf,
				    &checkpoint.root))
		return err_set(err, EBADMSG, "audit",
			       "the proof is not one of this record: its path does not lead to the "
			       "signed root");
	*ret_seq = proof.index;
	return 0;
}
