/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit-show.c: tail, search and show: records on standard output.
 */
#include "audit-cmd.h"
#include "audit.h"
#include "ceilings.h"
#include "err.h"

#include <time.h>

#define PAYLOAD_SHOWN 4096u
#define FOLLOW_NS     200000000
/* A record grows sixfold where every byte of it is an escape, and by its depth with indentation. */
#define LINE_BYTES (8u * CEIL_AUDIT_RECORD)
#define PAGE_BYTES (512u * CEIL_AUDIT_RECORD)

static int print_hit(const struct audit_hit *hit, bool json, struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(LINE_BYTES);
	int r = json ? audit_json_line(&out, hit->seq, hit->text, hit->len)
		     : audit_line(&out, hit->seq, hit->record);

	return r < 0 ? err_errno(err, -r, "audit", "cannot print record %" PRIu64, hit->seq)
		     : audit_print(&out, err);
}

/* ---- search ---- */

struct printer {
	bool json;
	uint64_t n;
};

static int print_each(const struct audit_hit *hit, void *data, struct err *err)
{
	struct printer *printer = data;

	printer->n++;
	return print_hit(hit, printer->json, err);
}

int cmd_audit_search(struct audit *log, const char *dir, const struct audit_options *options,
		     struct err *err)
{
	struct printer printer = {.json = options->json};
	uint64_t missing = 0;
	int r = audit_search(log, &options->filter, print_each, &printer, &missing, err);

	(void)dir;
	if (r < 0)
		return r;
	if (missing)
		fprintf(stderr,
			"creel: %" PRIu64 " lists of files are not kept (erased, or recorded "
			"as a hash only) and were not searched\n",
			missing);
	return printer.n ? 0 : AUDIT_EXIT_NOTHING;
}

/* ---- tail ---- */

static void iter_freep(struct audit_iter **iter)
{
	audit_iter_free(*iter);
}

/* Prints what there is, then with -f what comes. */
static int tail_from(struct audit_iter *iter, const struct audit_options *options, struct err *err)
{
	for (;;) {
		_cleanup_json_ json_t *record = NULL;
		struct audit_hit hit = {0};
		const void *text = NULL;
		int r = audit_iter_next(iter, &hit.seq, &text, &hit.len, err);

		if (r < 0 || (r == 0 && !options->follow))
			return r;
		if (r == 0) {
			nanosleep(&(struct timespec){.tv_nsec = FOLLOW_NS}, NULL);
			continue;
		}
		hit.text = text;
		hit.record = record = json_loadb(text, hit.len, JSON_ALLOW_NUL, NULL);
		if (!record)
			return err_set(err, EBADMSG, "audit",
				       "record %" PRIu64 " is no JSON; see creel audit verify",
				       hit.seq);
		r = print_hit(&hit, options->json, err);
		if (r < 0)
			return r;
	}
}

int cmd_audit_tail(struct audit *log, const char *dir, const struct audit_options *options,
		   struct err *err)
{
	_cleanup_(iter_freep) struct audit_iter *iter = NULL;
	uint64_t size = 0;
	int r = audit_size(log, &size, err);

	(void)dir;
	if (r == 0)
		r = audit_iter_new(log, size - MIN(size, options->lines), &iter, err);
	return r == 0 ? tail_from(iter, options, err) : r;
}

/* ---- show ---- */

struct shower {
	struct audit *log;
	const struct audit_options *options;
	struct buf *out;
	uint64_t n;
	int error;
};

/* Strings that end with NUL, as arguments are kept: each in quotes, one after the other. */
static int show_words(struct buf *out, const char *text, size_t len)
{
	int r = 0;

	for (const char *end = text + len; r == 0 && text < end; text += strlen(text) + 1) {
		_cleanup_json_ json_t *word = json_string(text);
		_cleanup_free_ char *quoted = word ? json_dumps(word, JSON_ENCODE_ANY) : NULL;
		const char *shown = quoted ? quoted : text; /* bytes that are not UTF-8 */

		r = audit_text(out, shown, strlen(shown), AUDIT_ONE_LINE);
		if (r == 0)
			r = buf_putc(out, text + strlen(text) + 1 < end ? ' ' : '\n');
	}
	return r;
}

/* Its beginning; what is not text is shown as escapes. */
static int show_text(struct buf *out, const char *text, size_t len)
{
	size_t shown = MIN(len, (size_t)PAYLOAD_SHOWN);
	int r;

	if (len && len == shown && !text[len - 1])
		return show_words(out, text, len);
	r = audit_text(out, text, shown, AUDIT_KEEP_LINES);
	if (r == 0 && shown && text[shown - 1] != '\n')
		r = buf_putc(out, '\n');
	if (r == 0 && shown < len)
		r = buf_printf(out, "(%zu more bytes)\n", len - shown);
	return r;
}

/* What there is of a payload, or why there is nothing. */
static int show_payload_text(struct shower *s, const json_t *ref)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_OUTPUT);
	const char *hash = audit_ref_hash(ref);
	struct err err = {0};
	int r = hash ? audit_blob_read(s->log, hash, &text, &err) : -ENOENT;

	if (r == -ENOENT)
		return buf_puts(s->out, ": not kept\n");
	if (r < 0)
		return buf_printf(s->out, ": %s\n", err.text);
	r = buf_printf(s->out, ", %zu bytes:\n", text.len);
	return r == 0 ? show_text(s->out, text.data, text.len) : r;
}

static void show_payload(const char *name, const json_t *ref, void *data)
{
	struct shower *s = data;

	if (s->error == 0)
		s->error = buf_puts(s->out, "-- ");
	if (s->error == 0)
		s->error = audit_text(s->out, name, strlen(name), AUDIT_ONE_LINE);
	if (s->error == 0)
		s->error = show_payload_text(s, ref);
}

static int show_record(const struct audit_hit *hit, void *data, struct err *err)
{
	struct shower *s = data;
	_cleanup_buf_ struct buf out = BUF_INIT(PAGE_BYTES);

	s->n++;
	if (s->options->json)
		return print_hit(hit, true, err);
	s->out = &out;
	s->error = buf_printf(&out, "record %" PRIu64 "\n", hit->seq);
	if (s->error == 0)
		s->error = audit_pretty(&out, hit->record);
	audit_refs(hit->record, show_payload, s);
	if (s->error < 0)
		return err_errno(err, -s->error, "audit", "cannot print record %" PRIu64, hit->seq);
	return audit_print(&out, err);
}

static int show_seq(struct shower *s, uint64_t seq, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_AUDIT_RECORD);
	_cleanup_json_ json_t *record = NULL;
	int r = audit_read(s->log, seq, &text, err);

	if (r == 0)
		r = audit_load(s->log, seq, &record, err);
	if (r < 0)
		return r;
	return show_record(&(struct audit_hit){seq, text.data, text.len, record}, s, err);
}

int cmd_audit_show(struct audit *log, const char *dir, const struct audit_options *options,
		   struct err *err)
{
	struct audit_filter filter = {.run = options->arg, .since = INT64_MIN, .until = INT64_MAX};
	struct shower s = {.log = log, .options = options};
	uint64_t seq, missing;
	int r;

	(void)dir;
	if (audit_is_seq(options->arg, &seq))
		return show_seq(&s, seq, err);
	r = audit_search(log, &filter, show_record, &s, &missing, err);
	if (r == 0 && s.n == 0)
		return err_set(err, ENOENT, "audit", "no record is of the run %s", options->arg);
	return r;
}
