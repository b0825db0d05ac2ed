/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * audit-cmd.h: what the files of `creel audit` share: its options, records as JSON trees, and text
 * that is safe for a terminal.
 *
 * Everything in a record may have been chosen by who was recorded: names, paths, arguments. No byte
 * of it reaches standard output but through audit_text().
 */
#include "buf.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>

struct audit;
struct err;

enum {
	AUDIT_EXIT_NOTHING = 1, /* nothing was found, or the log does not verify */
};

/* What a record must be; NULL and the extremes of time: anything. Equality but for path. */
struct audit_filter {
	const char *agent, *user, *host, *run, *type;
	const char *path;     /* this file or anything below it */
	const char *hash;     /* SHA-256, 64 lower-case hex digits */
	int64_t since, until; /* ms since 1970, both inclusive */
};

struct audit_options {
	const struct audit_command *command;
	const char *org, *state, *against, *key, *out, *arg;
	struct audit_filter filter;
	uint64_t lines;
	bool json, follow, help;
};

/* argv begins with "audit". Strings point into argv. */
_must_check_ int audit_options_parse(int argc, char **argv, struct audit_options *ret,
				     struct err *err);
/* command NULL: the list of commands. */
void audit_help(const struct audit_command *command, FILE *out);

/*
 * Milliseconds since 1970 of a date (2026-01-31), a time (2026-01-31T12:30[:15[.250]]Z), or a
 * duration before now (90m, 2d). -EINVAL: neither.
 */
_must_check_ int audit_time_parse(const char *text, int64_t now, int64_t *ret_ms);

enum audit_lines { AUDIT_ONE_LINE, AUDIT_KEEP_LINES };
/*
 * Appends text with everything escaped that a terminal or a reader could be fooled by: control
 * characters (C0 but the newline with AUDIT_KEEP_LINES, DEL, C1), bidirectional and invisible
 * format characters, and bytes that are not UTF-8. What canonical JSON leaves raw becomes \uXXXX,
 * so that JSON stays the same JSON.
 */
_must_check_ int audit_text(struct buf *out, const char *text, size_t len, enum audit_lines lines);
/* One line: sequence number, time, type, and the record's plain fields. */
_must_check_ int audit_line(struct buf *out, uint64_t seq, const json_t *record);
/* {"record":…,"seq":N} on one line; text is the record's own. */
_must_check_ int audit_json_line(struct buf *out, uint64_t seq, const char *text, size_t len);
/* The record over many lines, for `show`. */
_must_check_ int audit_pretty(struct buf *out, const json_t *record);

/* ---- records ---- */

/* A member of text without NUL, else NULL. */
const char *audit_field(const json_t *record, const char *name);
bool audit_is_type(const json_t *record, const char *type);
/*
 * The reference to a side payload that member `name` of object is or holds under "ref": an object
 * with the payload's sha256 and size, or {"off": true}. NULL: there is none.
 */
const json_t *audit_ref(const json_t *object, const char *name);
const char *audit_ref_hash(const json_t *ref); /* NULL: nothing was kept from the start */
bool audit_is_hash(const char *text);	       /* 64 lower-case hex digits */
/*
 * The next reference to a kept payload in a record's text, as audit_ref_write() puts it, without
 * parsing: a parser makes verifying ten times slower. Returns where to go on; NULL: no more.
 */
#define AUDIT_HASH_HEX 64
const char *audit_next_payload(const char *text, const char *end,
			       char ret_hash[AUDIT_HASH_HEX + 1]);
/* Calls found with every reference of the record and the name under which it stands. */
void audit_refs(const json_t *record,
		void (*found)(const char *name, const json_t *ref, void *data), void *data);

/* The filter's cheap half: type and time. */
bool audit_matches_itself(const struct audit_filter *filter, const json_t *record);
/* Who and where: in the record or, for the end of a run, in its start (may be NULL). */
bool audit_matches_identity(const struct audit_filter *filter, const json_t *record,
			    const json_t *start);
bool audit_has_content_filter(const struct audit_filter *filter);
/* A path and hash of the filter (where given, in one object) somewhere in this tree. */
bool audit_matches_content(const struct audit_filter *filter, const json_t *tree);
/* False: no record of this text can match. Says so without parsing it. */
bool audit_may_match(const struct audit_filter *filter, const char *text, size_t len);

/* ---- the log ---- */

/* A signed record, parsed. */
_must_check_ int audit_load(struct audit *log, uint64_t seq, json_t **ret, struct err *err);
/* The start of the run that this record ends; NULL: it names none. */
_must_check_ int audit_load_start(struct audit *log, const json_t *record, json_t **ret,
				  struct err *err);
struct audit_hit {
	uint64_t seq;
	const char *text; /* the record's bytes */
	size_t len;
	const json_t *record;
};
/*
 * Calls each with every record that the filter lets through, oldest first, until it returns
 * something else than 0, which is returned. *ret_missing counts lists of files that could not be
 * searched because they are not kept.
 */
typedef int audit_each(const struct audit_hit *hit, void *data, struct err *err);
_must_check_ int audit_search(struct audit *log, const struct audit_filter *filter,
			      audit_each *each, void *data, uint64_t *ret_missing, struct err *err);
/* The list of files that ref names, parsed. -ENOENT: it is not kept. */
_must_check_ int audit_list(struct audit *log, const json_t *ref, json_t **ret, struct err *err);
/* The lists that a record of a run refers to: what it was given, what it changed and touched. */
#define AUDIT_LISTS 3
size_t audit_list_refs(const json_t *record, const json_t *ret_refs[AUDIT_LISTS]);
/* A sequence number, in full; false: it is none, and so the id of a run. */
bool audit_is_seq(const char *arg, uint64_t *ret_seq);
/* Writes out to standard output. */
_must_check_ int audit_print(const struct buf *out, struct err *err);

static inline void audit_decrefp(json_t **json)
{
	json_decref(*json);
}
#define _cleanup_json_ _cleanup_(audit_decrefp)

/* ---- the commands ---- */

/* dir is DATA/audit. Returns what creel exits with, or a negative errno and err. */
typedef int audit_run(struct audit *log, const char *dir, const struct audit_options *options,
		      struct err *err);
enum audit_opens { AUDIT_OPENS_TO_READ, AUDIT_OPENS_TO_WRITE, AUDIT_OPENS_ITSELF };
struct audit_command {
	const char *name, *arg, *what, *more;
	audit_run *run;
	enum audit_opens opens; /* its log; NULL if it opens it itself */
};
audit_run cmd_audit_tail, cmd_audit_show, cmd_audit_search, cmd_audit_who, cmd_audit_verify,
	cmd_audit_prove, cmd_audit_export, cmd_audit_erase, cmd_audit_key;
