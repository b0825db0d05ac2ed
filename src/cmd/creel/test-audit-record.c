/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-audit-record.c: what records say, what filters let through, and that no text of a record
 * reaches a terminal as anything but text.
 */
#include "audit-cmd.h"
#include "err.h"

#include "../../testing/testing.h"

#define H "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define G "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, JSON_ALLOW_NUL, NULL);

	assert_non_null(json);
	return json;
}

static const char start_text[] =
	"{\"agent\":\"maria\",\"argv\":{\"sha256\":\"" H "\",\"size\":9},\"code\":{\"ref\":"
	"{\"off\":true}},\"inputs\":[{\"path\":\"/in/a.csv\",\"sha256\":\"" G "\",\"size\":3}],"
	"\"run\":\"irun\",\"time\":\"2026-01-01T00:00:00.500Z\",\"type\":\"run.start\",\"v\":1}";
static const char end_text[] =
	"{\"changes\":{\"ref\":{\"sha256\":\"" H "\",\"size\":40}},\"files\":{\"salt\":\"" G
	"\",\"sha256\":\"" G "\",\"size\":1},\"run\":\"irun\",\"start\":0,\"time\":"
	"\"2026-01-01T00:00:01.000Z\",\"type\":\"run.end\"}";

static void count_ref(const char *name, const json_t *ref, void *data)
{
	(void)name, (void)ref;
	++*(int *)data;
}

static void references(void **state)
{
	_cleanup_json_ json_t *start = parse(start_text), *end = parse(end_text);
	const json_t *lists[AUDIT_LISTS];
	int n = 0;

	(void)state;
	assert_string_equal(audit_ref_hash(audit_ref(start, "argv")), H);
	assert_non_null(audit_ref(start, "code"));
	assert_null(audit_ref_hash(audit_ref(start, "code")));
	assert_null(audit_ref(start, "inputs"));
	assert_null(audit_ref(start, "agent"));
	assert_null(audit_ref(NULL, "agent"));
	assert_string_equal(audit_ref_hash(audit_ref(end, "changes")), H);
	audit_refs(start, count_ref, &n);
	assert_int_equal(n, 2);
	n = 0;
	audit_refs(end, count_ref, &n);
	assert_int_equal(n, 2);
	assert_int_equal(audit_list_refs(end, lists), 2);
	assert_string_equal(audit_ref_hash(lists[1]), G);
	assert_int_equal(audit_list_refs(start, lists), 0);
}

static struct audit_filter any(void)
{
	return (struct audit_filter){.since = INT64_MIN, .until = INT64_MAX};
}

static void filters_of_who_and_when(void **state)
{
	_cleanup_json_ json_t *start = parse(start_text), *end = parse(end_text);
	struct audit_filter f = any();

	(void)state;
	assert_true(audit_matches_itself(&f, end) && audit_matches_identity(&f, end, NULL));
	f.agent = "maria";
	assert_true(audit_matches_identity(&f, start, NULL));
	assert_false(audit_matches_identity(&f, end, NULL));
	assert_true(audit_matches_identity(&f, end, start));
	f.run = "other";
	assert_false(audit_matches_identity(&f, end, start));
	f = any();
	f.type = "run.end";
	assert_true(audit_matches_itself(&f, end));
	assert_false(audit_matches_itself(&f, start));
	f.type = NULL;
	f.since = 1767225600500; /* the start's time */
	assert_true(audit_matches_itself(&f, start));
	f.since++;
	assert_false(audit_matches_itself(&f, start));
	f = any();
	f.until = 1767225600499;
	assert_false(audit_matches_itself(&f, start));
}

static void a_name_with_nul_is_another_name(void **state)
{
	_cleanup_json_ json_t *record = parse("{\"agent\":\"maria\\u0000x\",\"run\":7}");
	struct audit_filter f = any();

	(void)state;
	f.agent = "maria";
	assert_false(audit_matches_identity(&f, record, NULL));
	assert_null(audit_field(record, "run"));
}

static bool has(const char *text, const char *path, const char *hash)
{
	_cleanup_json_ json_t *tree = parse(text);
	struct audit_filter f = any();

	f.path = path;
	f.hash = hash;
	return audit_matches_content(&f, tree);
}

static void filters_of_files(void **state)
{
	static const char list[] = "[{\"kind\":\"created\",\"path\":\"/w/a\",\"sha256\":\"" H
				   "\"},{\"path\":\"/w/b\",\"sha256\":null},\"/w/c/d\"]";

	(void)state;
	assert_true(has(start_text, "/in/a.csv", NULL));
	assert_true(has(start_text, "/in", NULL));
	assert_false(has(start_text, "/i", NULL));
	assert_true(has(start_text, NULL, G));
	assert_true(has("{\"executed\":[\"/bin/sh\"],\"read\":[]}", "/bin/sh", NULL));
	assert_true(has(list, "/w/a", H));
	assert_false(has(list, "/w/b", H));
	assert_true(has(list, "/w/c/d", NULL));
	assert_true(has(list, "/w/c", NULL));
	assert_false(has(list, "/w/c", H));
	assert_false(has("[[],{},1,null,\"\"]", "/w", NULL));
}

static void quick_look_never_misses(void **state)
{
	struct audit_filter f = any();

	(void)state;
	assert_true(audit_may_match(&f, "", 0));
	f.run = "irun";
	assert_true(audit_may_match(&f, start_text, strlen(start_text)));
	f.run = "nope";
	assert_false(audit_may_match(&f, start_text, strlen(start_text)));
	f = any();
	f.agent = "maria";
	assert_true(audit_may_match(&f, start_text, strlen(start_text)));
	assert_true(audit_may_match(&f, end_text, strlen(end_text)));
	f.agent = "ben";
	assert_false(audit_may_match(&f, start_text, strlen(start_text)));
	assert_true(audit_may_match(&f, end_text, strlen(end_text)));
	f = any();
	f.path = "/w";
	assert_true(audit_may_match(&f, end_text, strlen(end_text)));
	assert_true(audit_may_match(&f, "{\"off\":true}", 12));
	assert_false(audit_may_match(&f, "{\"a\":\"/v\"}", 10));
	f = any();
	f.run = "a\"b";
	assert_true(audit_may_match(&f, "{\"run\":\"a\\\"b\"}", 14));
	f.run = "a\tb";
	assert_true(audit_may_match(&f, "{\"run\":\"a\\tb\"}", 13));
}

static void payloads_in_text(void **state)
{
	static const char text[] = "{\"a\":{\"sha256\":\"" H "\",\"size\":0},\"b\":{\"salt\":\"" H
				   "\",\"sha256\":\"" H "\",\"size\":1},\"c\":{\"sha256\":\"" G
				   "\",\"size\":12,\"z\":1},\"d\":\"{\\\"sha256\\\":\\\"\",\"e\":"
				   "{\"ref\":{\"sha256\":\"" G "\",\"size\":77}}}";
	const char *end = text + strlen(text), *at = text;
	char hash[AUDIT_HASH_HEX + 1];

	(void)state;
	at = audit_next_payload(at, end, hash);
	assert_non_null(at);
	assert_string_equal(hash, H);
	at = audit_next_payload(at, end, hash);
	assert_non_null(at);
	assert_string_equal(hash, G);
	assert_ptr_equal(at, end - 3);
	assert_null(audit_next_payload(at, end, hash));
	for (const char *cut = text; cut < text + 90; cut++)
		assert_null(audit_next_payload(text, cut, hash));
}

static void check_text(const char *in, size_t len, enum audit_lines lines, const char *expected)
{
	_cleanup_buf_ struct buf out = BUF_INIT(4096);

	assert_int_equal(audit_text(&out, in, len, lines), 0);
	assert_string_equal(out.len ? out.data : "", expected);
}

static void no_control_reaches_a_terminal(void **state)
{
	(void)state;
	check_text("plain ü € 😀", strlen("plain ü € 😀"), AUDIT_ONE_LINE, "plain ü € 😀");
	check_text("\033[2J\a\b\r\n\t\0x", 10, AUDIT_ONE_LINE,
		   "\\u001b[2J\\u0007\\u0008\\u000d\\u000a\\u0009\\u0000");
	check_text("a\nb\r", 4, AUDIT_KEEP_LINES, "a\nb\\u000d");
	check_text("\x7f\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", 9, AUDIT_ONE_LINE,
		   "\\u007f\\u0080\\u009b\\u009f\xc2\xa0");
	check_text("\u202e\u2066\u200b\u2028\ufeff\U000e0041", 19, AUDIT_ONE_LINE,
		   "\\u202e\\u2066\\u200b\\u2028\\ufeff\\udb40\\udc41");
	check_text("\x9b\xff\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82", 13, AUDIT_ONE_LINE,
		   "\\x9b\\xff\\xc0\\x80\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80\\xe2\\x82");
}

static void lines_of_records(void **state)
{
	_cleanup_json_ json_t *odd =
		parse("{\"a b\":\"x\\n\\u001b y\",\"list\":[1],\"n\":null,\"time\":7,\"type\":"
		      "\"t\\u009b\",\"word\":\"ok\"}");
	_cleanup_json_ json_t *end = parse(end_text);
	_cleanup_buf_ struct buf out = BUF_INIT(4096), json = BUF_INIT(4096);

	(void)state;
	assert_int_equal(audit_line(&out, 12, end), 0);
	assert_string_equal(out.data,
			    "     12  2026-01-01T00:00:01.000Z  run.end  run=irun  start=0\n");
	out.len = 0;
	assert_int_equal(audit_line(&out, 0, odd), 0);
	assert_string_equal(out.data,
			    "      0  -  t\\u009b  a b=\"x\\n\\u001B y\"  n=null  word=ok\n");
	assert_int_equal(audit_json_line(&json, 3, "{\"a\":\"\x7f\"}", 9), 0);
	assert_string_equal(json.data, "{\"record\":{\"a\":\"\\u007f\"},\"seq\":3}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(references),
					   cmocka_unit_test(filters_of_who_and_when),
					   cmocka_unit_test(a_name_with_nul_is_another_name),
					   cmocka_unit_test(filters_of_files),
					   cmocka_unit_test(quick_look_never_misses),
					   cmocka_unit_test(payloads_in_text),
					   cmocka_unit_test(no_control_reaches_a_terminal),
					   cmocka_unit_test(lines_of_records)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
