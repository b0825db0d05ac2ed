/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes.c: creel diff, apply and discard: what a run with --overlay DIR changed.
 *
 * They work where a sandbox's files can be read: rootless in a user namespace with its map, so that
 * whatever a hostile tree does there, it does to a process that has no rights of the caller's but
 * those on DIR.
 */
#include "changes-cmd.h"

#include "apply.h"
#include "creel.h"
#include "err.h"
#include "fs.h"
#include "jsonw.h"
#include "kept.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <time.h>

#define CHANGES_EXIT_LEFT 1 /* something was not applied */
#define CHANGES_PATHS_MAX 1024u

#define USAGE_COMMON                                                                               \
	"--org ORG: the org of the run (local). PATHs are relative to the directory, or "          \
	"absolute.\n"

const char diff_usage[] =
	"usage: creel diff [--stat|--json|-z] [--org ORG] [--state DIR] [ID [PATH...]]\n\n"
	"Shows what the run ID with --overlay DIR changed, as a patch that git apply takes too.\n"
	"--stat: a line for each file with lines, size and the start of its SHA-256. --json: the\n"
	"same for programs. -z: kind and path of each, ended by NUL. Without an ID: lists the "
	"runs\n"
	"of which changes are kept.\n" USAGE_COMMON;

const char apply_usage[] =
	"usage: creel apply [--force] [--dry-run] [-z] [--org ORG] [--state DIR] ID [PATH...]\n\n"
	"Takes the changes of the run ID (at PATHs only, if there are any) over into its "
	"directory\n"
	"and prints them. If one of the files was changed on the host since the run began, "
	"nothing\n"
	"is applied and the exit code is 1. Left out, with exit code 1, are links that lead out "
	"of\n"
	"the directory, and what git would execute on this machine (.git/hooks, .git/config);\n"
	"--force takes all of these. Devices, sockets and FIFOs are never taken; setuid, setgid "
	"and\n"
	"sticky bits neither.\n" USAGE_COMMON;

const char discard_usage[] = "usage: creel discard [--org ORG] [--state DIR] ID\n\n"
			     "Removes the kept changes of the run ID.\n";

struct changes_cmd {
	const char *name; /* diff, apply, discard */
	const char *state, *org, *id;
	bool force, dry_run, help;
	struct changes_show show;
	char *const *words; /* PATHs as they were typed */
	const char *paths[CHANGES_PATHS_MAX];
	struct kept kept;
	int base;
	struct changes_meta meta;
	struct changes_ids host;
	size_t listed; /* of the overlays */
	struct jsonw *json;
};

static int changes_parse(int argc, char **argv, struct changes_cmd *cmd, struct err *err)
{
	static const struct option options[] = {{"state", required_argument, NULL, 's'},
						{"org", required_argument, NULL, 'o'},
						{"help", no_argument, NULL, 'h'},
						{"stat", no_argument, NULL, 'S'},
						{"json", no_argument, NULL, 'j'},
						{"null", no_argument, NULL, 'z'},
						{"force", no_argument, NULL, 'f'},
						{"dry-run", no_argument, NULL, 'n'},
						{0}};
	/* Which of the letters each takes. */
	const char *allowed = strcmp(cmd->name, "diff") == 0	? "sohSjz"
			      : strcmp(cmd->name, "apply") == 0 ? "sohfnz"
								: "soh";
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "hz", options, NULL)) >= 0) {
		if (!strchr(allowed, c))
			return err_set(err, EINVAL, cmd->name,
				       "unknown option %s; see creel help %s", argv[optind - 1],
				       cmd->name);
		if (c == 's')
			cmd->state = optarg;
		else if (c == 'o')
			cmd->org = optarg;
		else if (c == 'h')
			cmd->help = true;
		else if (c == 'S')
			cmd->show.stat = true;
		else if (c == 'j')
			cmd->show.json = true;
		else if (c == 'z')
			cmd->show.zero = true;
		else if (c == 'f')
			cmd->force = true;
		else
			cmd->dry_run = true;
	}
	if (cmd->show.stat + cmd->show.json + cmd->show.zero > 1)
		return err_set(err, EINVAL, cmd->name, "--stat, --json and -z exclude each other");
	cmd->id = optind < argc ? argv[optind++] : NULL;
	cmd->words = argv + optind;
	cmd->show.n_paths = (size_t)(argc - optind);
	if (cmd->show.n_paths > (strcmp(cmd->name, "discard") == 0 ? 0 : CHANGES_PATHS_MAX))
		return err_set(err, EINVAL, cmd->name,
			       "too many words after the ID; see creel help %s", cmd->name);
	return 0;
}

/* Relative to DIR, or absolute in DIR, or as the run saw it. */
static int changes_path(struct changes_cmd *cmd, const char *word, char **ret, struct err *err)
{
	static const char inside[] = "/workspace";
	char path[CEIL_PATH + 1], clean[CEIL_PATH];
	const char *rest = word;

	if (word[0] == '/' && fs_is_below(word, cmd->meta.dir))
		rest = word + strlen(cmd->meta.dir);
	else if (word[0] == '/' && fs_is_below(word, inside))
		rest = word + strlen(inside);
	else if (word[0] == '/')
		return err_set(err, EINVAL, cmd->name, "%s is not below %s", word, cmd->meta.dir);
	if ((size_t)snprintf(path, sizeof(path), "/%s", rest) >= sizeof(path) ||
	    fs_canonical(path, clean, sizeof(clean)) < 0)
		return err_set(err, EINVAL, cmd->name, "%s: not a path below %s", word,
			       cmd->meta.dir);
	*ret = strdup(clean + 1);
	return *ret ? 0 : err_errno(err, ENOMEM, cmd->name, "%s", word);
}

/* They live as long as the program. */
static int changes_paths(struct changes_cmd *cmd, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < cmd->show.n_paths; i++) {
		char *path = NULL;

		r = changes_path(cmd, cmd->words[i], &path, err);
		cmd->paths[i] = path;
	}
	cmd->show.paths = cmd->paths;
	return r;
}

/* NULL: those of DIR's owner, for root. */
static const struct changes_ids *changes_host(struct changes_cmd *cmd)
{
	cmd->host = (struct changes_ids){cmd->kept.caller, cmd->kept.caller};
	return cmd->kept.state.root ? NULL : &cmd->host;
}

/* ---- without an ID: what there is ---- */

struct changes_row {
	struct changes_cmd *cmd;
	int base;
};

/* The number of changes, or -1; in the child of kept_run(). */
static int row_count(void *data, struct err *err)
{
	struct changes_row *row = data;
	_cleanup_changes_ struct changes *changes = NULL;
	int r = changes_open(row->base, changes_host(row->cmd), true, &changes, err);

	return r < 0 ? r : (int)changes_count(changes);
}

static void row_age(const struct changes_meta *meta, char *ret, size_t size)
{
	static const struct {
		int64_t seconds;
		const char *unit;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
	int64_t age = (int64_t)time(NULL) - meta->started_ns / 1000000000;
	size_t i = 0;

	age = age < 0 ? 0 : age;
	while (i + 1 < ELEMENTSOF(units) && age < 2 * units[i].seconds)
		i++;
	snprintf(ret, size, "%lld %s", (long long)(age / units[i].seconds), units[i].unit);
}

static void row_text(FILE *out, const char *id, const struct changes_meta *meta, int n)
{
	char age[32], count[32] = "?";

	row_age(meta, age, sizeof(age));
	if (n >= 0)
		snprintf(count, sizeof(count), "%d", n);
	fprintf(out, "%-22s %8s %8s  ", id, age, n == -EBUSY ? "running" : count);
	changes_cmd_name(out, meta->dir);
	fputc('\n', out);
}

static void row_json(struct jsonw *json, const char *id, const struct changes_meta *meta, int n)
{
	jsonw_object(json, NULL);
	jsonw_string(json, "id", id);
	jsonw_bytes(json, "dir", meta->dir, strlen(meta->dir));
	jsonw_i64(json, "started_ms", meta->started_ns / 1000000);
	jsonw_bool(json, "running", n == -EBUSY);
	if (n >= 0)
		jsonw_i64(json, "changes", n);
	else
		jsonw_null(json, "changes");
	jsonw_object_end(json);
}

static int changes_row(const struct kept *kept, const char *id, void *data)
{
	struct changes_cmd *cmd = data;
	_cleanup_close_ int base = -EBADF, locked = -EBADF;
	struct changes_meta meta;
	struct err ignored = {0};
	FILE *out = cmd->id || strcmp(cmd->name, "diff") != 0 ? stderr : stdout;
	char path[1024];
	int n = kept_lock(kept, "overlays", cmd->org, id, false, &locked, &ignored);

	snprintf(path, sizeof(path), "%s/overlays/%s/%s", kept->root, cmd->org, id);
	base = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (base < 0 || changes_read_meta(base, &meta, &ignored) < 0)
		return 0; /* it is being made or removed */
	if (n == 0)
		n = kept_run(kept, row_count, &(struct changes_row){cmd, base}, &ignored);
	if (cmd->json) {
		row_json(cmd->json, id, &meta, n);
		return cmd->json->error;
	}
	if (cmd->listed++ == 0)
		fprintf(out, "%-22s %8s %8s  %s\n", "ID", "AGE", "CHANGES", "DIR");
	row_text(out, id, &meta, n);
	return 0;
}

static int changes_rows(struct changes_cmd *cmd, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_CHANGES_JSON);
	struct jsonw json;
	int r;

	jsonw_init(&json, &text);
	jsonw_array(&json, NULL);
	cmd->json = cmd->show.json && !cmd->id ? &json : NULL;
	r = kept_each(&cmd->kept, "overlays", cmd->org, changes_row, cmd, err);
	jsonw_array_end(&json);
	if (r < 0 || !cmd->json)
		return r;
	r = jsonw_done(&json);
	if (r < 0)
		return err_errno(err, -r, cmd->name, "cannot list the kept changes");
	puts(text.data);
	return 0;
}

/* ---- the commands ---- */

static int diff_run(void *data, struct err *err)
{
	struct changes_cmd *cmd = data;
	_cleanup_changes_ struct changes *changes = NULL;
	int r = changes_open(cmd->base, changes_host(cmd), false, &changes, err);

	return r < 0 ? r : changes_cmd_show(changes, cmd->id, &cmd->show, err);
}

static void apply_tell(const struct change *change, enum apply_fate fate, const char *why,
		       void *data)
{
	const struct changes_cmd *cmd = data;

	if (fate == APPLY_DONE && cmd->show.zero) {
		printf("%s %s", changes_kind_names[change->kind], change->path);
		putchar('\0');
		return;
	}
	if (fate == APPLY_DONE) {
		printf("%-8s ", changes_kind_names[change->kind]);
		changes_cmd_name(stdout, change->path);
		putchar('\n');
		return;
	}
	fprintf(stderr, "creel: %s: ", fate == APPLY_CONFLICT ? "conflict" : "not applied");
	changes_cmd_name(stderr, change->path);
	fprintf(stderr, ": %s\n", why);
}

static int apply_run(void *data, struct err *err)
{
	struct changes_cmd *cmd = data;
	_cleanup_changes_ struct changes *changes = NULL;
	struct apply_request request = {.paths = cmd->show.paths,
					.n_paths = cmd->show.n_paths,
					.force = cmd->force,
					.dry_run = cmd->dry_run,
					.tell = apply_tell,
					.data = cmd};
	struct apply_result result = {0};
	int r = changes_open(cmd->base, changes_host(cmd), cmd->force, &changes, err);

	if (r == 0)
		r = apply_changes(changes, &request, &result, err);
	if (r == 0)
		r = changes_cmd_flush(err);
	if (r < 0)
		return r;
	if (result.conflicts)
		fprintf(stderr,
			"creel: nothing was applied: %zu conflicts; name the PATHs to apply, or "
			"let the run's version win with --force\n",
			result.conflicts);
	else if (result.left)
		fprintf(stderr, "creel: %s %zu, %zu left; creel diff %s shows them\n",
			cmd->dry_run ? "would apply" : "applied", result.done, result.left,
			cmd->id);
	return result.conflicts || result.left ? CHANGES_EXIT_LEFT : 0;
}

static int discard_run(void *data, struct err *err)
{
	struct changes_cmd *cmd = data;

	return apply_abandon(cmd->base, changes_host(cmd), err);
}

static int changes_find_id(struct changes_cmd *cmd, struct err *err)
{
	bool exclusive = strcmp(cmd->name, "diff") != 0;
	int r = kept_lock(&cmd->kept, "overlays", cmd->org, cmd->id, exclusive, &cmd->base, err);

	if (r == -ENOENT) {
		r = changes_rows(cmd, err);
		if (r < 0)
			return r;
		return err_set(err, ENOENT, cmd->name, "no changes of %.64s are kept%s", cmd->id,
			       cmd->listed ? "; those above are" : "");
	}
	if (r == 0)
		r = changes_read_meta(cmd->base, &cmd->meta, err);
	/* What is damaged can still be removed. */
	if (r < 0 && r != -EBUSY && strcmp(cmd->name, "discard") == 0)
		return 0;
	return r < 0 ? r : changes_paths(cmd, err);
}

static int changes_do(struct changes_cmd *cmd, struct err *err)
{
	int r = kept_open(cmd->state, &cmd->kept, err);

	if (r < 0)
		return r;
	if (!cmd->id && strcmp(cmd->name, "diff") == 0)
		return changes_rows(cmd, err);
	if (!cmd->id) {
		r = changes_rows(cmd, err);
		return r < 0 ? r
			     : err_set(err, EINVAL, cmd->name, "an ID is needed; see creel help %s",
				       cmd->name);
	}
	r = changes_find_id(cmd, err);
	if (r < 0)
		return r;
	if (strcmp(cmd->name, "diff") == 0)
		return kept_run(&cmd->kept, diff_run, cmd, err);
	if (strcmp(cmd->name, "apply") == 0)
		return kept_run(&cmd->kept, apply_run, cmd, err);
	r = kept_run(&cmd->kept, discard_run, cmd, err);
	return r < 0 ? r : kept_remove(&cmd->kept, "overlays", cmd->org, cmd->id, err);
}

static int changes_main(int argc, char **argv)
{
	static struct changes_cmd cmd;
	char *words[] = {(char *)(uintptr_t) "help", argv[0], NULL};
	struct err err = {0};
	int r;

	cmd = (struct changes_cmd){.name = argv[0], .org = "local", .base = -EBADF};
	signal(SIGPIPE, SIG_IGN); /* a pager that ends is no error */
	r = changes_parse(argc, argv, &cmd, &err);
	if (r == 0 && cmd.help)
		return cmd_help(2, words);
	if (r == 0)
		r = changes_do(&cmd, &err);
	if (r == 0)
		r = changes_cmd_flush(&err);
	fd_close(cmd.base);
	kept_close(&cmd.kept);
	return r < 0 ? creel_fail(&err, cmd.show.json) : r;
}

int cmd_diff(int argc, char **argv)
{
	return changes_main(argc, argv);
}

int cmd_apply(int argc, char **argv)
{
	return changes_main(argc, argv);
}

int cmd_discard(int argc, char **argv)
{
	return changes_main(argc, argv);
}
