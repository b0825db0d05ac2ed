/* SPDX-License-Identifier: Apache-2.0 */
/* run-cmd.c: `creel run`: from options to a run and back to the caller. */
#include "run-cmd.h"
#include "creel.h"
#include "detached.h"
#include "fs.h"
#include "io.h"
#include "jsonw.h"
#include "keeper.h"
#include "lang.h"
#include "options.h"
#include "rerun.h"
#include "result.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define ARGV_EXTRA 12

struct prepared {
	struct run_spec spec;
	char **argv;
	char *env[OPTIONS_ENV_MAX + CEIL_IMAGE_ENV + 16];
	char program[128], script[64], path[CEIL_PATH], read[CEIL_PATH + 8], term[64];
	char home[300], user[2][48], overlay[CEIL_PATH];
	int code_fd, image_fd;
	struct image image;
	char **words; /* of creel run, for the record */
};

int creel_fail(const struct err *err, bool json_wanted)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1u << 16);
	struct jsonw json;

	if (!json_wanted) {
		fprintf(stderr, "creel: %s\n", err->text);
		return CREEL_EXIT_FAILED;
	}
	jsonw_init(&json, &out);
	jsonw_object(&json, NULL);
	result_error(&json, err);
	jsonw_i64(&json, "exit_code", CREEL_EXIT_FAILED);
	jsonw_object_end(&json);
	if (jsonw_done(&json) == 0)
		puts(out.data);
	return CREEL_EXIT_FAILED;
}

static bool env_has(char *const *env, size_t n, const char *variable)
{
	size_t len = strcspn(variable, "=") + 1;

	for (size_t i = 0; i < n; i++)
		if (strncmp(env[i], variable, len) == 0)
			return true;
	return false;
}

static void env_add(struct prepared *p, size_t *n, char *variable)
{
	if (variable && *n < ELEMENTSOF(p->env) - 1 && !env_has(p->env, *n, variable))
		p->env[(*n)++] = variable;
}

/* The caller's words, then the image's, then what every shell expects; of the caller's own
 * environment nothing goes in but TERM. */
static void prepare_env(const struct options *options, struct prepared *p)
{
	const char *term = getenv("TERM"), *user = options->as_root ? "root" : p->image.user;
	const char *home = sandbox_home(&p->spec.sandbox);
	char *path =
		(char *)(uintptr_t)(options->as_root ? "PATH=/usr/local/sbin:/usr/local/bin:/usr/"
						       "sbin:/usr/bin:/sbin:/bin"
						     : "PATH=/usr/local/bin:/usr/bin:/bin");
	size_t n = 0, n_image = 0;

	snprintf(p->term, sizeof(p->term), "TERM=%.50s", term && *term ? term : "xterm");
	snprintf(p->home, sizeof(p->home), "HOME=%s", home);
	snprintf(p->user[0], sizeof(p->user[0]), "USER=%s", *user ? user : "user");
	snprintf(p->user[1], sizeof(p->user[1]), "LOGNAME=%s", *user ? user : "user");
	for (size_t i = 0; i < options->n_env; i++)
		env_add(p, &n, options->env[i]);
	for (char **e = p->image.env; e && *e; e++)
		n_image++;
	while (n_image > 0) /* of an image's own, the later one counts */
		env_add(p, &n, p->image.env[--n_image]);
	env_add(p, &n, path);
	env_add(p, &n, p->home);
	env_add(p, &n, p->user[0]);
	env_add(p, &n, p->user[1]);
	env_add(p, &n, (char *)(uintptr_t) "SHELL=/bin/bash");
	env_add(p, &n, (char *)(uintptr_t) "LANG=C.UTF-8");
	env_add(p, &n, p->spec.tty ? p->term : NULL);
	p->env[n] = NULL;
}

/* Code for an interpreter that only reads files. */
static int prepare_code(const struct options *options, const struct lang *lang, struct prepared *p,
			struct err *err)
{
	static char name[32];
	int r;

	p->code_fd = memfd_create("code", MFD_CLOEXEC);
	if (p->code_fd < 0)
		return err_errno(err, errno, "run", "memfd_create");
	r = io_write_full(p->code_fd, options->code, strlen(options->code));
	if (r == 0 && fchmod(p->code_fd, 0644) < 0)
		r = -errno;
	if (r < 0)
		return err_errno(err, -r, "run", "cannot keep the code");
	snprintf(p->script, sizeof(p->script), "/proc/self/fd/%d", p->code_fd);
	snprintf(name, sizeof(name), "main%s", lang->suffix);
	p->spec.sandbox.script = p->script;
	p->spec.sandbox.script_name = name;
	snprintf(p->path, sizeof(p->path), "/run/script/%s", name);
	return 0;
}

/* FILE inside: where the workspace shows it, or a copy. */
static int prepare_file(const struct options *options, struct prepared *p, struct err *err)
{
	char *file = realpath(options->argv[0], NULL);
	struct stat st;

	if (!file || stat(file, &st) < 0)
		return err_errno(err, errno, "run", "%s", options->argv[0]);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EISDIR, "run", "%s is not a file", options->argv[0]);
	if (access(file, R_OK) < 0)
		return err_errno(err, errno, "run", "%s", options->argv[0]);
	if (options->workspace && fs_is_below(file, options->workspace)) {
		snprintf(p->path, sizeof(p->path), "/workspace%s",
			 file + strlen(options->workspace));
		return 0;
	}
	p->spec.sandbox.script = file;
	p->spec.sandbox.script_name = strrchr(file, '/') + 1;
	snprintf(p->path, sizeof(p->path), "/run/script/%s", p->spec.sandbox.script_name);
	return 0;
}

static int prepare_lang(const struct options *options, struct prepared *p, struct err *err)
{
	const struct lang *lang = lang_find(options->lang);
	const char *code = options->code, *before = lang->code_option;
	const char *root = p->spec.sandbox.image ? p->image.root : NULL;
	int n = 0, rest = code ? 0 : 1, r = 0;

	if (!lang_program(lang, root, p->program, sizeof(p->program))) {
		char known[512];

		lang_list(root, known, sizeof(known));
		return err_set(
			err, ENOENT, "run",
			"the image %s has no %s for --lang %s; install it, or use one of: %s",
			options->image, lang->programs[0], options->lang, known);
	}
	if (code && !before)
		r = prepare_code(options, lang, p, err);
	else if (!code)
		r = prepare_file(options, p, err);
	if (r < 0)
		return r;
	p->argv[n++] = p->program;
	for (size_t i = 0; i < ELEMENTSOF(lang->options) && lang->options[i]; i++)
		p->argv[n++] = (char *)(uintptr_t)lang->options[i];
	if (code && before) {
		if (*before)
			p->argv[n++] = (char *)(uintptr_t)before;
		p->argv[n++] = (char *)(uintptr_t)code;
	} else if (lang->file_option && lang->file_option[0] == '.') {
		snprintf(p->read, sizeof(p->read), "%s %s", lang->file_option, p->path);
		p->argv[n++] = p->read; /* sqlite3 takes the command and its file as one word */
	} else {
		if (lang->file_option)
			p->argv[n++] = (char *)(uintptr_t)lang->file_option;
		p->argv[n++] = p->path;
	}
	for (int i = rest; i < options->argc; i++)
		p->argv[n++] = options->argv[i];
	p->argv[n] = NULL;
	return 0;
}

static bool wants_tty(const struct options *options)
{
	if (options->tty != OPTIONS_TTY_AUTO)
		return options->tty == OPTIONS_TTY_ON;
	return !options->json && !options->detach && isatty(0) && isatty(1);
}

/* The image by its name, locked, so that nobody removes it meanwhile. */
static int prepare_image(const struct state *state, const struct options *options,
			 struct prepared *p, struct err *err)
{
	int r;

	if (strcmp(options->image, "host") == 0)
		return 0;
	r = image_resolve(state->data, options->image, &p->image, err);
	if (r == 0)
		r = image_lock(&p->image, &p->image_fd, err);
	if (r == 0)
		p->spec.sandbox.image = &p->image;
	return r;
}

/* What the run keeps, and for --continue the directory that its changes are of. */
static int prepare_keeps(const struct state *state, const struct options *options,
			 struct prepared *p, struct err *err)
{
	struct sandbox_keeps *keeps = &p->spec.sandbox.keeps;

	*keeps = (struct sandbox_keeps){.org = options->org,
					.owner = options->agent,
					.agent = options->ephemeral ? NULL : options->agent,
					.workspace = options->workspace_name,
					.layer = options->keep,
					.overlay = options->overlay,
					.overlay_id = options->overlay_id};
	if (!options->overlay_id)
		return 0;
	keeps->overlay = p->overlay;
	return places_find_overlay(state, keeps, p->overlay, sizeof(p->overlay), err);
}

static int prepare_identity(const struct options *options, struct prepared *p, struct err *err)
{
	struct run_identity *identity = &p->spec.identity;

	p->words = rerun_words(options, &p->image);
	if (!p->words)
		return err_set(err, ENOMEM, "run", "out of memory");
	*identity = (struct run_identity){.user = options->user_id,
					  .agent = options->agent,
					  .skill = options->skill,
					  .session = options->session,
					  .labels = options->labels,
					  .n_labels = options->n_labels,
					  .code = options->code,
					  .words = p->words,
					  .witnesses = options->witnesses,
					  .n_witnesses = options->n_witnesses};
	memcpy(identity->keep, options->audit, sizeof(identity->keep));
	return 0;
}

static int prepare(const struct state *state, struct options *options, struct prepared *p,
		   struct err *err)
{
	p->code_fd = p->image_fd = -1;
	p->argv = calloc((size_t)options->argc + ARGV_EXTRA, sizeof(*p->argv));
	if (!p->argv)
		return err_set(err, ENOMEM, "run", "out of memory");
	p->spec = (struct run_spec){
		.sandbox = {.as_root = options->as_root,
			    .seccomp = options->seccomp,
			    .hostname = options->hostname,
			    .workspace = options->workspace,
			    .ro = options->ro,
			    .n_ro = options->n_ro,
			    .in = options->in,
			    .n_in = options->n_in,
			    .limits = &options->limits,
			    .read_back = options->json || options->detach || options->level},
		.argv = p->argv,
		.env = p->env,
		.cwd = options->cwd,
		.capture = options->json,
		.want_changes = options->json || options->detach,
		.out = options->out,
		.stdio = {0, 1, 2},
		.tty = wants_tty(options),
	};
	if (p->spec.tty && !options->limits.of[LIMIT_TIMEOUT].named)
		options->limits.of[LIMIT_TIMEOUT].value = 0;
	if (prepare_image(state, options, p, err) < 0 ||
	    prepare_keeps(state, options, p, err) < 0 || prepare_identity(options, p, err) < 0)
		return -err->code;
	prepare_env(options, p);
	for (int i = 0; i < options->argc; i++)
		p->argv[i] = options->argv[i];
	if (options->lang && prepare_lang(options, p, err) < 0)
		return -err->code;
	p->spec.sandbox.helper = keeper_is_early(&p->spec.sandbox);
	return 0;
}

/* Standard descriptors that the caller closed would be taken by files of ours. */
static int reserve_stdio(struct err *err)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return err_errno(err, errno, "run", "cannot open /dev/null");
	return 0;
}

static int print_result(const struct options *options, const struct run_result *result,
			struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(CEIL_RESULT);
	int r = result_json(options, result, &out);

	if (r == 0)
		r = io_write_full(1, out.data, out.len);
	return r < 0 ? err_errno(err, -r, "run", "cannot write the result") : 0;
}

static void tell_result(const struct options *options, const struct run_result *result)
{
	struct err err;

	result_explain(options, result, 2);
	if (result->lost) {
		err_errno(&err, result->lost, "run", "cannot write the command's output");
		creel_fail(&err, false);
	}
	if (result->files.code)
		creel_fail(&result->files, false);
	if (result->audit.err.code)
		creel_fail(&result->audit.err, false);
	if (*result->overlay)
		fprintf(stderr, "creel: what changed is kept: creel diff|apply|discard %s\n",
			result->overlay);
}

static void prepared_done(struct prepared *p)
{
	fd_close(p->code_fd);
	fd_close(p->image_fd);
	image_done(&p->image);
	free(p->argv);
	free(p->words);
}

int run_words(int argc, char **argv, struct run_result *ret, struct err *err)
{
	static struct options options;
	static struct prepared prepared = {.code_fd = -1, .image_fd = -1};
	struct state state;
	int r = options_parse(argc, argv, &options, err);

	if (r == 0)
		r = state_open(options.state, &state, err);
	if (r == 0)
		r = prepare(&state, &options, &prepared, err);
	if (r == 0)
		r = run(&state, &prepared.spec, ret, err);
	prepared_done(&prepared);
	return r;
}

int cmd_run(int argc, char **argv)
{
	static struct options options;
	static struct prepared prepared = {.code_fd = -1, .image_fd = -1};
	struct run_result result;
	struct state state;
	struct err err = {0};
	bool json = options_wants_json(argc, argv);
	int code;

	if (reserve_stdio(&err) < 0 || options_parse(argc, argv, &options, &err) < 0)
		return creel_fail(&err, json);
	if (options.help) {
		help_run(stdout);
		return 0;
	}
	if (state_open(options.state, &state, &err) < 0 ||
	    prepare(&state, &options, &prepared, &err) < 0)
		return creel_fail(&err, json);
	if (options.detach)
		return detached_run(&state, &options, &prepared.spec);
	if (run(&state, &prepared.spec, &result, &err) < 0)
		return creel_fail(&err, json);
	code = result.exit_code;
	if (!options.json)
		tell_result(&options, &result);
	else if (print_result(&options, &result, &err) < 0)
		code = creel_fail(&err, false);
	run_result_done(&result);
	prepared_done(&prepared);
	return code;
}
