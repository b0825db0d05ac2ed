/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipe.c: see recipe.h. A recipe of a file is somebody's text: its words end up in the argument
 * of a program, so that a package's name has the form that Debian's policy gives it (5.6.1).
 */
#include "recipe.h"

#include "ceilings.h"
#include "err.h"
#include "io.h"
#include "manifest-private.h"
#include "parse.h"

#include <fcntl.h>

#define RECIPE_DEPTH 8 /* `from` of `from` */

static int put_line(struct buf *buf, const char *text)
{
	int r = buf_puts(buf, text);

	return r == 0 ? buf_putc(buf, '\n') : r;
}

static bool package_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 2 && len <= 100 && strchr("abcdefghijklmnopqrstuvwxyz0123456789", name[0]) &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == len;
}

static int set_packages(struct recipe *recipe, char *value)
{
	char *save, *word = strtok_r(value, " \t", &save);
	int r = word ? 0 : -EINVAL;

	for (; r == 0 && word; word = strtok_r(NULL, " \t", &save))
		r = package_valid(word) ? put_line(&recipe->packages, word) : -EINVAL;
	return r;
}

static int set_env(struct recipe *recipe, char *value)
{
	size_t name = strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789_");

	if (name == 0 || value[name] != '=' || (value[0] >= '0' && value[0] <= '9'))
		return -EINVAL;
	return put_line(&recipe->env, value);
}

static int set_run(struct recipe *recipe, char *value)
{
	return put_line(&recipe->runs, value);
}

static int set_from(struct recipe *recipe, char *value)
{
	if (parse_name(value) < 0 || *recipe->from)
		return -EINVAL;
	snprintf(recipe->from, sizeof(recipe->from), "%s", value);
	return 0;
}

static int set_description(struct recipe *recipe, char *value)
{
	if (strlen(value) >= sizeof(recipe->description) || *recipe->description)
		return -EINVAL;
	snprintf(recipe->description, sizeof(recipe->description), "%s", value);
	return 0;
}

static int set_download(struct recipe *recipe, char *value)
{
	return parse_size(value, &recipe->download);
}

static int set_disk(struct recipe *recipe, char *value)
{
	return parse_size(value, &recipe->disk);
}

static int set_time(struct recipe *recipe, char *value)
{
	return parse_time_ms(value, &recipe->time_ms);
}

static const struct {
	const char *name;
	int (*set)(struct recipe *recipe, char *value);
	const char *form;
} keys[] = {
	{"description", set_description, "one line of at most 159 bytes, once"},
	{"from", set_from, "the name of a recipe, once"},
	{"packages", set_packages, "names of Debian packages with spaces in between"},
	{"env", set_env, "NAME=VALUE"},
	{"run", set_run, "a shell command"},
	{"download", set_download, "a size such as 60M"},
	{"disk", set_disk, "a size such as 250M"},
	{"time", set_time, "a time such as 30s"},
};

static bool has_control(const char *text)
{
	for (; *text; text++)
		if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
			return true;
	return false;
}

static int parse_line(const char *origin, unsigned number, char *line, struct recipe *recipe,
		      struct err *err)
{
	char *value = strchr(line, ':');
	size_t end;
	int r;

	if (has_control(line))
		return err_set(err, EINVAL, "recipe", "%s:%u: a control character", origin, number);
	if (!value)
		return err_set(err, EINVAL, "recipe", "%s:%u: no line of the form 'key: value'",
			       origin, number);
	*value++ = '\0';
	value += strspn(value, " \t");
	for (end = strlen(value); end && strchr(" \t", value[end - 1]); end--)
		value[end - 1] = '\0';
	for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
		if (strcmp(line, keys[i].name) != 0)
			continue;
		r = *value ? keys[i].set(recipe, value) : -EINVAL;
		if (r == -EINVAL || r == -ERANGE)
			return err_set(err, EINVAL, "recipe", "%s:%u: %s needs %s, not '%.60s'",
				       origin, number, line, keys[i].form, value);
		return r < 0 ? err_errno(err, -r, "recipe", "%s:%u", origin, number) : 0;
	}
	return err_set(
		err, EINVAL, "recipe",
		"%s:%u: unknown key '%.40s'; known are description, from, packages, env, run, "
		"download, disk, time",
		origin, number, line);
}

int recipe_parse(const char *origin, const char *text, struct recipe *ret, struct err *err)
{
	struct recipe recipe = {.packages = BUF_INIT(RECIPE_TEXT_MAX),
				.env = BUF_INIT(RECIPE_TEXT_MAX),
				.runs = BUF_INIT(RECIPE_TEXT_MAX)};
	_cleanup_buf_ struct buf copy = BUF_INIT(RECIPE_TEXT_MAX + 1);
	unsigned number = 0;
	int r = buf_puts(&copy, text);

	if (r < 0)
		r = err_set(err, E2BIG, "recipe", "%s: more than %u bytes", origin,
			    RECIPE_TEXT_MAX);
	for (char *line = copy.data, *next; r == 0 && line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		number++;
		if (line[strspn(line, " \t")] != '\0' && line[0] != '#')
			r = parse_line(origin, number, line, &recipe, err);
	}
	if (r < 0) {
		recipe_done(&recipe);
		return r;
	}
	manifest_hash_text(text, strlen(text), recipe.hash);
	*ret = recipe;
	return 0;
}

void recipe_done(struct recipe *recipe)
{
	buf_done(&recipe->packages);
	buf_done(&recipe->env);
	buf_done(&recipe->runs);
}

static const char *built_in(const char *name)
{
	for (size_t i = 0; i < n_recipe_texts; i++)
		if (strcmp(recipe_texts[i].name, name) == 0)
			return recipe_texts[i].text;
	return NULL;
}

bool recipe_exists(const char *name)
{
	return built_in(name) != NULL;
}

static int put_before(struct buf *buf, const struct buf *before)
{
	_cleanup_buf_ struct buf joined = BUF_INIT(buf->ceiling);
	struct buf swap;
	int r = buf_append(&joined, before->data, before->len);

	if (r == 0)
		r = buf_append(&joined, buf->data, buf->len);
	if (r < 0)
		return r;
	swap = *buf;
	*buf = joined;
	joined = swap;
	return 0;
}

static int inherit(struct recipe *recipe, const struct recipe *from)
{
	char both[131];
	int r = put_before(&recipe->packages, &from->packages);

	if (r == 0)
		r = put_before(&recipe->env, &from->env);
	if (r == 0)
		r = put_before(&recipe->runs, &from->runs);
	snprintf(both, sizeof(both), "%s %s", recipe->hash, from->hash);
	manifest_hash_text(both, strlen(both), recipe->hash);
	return r;
}

static int read_text(const char *name, const char *file, struct buf *ret, struct err *err)
{
	const char *text = file ? NULL : built_in(name);
	int r;

	if (!file && !text)
		return err_set(err, ENOENT, "recipe",
			       "there is no recipe %.64s; creel image ls shows them, --recipe FILE "
			       "takes another",
			       name);
	r = file ? io_read_file(AT_FDCWD, file, ret) : buf_puts(ret, text);
	if (r == 0 && memchr(ret->data, '\0', ret->len))
		r = -EILSEQ;
	return r < 0 ? err_errno(err, -r, "recipe", "cannot read %s", file ? file : name) : 0;
}

static int load(const char *name, const char *file, unsigned depth, struct recipe *ret,
		struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(RECIPE_TEXT_MAX);
	struct recipe recipe = {0}, from = {0};
	int r;

	if (depth >= RECIPE_DEPTH)
		return err_set(err, ELOOP, "recipe", "%s: more than %u recipes from each other",
			       name, RECIPE_DEPTH);
	r = read_text(name, file, &text, err);
	if (r == 0)
		r = recipe_parse(file ? file : name, text.data, &recipe, err);
	if (r < 0)
		return r;
	if (*recipe.from) {
		r = load(recipe.from, NULL, depth + 1, &from, err);
		if (r == 0) {
			r = inherit(&recipe, &from);
			recipe_done(&from);
			if (r < 0)
				r = err_errno(err, -r, "recipe", "%s", name);
		}
	}
	if (r < 0)
		recipe_done(&recipe);
	else
		*ret = recipe;
	return r;
}

int recipe_load(const char *name, const char *file, struct recipe *ret, struct err *err)
{
	return load(name, file, 0, ret, err);
}
