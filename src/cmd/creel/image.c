/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.c: creel image: what images there are, and how they come and go. It joins the store, which
 * knows what an image is, with the ids that folder `sandbox` gives to images.
 */
#include "image.h"

#include "build.h"
#include "ceilings.h"
#include "clock.h"
#include "creel.h"
#include "idmap.h"
#include "image-cmd.h"
#include "image-private.h"
#include "import.h"
#include "parse.h"
#include "recipe.h"
#include "state.h"

#include <getopt.h>

const char image_usage[] =
	"usage: creel image ls [--json]\n"
	"       creel image build NAME [--recipe FILE] [--dry-run]\n"
	"       creel image pull docker://REFERENCE [NAME] [--plain-http]\n"
	"       creel image import oci:DIR[:TAG]|docker-archive:FILE NAME\n"
	"       creel image rm NAME\n"
	"       creel image inspect NAME [--json]\n\n"
	"Images are read-only root filesystems for creel run --image. Each has a digest over all "
	"that\n"
	"it holds, which is checked when it is used. Where NAME names an image that is there, so "
	"does\n"
	"sha256:DIGITS, the start of its digest.\n\n"
	"  ls       the images that are there, and the recipes that could be built\n"
	"  build    makes an image from a recipe, with the packages of this machine's apt "
	"sources;\n"
	"           --recipe FILE takes a recipe of yours; --dry-run only asks apt whether it "
	"could\n"
	"  pull     takes an image from a registry, with the logins of podman, docker or skopeo;\n"
	"           NAME is else the last part of REFERENCE; --plain-http: without TLS\n"
	"  import   takes an image from an OCI layout or an archive of docker save\n"
	"  rm       removes the name, and the tree with its last name\n"
	"  inspect  all that is known about an image\n\n"
	"A recipe is a text file of lines KEY: VALUE. description; from: another recipe, whose "
	"lines\n"
	"count as if they stood before; packages: Debian packages; env: NAME=VALUE of every run;\n"
	"run: a shell command as root of the image, when its packages are there; download, disk "
	"and\n"
	"time: what is printed before. All but from and description may be repeated.\n\n"
	"Every one takes --state DIR. build needs mmdebstrap; pull and import need skopeo and "
	"umoci.\n";

struct ids_job {
	struct idmap map;
	struct live live;
	int userns_fd;
};

static int ids_run(void *ctx, int (*fn)(void *data, struct err *err), void *data, struct err *err)
{
	const struct ids_job *job = ctx;

	return idmap_run(&job->map, -1, fn, data, err);
}

/* Root: a range of ids of this machine for the time of the command. */
static int ids_begin(const struct state *state, struct ids_job *job, struct err *err)
{
	int r = 0;

	*job = (struct ids_job){.live = LIVE_INIT, .userns_fd = -1};
	if (state->root)
		r = live_new(state, &job->live, err);
	if (r == 0)
		r = idmap_choose(state, &job->live, false, &job->map, err);
	if (r == 0 && job->map.single)
		return err_set(
			err, EPERM, "image",
			"images have files of many users, and you have no subordinate ids: as "
			"root run: usermod --add-subuids 100000-165535 --add-subgids "
			"100000-165535 USER, and install uidmap");
	if (r == 0 && state->root)
		r = idmap_userns(&job->map, &job->userns_fd, err);
	return r;
}

static void ids_end(struct ids_job *job)
{
	job->userns_fd = fd_close(job->userns_fd);
	live_done(&job->live);
}

/* ---- what each subcommand does, with what was killed before removed ---- */

struct job {
	const struct image_args *args;
	struct state *state;
	struct image_store store;
	int64_t start_ms;
};

static void say_made(const struct job *job, const char *name, const char *digest,
		     const char *before)
{
	printf("%s sha256:%s\n", name, digest + 7);
	fprintf(stderr, "creel: image %s is there, after %lld s\n", name,
		(long long)(clock_ms() - job->start_ms) / 1000);
	if (*before)
		fprintf(stderr,
			"creel: the image that was %s before stays for reruns; remove it with "
			"creel "
			"image rm sha256:%.12s\n",
			name, before + 7);
}

static int do_build(struct job *job, struct err *err)
{
	char digest[IMAGE_DIGEST_SIZE], before[IMAGE_DIGEST_SIZE];
	const struct image_args *args = job->args;
	_cleanup_recipe_ struct recipe recipe = {0};
	int r = recipe_load(args->words[0], args->recipe, &recipe, err);

	if (r < 0)
		return r;
	if (recipe.packages.len == 0)
		return err_set(err, EINVAL, "recipe", "%s names no packages", args->words[0]);
	fprintf(stderr, "creel: %s: %s\n", args->words[0],
		*recipe.description ? recipe.description : "no description");
	if (recipe.download && recipe.disk && recipe.time_ms)
		fprintf(stderr,
			"creel: downloads about %llu MB, takes about %llu MB of disk and %llu s\n",
			(unsigned long long)recipe.download >> 20,
			(unsigned long long)recipe.disk >> 20,
			(unsigned long long)recipe.time_ms / 1000);
	if (args->dry_run)
		return build_try(&job->store, args->words[0], &recipe, err);
	r = build_image(&job->store, args->words[0], &recipe, digest, before, err);
	if (r == 0)
		say_made(job, args->words[0], digest, before);
	return r;
}

static int do_import(struct job *job, struct err *err)
{
	char digest[IMAGE_DIGEST_SIZE], before[IMAGE_DIGEST_SIZE], name[IMAGE_NAME_MAX + 1];
	const struct image_args *args = job->args;
	int r = import_name(args->words[0], args->words[1], name, err);

	if (r == 0)
		r = import_image(&job->store, args->words[0], args->plain_http, name, digest,
				 before, err);
	if (r == 0)
		say_made(job, name, digest, before);
	return r;
}

static int do_rm(struct job *job, struct err *err)
{
	bool tree;
	int r = image_remove(&job->store, job->args->words[0], &tree, err);

	if (r == 0 && !tree)
		fprintf(stderr, "creel: the image stays: it has another name\n");
	return r;
}

static int with_ids(const struct image_args *args, struct state *state,
		    int (*fn)(struct job *job, struct err *err), struct err *err)
{
	struct ids_job ids_job;
	struct image_ids ids = {.run = ids_run, .ctx = &ids_job};
	struct job job = {.args = args,
			  .state = state,
			  .store = {.data = state->data, .ids = &ids, .terminal = isatty(2)},
			  .start_ms = clock_ms()};
	unsigned n = 0;
	int r = ids_begin(state, &ids_job, err);

	ids.userns_fd = ids_job.userns_fd;
	if (r == 0)
		r = image_sweep(&job.store, &n, err);
	if (n)
		fprintf(stderr, "creel: removed what %u interrupted command%s left\n", n,
			n == 1 ? "" : "s");
	if (r == 0)
		r = fn(&job, err);
	ids_end(&ids_job);
	return r;
}

static int cmd_build(const struct image_args *args, struct state *state, struct err *err)
{
	return with_ids(args, state, do_build, err);
}

static int cmd_import(const struct image_args *args, struct state *state, struct err *err)
{
	return with_ids(args, state, do_import, err);
}

static int cmd_rm(const struct image_args *args, struct state *state, struct err *err)
{
	return with_ids(args, state, do_rm, err);
}

static const struct {
	const char *name;
	int least, most; /* words after it */
	const char *words;
	int (*run)(const struct image_args *args, struct state *state, struct err *err);
} subcommands[] = {
	{"ls", 0, 0, "nothing", image_ls},
	{"build", 1, 1, "a NAME", cmd_build},
	{"pull", 1, 2, "docker://REFERENCE and perhaps a NAME", cmd_import},
	{"import", 2, 2, "oci:DIR[:TAG] or docker-archive:FILE, and a NAME", cmd_import},
	{"rm", 1, 1, "a NAME", cmd_rm},
	{"inspect", 1, 1, "a NAME", image_inspect},
};

/* ---- options ---- */

enum { OPT_STATE = 256, OPT_JSON, OPT_RECIPE, OPT_DRY_RUN, OPT_PLAIN_HTTP };

static const struct option long_options[] = {{"state", required_argument, NULL, OPT_STATE},
					     {"json", no_argument, NULL, OPT_JSON},
					     {"recipe", required_argument, NULL, OPT_RECIPE},
					     {"dry-run", no_argument, NULL, OPT_DRY_RUN},
					     {"plain-http", no_argument, NULL, OPT_PLAIN_HTTP},
					     {"help", no_argument, NULL, 'h'},
					     {0}};

/* The subcommand that alone takes an option; NULL: all do. */
static const char *belongs_to(int c)
{
	return c == OPT_RECIPE || c == OPT_DRY_RUN ? "build" : c == OPT_PLAIN_HTTP ? "pull" : NULL;
}

static int take_option(int c, const char *word, struct image_args *args, struct err *err)
{
	const char *owner = belongs_to(c);

	if (owner && strcmp(owner, args->name) != 0)
		return err_set(err, EINVAL, "image", "%s is for creel image %s", word, owner);
	if (c == OPT_JSON && strcmp(args->name, "ls") != 0 && strcmp(args->name, "inspect") != 0)
		return err_set(err, EINVAL, "image", "--json is for creel image ls and inspect");
	switch (c) {
	case OPT_STATE:
		args->state = optarg;
		return 0;
	case OPT_JSON:
		args->json = true;
		return 0;
	case OPT_RECIPE:
		args->recipe = optarg;
		return 0;
	case OPT_DRY_RUN:
		args->dry_run = true;
		return 0;
	case OPT_PLAIN_HTTP:
		args->plain_http = true;
		return 0;
	case 'h':
		args->help = true;
		return 0;
	default:
		return err_set(err, EINVAL, "image",
			       "unknown option %.60s, or no value for it; see "
			       "creel help image",
			       word);
	}
}

static int parse_args(int argc, char **argv, struct image_args *args, struct err *err)
{
	int c, r = 0;

	opterr = 0;
	optind = 1;
	while (r == 0 && !args->help && (c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0)
		r = take_option(c, argv[optind - 1], args, err);
	for (; r == 0 && optind < argc; optind++) {
		if (args->n_words == ELEMENTSOF(args->words))
			return err_set(err, EINVAL, "image",
				       "too many words at %.60s; see creel help "
				       "image",
				       argv[optind]);
		args->words[args->n_words++] = argv[optind];
	}
	return r;
}

static int check_words(size_t i, const struct image_args *args, struct err *err)
{
	const char *source = args->words[0] ? args->words[0] : "";

	if (args->n_words < subcommands[i].least || args->n_words > subcommands[i].most)
		return err_set(err, EINVAL, "image",
			       "creel image %s needs %s; see creel help image", args->name,
			       subcommands[i].words);
	if (strcmp(args->name, "build") == 0 && parse_name(source) < 0)
		return err_set(err, EINVAL, "image", "%.80s is no name of an image", source);
	if (strcmp(args->name, "build") == 0 && strcmp(source, "host") == 0)
		return err_set(err, EINVAL, "image",
			       "host is this machine's own /usr: it needs no build");
	if (strcmp(args->name, "pull") == 0 && strncmp(source, "docker://", 9) != 0)
		return err_set(err, EINVAL, "image",
			       "%.80s: creel image pull takes docker://REFERENCE; oci: and "
			       "docker-archive: are for creel image import",
			       source);
	if (strcmp(args->name, "import") == 0 && strncmp(source, "oci:", 4) != 0 &&
	    strncmp(source, "docker-archive:", 15) != 0)
		return err_set(
			err, EINVAL, "image",
			"%.80s: creel image import takes oci:DIR[:TAG] or docker-archive:FILE",
			source);
	return 0;
}

static int run(int argc, char **argv, struct image_args *args, struct err *err)
{
	struct state state;
	int r;

	for (size_t i = 0; i < ELEMENTSOF(subcommands); i++) {
		if (strcmp(args->name, subcommands[i].name) != 0)
			continue;
		r = parse_args(argc, argv, args, err);
		if (r < 0 || args->help)
			return r;
		r = check_words(i, args, err);
		if (r == 0)
			r = state_open(args->state, &state, err);
		return r == 0 ? subcommands[i].run(args, &state, err) : r;
	}
	return err_set(err, EINVAL, "image", "there is no creel image %.40s; see creel help image",
		       args->name);
}

int cmd_image(int argc, char **argv)
{
	struct image_args args = {.name = argc > 1 ? argv[1] : "--help"};
	struct err err = {0};

	if (strcmp(args.name, "--help") == 0 || strcmp(args.name, "-h") == 0)
		args.help = true;
	else if (run(argc - 1, argv + 1, &args, &err) < 0)
		return creel_fail(&err, args.json);
	if (args.help)
		fputs(image_usage, stdout);
	return 0;
}
