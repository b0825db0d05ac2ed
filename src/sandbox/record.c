/* SPDX-License-Identifier: Apache-2.0 */
/* record.c: see record.h. Keys are written in the order that RFC 8785 wants. */
#include "record.h"

#include "ceilings.h"
#include "clock.h"
#include "err.h"
#include "jcs.h"
#include "record-inputs.h"

#define RECORD_TEXT_MAX 512u
#define RECORD_LABELS	16u

const char *const run_payload_names[RUN_PAYLOAD_MAX] = {"code",	  "argv",   "env",     "inputs",
							"stdout", "stderr", "changes", "files"};

static void record_time(struct jcs *jcs)
{
	char text[CLOCK_TEXT];

	clock_now_text(text);
	jcs_string(jcs, "time", text);
}

/* A list as a payload: each word with a NUL behind it, as in /proc/PID/cmdline. */
static int record_words(struct record *record, char *const *words, bool names, enum audit_keep keep,
			struct audit_ref *ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_FRAME);
	int r = 0;

	for (size_t i = 0; r == 0 && words && words[i]; i++) {
		size_t len = names ? strcspn(words[i], "=") : strlen(words[i]);

		r = buf_append(&text, words[i], len);
		if (r == 0)
			r = buf_putc(&text, '\0');
	}
	if (r < 0)
		return err_errno(err, -r, "record", "the command's words are too many");
	return audit_blob(record->log, text.data ? text.data : "", text.len, keep, ret, err);
}

/*
 * A record has a bound, and so has each text in it that the caller or the sandbox chose: the words
 * of the payload `argv` have them whole. Six bytes for each that JSON may need.
 */
static void record_text(struct jcs *jcs, const char *key, const char *text)
{
	if (text)
		jcs_bytes(jcs, key, text, strnlen(text, RECORD_TEXT_MAX));
}

static void record_limits(struct jcs *jcs, const struct limits *limits)
{
	/* In the order of their names. */
	static const enum limit_kind order[] = {LIMIT_CPU_TIME, LIMIT_CPUS,    LIMIT_DISK,
						LIMIT_IO,	LIMIT_MEMORY,  LIMIT_OUTPUT,
						LIMIT_PIDS,	LIMIT_TIMEOUT, LIMIT_WRITE_TOTAL};

	jcs_object(jcs, "limits");
	for (size_t i = 0; i < ELEMENTSOF(order); i++)
		if (limits->of[order[i]].value)
			jcs_u64(jcs, limit_names[order[i]], limits->of[order[i]].value);
	jcs_object_end(jcs);
}

static int record_labels_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void record_labels(struct jcs *jcs, const struct run_identity *identity)
{
	const char *sorted[CEIL_LABELS];
	size_t n = identity->n_labels;

	if (!n)
		return;
	memcpy(sorted, identity->labels, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), record_labels_compare);
	jcs_array(jcs, "labels");
	for (size_t i = 0; i < MIN(n, RECORD_LABELS); i++)
		jcs_bytes(jcs, NULL, sorted[i], strnlen(sorted[i], RECORD_TEXT_MAX / 4));
	jcs_array_end(jcs);
	if (n > RECORD_LABELS)
		jcs_u64(jcs, "labels_left_out", n - RECORD_LABELS);
}

static void record_image(struct jcs *jcs, const struct image *image)
{
	jcs_object(jcs, "image");
	if (image)
		jcs_string(jcs, "digest", image->digest);
	jcs_string(jcs, "name", image ? image->name : "host");
	jcs_object_end(jcs);
}

/* What outlives the run, and where that lies. */
static void record_keeps(struct jcs *jcs, const struct sandbox_spec *spec)
{
	const struct sandbox_keeps *keeps = &spec->keeps;

	jcs_object(jcs, "keeps");
	jcs_bool(jcs, "agent", keeps->agent != NULL);
	record_text(jcs, "continues", keeps->overlay_id);
	record_text(jcs, "layer", keeps->layer);
	record_text(jcs, "overlay", keeps->overlay);
	record_text(jcs, "workspace", spec->workspace ? spec->workspace : keeps->workspace);
	jcs_object_end(jcs);
}

struct record_refs {
	struct audit_ref argv, code, env, inputs;
	bool has_code, has_inputs;
};

static int record_payloads(struct record *record, struct record_refs *refs, struct err *err)
{
	const struct run_spec *spec = record->spec;
	const struct run_identity *identity = &spec->identity;
	const enum audit_keep *keep = identity->keep;
	int r;

	refs->has_code = identity->code != NULL;
	r = record_words(record, identity->words, false, keep[RUN_PAYLOAD_ARGV], &refs->argv, err);
	if (r == 0)
		r = record_words(record, spec->env, true, keep[RUN_PAYLOAD_ENV], &refs->env, err);
	if (r == 0 && identity->code)
		r = audit_blob(record->log, identity->code, strlen(identity->code),
			       keep[RUN_PAYLOAD_CODE], &refs->code, err);
	refs->has_inputs = record_has_inputs(spec);
	record->inputs_mark = record_inputs_mark(spec);
	if (r == 0 && refs->has_inputs)
		r = record_inputs(record->log, spec, &refs->inputs, err);
	return r;
}

/* A list that holds nothing needs no payload. */
static void record_none(struct jcs *jcs, const char *key)
{
	jcs_array(jcs, key);
	jcs_array_end(jcs);
}

static const char *record_base(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

static int record_start_text(const struct record *record, const struct sandbox *sandbox,
			     const struct record_refs *refs, struct buf *text)
{
	const struct run_spec *spec = record->spec;
	const struct run_identity *identity = &spec->identity;
	struct jcs jcs;

	jcs_init(&jcs, text);
	jcs_object(&jcs, NULL);
	record_text(&jcs, "agent", identity->agent);
	audit_ref_write(&jcs, "argv", &refs->argv);
	if (refs->has_code)
		audit_ref_write(&jcs, "code", &refs->code);
	record_text(&jcs, "command", record_base(spec->argv[0]));
	record_text(&jcs, "cwd", spec->cwd);
	audit_ref_write(&jcs, "env_names", &refs->env);
	record_image(&jcs, spec->sandbox.image);
	if (refs->has_inputs)
		audit_ref_write(&jcs, "inputs", &refs->inputs);
	else
		record_none(&jcs, "inputs");
	record_keeps(&jcs, &spec->sandbox);
	record_labels(&jcs, identity);
	jcs_string(&jcs, "level", "nano");
	record_limits(&jcs, spec->sandbox.limits);
	jcs_string(&jcs, "mode", sandbox->idmap.rootless ? "rootless" : "root");
	jcs_string(&jcs, "org", spec->sandbox.keeps.org);
	jcs_string(&jcs, "run", sandbox->live.id);
	jcs_string(&jcs, "seccomp", spec->sandbox.seccomp->name);
	record_text(&jcs, "session", identity->session);
	record_text(&jcs, "skill", identity->skill);
	record_time(&jcs);
	jcs_string(&jcs, "type", "run.start");
	record_text(&jcs, "user", identity->user);
	jcs_u64(&jcs, "v", 1);
	jcs_object_end(&jcs);
	return jcs_done(&jcs);
}

/* Appends and waits until it is durable and signed. */
static int record_write(struct record *record, const struct buf *text, int r, uint64_t *ret_seq,
			struct err *err)
{
	if (r < 0)
		return err_errno(err, -r, "record", "the record of this run cannot be written");
	r = audit_append(record->log, text->data, text->len, ret_seq, err);
	return r == 0 ? audit_commit(record->log, *ret_seq, err) : r;
}

int record_inputs_same(const struct record *record, struct err *err)
{
	return !record->started || record->inputs_mark == record_inputs_mark(record->spec)
		       ? 0
		       : err_set(err, EAGAIN, "record",
				 "a file of --in or --lang was changed while it was copied in");
}

#ifdef CREEL_ABLATION
/* For the bench alone: what a run costs without its records. */
static bool record_omitted(void)
{
	const char *list = getenv("CREEL_ABLATE");

	return list && strstr(list, "audit");
}
#else
#define record_omitted() false
#endif

int record_start(struct record *record, const struct state *state, const struct run_spec *spec,
		 const struct sandbox *sandbox, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_AUDIT_RECORD);
	struct record_refs refs = {0};
	char dir[512];
	int r;

	record->spec = spec;
	if (record_omitted())
		return 0;
	snprintf(record->run, sizeof(record->run), "%s", sandbox->live.id);
	snprintf(dir, sizeof(dir), "%s/audit", state->data);
	r = audit_open(dir, spec->sandbox.keeps.org, &record->log, err);
	if (r == 0)
		r = record_payloads(record, &refs, err);
	if (r == 0)
		r = record_write(record, &text, record_start_text(record, sandbox, &refs, &text),
				 &record->start_seq, err);
	record->started = r == 0;
	for (int i = 0; r == 0 && i < 2; i++)
		r = audit_blob_new(record->log, spec->identity.keep[RUN_PAYLOAD_STDOUT + i],
				   &record->outputs[i], err);
	return r < 0 ? err_wrap(err, "nothing runs without a record") : 0;
}

void record_settle(struct record *record)
{
	/* The payloads are in the log, and their files will be made with the next chance. */
	if (record->log && audit_settle(record->log, NULL) < 0)
		errno = 0;
}

/*
 * What is kept beside the log may fail, on a full disk for one: the sandbox must not be able to
 * keep its end out of the log by that. The record says what is missing.
 */
static void record_lose(struct record *record, enum run_payload payload, const struct err *err)
{
	if (buf_printf(&record->lost, "%s: %.200s\n", run_payload_names[payload], err->text) < 0)
		errno = E2BIG; /* enough is said */
}

void record_output(struct record *record, int stream, const void *data, size_t len)
{
	struct audit_blob *blob = record->outputs[stream - 1];
	struct err err = {0};

	if (blob && audit_blob_write(blob, data, len, &err) < 0) {
		record->outputs[stream - 1] = audit_blob_free(blob);
		record_lose(record, RUN_PAYLOAD_STDOUT + stream - 1, &err);
	}
}

static void record_usage(struct jcs *jcs, const struct run_result *result)
{
	const struct cgroup_usage *usage = &result->usage;

	jcs_object(jcs, "usage");
	jcs_u64(jcs, "cpu_system_us", usage->cpu_system_us);
	jcs_u64(jcs, "cpu_user_us", usage->cpu_user_us);
	jcs_u64(jcs, "disk_bytes", result->disk_bytes);
	jcs_u64(jcs, "io_read_bytes", usage->io_read_bytes);
	jcs_u64(jcs, "io_write_bytes", usage->io_write_bytes);
	jcs_u64(jcs, "memory_peak_bytes", usage->memory_peak_bytes);
	jcs_u64(jcs, "pids_peak", usage->pids_peak);
	jcs_object_end(jcs);
}

struct record_end_refs {
	struct audit_ref outputs[2], changes, files;
	bool has_output[2], has_changes;
};

/* What cannot be kept is hashed. */
static void record_end_blob(struct record *record, const struct buf *data, enum run_payload payload,
			    struct audit_ref *ret)
{
	enum audit_keep keep = record->spec->identity.keep[payload];
	struct err err = {0};

	*ret = (struct audit_ref){.mode = AUDIT_KEEP_OFF};
	if (audit_blob(record->log, data->data, data->len, keep, ret, &err) == 0 &&
	    audit_settle(record->log, &err) == 0)
		return;
	record_lose(record, payload, &err);
	if (keep == AUDIT_KEEP_FULL &&
	    audit_blob(record->log, data->data, data->len, AUDIT_KEEP_HASH, ret, &err) < 0)
		*ret = (struct audit_ref){.mode = AUDIT_KEEP_OFF};
}

static void record_end_payloads(struct record *record, const struct run_result *result,
				struct record_end_refs *refs)
{
	const enum audit_keep *keep = record->spec->identity.keep;
	struct err err = {0};

	for (int i = 0; i < 2; i++) {
		refs->has_output[i] = record->outputs[i] != NULL;
		if (!record->outputs[i] ||
		    (audit_blob_finish(record->outputs[i], &refs->outputs[i], &err) == 0 &&
		     audit_settle(record->log, &err) == 0))
			continue;
		record_lose(record, RUN_PAYLOAD_STDOUT + i, &err);
		refs->has_output[i] = false;
	}
	refs->has_changes = keep[RUN_PAYLOAD_CHANGES] == AUDIT_KEEP_OFF || result->changes.len > 2;
	if (refs->has_changes)
		record_end_blob(record, &result->changes, RUN_PAYLOAD_CHANGES, &refs->changes);
	if (result->accessed.data)
		record_end_blob(record, &result->accessed, RUN_PAYLOAD_FILES, &refs->files);
}

static void record_lost(struct jcs *jcs, char *lost)
{
	if (!lost)
		return;
	jcs_array(jcs, "lost");
	for (char *save, *line = strtok_r(lost, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		jcs_string(jcs, NULL, line);
	jcs_array_end(jcs);
}

static int record_end_text(const struct record *record, const struct run_result *result,
			   const struct record_end_refs *refs, struct buf *text)
{
	static const char *const streams[] = {"stderr", "stdout"};
	struct jcs jcs;

	jcs_init(&jcs, text);
	jcs_object(&jcs, NULL);
	if (refs->has_changes)
		audit_ref_write(&jcs, "changes", &refs->changes);
	else if (result->changes.len)
		record_none(&jcs, "changes");
	else
		jcs_null(&jcs, "changes"); /* the look failed or was given up: not known */
	jcs_bool(&jcs, "changes_truncated", result->changes_truncated);
	jcs_u64(&jcs, "duration_ms", result->duration_ms);
	jcs_string(&jcs, "ended_by", run_end_names[result->ended_by]);
	jcs_i64(&jcs, "exit_code", result->exit_code);
	if (result->accessed.data)
		audit_ref_write(&jcs, "files", &refs->files);
	else
		jcs_null(&jcs, "files"); /* nobody looked: rootless, or switched off */
	record_lost(&jcs, record->lost.data);
	jcs_object(&jcs, "outputs");
	for (int i = 0; i < 2; i++)
		if (refs->has_output[1 - i])
			audit_ref_write(&jcs, streams[i], &refs->outputs[1 - i]);
	jcs_object_end(&jcs);
	jcs_string(&jcs, "run", result->id);
	if (result->signal)
		jcs_i64(&jcs, "signal", result->signal);
	jcs_u64(&jcs, "start", record->start_seq);
	record_time(&jcs);
	jcs_string(&jcs, "type", "run.end");
	record_usage(&jcs, result);
	jcs_u64(&jcs, "v", 1);
	jcs_object_end(&jcs);
	return jcs_done(&jcs);
}

/* All are asked, whatever one says: each is another memory. */
static void record_witness(struct record *record, struct err *err)
{
	const struct run_identity *identity = &record->spec->identity;

	for (size_t i = 0; i < identity->n_witnesses; i++) {
		struct err one = {0};

		if (audit_witness(record->log, identity->witnesses[i], RECORD_WITNESS_MS, &one) < 0)
			*err = one;
	}
}

void record_end(struct record *record, struct run_result *ret)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_AUDIT_RECORD);
	struct run_audit *audit = &ret->audit;
	struct record_end_refs refs = {0};
	int r;

	audit->start = record->start_seq;
	audit->end = AUDIT_NONE;
	if (!record->started)
		return;
	record->started = false;
	record_end_payloads(record, ret, &refs);
	r = record_write(record, &text, record_end_text(record, ret, &refs, &text), &audit->end,
			 &audit->err);
	if (r == 0)
		record_witness(record, &audit->err);
	if (r == 0 && audit_checkpoint(record->log, &audit->checkpoint, &audit->err) < 0)
		r = -EIO;
	if (r < 0)
		err_wrap(&audit->err, "the end of run %s is not in the log", ret->id);
}

void record_failed(struct record *record, const struct err *why)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_AUDIT_RECORD);
	struct err err = {0};
	uint64_t seq;
	struct jcs jcs;

	if (!record->started)
		return;
	record->started = false;
	jcs_init(&jcs, &text);
	jcs_object(&jcs, NULL);
	jcs_string(&jcs, "ended_by", "error");
	jcs_string(&jcs, "error", why->text);
	jcs_string(&jcs, "run", record->run);
	jcs_u64(&jcs, "start", record->start_seq);
	record_time(&jcs);
	jcs_string(&jcs, "type", "run.end");
	jcs_u64(&jcs, "v", 1);
	jcs_object_end(&jcs);
	/* The caller hears of `why`; an error of the log shows at the next record. */
	if (record_write(record, &text, jcs_done(&jcs), &seq, &err) < 0)
		errno = err.code;
}

void record_done(struct record *record)
{
	for (int i = 0; i < 2; i++)
		record->outputs[i] = audit_blob_free(record->outputs[i]);
	buf_done(&record->lost);
	record->log = audit_close(record->log);
}
