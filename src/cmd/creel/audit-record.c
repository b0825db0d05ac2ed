/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit-record.c: what a record says, and whether a filter wants it. Works on text and JSON trees
 * alone; audit-search.c fetches them.
 *
 * A record was written by creel, but its values, and the lists of files that it refers to, were
 * chosen by who was recorded: any type may stand anywhere, and no value is trusted to be of a form.
 */
#include "audit-cmd.h"

#include "err.h"
#include "fs.h"

/* NULL if it is no string, or one that a C string cannot hold. */
static const char *text_of(const json_t *value)
{
	const char *text = json_string_value(value);

	return text && strlen(text) == json_string_length(value) ? text : NULL;
}

const char *audit_field(const json_t *record, const char *name)
{
	return text_of(json_object_get(record, name));
}

bool audit_is_type(const json_t *record, const char *type)
{
	const char *is = audit_field(record, "type");

	return is && strcmp(is, type) == 0;
}

bool audit_is_hash(const char *text)
{
	return strlen(text) == AUDIT_HASH_HEX && strspn(text, "0123456789abcdef") == AUDIT_HASH_HEX;
}

const char *audit_ref_hash(const json_t *ref)
{
	const char *text = audit_field(ref, "sha256");

	return text && audit_is_hash(text) ? text : NULL;
}

static bool is_ref(const json_t *value)
{
	if (json_is_true(json_object_get(value, "off")))
		return true;
	return audit_ref_hash(value) && json_is_integer(json_object_get(value, "size")) &&
	       !json_object_get(value, "path");
}

const json_t *audit_ref(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name), *inner = json_object_get(value, "ref");

	if (is_ref(value))
		return value;
	return is_ref(inner) ? inner : NULL;
}

void audit_refs(const json_t *record,
		void (*found)(const char *name, const json_t *ref, void *data), void *data)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)record, name, value)
	{
		const json_t *ref = audit_ref(record, name);

		if (ref)
			found(name, ref, data);
		else if (json_is_object(value))
			audit_refs(value, found, data);
	}
}

static bool equals(const char *wanted, const json_t *record, const char *name)
{
	const char *is = audit_field(record, name);

	return !wanted || (is && strcmp(is, wanted) == 0);
}

bool audit_matches_itself(const struct audit_filter *filter, const json_t *record)
{
	const char *time = audit_field(record, "time");
	int64_t ms;

	if (!equals(filter->type, record, "type"))
		return false;
	if (filter->since == INT64_MIN && filter->until == INT64_MAX)
		return true;
	return time && audit_time_parse(time, 0, &ms) == 0 && ms >= filter->since &&
	       ms <= filter->until;
}

bool audit_matches_identity(const struct audit_filter *filter, const json_t *record,
			    const json_t *start)
{
	const struct {
		const char *wanted, *name;
	} fields[] = {{filter->agent, "agent"},
		      {filter->user, "user"},
		      {filter->host, "host"},
		      {filter->run, "run"}};

	for (size_t i = 0; i < ELEMENTSOF(fields); i++)
		if (!equals(fields[i].wanted, record, fields[i].name) &&
		    !equals(fields[i].wanted, start, fields[i].name))
			return false;
	return true;
}

bool audit_has_content_filter(const struct audit_filter *filter)
{
	return filter->path || filter->hash;
}

static bool is_wanted_path(const struct audit_filter *filter, const json_t *value)
{
	const char *path = text_of(value);

	return path && fs_is_below(path, filter->path);
}

static bool is_wanted_file(const struct audit_filter *filter, const json_t *object)
{
	const char *hash = audit_field(object, "sha256");

	if (filter->path && !is_wanted_path(filter, json_object_get(object, "path")))
		return false;
	return !filter->hash || (hash && strcmp(hash, filter->hash) == 0);
}

/* The parser bounds the depth. */
bool audit_matches_content(const struct audit_filter *filter, const json_t *tree)
{
	const char *name;
	json_t *value;
	size_t i;

	if (json_is_object(tree) && is_wanted_file(filter, tree))
		return true;
	/* Lists of files that have no more than a name. */
	json_array_foreach(tree, i, value) if ((!filter->hash && is_wanted_path(filter, value)) ||
					       audit_matches_content(filter, value)) return true;
	json_object_foreach((json_t *)(uintptr_t)tree, name,
			    value) if (audit_matches_content(filter, value)) return true;
	return false;
}

/* Whether canonical JSON holds this text as it is. */
static bool is_verbatim(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == '"' || *text == '\\')
			return false;
	return true;
}

static bool has(const char *text, size_t len, const char *wanted)
{
	return memmem(text, len, wanted, strlen(wanted));
}

static bool may_have(const char *text, size_t len, const char *wanted)
{
	return !wanted || !is_verbatim(wanted) || has(text, len, wanted);
}

bool audit_may_match(const struct audit_filter *f, const char *text, size_t len)
{
	if (!may_have(text, len, f->type) || !may_have(text, len, f->run))
		return false;
	/* These may stand in the start of the run, */
	if ((!may_have(text, len, f->agent) || !may_have(text, len, f->user) ||
	     !may_have(text, len, f->host)) &&
	    !has(text, len, "\"start\":"))
		return false;
	/* and these in a list beside the record, kept or not. */
	return (may_have(text, len, f->path) && may_have(text, len, f->hash)) ||
	       has(text, len, "\"size\":") || has(text, len, "\"off\":");
}

const char *audit_next_payload(const char *text, const char *end, char ret_hash[AUDIT_HASH_HEX + 1])
{
	static const char before[] = "{\"sha256\":\"", behind[] = "\",\"size\":";
	const size_t first = sizeof(before) - 1, last = sizeof(behind) - 1;

	while ((text = memmem(text, (size_t)(end - text), before, first))) {
		char hash[AUDIT_HASH_HEX + 1] = "";

		text += first;
		if ((size_t)(end - text) < AUDIT_HASH_HEX + last)
			return NULL;
		memcpy(hash, text, AUDIT_HASH_HEX);
		if (!audit_is_hash(hash) || memcmp(text + AUDIT_HASH_HEX, behind, last) != 0)
			continue;
		text += AUDIT_HASH_HEX + last;
		while (text < end && *text >= '0' && *text <= '9')
			text++;
		if (text == end || *text != '}')
			continue;
		memcpy(ret_hash, hash, sizeof(hash));
		return text;
	}
	return NULL;
}

size_t audit_list_refs(const json_t *record, const json_t *ret_refs[AUDIT_LISTS])
{
	const json_t *const found[AUDIT_LISTS] = {audit_ref(record, "changes"),
						  audit_ref(record, "files"),
						  audit_ref(record, "inputs")};
	size_t n = 0;

	for (size_t i = 0; i < AUDIT_LISTS; i++)
		if (found[i])
			ret_refs[n++] = found[i];
	return n;
}
