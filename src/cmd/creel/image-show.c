/* SPDX-License-Identifier: Apache-2.0 */
/* image-show.c: creel image ls and inspect. Both only read. */
#include "ceilings.h"
#include "image-cmd.h"
#include "image-private.h"
#include "io.h"
#include "jsonw.h"
#include "recipe.h"
#include "state.h"

#include <stdlib.h>

struct listed {
	struct image image; /* env is not kept */
	struct image_info info;
};

struct list {
	struct listed *images;
	size_t n;
};

static void list_done(struct list *list)
{
	free(list->images);
}

static int add(const struct image *image, void *data)
{
	struct list *list = data;
	struct listed *grown = realloc(list->images, (list->n + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	list->images = grown;
	grown[list->n] = (struct listed){.image = *image};
	grown[list->n].image.env = NULL;
	image_info_read(image, &grown[list->n++].info);
	return 0;
}

/* By name; those without one at the end. */
static int compare(const void *a, const void *b)
{
	const struct image *x = &((const struct listed *)a)->image;
	const struct image *y = &((const struct listed *)b)->image;

	if (!*x->name != !*y->name)
		return *x->name ? -1 : 1;
	return *x->name ? strcmp(x->name, y->name) : strcmp(x->digest, y->digest);
}

static void put_text(struct jsonw *json, const char *key, const char *text)
{
	jsonw_string(json, key, *text ? text : NULL);
}

/* Open: the caller may add to it. */
static void put_json(struct jsonw *json, const struct listed *listed)
{
	const struct image *image = &listed->image;
	const struct image_info *info = &listed->info;
	char digest[IMAGE_DIGEST_SIZE] = "";

	if (*image->digest)
		snprintf(digest, sizeof(digest), "sha256:%.64s", image->digest + 7);
	jsonw_object(json, NULL);
	put_text(json, "name", image->name);
	put_text(json, "digest", digest);
	put_text(json, "created", info->created);
	jsonw_u64(json, "size", info->size);
	jsonw_u64(json, "files", info->files);
	jsonw_object(json, "source");
	put_text(json, "kind", info->kind);
	put_text(json, "reference", info->reference);
	put_text(json, "digest", info->digest);
	put_text(json, "suite", info->suite);
	jsonw_object_end(json);
}

static int print(struct jsonw *json, struct buf *text, struct err *err)
{
	int r = jsonw_done(json);

	if (r == 0)
		r = buf_putc(text, '\n');
	if (r == 0)
		r = io_write_full(1, text->data, text->len);
	return r < 0 ? err_errno(err, -r, "image", "cannot print the images") : 0;
}

static int ls_json(const struct list *list, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_CHANGES_JSON);
	struct jsonw json;

	jsonw_init(&json, &text);
	jsonw_object(&json, NULL);
	jsonw_array(&json, "images");
	for (size_t i = 0; i < list->n; i++) {
		put_json(&json, &list->images[i]);
		jsonw_object_end(&json);
	}
	jsonw_array_end(&json);
	jsonw_array(&json, "recipes");
	for (size_t i = 0; i < n_recipe_texts; i++)
		jsonw_string(&json, NULL, recipe_texts[i].name);
	jsonw_array_end(&json);
	jsonw_object_end(&json);
	return print(&json, &text, err);
}

static bool is_there(const struct list *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->images[i].image.name, name) == 0)
			return true;
	return false;
}

static int ls_text(const struct list *list, struct err *err)
{
	if (list->n)
		printf("%-16s %-19s %8s %7s  %-20s %s\n", "NAME", "DIGEST", "MB", "FILES",
		       "CREATED", "FROM");
	for (size_t i = 0; i < list->n; i++) {
		const struct image *image = &list->images[i].image;
		const struct image_info *info = &list->images[i].info;

		printf("%-16s sha256:%-12.12s %8llu %7llu  %-20s %s\n",
		       *image->name ? image->name : "-", *image->digest ? image->digest + 7 : "?",
		       (unsigned long long)info->size >> 20, (unsigned long long)info->files,
		       info->created, info->reference);
	}
	for (size_t i = 0, n = 0; i < n_recipe_texts; i++) {
		struct recipe recipe;
		int r;

		if (is_there(list, recipe_texts[i].name))
			continue;
		r = recipe_load(recipe_texts[i].name, NULL, &recipe, err);
		if (r < 0)
			return r;
		printf("%s%-16s %s (%llu MB)\n", n++ ? "" : "\nto be had with creel image build:\n",
		       recipe_texts[i].name, recipe.description,
		       (unsigned long long)recipe.disk >> 20);
		recipe_done(&recipe);
	}
	return 0;
}

int image_ls(const struct image_args *args, struct state *state, struct err *err)
{
	_cleanup_(list_done) struct list list = {0};
	int r = image_each(state->data, add, &list, err);

	if (r < 0)
		return r;
	if (list.n)
		qsort(list.images, list.n, sizeof(*list.images), compare);
	return args->json ? ls_json(&list, err) : ls_text(&list, err);
}

static int inspect_json(const struct listed *listed, const struct image *image, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_CHANGES_JSON);
	struct jsonw json;

	jsonw_init(&json, &text);
	put_json(&json, listed);
	jsonw_string(&json, "user", image->user);
	jsonw_u64(&json, "gid", image->gid);
	jsonw_string(&json, "home", image->home);
	jsonw_string(&json, "workdir", *image->workdir ? image->workdir : "/workspace");
	jsonw_array(&json, "env");
	for (size_t i = 0; image->env[i]; i++)
		jsonw_string(&json, NULL, image->env[i]);
	jsonw_array_end(&json);
	jsonw_string(&json, "root", image->root);
	jsonw_object_end(&json);
	return print(&json, &text, err);
}

static void inspect_text(const struct listed *listed, const struct image *image)
{
	const struct image_info *info = &listed->info;

	printf("name     %s\ndigest   sha256:%s\n", *image->name ? image->name : "-",
	       image->digest + 7);
	printf("created  %s\nsource   %s %s %s\n", info->created, info->kind, info->reference,
	       info->digest);
	if (*info->suite)
		printf("suite    %s\n", info->suite);
	printf("size     %llu bytes in %llu files\n", (unsigned long long)info->size,
	       (unsigned long long)info->files);
	printf("user     %s (uid 1000, gid %u), home %s\n", image->user, image->gid, image->home);
	printf("workdir  %s\n", *image->workdir ? image->workdir : "/workspace");
	for (size_t i = 0; image->env[i]; i++)
		printf("env      %s\n", image->env[i]);
	printf("root     %s\n", image->root);
}

int image_inspect(const struct image_args *args, struct state *state, struct err *err)
{
	_cleanup_image_ struct image image = IMAGE_INIT;
	struct listed listed = {0};
	int r = image_resolve(state->data, args->words[0], &image, err);

	if (r < 0)
		return r;
	listed.image = image;
	image_info_read(&image, &listed.info);
	if (args->json)
		r = inspect_json(&listed, &image, err);
	else
		inspect_text(&listed, &image);
	return r;
}
