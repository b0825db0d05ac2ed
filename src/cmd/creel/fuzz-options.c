/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-options.c: the input is a command line, its words ended by NUL. What is taken is within
 * every bound; what is refused has a clean line that says why.
 */
#include "err.h"
#include "fs.h"
#include "options.h"

#include <unistd.h>

#include "../../testing/fuzz.h"

/* The real program's options live as long as it: nothing of them is ever freed. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static void check_line(const struct err *err)
{
	FUZZ_MUST(err->code > 0 && err->text[0] && strlen(err->text) < ERR_TEXT_MAX);
	for (const char *p = err->text; *p; p++)
		FUZZ_MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void check_options(const struct options *o)
{
	char canonical[CEIL_PATH];

	FUZZ_MUST(o->help || o->argc > 0 || o->code);
	FUZZ_MUST(o->n_ro <= CEIL_MOUNTS && o->n_in <= OPTIONS_IN_MAX);
	FUZZ_MUST(o->n_env <= OPTIONS_ENV_MAX && o->n_labels <= CEIL_LABELS);
	FUZZ_MUST(o->seccomp && o->hostname && o->cwd && o->cwd[0] == '/');
	FUZZ_MUST(strcmp(o->image, "host") == 0);
	for (size_t i = 0; i < o->n_ro; i++) {
		const char *target = o->ro[i].target;

		FUZZ_MUST(o->ro[i].source && o->ro[i].source[0] == '/');
		FUZZ_MUST(fs_canonical(target, canonical, sizeof(canonical)) == 0);
		FUZZ_MUST(strcmp(canonical, target) == 0);
		FUZZ_MUST(!fs_is_below(target, "/proc") && !fs_is_below(target, "/dev"));
		FUZZ_MUST(!fs_is_below(target, "/sys") && strcmp(target, "/") != 0);
	}
	for (size_t i = 0; i < o->n_env; i++)
		FUZZ_MUST(strchr(o->env[i], '=') > o->env[i]);
	for (int i = 0; i < LIMIT_MAX; i++)
		FUZZ_MUST(!o->limits.of[i].named || o->limits.of[i].value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct options options;
	char *text = fuzz_text(data, size), *argv[200] = {(char *)(uintptr_t) "run"};
	struct err err = {0};
	int argc = 1, r;

	/* No file of this machine is read as a configuration. */
	setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
	for (char *p = text; p < text + size && argc < 199; p += strlen(p) + 1)
		argv[argc++] = p;
	options_wants_json(argc, argv);
	r = options_parse(argc, argv, &options, &err);
	FUZZ_MUST(r <= 0);
	if (r < 0)
		check_line(&err);
	else
		check_options(&options);
	free(text);
	return 0;
}

/* As an ordinary user, whose configuration is the one above. */
uid_t geteuid(void)
{
	return 1234;
}
