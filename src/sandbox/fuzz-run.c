/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-run.c: the host's end against a guest that lies: the input is all that init says on a
 * command's connection (run.c is included, for its dispatch is its own).
 */
#include "run.c"

#include <sys/socket.h>

#include "../testing/fuzz.h"

static void judge(struct run *run)
{
	struct run_result *result = run->result;

	run_judge(run);
	FUZZ_MUST(result->ended_by >= 0 && result->ended_by < RUN_END_MAX);
	FUZZ_MUST(result->exit_code >= 0 && result->exit_code <= 255);
	FUZZ_MUST(result->err_out.len <= result->err_out.ceiling);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[] = {(char *)(uintptr_t) "cmd", NULL};
	struct limits limits = {0};
	struct run_spec spec = {.argv = argv, .cwd = "/workspace", .capture = true};
	struct run_result result = {.err_out = BUF_INIT(300)};
	struct sandbox sandbox = {.spec = &spec.sandbox};
	struct run run = {.spec = &spec, .sandbox = &sandbox, .result = &result, .master = -1};
	int pair[2];

	if (size > 60000)
		return 0;
	spec.sandbox.limits = &limits;
	FUZZ_MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	run.conn = pair[0];
	FUZZ_MUST(io_write_full(pair[1], data, size) == 0);
	close(pair[1]);
	while (!run.done)
		run_message(&run);
	judge(&run);
	close(pair[0]);
	buf_done(&result.err_out);
	return 0;
}
