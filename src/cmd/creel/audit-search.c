/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit-search.c: walks the log and fetches what a filter has to see beside a record: the start of
 * the run that it ends, and the lists of files that it refers to.
 *
 * Order is the sequence number's alone: times may go back with the clock, so that no search ends
 * early by them. A list that is not kept is counted, never taken for an empty one; one that does
 * not hash to its name is an error.
 */
#include "audit-cmd.h"
#include "audit.h"
#include "ceilings.h"
#include "err.h"
#include "parse.h"

static int parse_json(const char *text, size_t len, json_t **ret)
{
	/* Strings with NUL are as good as others. */
	json_t *json = json_loadb(text, len, JSON_ALLOW_NUL, NULL);

	if (!json)
		return -EBADMSG;
	*ret = json;
	return 0;
}

static int parse_record(uint64_t seq, const char *text, size_t len, json_t **ret, struct err *err)
{
	int r = parse_json(text, len, ret);

	return r < 0 ? err_set(err, EBADMSG, "audit",
			       "record %" PRIu64 " is no JSON; see creel audit verify", seq)
		     : 0;
}

int audit_load(struct audit *log, uint64_t seq, json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_AUDIT_RECORD);
	int r = audit_read(log, seq, &text, err);

	return r < 0 ? r : parse_record(seq, text.data, text.len, ret, err);
}

int audit_list(struct audit *log, const json_t *ref, json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_CHANGES_JSON);
	const char *hash = audit_ref_hash(ref);
	int r;

	if (!hash)
		return -ENOENT;
	r = audit_blob_read(log, hash, &text, err);
	if (r < 0)
		return r;
	r = parse_json(text.data, text.len, ret);
	return r < 0 ? err_set(err, EBADMSG, "audit", "the list of files %s is no JSON", hash) : 0;
}

bool audit_is_seq(const char *arg, uint64_t *ret_seq)
{
	return parse_u64(arg, 0, UINT64_MAX - 1, ret_seq) == 0;
}

int audit_load_start(struct audit *log, const json_t *record, json_t **ret, struct err *err)
{
	const json_t *start = json_object_get(record, "start");
	int r;

	*ret = NULL;
	if (!json_is_integer(start) || json_integer_value(start) < 0)
		return 0;
	r = audit_load(log, (uint64_t)json_integer_value(start), ret, err);
	return r == -ENOENT ? 0 : r;
}

/* 1: the record or one of its lists holds what the filter wants. */
static int match_content(struct audit *log, const struct audit_filter *filter, const json_t *record,
			 uint64_t *missing, struct err *err)
{
	const json_t *refs[AUDIT_LISTS];
	size_t n = audit_list_refs(record, refs);

	if (audit_matches_content(filter, record))
		return 1;
	for (size_t i = 0; i < n; i++) {
		_cleanup_json_ json_t *list = NULL;
		int r = audit_list(log, refs[i], &list, err);

		/* One list that cannot be read must not end the search of the whole org. */
		if (r == -ENOENT || r == -EBADMSG)
			++*missing;
		else if (r < 0)
			return r;
		else if (audit_matches_content(filter, list))
			return 1;
	}
	return 0;
}

/* 1: the filter lets it through. */
static int match(struct audit *log, const struct audit_filter *filter, const json_t *record,
		 uint64_t *missing, struct err *err)
{
	_cleanup_json_ json_t *start = NULL;
	int r;

	if (!audit_matches_itself(filter, record))
		return 0;
	if (!audit_matches_identity(filter, record, NULL)) {
		r = audit_load_start(log, record, &start, err);
		if (r < 0)
			return r;
		if (!audit_matches_identity(filter, record, start))
			return 0;
	}
	return audit_has_content_filter(filter) ? match_content(log, filter, record, missing, err)
						: 1;
}

struct search {
	struct audit *log;
	const struct audit_filter *filter;
	audit_each *each;
	void *data;
	uint64_t missing;
};

static int search_one(struct search *s, struct audit_hit *hit, struct err *err)
{
	_cleanup_json_ json_t *record = NULL;
	int r;

	if (!audit_may_match(s->filter, hit->text, hit->len))
		return 0;
	r = parse_record(hit->seq, hit->text, hit->len, &record, err);
	if (r == 0)
		r = match(s->log, s->filter, record, &s->missing, err);
	if (r <= 0)
		return r;
	hit->record = record;
	return s->each(hit, s->data, err);
}

static void iter_freep(struct audit_iter **iter)
{
	audit_iter_free(*iter);
}

int audit_search(struct audit *log, const struct audit_filter *filter, audit_each *each, void *data,
		 uint64_t *ret_missing, struct err *err)
{
	_cleanup_(iter_freep) struct audit_iter *iter = NULL;
	struct search s = {.log = log, .filter = filter, .each = each, .data = data};
	int r = audit_iter_new(log, 0, &iter, err);

	while (r == 0) {
		struct audit_hit hit = {0};
		const void *text;

		r = audit_iter_next(iter, &hit.seq, &text, &hit.len, err);
		if (r <= 0)
			break;
		hit.text = text;
		r = search_one(&s, &hit, err);
	}
	if (r == 0)
		*ret_missing = s.missing;
	return r;
}
