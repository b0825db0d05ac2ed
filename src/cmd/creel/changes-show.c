/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes-show.c: what a run changed, as patches, as a table, as JSON, as a list for programs.
 *
 * All names and lines come from a sandbox: on a terminal no control character of them arrives;
 * names are quoted everywhere but in JSON and with -z. A patch that goes to a file or a pipe is as
 * it is, because git apply must find the very bytes.
 */
#include "changes-cmd.h"

#include "changes-text.h"
#include "err.h"
#include "jsonw.h"
#include "sha.h"

#include <inttypes.h>

#define SHOW_NOTES 20u /* lines on stderr about what will not be applied */
#define SHOW_FLUSH 65536u

struct shown {
	const struct changes *changes;
	const struct changes_show *show;
	struct changes_text text;
	struct buf out;
	struct jsonw json;
	uint64_t hash_left;
	size_t counts[CHANGES_KIND_MAX], n, refused;
	bool tty;
	struct err *err;
};

bool changes_cmd_wants(const char *const *paths, size_t n_paths, const char *path)
{
	for (size_t i = 0; i < n_paths; i++) {
		size_t len = strlen(paths[i]);

		if (len == 0 ||
		    (strncmp(path, paths[i], len) == 0 && (path[len] == '\0' || path[len] == '/')))
			return true;
	}
	return n_paths == 0;
}

void changes_cmd_name(FILE *out, const char *name)
{
	_cleanup_buf_ struct buf text = BUF_INIT(5 * CEIL_PATH);

	if (changes_quote(&text, "", name) == 0)
		fwrite(text.data, 1, text.len, out);
}

int changes_cmd_flush(struct err *err)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return errno == EPIPE ? 0 : err_errno(err, errno, "diff", "cannot write to stdout");
}

static bool show_hash(struct shown *shown, const struct change *change, char ret[SHA_HEX + 1])
{
	_cleanup_close_ int old = -EBADF, fd = -EBADF;

	changes_contents(shown->changes, change, &old, &fd);
	return sha_file_hex(fd, &shown->hash_left, ret);
}

/* ---- patches ---- */

/* The length of the character at p; 0: a byte that is none of UTF-8. */
static size_t character(const char *p, size_t len)
{
	unsigned char c = (unsigned char)*p;
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return n <= len && jsonw_is_utf8(p, n) ? n : 0;
}

static unsigned code_point(const unsigned char *p, size_t n)
{
	return n == 2 ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
		      : (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
}

/* A byte of another encoding could be a control character to a terminal that knows it. */
static void put_safe(const char *line, size_t len)
{
	for (size_t i = 0, n; i < len; i += n ? n : 1) {
		const unsigned char *p = (const unsigned char *)line + i;
		size_t bad = *p == '\t' ? 0 : changes_unsafe(line + i, len - i);

		n = character(line + i, len - i);
		if (n == 0)
			printf("<%02X>", *p);
		else if (bad == 0)
			fwrite(p, 1, n, stdout);
		else if (bad == 1)
			printf("^%c", *p ^ 0x40);
		else
			printf("<U+%04X>", code_point(p, bad));
	}
}

static const char *line_colour(const char *line, size_t len)
{
	if (len >= 2 && strncmp(line, "@@", 2) == 0)
		return "\033[36m";
	if (*line == '+')
		return "\033[32m";
	if (*line == '-')
		return "\033[31m";
	return *line == ' ' || *line == '\\' ? "" : "\033[1m";
}

static void put_patch(const struct shown *shown)
{
	const char *p = shown->text.patch.data, *end = p + shown->text.patch.len;

	if (!shown->tty) {
		fwrite(p, 1, shown->text.patch.len, stdout);
		return;
	}
	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((newline ? newline : end) - p);
		const char *colour = len ? line_colour(p, len) : "";

		fputs(colour, stdout);
		put_safe(p, len);
		fputs(*colour ? "\033[m\n" : "\n", stdout);
		p += len + 1;
	}
}

/* ---- a line each ---- */

static int put_stat(struct shown *shown, const struct change *change)
{
	char lines[2][32] = {"-", "-"}, hash[65] = "-";
	int r = changes_text(shown->changes, change, &shown->text, shown->err);

	if (r < 0)
		return r;
	if (shown->text.added || shown->text.removed) {
		snprintf(lines[0], sizeof(lines[0]), "+%" PRIu64, shown->text.added);
		snprintf(lines[1], sizeof(lines[1]), "-%" PRIu64, shown->text.removed);
	}
	show_hash(shown, change, hash);
	printf("%-8s %7s %7s %11" PRIu64 "  %-12.12s  ", changes_kind_names[change->kind], lines[0],
	       lines[1], change->size, hash);
	changes_cmd_name(stdout, change->path);
	if (change->refusal)
		printf("  (%s)", changes_refusal_texts[change->refusal]);
	putchar('\n');
	return 0;
}

static void put_mode(struct jsonw *json, const char *key, mode_t mode)
{
	char text[16];

	snprintf(text, sizeof(text), "%06o", mode & (S_IFMT | 07777));
	jsonw_string(json, key, mode ? text : NULL);
}

static int put_json(struct shown *shown, const struct change *change)
{
	struct jsonw *json = &shown->json;
	char hash[65];

	jsonw_object(json, NULL);
	jsonw_bytes(json, "path", change->path, strlen(change->path));
	jsonw_string(json, "kind", changes_kind_names[change->kind]);
	if (change->mode)
		jsonw_u64(json, "size", change->size);
	else
		jsonw_null(json, "size");
	jsonw_string(json, "sha256", show_hash(shown, change, hash) ? hash : NULL);
	put_mode(json, "old_mode", change->old_mode);
	put_mode(json, "mode", change->mode);
	jsonw_string(json, "refused", changes_refusal_texts[change->refusal]);
	jsonw_object_end(json);
	if (json->error == 0 && shown->out.len > SHOW_FLUSH) {
		fwrite(shown->out.data, 1, shown->out.len, stdout);
		shown->out.len = 0;
	}
	return json->error;
}

static int show_one(const struct change *change, void *data)
{
	struct shown *shown = data;
	const struct changes_show *show = shown->show;
	int r;

	if (!changes_cmd_wants(show->paths, show->n_paths, change->path))
		return 0;
	/* A path that was named is shown, whatever is below it. */
	shown->n++;
	if (change->implied)
		return 0;
	shown->counts[change->kind]++;
	shown->refused += change->refusal != CHANGES_FINE;
	if (show->zero) {
		printf("%s %s", changes_kind_names[change->kind], change->path);
		putchar('\0');
		r = 0;
	} else if (show->json) {
		r = put_json(shown, change);
	} else if (show->stat) {
		r = put_stat(shown, change);
	} else {
		r = changes_text(shown->changes, change, &shown->text, shown->err);
		if (r == 0)
			put_patch(shown);
	}
	return r < 0 ? r : ferror(stdout) ? 1 : 0;
}

/* ---- before and after ---- */

static void show_summary(const struct shown *shown)
{
	const char *comma = ": ";
	size_t n = 0;

	for (size_t i = 0; i < CHANGES_KIND_MAX; i++)
		n += shown->counts[i];
	printf("%zu change%s", n, n == 1 ? "" : "s");
	for (size_t i = 0; i < CHANGES_KIND_MAX; i++) {
		if (!shown->counts[i])
			continue;
		printf("%s%zu %s", comma, shown->counts[i], changes_kind_names[i]);
		comma = ", ";
	}
	if (shown->refused)
		printf("; %zu not to be applied", shown->refused);
	putchar('\n');
}

static int show_note(const struct change *change, void *data)
{
	struct shown *shown = data;

	if (change->implied || !change->refusal ||
	    !changes_cmd_wants(shown->show->paths, shown->show->n_paths, change->path))
		return 0;
	if (shown->refused++ < SHOW_NOTES) {
		fputs("creel: not to be applied: ", stderr);
		changes_cmd_name(stderr, change->path);
		fprintf(stderr, ": %s\n", changes_refusal_texts[change->refusal]);
	}
	return 0;
}

/* Beside a patch, which must hold nothing else. */
static int show_notes(struct shown *shown)
{
	int r;

	shown->refused = 0;
	r = changes_list(shown->changes, show_note, shown);
	if (shown->refused > SHOW_NOTES)
		fprintf(stderr, "creel: not to be applied: %zu more; see --stat\n",
			shown->refused - SHOW_NOTES);
	return r;
}

static void json_begin(struct shown *shown, const char *id)
{
	const struct changes_meta *meta = changes_meta(shown->changes);
	struct jsonw *json = &shown->json;

	jsonw_init(json, &shown->out);
	jsonw_object(json, NULL);
	jsonw_string(json, "id", id);
	jsonw_bytes(json, "dir", meta->dir, strlen(meta->dir));
	jsonw_string(json, "org", meta->org);
	jsonw_string(json, "agent", *meta->agent ? meta->agent : NULL);
	jsonw_string(json, "image", *meta->image ? meta->image : NULL);
	jsonw_i64(json, "started_ms", meta->started_ns / 1000000);
	jsonw_array(json, "changes");
}

static int json_finish(struct shown *shown)
{
	int r;

	jsonw_array_end(&shown->json);
	jsonw_object_end(&shown->json);
	r = jsonw_done(&shown->json);
	if (r == 0) {
		fwrite(shown->out.data, 1, shown->out.len, stdout);
		putchar('\n');
	}
	return r;
}

static int show_all(struct shown *shown, const char *id)
{
	const struct changes_show *show = shown->show;
	int r;

	if (show->json)
		json_begin(shown, id);
	r = changes_list(shown->changes, show_one, shown);
	if (r != 0)
		return r < 0 ? r : 0;
	if (show->n_paths && shown->n == 0)
		return err_set(shown->err, ENOENT, "diff", "the run changed nothing at %s",
			       show->paths[0]);
	if (show->json)
		return json_finish(shown);
	if (show->zero)
		return 0;
	if (!show->stat)
		return show_notes(shown);
	show_summary(shown);
	return 0;
}

int changes_cmd_show(const struct changes *changes, const char *id, const struct changes_show *show,
		     struct err *err)
{
	struct err why = {0};
	struct shown shown = {.changes = changes,
			      .show = show,
			      .text = CHANGES_TEXT_INIT,
			      .out = BUF_INIT(CEIL_CHANGES_JSON),
			      .hash_left = CEIL_HASHED,
			      .tty = isatty(1),
			      .err = &why};
	int r = show_all(&shown, id);

	changes_text_done(&shown.text);
	buf_done(&shown.out);
	if (r < 0)
		return why.code ? err_set(err, why.code, "diff", "%s", why.text)
				: err_errno(err, -r, "diff", "cannot show the changes");
	return changes_cmd_flush(err);
}
