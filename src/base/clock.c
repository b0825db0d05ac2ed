/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c: see clock.h. */
#include "clock.h"

#include "banned.h"

/*
 * The proleptic Gregorian calendar by its 400-year cycle, in which a year begins with March. Our
 * own because gmtime(3) reads the time zone's file first, which costs more than the rest of a
 * record.
 */
void clock_text(const struct timespec *at, char ret[CLOCK_TEXT])
{
	int64_t days = at->tv_sec / 86400, seconds = at->tv_sec % 86400;
	int64_t cycle, day, year, month;

	if (seconds < 0) {
		seconds += 86400;
		days--;
	}
	days += 719468; /* from March 1st of year 0 */
	cycle = (days >= 0 ? days : days - 146096) / 146097;
	day = days - cycle * 146097;
	year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	day -= 365 * year + year / 4 - year / 100;
	month = (5 * day + 2) / 153;
	snprintf(ret, CLOCK_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ",
		 (int)(year + cycle * 400 + (month >= 10)),
		 (int)(month < 10 ? month + 3 : month - 9), (int)(day - (153 * month + 2) / 5 + 1),
		 (int)(seconds / 3600), (int)(seconds / 60 % 60), (int)(seconds % 60),
		 at->tv_nsec / 1000000);
}

void clock_now_text(char ret[CLOCK_TEXT])
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_text(&now, ret);
}
