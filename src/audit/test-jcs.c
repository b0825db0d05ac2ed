/* SPDX-License-Identifier: Apache-2.0 */
/* test-jcs.c: the writer writes only what the checker takes, and the checker takes nothing else. */
#include "jcs.h"

#include "err.h"

#include "../testing/json-check.h"
#include "../testing/testing.h"

static void expect_canonical(const char *text, bool canonical)
{
	if (jcs_is_canonical(text, strlen(text)) != canonical)
		fail_msg("'%s' is %s", text, canonical ? "refused" : "taken");
	/* Whatever is canonical is JSON. */
	if (canonical)
		assert_true(json_check(text, strlen(text)));
}

static void canonical_texts(void **state)
{
	static const char *const good[] = {
		"{}",
		"[]",
		"0",
		"-1",
		"9007199254740991",
		"-9007199254740991",
		"true",
		"false",
		"null",
		"\"\"",
		"\"\\b\\f\\n\\r\\t\\\"\\\\/\"",
		"\"\\u0000\\u001f\"",
		"\"\x7f\xc3\xa9\xe2\x82\xac\"",
		"[1,[2,[]],{}]",
		"{\"a\":{\"b\":[]},\"b\":1}",
		"{\"\":0,\"a\":1,\"aa\":2}",
		/* RFC 8785, 3.2.3: by UTF-16 units, so U+1F600 stands before U+FB33. */
		("{\"\\r\":1,\"1\":2,\"\xc2\x80\":3,\"\xc3\xb6\":4,\"\xe2\x82\xac\":5,"
		 "\"\xf0\x9f\x98\x80\":6,\"\xef\xac\xb3\":7}"),
		"{\"\\\"\":1,\"#\":2}",
		"{\"[\":1,\"\\\\\":2,\"]\":3}",
		"{\"\\u0001\":1,\"\\t\":2}",
	};
	static const char *const bad[] = {
		"",
		" ",
		"{} ",
		" {}",
		"{",
		"}",
		"[",
		"]",
		"[1,]",
		"[,1]",
		"{\"a\":1,}",
		"{\"a\"}",
		"{a:1}",
		"{\"a\": 1}",
		"{\"a\" :1}",
		"[1, 2]",
		"01",
		"-0",
		"+1",
		"1.0",
		"1e3",
		"1E3",
		".5",
		"-",
		"9007199254740992",
		"-9007199254740992",
		"99999999999999999999",
		"True",
		"nul",
		"nulll",
		"\"",
		"\"a",
		"a",
		"\"\\u0008\"",
		"\"\\u000a\"",
		"\"\\u0041\"",
		"\"\\u001F\"",
		"\"\\/\"",
		"\"\\u00e9\"",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\n\"",
		"\"\x01\"",
		"\"\xff\"",
		"\"\xc3\"",
		"\"\xed\xa0\x80\"",
		"{\"b\":1,\"a\":2}",
		"{\"a\":1,\"a\":2}",
		"{\"aa\":1,\"a\":2}",
		"{\"\xef\xac\xb3\":1,\"\xf0\x9f\x98\x80\":2}",
		"{1:2}",
		"[}",
		"{]",
		"[1}",
		"{\"a\":1]",
		"1 2",
		"[1][2]",
		"{}{}",
		"\"\\",
		"\"\\u",
		"\"\\u00",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		expect_canonical(good[i], true);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		expect_canonical(bad[i], false);
	assert_false(jcs_is_canonical("\"a\0b\"", 5));
}

static void depth_is_bounded(void **state)
{
	char text[2 * JCS_DEPTH + 3];

	(void)state;
	for (size_t depth = JCS_DEPTH; depth <= JCS_DEPTH + 1; depth++) {
		_cleanup_buf_ struct buf out = BUF_INIT(1000);
		struct jcs jcs;

		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		assert_int_equal(jcs_is_canonical(text, 2 * depth), depth == JCS_DEPTH);
		jcs_init(&jcs, &out);
		for (size_t i = 0; i < depth; i++)
			jcs_array(&jcs, NULL);
		for (size_t i = 0; i < depth; i++)
			jcs_array_end(&jcs);
		assert_int_equal(jcs_done(&jcs), depth == JCS_DEPTH ? 0 : -E2BIG);
	}
}

static void everything_is_written(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1000);
	struct jcs jcs;

	(void)state;
	jcs_init(&jcs, &out);
	jcs_object(&jcs, NULL);
	jcs_array(&jcs, "array");
	jcs_i64(&jcs, NULL, -JCS_INT_MAX);
	jcs_u64(&jcs, NULL, JCS_INT_MAX);
	jcs_bool(&jcs, NULL, false);
	jcs_object(&jcs, NULL);
	jcs_object_end(&jcs);
	jcs_array_end(&jcs);
	jcs_bytes(&jcs, "bytes", "a\0\xff\xc3\xa9\xe2\x82", 7);
	jcs_hex(&jcs, "hex", "\x01\xfe", 2);
	jcs_null(&jcs, "null");
	jcs_string(&jcs, "string", "\"\\/\b\f\n\r\t\x1f\x7f");
	jcs_string(&jcs, "string\xc3\xa9", NULL);
	jcs_object_end(&jcs);
	assert_int_equal(jcs_done(&jcs), 0);
	assert_string_equal(
		out.data,
		"{\"array\":[-9007199254740991,9007199254740991,false,{}],"
		"\"bytes\":\"a\\u0000\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\","
		"\"hex\":\"01fe\",\"null\":null,"
		"\"string\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\x7f\",\"string\xc3\xa9\":null}");
	expect_canonical(out.data, true);
}

static void misuse(struct jcs *jcs, int which)
{
	jcs_object(jcs, NULL);
	switch (which) {
	case 0:
		jcs_null(jcs, "b");
		jcs_null(jcs, "a");
		break;
	case 1:
		jcs_null(jcs, "a");
		jcs_null(jcs, "a");
		break;
	case 2:
		jcs_null(jcs, NULL);
		break;
	case 3:
		jcs_array(jcs, "a");
		jcs_null(jcs, "b");
		jcs_array_end(jcs);
		break;
	case 4:
		jcs_array_end(jcs);
		break;
	case 5:
		jcs_null(jcs, "\xff");
		break;
	case 6:
		jcs_i64(jcs, "a", JCS_INT_MAX + 1);
		break;
	case 7:
		jcs_u64(jcs, "a", UINT64_MAX);
		break;
	case 8:
		jcs_object_end(jcs);
		jcs_object(jcs, NULL);
		break;
	case 9:
		return; /* left open */
	default:
		break;
	}
	jcs_object_end(jcs);
}

static void misuse_sticks(void **state)
{
	static const int errors[] = {-EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL,
				     -EILSEQ, -ERANGE, -ERANGE, -EINVAL, -EINVAL};
	struct buf tiny = BUF_INIT(3);
	struct jcs jcs;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(1000);

		jcs_init(&jcs, &out);
		misuse(&jcs, (int)i);
		if (jcs_done(&jcs) != errors[i])
			fail_msg("misuse %zu gives %d", i, jcs_done(&jcs));
	}
	jcs_init(&jcs, &tiny);
	jcs_string(&jcs, NULL, "abc");
	assert_int_equal(jcs_done(&jcs), -E2BIG);
	buf_done(&tiny);
	jcs_init(&jcs, &tiny);
	assert_int_equal(jcs_done(&jcs), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_texts),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(everything_is_written),
		cmocka_unit_test(misuse_sticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
