/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit-time.c: times as records have them and people write them: RFC 3339 in UTC, or how long ago.
 * Other offsets than Z are refused: what was recorded is UTC, and a mix is misread.
 */
#include "audit-cmd.h"
#include "err.h"
#include "parse.h"

#include <time.h>

/* n digits at *text, which is moved behind them; false: they are not there or above max. */
static bool digits(const char **text, int n, int max, int *ret)
{
	int value = 0;

	for (int i = 0; i < n; i++) {
		if (**text < '0' || **text > '9')
			return false;
		value = value * 10 + (*(*text)++ - '0');
	}
	*ret = value;
	return value <= max;
}

static bool skip(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

/* [:SS[.mmm]] and Z */
static bool parse_seconds(const char **p, struct tm *tm, int *ret_ms)
{
	if (skip(p, ':') && !digits(p, 2, 59, &tm->tm_sec))
		return false;
	if (skip(p, '.') && !digits(p, 3, 999, ret_ms))
		return false;
	return skip(p, 'Z');
}

static bool parse_date(const char *p, int64_t *ret_ms)
{
	struct tm tm = {0};
	int year = 0, month = 0, day = 0, ms = 0;
	time_t seconds;

	if (!digits(&p, 4, 9999, &year) || !skip(&p, '-') || !digits(&p, 2, 12, &month) ||
	    !skip(&p, '-') || !digits(&p, 2, 31, &day))
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	if (*p && !(skip(&p, 'T') && digits(&p, 2, 23, &tm.tm_hour) && skip(&p, ':') &&
		    digits(&p, 2, 59, &tm.tm_min) && parse_seconds(&p, &tm, &ms)))
		return false;
	seconds = timegm(&tm);
	/* timegm() turns a 31st of April into a 1st of May. */
	if (*p || tm.tm_mon != month - 1 || tm.tm_mday != day)
		return false;
	*ret_ms = (int64_t)seconds * 1000 + ms;
	return true;
}

int audit_time_parse(const char *text, int64_t now, int64_t *ret_ms)
{
	uint64_t ago;

	if (parse_date(text, ret_ms))
		return 0;
	/* Without a unit it could be meant as a year. */
	if (!strpbrk(text, "smhd") || parse_time_ms(text, &ago) < 0 || ago > INT64_MAX / 2)
		return -EINVAL;
	*ret_ms = now - (int64_t)ago;
	return 0;
}
