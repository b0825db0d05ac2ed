/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fuzz.h: what the fuzzers (fuzz-x.c) share. Each has libFuzzer's entry point; tests/fuzz.sh runs
 * it with libFuzzer, fuzz-replay.c runs it over its corpus as an ordinary test with any compiler.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for every input; a break is a crash, which is what a fuzzer looks for. */
#define FUZZ_MUST(condition)                                                                       \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__,           \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The input as a string: allocated to its exact size, so that a read past the end is seen. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	FUZZ_MUST(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}
