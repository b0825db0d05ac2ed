/* SPDX-License-Identifier: Apache-2.0 */
/* run-cmd.c: `creel run`: from options to a run and back to the caller. */
#include "creel.h"
#include "detached.h"
#include "fs.h"
#include "io.h"
#include "json.h"
#include "lang.h"
#include "options.h"
#include "result.h"
#include "run.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define ARGV_EXTRA 12

struct prepared {
	struct run_spec spec;
	char **argv;
	char *env[OPTIONS_ENV_MAX + 16];
	char program[128], script[64], path[CEIL_PATH], home[32], read[CEIL_PATH + 8], term[64];
	int code_fd;
};

int creel_fail(const struct err *err, bool json_wanted)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1u << 16);
	struct json json;

	if (!json_wanted) {
		fprintf(stderr, "creel: %s\n", err->text);
		return CREEL_EXIT_FAILED;
	}
	json_init(&json, &out);
	json_object(&json, NULL);
	result_error(&json, err);
	json_i64(&json, "exit_code", CREEL_EXIT_FAILED);
	json_object_end(&json);
	if (json_done(&json) == 0)
		puts(out.data);
	return CREEL_EXIT_FAILED;
}

static bool env_has(const struct options *options, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < options->n_env; i++)
		if (strncmp(options->env[i], name, len) == 0 && options->env[i][len] == '=')
			return true;
	return false;
}

/* Nothing of the caller's environment goes in but TERM. */
static void prepare_env(const struct options *options, struct prepared *p)
{
	const char *term = getenv("TERM");
	char *const defaults[] = {
		(char *)(uintptr_t)(options->as_root ? "PATH=/usr/local/sbin:/usr/local/bin:/usr/"
						       "sbin:/usr/bin:/sbin:/bin"
						     : "PATH=/usr/local/bin:/usr/bin:/bin"),
		(char *)(uintptr_t)(options->as_root ? "HOME=/root" : "HOME=/home/user"),
		(char *)(uintptr_t)(options->as_root ? "USER=root" : "USER=user"),
		(char *)(uintptr_t)(options->as_root ? "LOGNAME=root" : "LOGNAME=user"),
		(char *)(uintptr_t) "SHELL=/bin/bash",
		(char *)(uintptr_t) "LANG=C.UTF-8",
		p->spec.tty ? p->term : NULL,
	};
	size_t n = 0;

	snprintf(p->term, sizeof(p->term), "TERM=%.50s", term && *term ? term : "xterm");
	for (size_t i = 0; i < ELEMENTSOF(defaults); i++) {
		char name[16];

		if (!defaults[i])
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(defaults[i], "="), defaults[i]);
		if (!env_has(options, name))
			p->env[n++] = defaults[i];
	}
	for (size_t i = 0; i < options->n_env; i++)
		p->env[n++] = options->env[i];
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
	int n = 0, rest = code ? 0 : 1, r = 0;

	if (!lang_program(lang, p->program, sizeof(p->program))) {
		char known[512];

		lang_list(known, sizeof(known));
		return err_set(
			err, ENOENT, "run",
			"the image host has no %s for --lang %s; install it, or use one of: %s",
			lang->programs[0], options->lang, known);
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

static int prepare(struct options *options, struct prepared *p, struct err *err)
{
	p->code_fd = -1;
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
	prepare_env(options, p);
	for (int i = 0; i < options->argc; i++)
		p->argv[i] = options->argv[i];
	if (options->lang && prepare_lang(options, p, err) < 0)
		return -err->code;
	p->spec.sandbox.helper = run_needs_keeper(&p->spec);
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
}

int cmd_run(int argc, char **argv)
{
	static struct options options;
	static struct prepared prepared;
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
	if (state_open(options.state, &state, &err) < 0 || prepare(&options, &prepared, &err) < 0)
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
	fd_close(prepared.code_fd);
	free(prepared.argv);
	return code;
}
