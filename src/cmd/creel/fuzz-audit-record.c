/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-audit-record.c: the input is a record, or a list of files beside one. Whatever it holds,
 * what is printed of it is clean UTF-8 without control characters, in the number of lines that was
 * promised, and the form of JSON is still JSON with the same value.
 */
#include "audit-cmd.h"
#include "err.h"

#include "../../testing/fuzz.h"

static void check_clean(const struct buf *out, bool one_line)
{
	size_t lines = 0;

	for (size_t i = 0; i < out->len; i++) {
		unsigned char c = (unsigned char)out->data[i];

		lines += c == '\n';
		FUZZ_MUST(c == '\n' || (c >= 0x20 && c != 0x7f));
		FUZZ_MUST(c != 0xc2 || (unsigned char)out->data[i + 1] >= 0xa0);
	}
	FUZZ_MUST(!one_line || (lines == 1 && out->data[out->len - 1] == '\n'));
}

static void check_json_line(const char *text, size_t size, const json_t *record)
{
	_cleanup_buf_ struct buf out = BUF_INIT(8u << 20);
	_cleanup_json_ json_t *line = NULL;

	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < 0x20)
			return; /* white space: not canonical, and so in no log */
	FUZZ_MUST(audit_json_line(&out, 1, text, size) == 0);
	check_clean(&out, true);
	line = json_loadb(out.data, out.len, JSON_ALLOW_NUL, NULL);
	FUZZ_MUST(line && json_equal(json_object_get(line, "record"), record));
}

static void look_at_ref(const char *name, const json_t *ref, void *data)
{
	(void)data;
	FUZZ_MUST(name);
	FUZZ_MUST(!audit_ref_hash(ref) || audit_is_hash(audit_ref_hash(ref)));
}

static void look_at(const json_t *json)
{
	struct audit_filter filter = {.agent = "a",
				      .type = "t",
				      .path = "/w",
				      .hash = "0123456789abcdef0123456789abcdef"
					      "0123456789abcdef0123456789abcdef",
				      .since = 0,
				      .until = INT64_MAX};
	const json_t *lists[AUDIT_LISTS];

	audit_refs(json, look_at_ref, NULL);
	for (size_t i = 0, n = audit_list_refs(json, lists); i < n; i++)
		look_at_ref("", lists[i], NULL);
	audit_matches_itself(&filter, json);
	audit_matches_identity(&filter, json, json);
	audit_matches_content(&filter, json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *json = json_loadb((const char *)data, size, JSON_ALLOW_NUL, NULL);
	_cleanup_buf_ struct buf text = BUF_INIT(8u << 20), line = BUF_INIT(8u << 20),
				 page = BUF_INIT(64u << 20);

	char hash[AUDIT_HASH_HEX + 1];

	if (size > 1u << 16)
		return 0;
	for (const char *at = (const char *)data, *end = at + size;
	     (at = audit_next_payload(at, end, hash));)
		FUZZ_MUST(audit_is_hash(hash) && at > (const char *)data && at <= end);
	FUZZ_MUST(audit_text(&text, (const char *)data, size, AUDIT_KEEP_LINES) == 0);
	check_clean(&text, false);
	if (!json)
		return 0;
	look_at(json);
	FUZZ_MUST(audit_line(&line, UINT64_MAX, json) == 0);
	check_clean(&line, true);
	if (audit_pretty(&page, json) == 0)
		check_clean(&page, false);
	check_json_line((const char *)data, size, json);
	return 0;
}
