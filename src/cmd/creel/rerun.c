/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rerun.c: `creel rerun`: the run of a record once more.
 *
 * What is kept of a run is put together again to words of `creel run`. The new run keeps all of its
 * own payloads, so that rerun-compare.c can tell what came out differently.
 */
#include "rerun.h"

#include "creel.h"
#include "rerun-private.h"
#include "run-cmd.h"

#include <getopt.h>

/* A payload that the run cannot be put together without. */
static int rerun_payload(const struct rerun *rerun, const char *name, struct buf *ret,
			 struct err *err)
{
	const json_t *ref = audit_ref(rerun->start, name);
	const char *hash = ref ? audit_ref_hash(ref) : NULL;
	int r = hash ? audit_blob_read(rerun->log, hash, ret, err) : -ENOENT;

	if (r == -ENOENT)
		return err_set(err, ENOENT, "rerun",
			       "the %s of this run is not kept (it was erased, or --audit had it "
			       "hashed or off): it cannot be run again",
			       name);
	return r;
}

static int rerun_take(const struct audit_hit *hit, void *data, struct err *err)
{
	json_t **ret = data;

	(void)err;
	*ret = json_incref((json_t *)(uintptr_t)hit->record);
	return 1; /* the first is the only one */
}

static int rerun_record(struct audit *log, const char *run, const char *type, json_t **ret,
			struct err *err)
{
	struct audit_filter filter = {
		.run = run, .type = type, .since = INT64_MIN, .until = INT64_MAX};
	uint64_t missing = 0;
	int r = audit_search(log, &filter, rerun_take, ret, &missing, err);

	return r < 0 ? r : 0;
}

/* The records of the run, by the number of one of them or by its id. */
static int rerun_find(struct rerun *rerun, const char *arg, struct err *err)
{
	_cleanup_json_ json_t *named = NULL;
	const char *run = arg;
	uint64_t seq;
	int r = 0;

	if (audit_is_seq(arg, &seq)) {
		r = audit_load(rerun->log, seq, &named, err);
		run = r == 0 ? audit_field(named, "run") : NULL;
	}
	if (r == 0 && run)
		r = rerun_record(rerun->log, run, "run.start", &rerun->start, err);
	if (r == 0 && run)
		r = rerun_record(rerun->log, run, "run.end", &rerun->end, err);
	if (r == 0 && !rerun->start)
		r = err_set(err, ENOENT, "rerun", "%s is neither a run nor a record of one", arg);
	return r;
}

static size_t rerun_count(const struct buf *words)
{
	size_t n = 0;

	for (size_t i = 0; i < words->len; i++)
		n += words->data[i] == '\0';
	return n;
}

/* The strings stay where they are. */
static char **rerun_argv(const struct rerun *rerun)
{
	static const char *const always[] = {"--json", "--audit", "all=full", "--tty", "off"};
	char **argv = calloc(rerun_count(&rerun->words) + 2 * rerun->n_env + 16, sizeof(*argv));
	size_t n = 0;

	if (!argv)
		return NULL;
	argv[n++] = (char *)(uintptr_t) "run";
	for (size_t i = 0; i < ELEMENTSOF(always); i++)
		argv[n++] = (char *)(uintptr_t)always[i];
	for (size_t i = 0; i < rerun->n_env; i++) {
		argv[n++] = (char *)(uintptr_t) "--env";
		argv[n++] = rerun->env[i];
	}
	if (rerun->state) {
		argv[n++] = (char *)(uintptr_t) "--state";
		argv[n++] = (char *)(uintptr_t)rerun->state;
	}
	if (rerun->code.data) {
		argv[n++] = (char *)(uintptr_t) "-c";
		argv[n++] = rerun->code.data;
	}
	for (size_t at = 0; at < rerun->words.len; at += strlen(rerun->words.data + at) + 1)
		argv[n++] = rerun->words.data + at;
	return argv;
}

static int rerun_collect(struct rerun *rerun, const char *arg, struct err *err)
{
	int r = rerun_find(rerun, arg, err);

	if (r == 0)
		r = rerun_payload(rerun, "argv", &rerun->words, err);
	if (r == 0 && json_object_get(rerun->start, "code"))
		r = rerun_payload(rerun, "code", &rerun->code, err);
	return r;
}

static int rerun_run(struct rerun *rerun, const char *arg, struct run_result *ret, struct err *err)
{
	_cleanup_free_ char **argv = NULL;
	struct state state;
	char dir[512];
	int r = state_open(rerun->state, &state, err), argc = 0;

	if (r < 0)
		return r;
	snprintf(dir, sizeof(dir), "%s/audit", state.data);
	r = audit_open_reader(dir, rerun->org, &rerun->log, err);
	if (r == 0)
		r = rerun_collect(rerun, arg, err);
	if (r < 0)
		return r;
	argv = rerun_argv(rerun);
	if (!argv)
		return err_set(err, ENOMEM, "rerun", "out of memory");
	while (argv[argc])
		argc++;
	return run_words(argc, argv, ret, err);
}

/* What creel exits with, or negative. */
static int rerun_tell(const struct rerun *rerun, const struct run_result *result, struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(CEIL_CHANGES_JSON);
	size_t n = json_array_size(rerun->differences);
	int r;

	if (rerun->json) {
		_cleanup_json_ json_t *told = json_pack(
			"{s:s, s:I, s:I, s:b, s:O}", "run", result->id, "start",
			(json_int_t)result->audit.start, "end", (json_int_t)result->audit.end,
			"same", n == 0, "differences", rerun->differences);
		_cleanup_free_ char *text = told ? json_dumps(told, JSON_COMPACT) : NULL;

		r = text ? buf_printf(&out, "%s\n", text) : -ENOMEM;
	} else {
		r = buf_printf(&out, "run %s: %s\n", result->id, n ? "differs" : "the same");
	}
	for (size_t i = 0; r == 0 && !rerun->json && i < n; i++) {
		const char *line = json_string_value(json_array_get(rerun->differences, i));

		r = audit_text(&out, line, strlen(line), AUDIT_ONE_LINE);
		if (r == 0)
			r = buf_putc(&out, '\n');
	}
	if (r < 0)
		return err_errno(err, -r, "rerun", "cannot tell what differs");
	r = audit_print(&out, err);
	return r < 0 ? r : n ? RERUN_EXIT_DIFFERS : 0;
}

static void rerun_done(struct rerun *rerun)
{
	json_decref(rerun->start);
	json_decref(rerun->end);
	json_decref(rerun->differences);
	buf_done(&rerun->words);
	buf_done(&rerun->code);
	audit_close(rerun->log);
	free(rerun->env);
}

static int rerun_all(struct rerun *rerun, const char *arg, struct err *err)
{
	struct run_result result = {0};
	int r = rerun_run(rerun, arg, &result, err);

	if (r < 0)
		return r;
	if (result.audit.end == AUDIT_NONE) {
		*err = result.audit.err;
		r = -err->code;
	} else {
		r = rerun_compare(rerun, &result, err);
	}
	if (r == 0)
		r = rerun_tell(rerun, &result, err);
	run_result_done(&result);
	return r;
}

/* True: one argument is left, at optind. */
static bool rerun_options(struct rerun *rerun, int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},	 {"org", required_argument, NULL, 'o'},
		{"state", required_argument, NULL, 's'}, {"env", required_argument, NULL, 'e'},
		{"help", no_argument, NULL, 'h'},	 {0}};
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, "+h", longs, NULL)) != -1)
		switch (option) {
		case 'j':
			rerun->json = true;
			break;
		case 'o':
			rerun->org = optarg;
			break;
		case 's':
			rerun->state = optarg;
			break;
		case 'e':
			rerun->env[rerun->n_env++] = optarg;
			break;
		case 'h':
			rerun->help = true;
			return true;
		default:
			return false;
		}
	if (argc - optind == 1)
		return true;
	fputs("creel: rerun needs one SEQ or run id; see creel help rerun\n", stderr);
	return false;
}

int cmd_rerun(int argc, char **argv)
{
	struct rerun rerun = {.org = "local",
			      .differences = json_array(),
			      .words = BUF_INIT(CEIL_FRAME),
			      .code = BUF_INIT(CEIL_FRAME),
			      .env = calloc((size_t)argc + 1, sizeof(char *))};
	struct err err = {0};
	int r = CREEL_EXIT_FAILED;

	if (!rerun.env || !rerun.differences) {
		err_set(&err, ENOMEM, "rerun", "out of memory");
		creel_fail(&err, false);
	} else if (rerun_options(&rerun, argc, argv)) {
		r = rerun.help ? cmd_help(2, (char *[]){argv[0], argv[0], NULL})
			       : rerun_all(&rerun, argv[optind], &err);
		if (r < 0)
			r = creel_fail(&err, rerun.json);
	}
	rerun_done(&rerun);
	return r;
}
