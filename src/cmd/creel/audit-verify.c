/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit-verify.c: creel audit verify.
 *
 * The library checks tree, signature and files. The payloads beside the records are checked here,
 * because only here is known what records say: one that is gone must have been erased by a record
 * that says so, and one that is there must hash to what the record says.
 *
 * What this does not find: another history, signed with the same key, that lacks nothing. Only
 * --against finds that.
 */
#include "audit-cmd.h"
#include "audit.h"
#include "ceilings.h"
#include "err.h"
#include "io.h"

#include <fcntl.h>

static void report(const struct audit_problem *problem, void *data)
{
	_cleanup_buf_ struct buf line = BUF_INIT(CEIL_SMALL_FILE);
	int r = buf_puts(&line, "creel: ");

	(void)data;
	if (r == 0 && problem->seq != AUDIT_NONE)
		r = buf_printf(&line, "record %" PRIu64 ": ", problem->seq);
	if (r == 0 && *problem->file)
		r = audit_text(&line, problem->file, strlen(problem->file), AUDIT_ONE_LINE);
	if (r == 0 && *problem->file)
		r = buf_puts(&line, ": ");
	if (r == 0)
		r = audit_text(&line, problem->text, strlen(problem->text), AUDIT_ONE_LINE);
	/* A problem is never left out because it cannot be printed nicely. */
	fprintf(stderr, "%s\n", r == 0 ? line.data : "creel: a problem without a name");
}

/* ---- payloads ---- */

#define ERASED "\"type\":\"blob.erased\""

static void iter_freep(struct audit_iter **iter)
{
	audit_iter_free(*iter);
}

static void audit_closep(struct audit **log)
{
	audit_close(*log);
}

struct payloads {
	struct audit *log;
	uint64_t seq; /* of the record that is looked at */
	int null;
	json_t *missing; /* {hash: number of the record that names it} */
	uint64_t kept, problems;
};

static void tell(struct payloads *p, uint64_t seq, const char *text)
{
	if (p->problems++ < AUDIT_PROBLEMS_TOLD)
		report(&(struct audit_problem){.seq = seq, .file = "", .text = text}, NULL);
}

static int check_payload(struct payloads *p, const char *hash, struct err *err)
{
	struct err why = {0};
	int r = audit_blob_copy(p->log, hash, p->null, &why);

	p->kept += r == 0;
	if (r == -ENOENT &&
	    json_object_set_new(p->missing, hash, json_integer((json_int_t)p->seq)) < 0)
		return err_errno(err, ENOMEM, "audit", "cannot check the payloads");
	if (r == -EUCLEAN)
		tell(p, p->seq, why.text);
	else if (r < 0 && r != -ENOENT) {
		*err = why;
		return r;
	}
	return 0;
}

/* What this record says was erased is not missing. */
static void forget_erased(struct payloads *p, const char *text, size_t len)
{
	_cleanup_json_ json_t *record = NULL;
	json_t *hash;
	size_t i;

	if (!memmem(text, len, ERASED, strlen(ERASED)))
		return;
	record = json_loadb(text, len, JSON_ALLOW_NUL, NULL);
	if (!audit_is_type(record, "blob.erased"))
		return;
	json_array_foreach(json_object_get(record, "blobs"), i, hash)
		json_object_del(p->missing, json_is_string(hash) ? json_string_value(hash) : "");
}

static int check_payloads_of(struct payloads *p, const char *text, size_t len, struct err *err)
{
	char hash[AUDIT_HASH_HEX + 1];
	const char *at = text;
	int r = 0;

	while (r == 0 && (at = audit_next_payload(at, text + len, hash)))
		r = check_payload(p, hash, err);
	forget_erased(p, text, len);
	return r;
}

static int check_all(struct payloads *p, struct err *err)
{
	_cleanup_(iter_freep) struct audit_iter *iter = NULL;
	const void *text;
	size_t len;
	int r = audit_iter_new(p->log, 0, &iter, err);

	while (r == 0) {
		r = audit_iter_next(iter, &p->seq, &text, &len, err);
		if (r <= 0)
			break;
		r = check_payloads_of(p, text, len, err);
	}
	return r;
}

/* Problems are told and counted. */
static int check_payloads(const char *dir, const char *org, struct audit_stats *stats,
			  uint64_t *ret_kept, struct err *err)
{
	_cleanup_(audit_closep) struct audit *log = NULL;
	_cleanup_json_ json_t *missing = json_object();
	_cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct payloads p = {.null = null, .missing = missing};
	const char *hash;
	json_t *seq;
	char text[160];
	int r;

	if (null < 0 || !missing)
		return err_errno(err, null < 0 ? errno : ENOMEM, "audit",
				 "cannot check the payloads");
	r = audit_open_reader(dir, org, &log, err);
	p.log = log;
	if (r == 0)
		r = check_all(&p, err);
	if (r < 0)
		return r;
	json_object_foreach(missing, hash, seq)
	{
		snprintf(text, sizeof(text),
			 "its payload %s is gone and no record says that it was erased", hash);
		tell(&p, (uint64_t)json_integer_value(seq), text);
	}
	stats->problems += p.problems;
	*ret_kept = p.kept;
	return 0;
}

/* ---- the result ---- */

static int stats_json(const struct audit_stats *s, uint64_t kept, struct buf *out)
{
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {{"bytes", s->bytes},	  {"payloads", kept},
		       {"problems", s->problems}, {"records", s->records},
		       {"segments", s->segments}, {"tiles", s->tiles},
		       {"unsigned", s->unsigned_}};
	_cleanup_json_ json_t *json = json_pack("{s:b}", "ok", s->problems == 0);
	_cleanup_free_ char *text = NULL;

	for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
		json_object_set_new(json, numbers[i].name,
				    json_integer((json_int_t)numbers[i].value));
	text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	return text ? buf_printf(out, "%s\n", text) : -ENOMEM;
}

static int print_stats(const struct audit_options *options, const struct audit_stats *s,
		       uint64_t kept, struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(4096);
	int r;

	if (options->json)
		r = stats_json(s, kept, &out);
	else
		r = buf_printf(&out,
			       "%s: %" PRIu64 " records, %" PRIu64 " bytes, %" PRIu64
			       " tiles, %" PRIu64 " segments, %" PRIu64 " payloads, %" PRIu64
			       " problems\n",
			       s->problems ? "damaged" : "ok", s->records, s->bytes, s->tiles,
			       s->segments, kept, s->problems);
	return r < 0 ? err_errno(err, -r, "audit", "cannot print the result")
		     : audit_print(&out, err);
}

/* What was kept elsewhere: a checkpoint or a key. name NULL: nothing was. */
static int read_kept(const char *name, struct buf *ret, struct err *err)
{
	int r = name ? io_read_file(AT_FDCWD, name, ret) : 0;

	if (r == 0 && memchr(ret->data ? ret->data : "", '\0', ret->len))
		r = -EINVAL;
	return r < 0 ? err_errno(err, -r, "audit", "cannot read %s", name) : 0;
}

int cmd_audit_verify(struct audit *log, const char *dir, const struct audit_options *options,
		     struct err *err)
{
	_cleanup_buf_ struct buf note = BUF_INIT(AUDIT_NOTE_MAX), key = BUF_INIT(AUDIT_NOTE_MAX);
	struct audit_stats stats = {0};
	char of_org[CEIL_PATH];
	uint64_t kept = 0;
	int r = read_kept(options->against, &note, err);

	(void)log; /* a damaged one may not open */
	snprintf(of_org, sizeof(of_org), "%s/%s", dir, options->org);
	if (r == 0)
		r = read_kept(options->key, &key, err);
	if (r < 0)
		return r;
	if (options->key)
		key.data[strcspn(key.data, "\n")] = '\0';
	r = audit_verify(of_org,
			 &(struct audit_against){.vkey = options->key ? key.data : NULL,
						 .notes = &(const char *){note.data},
						 .n_notes = options->against ? 1 : 0},
			 report, NULL, &stats, err);
	/* The records of a damaged tree cannot be believed. */
	if (r == 0)
		r = check_payloads(dir, options->org, &stats, &kept, err);
	if (r >= 0)
		r = print_stats(options, &stats, kept, err);
	return r < 0 ? r : stats.problems ? AUDIT_EXIT_NOTHING : 0;
}
