/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit-erase.c: removes the payloads beside records, for good, with a record that says so.
 *
 * The record comes first and is durable: nothing ever disappears without a trace. When creel dies
 * between the two, the payloads are still there and the same command removes them. Records never
 * change, so that the tree stays valid; what they hold themselves (paths of inputs, names) stays.
 */
#include "audit-cmd.h"
#include "audit.h"
#include "ceilings.h"
#include "clock.h"
#include "err.h"
#include "jcs.h"

#include <time.h>

/* More than any run refers to; a record must hold them all. */
#define PAYLOADS_MAX 256
#define RECORDS_MAX  64

struct erasure {
	struct audit *log;
	char hashes[PAYLOADS_MAX][AUDIT_HEX + 1];
	size_t n_hashes;
	uint64_t seqs[RECORDS_MAX];
	size_t n_seqs;
	bool too_many;
};

static void collect_ref(const char *name, const json_t *ref, void *data)
{
	struct erasure *e = data;

	(void)name;
	/* With the salt in the record there is no payload. */
	if (!audit_ref_hash(ref) || audit_field(ref, "salt"))
		return;
	if (e->n_hashes == PAYLOADS_MAX)
		e->too_many = true;
	else
		snprintf(e->hashes[e->n_hashes++], sizeof(e->hashes[0]), "%s", audit_ref_hash(ref));
}

static int collect(const struct audit_hit *hit, void *data, struct err *err)
{
	struct erasure *e = data;

	if (audit_is_type(hit->record, "blob.erased"))
		return 0;
	if (e->n_seqs == RECORDS_MAX)
		e->too_many = true;
	else
		e->seqs[e->n_seqs++] = hit->seq;
	audit_refs(hit->record, collect_ref, e);
	if (e->too_many)
		return err_set(err, E2BIG, "audit",
			       "more than %d payloads or %d records; erase by record number",
			       PAYLOADS_MAX, RECORDS_MAX);
	return 0;
}

static int collect_arg(struct erasure *e, const char *arg, struct err *err)
{
	struct audit_filter filter = {.run = arg, .since = INT64_MIN, .until = INT64_MAX};
	_cleanup_json_ json_t *record = NULL;
	uint64_t seq, missing;
	int r;

	if (!audit_is_seq(arg, &seq)) {
		r = audit_search(e->log, &filter, collect, e, &missing, err);
		if (r == 0 && e->n_seqs == 0)
			r = err_set(err, ENOENT, "audit", "no record is of the run %s", arg);
		return r;
	}
	r = audit_load(e->log, seq, &record, err);
	return r < 0 ? r : collect(&(struct audit_hit){.seq = seq, .record = record}, e, err);
}

static void write_time(struct jcs *jcs)
{
	char text[CLOCK_TEXT];

	clock_now_text(text);
	jcs_string(jcs, "time", text);
}

static int write_record(const struct erasure *e, struct buf *out)
{
	struct jcs jcs;

	jcs_init(&jcs, out);
	jcs_object(&jcs, NULL);
	jcs_array(&jcs, "blobs");
	for (size_t i = 0; i < e->n_hashes; i++)
		jcs_string(&jcs, NULL, e->hashes[i]);
	jcs_array_end(&jcs);
	jcs_array(&jcs, "of");
	for (size_t i = 0; i < e->n_seqs; i++)
		jcs_u64(&jcs, NULL, e->seqs[i]);
	jcs_array_end(&jcs);
	write_time(&jcs);
	jcs_string(&jcs, "type", "blob.erased");
	jcs_u64(&jcs, "uid", getuid());
	jcs_u64(&jcs, "v", 1);
	jcs_object_end(&jcs);
	return jcs_done(&jcs);
}

/* The record is durable, then the payloads go. *ret_seq is the record's number. */
static int erase(struct erasure *e, uint64_t *ret_seq, size_t *ret_gone, struct err *err)
{
	_cleanup_buf_ struct buf record = BUF_INIT(CEIL_AUDIT_RECORD);
	size_t gone = 0;
	int r = write_record(e, &record);

	if (r < 0)
		return err_errno(err, -r, "audit", "cannot write the record");
	r = audit_append(e->log, record.data, record.len, ret_seq, err);
	if (r == 0)
		r = audit_commit(e->log, *ret_seq, err);
	for (size_t i = 0; i < e->n_hashes && r == 0; i++) {
		r = audit_blob_erase(e->log, e->hashes[i], err);
		gone += r == 0;
		r = r == -ENOENT ? 0 : r;
	}
	if (r == 0)
		*ret_gone = gone;
	return r;
}

int cmd_audit_erase(struct audit *log, const char *dir, const struct audit_options *options,
		    struct err *err)
{
	struct erasure e = {.log = log};
	uint64_t seq = 0;
	size_t gone = 0;
	int r = collect_arg(&e, options->arg, err);

	(void)dir;
	if (r < 0)
		return r;
	if (e.n_hashes == 0)
		return err_set(err, ENOENT, "audit", "%s refers to no payload", options->arg);
	r = erase(&e, &seq, &gone, err);
	if (r < 0)
		return r;
	printf("%zu payloads erased; record %" PRIu64 " says so\n", gone, seq);
	return 0;
}
