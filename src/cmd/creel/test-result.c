/* SPDX-License-Identifier: Apache-2.0 */
/* test-result.c: a result made by hand is one JSON object with what was promised, whatever is in
 * it. */
#include "result.h"

#include "err.h"

#include "../../testing/json-check.h"
#include "../../testing/testing.h"

static struct options o;
static struct run_result result;

static void fill(void)
{
	o = (struct options){.json = true, .seccomp = seccomp_profile_find("strict")};
	o.limits.of[LIMIT_MEMORY] =
		(struct limit){.value = 1 << 30, .enforced_by = "cgroup v2 memory"};
	o.limits.of[LIMIT_CPUS] = (struct limit){.value = 1500, .named = true};
	result = (struct run_result){.id = "iabcdefghij0123456789"};
	result.out = BUF_INIT(1000);
	result.err_out = BUF_INIT(1000);
	result.changes = BUF_INIT(1000);
}

static char *told(struct buf *out)
{
	assert_int_equal(result_json(&o, &result, out), 0);
	if (!json_check(out->data, out->len))
		fail_msg("not JSON: %s", out->data);
	assert_int_equal(out->data[out->len - 1], '\n');
	assert_ptr_equal(strchr(out->data, '\n'), out->data + out->len - 1); /* one line */
	return out->data;
}

static void empty(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(100000);
	const char *text;

	(void)state;
	fill();
	text = told(&out);
	assert_non_null(strstr(text, "\"id\":\"iabcdefghij0123456789\""));
	assert_non_null(strstr(text, "\"exit_code\":0"));
	assert_non_null(strstr(text, "\"signal\":null"));
	assert_non_null(strstr(text, "\"ended_by\":\"exit\""));
	assert_non_null(strstr(text, "\"stdout\":\"\""));
	assert_non_null(strstr(text, "\"level\":\"nano\""));
	for (int i = 0; i < LIMIT_MAX; i++) {
		char name[40];

		snprintf(name, sizeof(name), "\"%s\":{\"asked\":", limit_names[i]);
		assert_non_null(strstr(text, name));
	}
	assert_non_null(strstr(text, "\"enforced_by\":\"cgroup v2 memory\""));
	assert_non_null(strstr(text, "\"1.500\""));
}

static void every_end_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < RUN_END_MAX; i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(100000);
		char name[40];

		assert_non_null(run_end_names[i]);
		fill();
		result.ended_by = (enum run_end)i;
		snprintf(name, sizeof(name), "\"ended_by\":\"%s\"", run_end_names[i]);
		assert_non_null(strstr(told(&out), name));
	}
}

static void output_of_any_bytes(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(100000);
	const char *text;

	(void)state;
	fill();
	assert_int_equal(buf_append(&result.out, "\"\n\0\x1b}", 5), 0);
	assert_int_equal(buf_append(&result.err_out, "\xff\xfe", 2), 0);
	assert_int_equal(buf_puts(&result.changes, "[{\"path\":\"a\",\"kind\":\"added\"}]"), 0);
	result.out_truncated = true;
	result.signal = 9;
	text = told(&out);
	assert_non_null(strstr(text, "\"stdout\":\"\\\"\\n\\u0000\\u001b}\""));
	assert_non_null(strstr(text, "\"stderr_base64\":\"//4=\""));
	assert_null(strstr(text, "\"stderr\":\""));
	assert_non_null(strstr(text, "\"changes\":[{\"path\":\"a\""));
	assert_non_null(strstr(text, "\"signal\":9"));
	buf_done(&result.out);
	buf_done(&result.err_out);
	buf_done(&result.changes);
}

static void labels_and_names_of_any_bytes(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(100000);
	char label[300];

	(void)state;
	fill();
	memset(label, 'k', sizeof(label) - 1);
	memcpy(label + sizeof(label) - 4, "=\xff", 3);
	o.labels[o.n_labels++] = "k=v";
	o.labels[o.n_labels++] = "\xff\"\n=\xfe";
	o.labels[o.n_labels++] = "e=";
	o.labels[o.n_labels++] = label;
	o.org = "\xff";
	o.agent = "a\"\\";
	assert_non_null(strstr(told(&out), "\"k\":\"v\""));
}

static void attempts_are_named(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(100000);
	const char *text;

	(void)state;
	fill();
	result.attempts[0].number = 165;
	result.attempts[0].count = 3;
	result.attempts[1].number = 99999;
	result.attempts[1].count = 1;
	result.n_attempts = 2;
	text = told(&out);
	assert_non_null(strstr(text, "\"count\":3"));
	assert_non_null(strstr(text, "\"call\":\"?\""));
}

/* A result that does not fit is an error, and never half an object. */
static void no_room(void **state)
{
	(void)state;
	fill();
	for (size_t ceiling = 0; ceiling < 1500; ceiling += 100) {
		_cleanup_buf_ struct buf out = BUF_INIT(ceiling);

		assert_int_equal(result_json(&o, &result, &out), -E2BIG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(every_end_has_a_name),
		cmocka_unit_test(output_of_any_bytes),
		cmocka_unit_test(labels_and_names_of_any_bytes),
		cmocka_unit_test(attempts_are_named),
		cmocka_unit_test(no_room),
	};

	return cmocka_run_group_tests_name("result", tests, NULL, NULL);
}
