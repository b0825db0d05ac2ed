/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * json-check.h: a strict reader of JSON (RFC 8259) for tests: tells whether a text is one JSON
 * value and nothing else. It shares no code with json.c, whose output it judges.
 */
#include <stdbool.h>
#include <stddef.h>

bool json_check(const char *text, size_t len);
