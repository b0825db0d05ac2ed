/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rerun-compare.c: two runs of the same words side by side, by their records. Hashes of payloads
 * are salted, each with its own salt: the new payload, which is kept, is hashed with the old one.
 * Usage and times differ always and are not compared.
 */
#include "rerun-private.h"
#include "sha.h"

#include <sodium/utils.h>
#include <stdarg.h>

#define RERUN_FILES_TOLD 20u

_printf_(2, 3) static int rerun_differs(struct rerun *rerun, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0 || json_array_append_new(rerun->differences, json_string_nocheck(text)) < 0)
		return -ENOMEM;
	return 0;
}

static int rerun_value(struct rerun *rerun, const json_t *now, const char *name)
{
	const json_t *a = json_object_get(rerun->end, name), *b = json_object_get(now, name);
	_cleanup_free_ char *was = a ? json_dumps(a, JSON_ENCODE_ANY) : NULL;
	_cleanup_free_ char *is = b ? json_dumps(b, JSON_ENCODE_ANY) : NULL;

	if ((!a && !b) || json_equal(a, b))
		return 0;
	return rerun_differs(rerun, "%s: was %s, is %s", name, was ? was : "none",
			     is ? is : "none");
}

/* The hash of salt (hex) and payload, as a record has it. */
static int rerun_salted(const char *salt, const struct buf *payload, char ret[SHA_HEX + 1])
{
	unsigned char bytes[SHA_LEN];
	struct sha sha;

	if (sodium_hex2bin(bytes, sizeof(bytes), salt, strlen(salt), NULL, NULL, NULL) < 0)
		return -EBADMSG;
	sha_init(&sha);
	sha_update(&sha, bytes, sizeof(bytes));
	if (payload->len)
		sha_update(&sha, payload->data, payload->len);
	sha_final_hex(&sha, ret);
	return 0;
}

/* 1: the old reference is of this payload, 0: of another. -ENOENT: nothing of it was kept. */
static int rerun_same(struct rerun *rerun, const json_t *old, const struct buf *now)
{
	const char *hash = old ? audit_ref_hash(old) : NULL;
	const char *salt = old ? audit_field(old, "salt") : NULL;
	_cleanup_buf_ struct buf was = BUF_INIT(CEIL_OUTPUT);
	char hex[SHA_HEX + 1];
	int r;

	if (!hash)
		return -ENOENT;
	if (salt && strlen(salt) == SHA_HEX) {
		r = rerun_salted(salt, now, hex);
		return r < 0 ? r : strcmp(hex, hash) == 0;
	}
	r = audit_blob_read(rerun->log, hash, &was, NULL);
	if (r < 0)
		return r;
	return was.len == now->len && (now->len == 0 || memcmp(was.data, now->data, now->len) == 0);
}

static int rerun_output(struct rerun *rerun, const json_t *now, const char *name, struct err *err)
{
	const json_t *old = audit_ref(json_object_get(rerun->end, "outputs"), name);
	const json_t *new = audit_ref(json_object_get(now, "outputs"), name);
	const char *hash = new ? audit_ref_hash(new) : NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_OUTPUT);
	int r = hash ? audit_blob_read(rerun->log, hash, &text, err) : 0;

	if (r < 0)
		return r;
	r = rerun_same(rerun, old, &text);
	if (r == -ENOENT)
		return rerun_differs(rerun, "%s: the first run's was not kept, not even its hash",
				     name);
	if (r < 0)
		return err_errno(err, -r, "rerun", "cannot compare %s", name);
	if (r > 0)
		return 0;
	return rerun_differs(rerun, "%s: was %lld bytes, is %zu bytes, and differs", name,
			     (long long)json_integer_value(json_object_get(old, "size")), text.len);
}

static json_t *rerun_by_path(const json_t *list)
{
	json_t *map = json_object(), *entry;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, entry)
	{
		const char *path = audit_field(entry, "path");

		if (path && json_object_set_nocheck(map, path, entry) < 0)
			break;
	}
	return map;
}

static bool rerun_same_file(const json_t *a, const json_t *b)
{
	static const char *const fields[] = {"kind", "sha256", "size", "stated"};

	for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
		const json_t *x = json_object_get(a, fields[i]), *y = json_object_get(b, fields[i]);

		if ((x || y) && !json_equal(x, y))
			return false;
	}
	return true;
}

static void rerun_file(struct rerun *rerun, size_t *told, const char *what, const char *path,
		       const char *how)
{
	if ((*told)++ < RERUN_FILES_TOLD && rerun_differs(rerun, "%s: %s %s", what, path, how) < 0)
		*told = SIZE_MAX / 2;
}

static void rerun_files(struct rerun *rerun, const char *what, json_t *before, json_t *after)
{
	size_t told = 0;
	const char *path;
	json_t *entry;

	json_object_foreach(before, path, entry)
	{
		const json_t *other = json_object_get(after, path);

		if (!other)
			rerun_file(rerun, &told, what, path, "is missing");
		else if (!rerun_same_file(entry, other))
			rerun_file(rerun, &told, what, path, "is another");
	}
	json_object_foreach(after, path, entry) if (!json_object_get(before, path))
		rerun_file(rerun, &told, what, path, "is new");
	if (told > RERUN_FILES_TOLD &&
	    rerun_differs(rerun, "%s: %zu more", what, told - RERUN_FILES_TOLD) < 0)
		return;
}

/* An empty list stands in the record itself. */
static int rerun_load_list(struct rerun *rerun, const json_t *value, json_t **ret, struct err *err)
{
	const json_t *ref = json_is_object(value) ? value : NULL;

	if (json_is_array(value)) {
		*ret = json_incref((json_t *)(uintptr_t)value);
		return 0;
	}
	return ref ? audit_list(rerun->log, ref, ret, err) : -ENOENT;
}

/* Two lists of {path, sha256, …}: inputs, or changes. */
static int rerun_list(struct rerun *rerun, const char *what, const json_t *old, const json_t *new,
		      struct err *err)
{
	_cleanup_json_ json_t *was = NULL, *is = NULL, *before = NULL, *after = NULL;
	int r = rerun_load_list(rerun, old, &was, err);

	if (r == 0)
		r = rerun_load_list(rerun, new, &is, err);
	if (r == -ENOENT)
		return rerun_differs(rerun, "%s: the first run's list is not kept", what);
	if (r < 0)
		return r;
	before = rerun_by_path(was);
	after = rerun_by_path(is);
	rerun_files(rerun, what, before, after);
	return 0;
}

int rerun_compare(struct rerun *rerun, const struct run_result *result, struct err *err)
{
	static const char *const values[] = {"ended_by", "exit_code", "signal"};
	static const char *const outputs[] = {"stdout", "stderr"};
	_cleanup_json_ json_t *start = NULL, *end = NULL;
	int r = audit_load(rerun->log, result->audit.start, &start, err);

	if (r == 0)
		r = audit_load(rerun->log, result->audit.end, &end, err);
	if (r == 0)
		r = rerun_list(rerun, "inputs", json_object_get(rerun->start, "inputs"),
			       json_object_get(start, "inputs"), err);
	if (r == 0 && !rerun->end)
		return rerun_differs(rerun, "the first run has no end in the log: creel or the "
					    "machine died");
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(values); i++)
		r = rerun_value(rerun, end, values[i]);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(outputs); i++)
		r = rerun_output(rerun, end, outputs[i], err);
	if (r == 0)
		r = rerun_list(rerun, "changes", json_object_get(rerun->end, "changes"),
			       json_object_get(end, "changes"), err);
	return r;
}
