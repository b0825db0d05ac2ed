/* SPDX-License-Identifier: Apache-2.0 */
/* test-json.c: what comes out is JSON whatever bytes go in, and a full buffer is told at the end.
 */
#include "jsonw.h"

#include "err.h"

#include "../testing/json-check.h"
#include "../testing/testing.h"

static void escapes(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	struct jsonw json;

	(void)state;
	jsonw_init(&json, &out);
	jsonw_string(&json, NULL, "a\"\\/\b\f\n\r\t\x01\x1f\x7f<ü€😀>");
	assert_int_equal(jsonw_done(&json), 0);
	assert_string_equal(out.data, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f<ü€😀>\"");
	assert_true(json_check(out.data, out.len));
}

static void nul_is_escaped(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	struct jsonw json;

	(void)state;
	jsonw_init(&json, &out);
	jsonw_object(&json, NULL);
	jsonw_bytes(&json, "k", "a\0b", 3);
	jsonw_object_end(&json);
	assert_int_equal(jsonw_done(&json), 0);
	assert_string_equal(out.data, "{\"k\":\"a\\u0000b\"}");
}

static void commas_and_nesting(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	struct jsonw json;

	(void)state;
	jsonw_init(&json, &out);
	jsonw_object(&json, NULL);
	jsonw_u64(&json, "a", UINT64_MAX);
	jsonw_i64(&json, "b", INT64_MIN);
	jsonw_array(&json, "c");
	jsonw_array_end(&json);
	jsonw_array(&json, "d");
	jsonw_bool(&json, NULL, true);
	jsonw_bool(&json, NULL, false);
	jsonw_null(&json, NULL);
	jsonw_object(&json, NULL);
	jsonw_object_end(&json);
	jsonw_object(&json, NULL);
	jsonw_string(&json, "x\"", NULL);
	jsonw_object_end(&json);
	jsonw_array_end(&json);
	jsonw_string(&json, "e", "");
	jsonw_object_end(&json);
	assert_int_equal(jsonw_done(&json), 0);
	assert_string_equal(out.data, "{\"a\":18446744073709551615,\"b\":-9223372036854775808,"
				      "\"c\":[],\"d\":[true,false,null,{},{\"x\\\"\":null}],"
				      "\"e\":\"\"}");
	assert_true(json_check(out.data, out.len));
}

static void utf8(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool valid;
	} cases[] = {
		{"", 0, true},
		{"\0", 1, true},
		{"ascii", 5, true},
		{"\x7f", 1, true},
		{"\xc2\x80", 2, true},
		{"\xdf\xbf", 2, true},
		{"\xe0\xa0\x80", 3, true},
		{"\xed\x9f\xbf", 3, true},
		{"\xee\x80\x80", 3, true},
		{"\xef\xbf\xbf", 3, true},
		{"\xf0\x90\x80\x80", 4, true},
		{"\xf4\x8f\xbf\xbf", 4, true},
		{"\x80", 1, false},
		{"\xc0\x80", 2, false},		/* overlong NUL */
		{"\xc1\xbf", 2, false},		/* overlong */
		{"\xe0\x9f\xbf", 3, false},	/* overlong */
		{"\xf0\x8f\xbf\xbf", 4, false}, /* overlong */
		{"\xed\xa0\x80", 3, false},	/* surrogate */
		{"\xed\xbf\xbf", 3, false},
		{"\xf4\x90\x80\x80", 4, false}, /* above U+10FFFF */
		{"\xf5\x80\x80\x80", 4, false},
		{"\xff", 1, false},
		{"\xc2", 1, false}, /* cut off */
		{"\xe2\x82", 2, false},
		{"\xf0\x9f\x98", 3, false},
		{"\xe2\x82\x41", 3, false},
		{"\xc2\x41", 2, false},
		{"ok\xe2\x28\xa1", 5, false},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		if (jsonw_is_utf8(cases[i].bytes, cases[i].len) != cases[i].valid)
			fail_msg("case %zu is judged wrong", i);
}

/* RFC 4648, section 10, shifted into bytes that are not UTF-8. */
static void bytes_become_base64(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *out;
	} cases[] = {
		{"\xff", 1, "{\"k_base64\":\"/w==\"}"},
		{"\xff\xfe", 2, "{\"k_base64\":\"//4=\"}"},
		{"\xff\xfe\xfd", 3, "{\"k_base64\":\"//79\"}"},
		{"\xfb\xef\xbe\x00", 4, "{\"k_base64\":\"++++AA==\"}"},
		{"fooba\xf2", 6, "{\"k_base64\":\"Zm9vYmHy\"}"},
		{"plain", 5, "{\"k\":\"plain\"}"},
		{"", 0, "{\"k\":\"\"}"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(1000);
		struct jsonw json;

		jsonw_init(&json, &out);
		jsonw_object(&json, NULL);
		jsonw_bytes(&json, "k", cases[i].bytes, cases[i].len);
		jsonw_object_end(&json);
		assert_int_equal(jsonw_done(&json), 0);
		assert_string_equal(out.data, cases[i].out);
	}
}

static void text_that_is_not_utf8(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	struct jsonw json;

	(void)state;
	jsonw_init(&json, &out);
	jsonw_array(&json, NULL);
	jsonw_string(&json, NULL, "\xff");
	jsonw_bytes(&json, NULL, "\xff", 1);
	jsonw_array_end(&json);
	assert_int_equal(jsonw_done(&json), 0);
	assert_string_equal(out.data, "[\"/w==\",\"/w==\"]");
}

/* Keys come from callers, and labels from users: whatever they are, the result is JSON. */
static void any_key_gives_json(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	char key[101] = "";
	struct jsonw json;

	(void)state;
	memset(key, 'k', 100);
	jsonw_init(&json, &out);
	jsonw_object(&json, NULL);
	jsonw_string(&json, "\xff\n", "value");
	jsonw_bytes(&json, key, "\xff", 1);
	jsonw_object_end(&json);
	assert_int_equal(jsonw_done(&json), 0);
	assert_true(json_check(out.data, out.len));
	assert_non_null(strstr(out.data, "k_base64\":"));
}

static void the_error_sticks(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(10);
	struct jsonw json;
	size_t len;

	(void)state;
	jsonw_init(&json, &out);
	jsonw_object(&json, NULL);
	jsonw_string(&json, "a", "12345678901234567890");
	len = out.len;
	jsonw_bool(&json, "b", true);
	jsonw_object_end(&json);
	assert_int_equal(jsonw_done(&json), -E2BIG);
	assert_int_equal(jsonw_done(&json), -E2BIG);
	assert_int_equal(out.len, len);
}

/* Every ceiling below the text's length is an error, none gives a cut text as whole. */
static void no_ceiling_cuts_silently(void **state)
{
	size_t whole = strlen("{\"a\":\"b\\n\",\"c_base64\":\"/w==\"}");

	(void)state;
	for (size_t ceiling = 0; ceiling <= whole; ceiling++) {
		_cleanup_buf_ struct buf out = BUF_INIT(ceiling);
		struct jsonw json;

		jsonw_init(&json, &out);
		jsonw_object(&json, NULL);
		jsonw_string(&json, "a", "b\n");
		jsonw_bytes(&json, "c", "\xff", 1);
		jsonw_object_end(&json);
		assert_int_equal(jsonw_done(&json), ceiling < whole ? -E2BIG : 0);
	}
}

/* The judge itself: what it must refuse. */
static void the_check_checks(void **state)
{
	static const char *const bad[] = {
		"",    "{",   "{}}",	  "{\"a\"}", "{\"a\":1,}",	 "[1 2]",
		"[,]", "\"a", "\"\x01\"", "\"\\x\"", "\"\\u12\"",	 "\"\xff\"",
		"01",  "tru", "-",	  "{1:2}",   "\"\xed\xa0\x80\"",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_false(json_check(bad[i], strlen(bad[i])));
	assert_true(json_check(" {\"a\" : [ -1, 0, null ]} \n", 26));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes),
		cmocka_unit_test(nul_is_escaped),
		cmocka_unit_test(commas_and_nesting),
		cmocka_unit_test(utf8),
		cmocka_unit_test(bytes_become_base64),
		cmocka_unit_test(text_that_is_not_utf8),
		cmocka_unit_test(any_key_gives_json),
		cmocka_unit_test(the_error_sticks),
		cmocka_unit_test(no_ceiling_cuts_silently),
		cmocka_unit_test(the_check_checks),
	};

	return cmocka_run_group_tests_name("jsonw", tests, NULL, NULL);
}
