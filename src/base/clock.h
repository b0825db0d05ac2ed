/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* clock.h: time for deadlines, which never goes back, and the time of day as records have it. */
#include <stdint.h>
#include <time.h>

#define CLOCK_TEXT 48 /* RFC 3339, UTC, milliseconds: 2026-01-31T12:00:00.000Z, and a NUL */

void clock_text(const struct timespec *at, char ret[CLOCK_TEXT]);
void clock_now_text(char ret[CLOCK_TEXT]);

static inline int64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
