/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept-cmd.c: creel workspace, agent and layer: what runs of an org have kept by a name.
 *
 * Names and contents are a sandbox's: only their size is looked at here.
 */
#include "creel.h"
#include "err.h"
#include "io.h"
#include "jsonw.h"
#include "kept.h"
#include "parse.h"
#include "pool.h"
#include "tree.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>

#define VERBS                                                                                      \
	" ls [--json] | rm NAME | path NAME   [--org ORG] [--state DIR]\n\nLists them with size, " \
	"limit and last use, removes one that no run uses, or prints its\ndirectory. As root, "    \
	"path "                                                                                    \
	"mounts the pool so that the directory can be used.\n"

const char workspace_usage[] =
	"usage: creel workspace" VERBS "Workspaces are those of creel run --workspace NAME.\n";
const char agent_usage[] = "usage: creel agent" VERBS
			   "home, root and workspace of creel run --agent NAME are in it.\n";
const char layer_usage[] =
	"usage: creel layer" VERBS "Layers are those of creel run --keep NAME.\n";

/* name: of the command; kind: the directory; files: what of one is shown inside. */
struct kept_noun {
	const char *name, *kind, *files;
};

static const struct kept_noun kept_nouns[] = {
	{"workspace", "workspaces", "/files"}, {"agent", "agents", ""}, {"layer", "kept", ""}};

struct kept_cmd {
	const struct kept_noun *noun;
	const char *state, *org, *name;
	bool json, help;
	struct kept kept;
	struct jsonw *out; /* NULL: text */
	size_t listed;
};

/* Bytes; limit 0: none but that of the run that uses it. */
struct kept_use {
	uint64_t bytes, limit;
	time_t used;
};

struct kept_look {
	int dir, pipe;
};

static int kept_look_fn(void *data, struct err *err)
{
	const struct kept_look *look = data;
	uint64_t bytes = tree_disk_bytes(look->dir);
	int r = io_write_full(look->pipe, &bytes, sizeof(bytes));

	return r < 0 ? err_errno(err, -r, "kept", "cannot tell the size") : 0;
}

/* Rootless, its files can have owners that only a user namespace may look at. */
static int kept_bytes(const struct kept *kept, int dir, uint64_t *ret_bytes, struct err *err)
{
	struct kept_look look = {.dir = dir};
	int pair[2], r;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_errno(err, errno, "kept", "pipe");
	look.pipe = pair[1];
	r = kept_run(kept, kept_look_fn, &look, err);
	if (r == 0)
		r = io_read_full(pair[0], ret_bytes, sizeof(*ret_bytes));
	fd_close(pair[0]);
	fd_close(pair[1]);
	return r;
}

static int kept_use(const struct kept_cmd *cmd, const char *name, struct kept_use *ret,
		    struct err *err)
{
	_cleanup_close_ int dir = -EBADF;
	struct pool_usage usage = {0};
	char path[1024];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "%s/%s/%s/%s", cmd->kept.root, cmd->noun->kind, cmd->org,
		 name);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st) < 0)
		return err_errno(err, errno, "kept", "%s", path);
	ret->used = st.st_mtime;
	if (!cmd->kept.pool)
		return kept_bytes(&cmd->kept, dir, &ret->bytes, err);
	snprintf(path, sizeof(path), "%s/%s/%s", cmd->noun->kind, cmd->org, name);
	r = pool_usage(cmd->kept.pool, path, &usage, err);
	ret->bytes = usage.referenced;
	ret->limit = usage.limit;
	return r;
}

static void kept_size(uint64_t bytes, char *ret, size_t size)
{
	static const char units[] = "BKMGTP";
	size_t unit = 0;
	double value = (double)bytes;

	for (; value >= 1024 && units[unit + 1]; unit++)
		value /= 1024;
	snprintf(ret, size, unit ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

static void kept_text(struct kept_cmd *cmd, const char *name, const struct kept_use *use)
{
	char size[32], limit[32] = "-", when[32] = "";
	struct tm tm;

	kept_size(use->bytes, size, sizeof(size));
	if (use->limit)
		kept_size(use->limit, limit, sizeof(limit));
	if (localtime_r(&use->used, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	if (cmd->listed++ == 0)
		printf("%-24s %9s %9s  %s\n", "NAME", "SIZE", "LIMIT", "LAST USE");
	printf("%-24s %9s %9s  %s\n", name, size, limit, when);
}

static int kept_row(const struct kept *kept, const char *name, void *data)
{
	struct kept_cmd *cmd = data;
	struct kept_use use = {0};
	struct err err = {0};

	(void)kept;
	if (kept_use(cmd, name, &use, &err) < 0) {
		fprintf(stderr, "creel: %s\n", err.text); /* the others are still worth a line */
		return 0;
	}
	if (!cmd->out) {
		kept_text(cmd, name, &use);
		return 0;
	}
	jsonw_object(cmd->out, NULL);
	jsonw_string(cmd->out, "name", name);
	jsonw_u64(cmd->out, "bytes", use.bytes);
	if (use.limit)
		jsonw_u64(cmd->out, "limit", use.limit);
	else
		jsonw_null(cmd->out, "limit");
	jsonw_i64(cmd->out, "last_use", use.used);
	jsonw_object_end(cmd->out);
	return cmd->out->error;
}

static int kept_ls(struct kept_cmd *cmd, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(64u << 20);
	struct jsonw json;
	int r;

	r = kept_open(cmd->state, &cmd->kept, err);
	if (r < 0)
		return r;
	jsonw_init(&json, &text);
	jsonw_array(&json, NULL);
	cmd->out = cmd->json ? &json : NULL;
	r = kept_each(&cmd->kept, cmd->noun->kind, cmd->org, kept_row, cmd, err);
	jsonw_array_end(&json);
	if (r < 0 || !cmd->json)
		return r;
	r = jsonw_done(&json);
	if (r < 0)
		return err_errno(err, -r, "kept", "cannot list them");
	puts(text.data);
	return 0;
}

static int kept_none(const struct kept_cmd *cmd, struct err *err)
{
	return err_set(err, ENOENT, "kept", "there is no %s %.64s of %.64s; creel %s ls lists them",
		       cmd->noun->name, cmd->name, cmd->org, cmd->noun->name);
}

static int kept_rm(struct kept_cmd *cmd, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	int r = kept_open(cmd->state, &cmd->kept, err);

	if (r < 0)
		return r;
	r = kept_lock(&cmd->kept, cmd->noun->kind, cmd->org, cmd->name, true, &fd, err);
	if (r == -ENOENT)
		return kept_none(cmd, err);
	return r < 0 ? r : kept_remove(&cmd->kept, cmd->noun->kind, cmd->org, cmd->name, err);
}

/* The pool is mounted for this one to stay: the path must work for whoever reads it. */
static int kept_path(struct kept_cmd *cmd, struct err *err)
{
	char root[sizeof(cmd->kept.root)], path[1024];
	struct stat st;
	int r;

	if (parse_name(cmd->org) < 0 || parse_name(cmd->name) < 0)
		return kept_none(cmd, err);
	r = state_open(cmd->state, &cmd->kept.state, err);
	if (r < 0)
		return r;
	snprintf(root, sizeof(root), "%s", cmd->kept.state.data);
	if (kept_has_pool(&cmd->kept.state)) {
		r = pool_show(cmd->kept.state.data, cmd->kept.state.run, root, sizeof(root), err);
		if (r < 0)
			return r;
	}
	snprintf(path, sizeof(path), "%s/%s/%s/%s%s", root, cmd->noun->kind, cmd->org, cmd->name,
		 cmd->noun->files);
	if (lstat(path, &st) < 0)
		return kept_none(cmd, err);
	puts(path);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct kept_cmd *cmd, struct err *err);
	bool named;
} kept_verbs[] = {
	{"ls", kept_ls, false},
	{"rm", kept_rm, true},
	{"path", kept_path, true},
};

static int kept_parse(int argc, char **argv, struct kept_cmd *cmd, size_t *ret_verb,
		      struct err *err)
{
	static const struct option options[] = {{"state", required_argument, NULL, 's'},
						{"org", required_argument, NULL, 'o'},
						{"json", no_argument, NULL, 'j'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	int c, words;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		if (c == 's')
			cmd->state = optarg;
		else if (c == 'o')
			cmd->org = optarg;
		else if (c == 'j')
			cmd->json = true;
		else if (c == 'h')
			cmd->help = true;
		else
			return err_set(err, EINVAL, "kept", "unknown option %s; see creel help %s",
				       argv[optind - 1], cmd->noun->name);
	}
	words = argc - optind;
	for (size_t i = 0; words > 0 && i < ELEMENTSOF(kept_verbs); i++) {
		if (strcmp(argv[optind], kept_verbs[i].name) != 0)
			continue;
		if (words != 1 + kept_verbs[i].named || (cmd->json && i != 0))
			break;
		cmd->name = kept_verbs[i].named ? argv[optind + 1] : NULL;
		*ret_verb = i;
		return 0;
	}
	return cmd->help ? 0
			 : err_set(err, EINVAL, "kept",
				   "ls [--json], rm NAME or path NAME is needed; see creel help "
				   "%s",
				   cmd->noun->name);
}

int cmd_kept(int argc, char **argv)
{
	char *words[] = {(char *)(uintptr_t) "help", argv[0], NULL};
	struct kept_cmd cmd = {.noun = kept_nouns, .org = "local"};
	struct err err = {0};
	size_t verb = 0;
	int r;

	while (strcmp(cmd.noun->name, argv[0]) != 0)
		cmd.noun++;
	r = kept_parse(argc, argv, &cmd, &verb, &err);
	if (r == 0 && cmd.help)
		return cmd_help(2, words);
	if (r == 0)
		r = kept_verbs[verb].run(&cmd, &err);
	kept_close(&cmd.kept);
	return r < 0 ? creel_fail(&err, cmd.json) : 0;
}
