/* SPDX-License-Identifier: Apache-2.0 */
/* config.c: see config.h. Read with libyaml's document API: the file is small. */
#include "config.h"

#include "buf.h"
#include "ceilings.h"
#include "err.h"
#include "io.h"
#include "options.h"

#include <fcntl.h>
#include <yaml.h>

struct config {
	yaml_document_t document;
	char path[512];
};

static int config_path(char *ret, size_t size, struct err *err)
{
	const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");
	int n;

	if (geteuid() == 0)
		n = snprintf(ret, size, "/etc/creel/creel.yaml");
	else if (config && *config == '/')
		n = snprintf(ret, size, "%s/creel/creel.yaml", config);
	else if (home && *home == '/')
		n = snprintf(ret, size, "%s/.config/creel/creel.yaml", home);
	else
		return err_set(err, ENOENT, "config",
			       "HOME is not set: there is no configuration file");
	if (n < 0 || (size_t)n >= size)
		return err_set(err, ENAMETOOLONG, "config",
			       "the path of the configuration file is longer than %zu bytes: "
			       "shorten XDG_CONFIG_HOME or HOME",
			       size - 1);
	return 0;
}

static int config_bad(const struct config *config, const yaml_node_t *node, const char *what,
		      struct err *err)
{
	return err_set(err, EINVAL, "config", "%s:%zu: %s", config->path, node->start_mark.line + 1,
		       what);
}

static int config_load(struct config *config, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_CONFIG);
	yaml_parser_t parser;
	int r = config_path(config->path, sizeof(config->path), err);

	if (r < 0)
		return r;
	r = io_read_file(AT_FDCWD, config->path, &text);
	if (r == -E2BIG)
		return err_set(err, E2BIG, "config", "--profile: %s is larger than %u KiB",
			       config->path, CEIL_CONFIG >> 10);
	if (r < 0)
		return err_errno(err, -r, "config", "--profile: %s", config->path);
	if (!yaml_parser_initialize(&parser))
		return err_set(err, ENOMEM, "config", "out of memory");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.len);
	if (!yaml_parser_load(&parser, &config->document))
		r = err_set(err, EINVAL, "config", "%s:%zu: %s", config->path,
			    parser.problem_mark.line + 1,
			    parser.problem ? parser.problem : "not YAML");
	yaml_parser_delete(&parser);
	return r;
}

static const char *config_scalar(const yaml_node_t *node)
{
	return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value
						      : NULL;
}

/* The values of a mapping whose keys are distinct scalars. */
static int config_mapping(struct config *config, yaml_node_t *node, struct err *err)
{
	yaml_node_pair_t *pair, *other;

	if (node->type != YAML_MAPPING_NODE)
		return config_bad(config, node, "a mapping is expected", err);
	for (pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *key_node = yaml_document_get_node(&config->document, pair->key);
		const char *key = config_scalar(key_node);

		if (!key)
			return config_bad(config, key_node ? key_node : node,
					  "a key must be a word", err);
		for (other = node->data.mapping.pairs.start; other < pair; other++)
			if (strcmp(config_scalar(
					   yaml_document_get_node(&config->document, other->key)),
				   key) == 0)
				return config_bad(config, key_node, "the key is there twice", err);
	}
	return 0;
}

static int config_set(struct config *config, struct options *options, const char *key,
		      yaml_node_t *node, struct err *err)
{
	const char *value = config_scalar(node);
	struct err inner = {0};
	int r;

	if (!value)
		return config_bad(config, node, "a word or number is expected", err);
	r = options_set(options, key, value, &inner);
	return r < 0 ? config_bad(config, node, inner.text, err) : 0;
}

static int config_apply(struct config *config, yaml_node_t *profile, struct options *options,
			struct err *err)
{
	yaml_node_pair_t *pair;
	int r = config_mapping(config, profile, err);

	for (pair = profile->data.mapping.pairs.start;
	     r == 0 && pair < profile->data.mapping.pairs.top; pair++) {
		const char *key =
			config_scalar(yaml_document_get_node(&config->document, pair->key));
		yaml_node_t *value = yaml_document_get_node(&config->document, pair->value);

		if (value->type != YAML_SEQUENCE_NODE) {
			r = config_set(config, options, key, value, err);
			continue;
		}
		for (yaml_node_item_t *item = value->data.sequence.items.start;
		     r == 0 && item < value->data.sequence.items.top; item++)
			r = config_set(config, options, key,
				       yaml_document_get_node(&config->document, *item), err);
	}
	return r;
}

/* Every profile is checked, not only the one that is asked for. */
static int config_profiles(struct config *config, yaml_node_t *profiles, const char *name,
			   struct options *options, struct err *err)
{
	bool found = false;
	int r = config_mapping(config, profiles, err);

	for (yaml_node_pair_t *pair = profiles->data.mapping.pairs.start;
	     r == 0 && pair < profiles->data.mapping.pairs.top; pair++) {
		const char *key =
			config_scalar(yaml_document_get_node(&config->document, pair->key));
		yaml_node_t *value = yaml_document_get_node(&config->document, pair->value);
		static struct options scratch;
		bool this_one = strcmp(key, name) == 0;

		scratch = *options;
		r = config_apply(config, value, &scratch, err);
		if (r == 0 && this_one)
			*options = scratch;
		found |= this_one;
	}
	if (r == 0 && !found)
		r = err_set(err, ENOENT, "config", "%s has no profile %s", config->path, name);
	return r;
}

int config_profile(const char *name, struct options *options, struct err *err)
{
	static struct config config; /* options keep pointers into it: it lives as long as they */
	yaml_node_t *root;
	int r = config_load(&config, err);

	if (r < 0)
		return r;
	root = yaml_document_get_root_node(&config.document);
	if (!root)
		return err_set(err, EINVAL, "config", "%s is empty", config.path);
	r = config_mapping(&config, root, err);
	if (r == 0) {
		yaml_node_pair_t *pair = root->data.mapping.pairs.start;
		bool one = root->data.mapping.pairs.top - pair == 1;
		yaml_node_t *key = one ? yaml_document_get_node(&config.document, pair->key) : root;
		const char *name_of = config_scalar(key);

		if (!one || !name_of || strcmp(name_of, "profiles") != 0)
			r = config_bad(&config, key ? key : root, "the only key here is profiles",
				       err);
		else
			r = config_profiles(&config,
					    yaml_document_get_node(&config.document, pair->value),
					    name, options, err);
	}
	if (r < 0)
		yaml_document_delete(&config.document);
	return r;
}
