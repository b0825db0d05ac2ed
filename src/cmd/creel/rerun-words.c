/* SPDX-License-Identifier: Apache-2.0 */
/* rerun-words.c: see rerun.h. */
#include "rerun.h"

#include "buf.h"
#include "ceilings.h"

struct words {
	struct buf text; /* each word with a NUL behind it */
	size_t n;
	int error;
};

_printf_(3, 4) static void word(struct words *words, const char *option, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0)
		words->error = -ENOMEM;
	if (words->error == 0)
		words->error = buf_append(&words->text, option, strlen(option) + 1);
	if (words->error == 0)
		words->error = buf_append(&words->text, text, (size_t)len + 1);
	words->n += 2;
	if (len >= 0)
		free(text);
}

static void word_if(struct words *words, const char *option, const char *value)
{
	if (value)
		word(words, option, "%s", value);
}

static void one_if(struct words *words, const char *text, bool on)
{
	if (!on)
		return;
	if (words->error == 0)
		words->error = buf_append(&words->text, text, strlen(text) + 1);
	words->n++;
}

static void limits(struct words *words, const struct limits *limits)
{
	for (int i = 0; i < LIMIT_MAX; i++) {
		const struct limit *limit = &limits->of[i];

		if (!limit->named || !limit->value)
			continue;
		if (i == LIMIT_CPUS)
			word(words, limit_options[i], "%llu.%03llu",
			     (unsigned long long)limit->value / 1000,
			     (unsigned long long)limit->value % 1000);
		else
			word(words, limit_options[i], "%llu%s", (unsigned long long)limit->value,
			     i == LIMIT_TIMEOUT || i == LIMIT_CPU_TIME ? "ms" : "");
	}
}

static void files(struct words *words, const struct options *options)
{
	word_if(words, "--workspace", options->workspace);
	word_if(words, "--workspace", options->workspace_name);
	word_if(words, "--overlay", options->overlay);
	word_if(words, "--continue", options->overlay_id);
	word_if(words, "--keep", options->keep);
	for (size_t i = 0; i < options->n_ro; i++)
		word(words, "--ro", "%s:%s%s%s", options->ro[i].source, options->ro[i].target,
		     options->ro[i].stated ? ":sha256=" : "",
		     options->ro[i].stated ? options->ro[i].stated : "");
	for (size_t i = 0; i < options->n_in; i++)
		word(words, "--in", "%s", options->in[i]);
}

static void identity(struct words *words, const struct options *options)
{
	word(words, "--org", "%s", options->org);
	word_if(words, "--user-id", options->user_id);
	word_if(words, "--agent", options->agent);
	one_if(words, "--ephemeral", options->ephemeral);
	word_if(words, "--skill", options->skill);
	word_if(words, "--session", options->session);
	for (size_t i = 0; i < options->n_labels; i++)
		word(words, "--label", "%s", options->labels[i]);
}

/* One block: the pointers, and behind them what they point to. */
static char **words_block(const struct words *words)
{
	size_t pointers = (words->n + 1) * sizeof(char *);
	char **block = malloc(pointers + words->text.len);
	char *at = (char *)block + pointers;

	if (!block)
		return NULL;
	memcpy(at, words->text.data, words->text.len);
	for (size_t i = 0; i < words->n; i++) {
		block[i] = at;
		at += strlen(at) + 1;
	}
	block[words->n] = NULL;
	return block;
}

char **rerun_words(const struct options *options, const struct image *image)
{
	struct words words = {.text = BUF_INIT(CEIL_FRAME)};
	char **block = NULL;

	word(&words, "--image", "%s", *image->digest ? image->digest : options->image);
	identity(&words, options);
	files(&words, options);
	limits(&words, &options->limits);
	word(&words, "--cwd", "%s", options->cwd);
	word(&words, "--hostname", "%s", options->hostname);
	word(&words, "--seccomp", "%s", options->seccomp->name);
	one_if(&words, "--root", options->as_root);
	word_if(&words, "--lang", options->lang);
	one_if(&words, "--", true);
	for (int i = 0; i < options->argc; i++)
		one_if(&words, options->argv[i], true);
	if (words.error == 0)
		block = words_block(&words);
	buf_done(&words.text);
	return block;
}
