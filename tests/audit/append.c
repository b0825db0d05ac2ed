/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.c (creel-audit-append DIR ORG): appends what standard input says to a log, through the
 * library that `creel run` uses, so that tests can make records that no honest run makes.
 *
 * A line that begins with '{' is a record; "blob full|hash|off HEX" is a side payload; "commit"
 * makes durable what was appended. Each line is answered by one: the record's number, the reference
 * as JSON, "ok", or "error ERRNO TEXT". Not installed.
 */
#include "audit.h"
#include "ceilings.h"
#include "err.h"
#include "jcs.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

static int fail(const struct err *err)
{
	printf("error %d %s\n", err->code, err->text);
	return 0;
}

/* In place: a byte is written where its digits have been read. */
static size_t unhex(char *text)
{
	size_t n = 0;

	for (; text[2 * n] && text[2 * n + 1]; n++) {
		const char digits[] = {text[2 * n], text[2 * n + 1], '\0'};

		text[n] = (char)strtoul(digits, NULL, 16);
	}
	return n;
}

static int blob(struct audit *log, char *line, struct err *err)
{
	static const char *const modes[] = {"full ", "hash ", "off "};
	_cleanup_buf_ struct buf out = BUF_INIT(4096);
	struct audit_ref ref;
	struct jcs jcs;

	for (int mode = AUDIT_KEEP_FULL; mode <= AUDIT_KEEP_OFF; mode++) {
		size_t len = strlen(modes[mode]);

		if (strncmp(line, modes[mode], len) != 0)
			continue;
		if (audit_blob(log, line + len, unhex(line + len), (enum audit_keep)mode, &ref,
			       err) < 0)
			return fail(err);
		jcs_init(&jcs, &out);
		jcs_object(&jcs, NULL);
		audit_ref_write(&jcs, "ref", &ref);
		jcs_object_end(&jcs);
		if (jcs_done(&jcs) < 0)
			return -1;
		printf("%s\n", out.data);
		return 0;
	}
	return -1;
}

static int take(struct audit *log, char *line, uint64_t *last)
{
	struct err err = {0};

	if (line[0] == '{') {
		if (audit_append(log, line, strlen(line), last, &err) < 0)
			return fail(&err);
		printf("%" PRIu64 "\n", *last);
	} else if (strcmp(line, "commit") == 0) {
		if (audit_commit(log, *last, &err) < 0)
			return fail(&err);
		puts("ok");
	} else if (strncmp(line, "blob ", 5) == 0) {
		return blob(log, line + 5, &err);
	} else {
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct audit *log = NULL;
	struct err err = {0};
	char *line = NULL;
	size_t size = 0;
	uint64_t last = 0;
	ssize_t n;
	int r = 0;

	if (argc != 3)
		return 2;
	/* A write to a full device or past RLIMIT_FSIZE is an error, not the end. */
	signal(SIGXFSZ, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (audit_open(argv[1], argv[2], &log, &err) < 0) {
		fail(&err);
		return 1;
	}
	while (r == 0 && (n = getline(&line, &size, stdin)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		r = take(log, line, &last);
	}
	free(line);
	audit_close(log);
	return r == 0 ? 0 : 2;
}
