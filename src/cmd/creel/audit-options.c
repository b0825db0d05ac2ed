/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit-options.c: the command line of `creel audit`: two tables, of commands and of options, that
 * parsing and help share. An option that a command does not take is an error, never ignored.
 */
#include "audit-cmd.h"
#include "ceilings.h"
#include "clock.h"
#include "err.h"
#include "fs.h"
#include "parse.h"

#define TAIL_LINES 10

static const struct audit_command commands[] = {
	{"tail", NULL, "print the last records",
	 "Each line is a record's number, time, type and plain fields; show tells the rest.\n",
	 cmd_audit_tail, AUDIT_OPENS_TO_READ},
	{"show", "SEQ|RUN", "print one record, or all of a run, with what was kept beside it",
	 "Payloads that were kept (code, arguments, output, lists) are printed up to 4 KiB each.\n",
	 cmd_audit_show, AUDIT_OPENS_TO_READ},
	{"search", NULL, "print the records that match every option",
	 "The end of a run matches by what its start says, too, and by the files that it changed,\n"
	 "read or wrote where their list was kept. Times are UTC: 2026-01-31, 2026-01-31T12:30Z,\n"
	 "or a duration before now (90m, 2d). Exits with 1 if nothing matches.\n",
	 cmd_audit_search, AUDIT_OPENS_TO_READ},
	{"verify", NULL, "check every record, tile, signature and kept payload",
	 "Exits with 1 if anything was changed, removed, reordered or cut. Whoever owns key and\n"
	 "disk can write another history: only --against a checkpoint that was kept elsewhere\n"
	 "finds that, and a roll-back of the whole log; --key finds one with another key.\n",
	 cmd_audit_verify, AUDIT_OPENS_ITSELF},
	{"prove", "SEQ", "print a proof that a record is in the log (c2sp.org/tlog-proof)",
	 "The record itself is the proof's extra data. With the key (creel audit key) anybody can\n"
	 "check it offline.\n",
	 cmd_audit_prove, AUDIT_OPENS_TO_READ},
	{"who", "FILE", "name the runs that made a file with this content",
	 "Compares FILE's hash with what runs changed, and with their output. Exits with 1 if no\n"
	 "run did.\n",
	 cmd_audit_who, AUDIT_OPENS_TO_READ},
	{"export", "DIR", "write the log as a static C2SP tlog-tiles directory",
	 "DIR is made, or empty. Side payloads are not part of it.\n", cmd_audit_export,
	 AUDIT_OPENS_TO_READ},
	{"erase", "SEQ|RUN", "remove the payloads kept beside a record, or all of a run",
	 "A record says what was erased, by whom and when. The tree stays valid.\n",
	 cmd_audit_erase, AUDIT_OPENS_TO_WRITE},
	{"key", NULL, "print the verifier key", "Keep it where the log is not.\n", cmd_audit_key,
	 AUDIT_OPENS_TO_READ},
};

struct option {
	const char *name, *short_name, *arg, *help;
	const char *commands; /* that take it; NULL: all */
	int (*set)(struct audit_options *options, const struct option *option, const char *value,
		   struct err *err);
	size_t offset;
};

static int bad(struct err *err, const struct option *option, const char *value, const char *why)
{
	return err_set(err, EINVAL, "audit", "--%s %s: %s", option->name, value, why);
}

static int set_flag(struct audit_options *options, const struct option *option, const char *value,
		    struct err *err)
{
	(void)value, (void)err;
	*(bool *)((char *)options + option->offset) = true;
	return 0;
}

static bool is_utf8(const char *text)
{
	_cleanup_json_ json_t *string = json_string(text); /* of nothing else */

	return string;
}

static int set_string(struct audit_options *options, const struct option *option, const char *value,
		      struct err *err)
{
	if (!*value)
		return bad(err, option, "''", "it needs a value");
	if (!is_utf8(value))
		return bad(err, option, value, "it must be UTF-8, as records are");
	*(const char **)((char *)options + option->offset) = value;
	return 0;
}

static int set_name(struct audit_options *options, const struct option *option, const char *value,
		    struct err *err)
{
	if (parse_name(value) < 0)
		return bad(err, option, value,
			   "it must be letters, digits, '.', '_' and '-', at most 64");
	return set_string(options, option, value, err);
}

/* A file of this machine may have any name. */
static int set_file(struct audit_options *options, const struct option *option, const char *value,
		    struct err *err)
{
	if (!*value)
		return bad(err, option, "''", "it needs the name of a file");
	*(const char **)((char *)options + option->offset) = value;
	return 0;
}

static int set_lines(struct audit_options *options, const struct option *option, const char *value,
		     struct err *err)
{
	if (parse_u64(value, 0, INT64_MAX, &options->lines) < 0)
		return bad(err, option, value, "not a number of records");
	return 0;
}

static int set_path(struct audit_options *options, const struct option *option, const char *value,
		    struct err *err)
{
	char canonical[CEIL_PATH];

	if (fs_canonical(value, canonical, sizeof(canonical)) < 0 || strcmp(value, canonical) != 0)
		return bad(err, option, value,
			   "it must be a path as records have it: /workspace/data/a.csv");
	return set_string(options, option, value, err);
}

static int set_hash(struct audit_options *options, const struct option *option, const char *value,
		    struct err *err)
{
	if (!audit_is_hash(value))
		return bad(err, option, value, "not a SHA-256 of 64 lower-case hex digits");
	return set_string(options, option, value, err);
}

static int set_time(struct audit_options *options, const struct option *option, const char *value,
		    struct err *err)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (audit_time_parse(value, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
			     (int64_t *)((char *)options + option->offset)) < 0)
		return bad(err, option, value,
			   "write a time in UTC like 2026-01-31 or 2026-01-31T12:30Z, or a "
			   "duration before now like 90m");
	return 0;
}

#define AT(field) offsetof(struct audit_options, field)

static const struct option options_table[] = {
	{"org", NULL, "NAME", "the organisation whose log it is (local)", NULL, set_name, AT(org)},
	{"state", NULL, "DIR", "where creel keeps its state (also CREEL_STATE)", NULL, set_file,
	 AT(state)},
	{"lines", "n", "N", "how many records (10)", "tail", set_lines, 0},
	{"follow", "f", NULL, "print new records as they come", "tail", set_flag, AT(follow)},
	{"json", NULL, NULL, "print objects, one a line", "tail show search who verify", set_flag,
	 AT(json)},
	{"agent", NULL, "NAME", "of this agent", "search", set_string, AT(filter.agent)},
	{"user", NULL, "NAME", "of this user", "search", set_string, AT(filter.user)},
	{"host", NULL, "NAME", "that speak of this host", "search", set_string, AT(filter.host)},
	{"path", NULL, "PATH", "that speak of this file, or of one below it", "search", set_path,
	 AT(filter.path)},
	{"hash", NULL, "SHA256", "that speak of a file with this hash", "search", set_hash,
	 AT(filter.hash)},
	{"run", NULL, "ID", "of this run", "search", set_string, AT(filter.run)},
	{"type", NULL, "TYPE", "of this type (run.start, run.end, …)", "search", set_string,
	 AT(filter.type)},
	{"since", NULL, "TIME", "not older", "search", set_time, AT(filter.since)},
	{"until", NULL, "TIME", "not newer", "search", set_time, AT(filter.until)},
	{"against", NULL, "FILE", "a checkpoint that was kept elsewhere", "verify", set_file,
	 AT(against)},
	{"key", NULL, "FILE", "the verifier key, as it was kept elsewhere (the log's own)",
	 "verify", set_file, AT(key)},
	{"output", "o", "FILE", "write to FILE", "prove", set_file, AT(out)},
	{"help", "h", NULL, "print this", NULL, set_flag, AT(help)},
};

/* Whether one of the words of list is name. */
static bool lists(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = list; p; p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL)
		if (strncmp(p, name, len) == 0 && (p[len] == ' ' || !p[len]))
			return true;
	return false;
}

static bool takes(const struct audit_command *command, const struct option *option)
{
	return !option->commands || lists(option->commands, command->name);
}

static void help_commands(FILE *out)
{
	fputs("usage: creel audit COMMAND [OPTION]... [ARG]\n\n"
	      "Reads and checks the log of what ran.\n\n",
	      out);
	for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
		char left[32];

		snprintf(left, sizeof(left), "%s %s", commands[i].name,
			 commands[i].arg ? commands[i].arg : "");
		fprintf(out, "  %-14s %s\n", left, commands[i].what);
	}
	fputs("\ncreel audit COMMAND --help tells more.\n", out);
}

void audit_help(const struct audit_command *command, FILE *out)
{
	if (!command) {
		help_commands(out);
		return;
	}
	fprintf(out, "usage: creel audit %s [OPTION]...%s%s\n\n%c%s.\n%s\n", command->name,
		command->arg ? " " : "", command->arg ? command->arg : "",
		command->what[0] - 'a' + 'A', command->what + 1, command->more);
	for (size_t i = 0; i < ELEMENTSOF(options_table); i++) {
		const struct option *o = &options_table[i];
		char left[48];

		if (!takes(command, o))
			continue;
		snprintf(left, sizeof(left), "%s%s%s--%s%s%s", o->short_name ? "-" : "",
			 o->short_name ? o->short_name : "", o->short_name ? ", " : "", o->name,
			 o->arg ? " " : "", o->arg ? o->arg : "");
		fprintf(out, "  %-18s %s\n", left, o->help);
	}
}

static const struct option *option_find(const char *word, size_t *ret_len)
{
	bool is_long = word[1] == '-';
	const char *name = word + (is_long ? 2 : 1);
	size_t len = is_long ? strcspn(name, "=") : 1;

	for (size_t i = 0; i < ELEMENTSOF(options_table); i++) {
		const struct option *o = &options_table[i];
		const char *is = is_long ? o->name : o->short_name;

		if (is && strlen(is) == len && memcmp(is, name, len) == 0) {
			*ret_len = (size_t)(name - word) + len;
			return o;
		}
	}
	return NULL;
}

/* One option at argv[*at]: --name value, --name=value, -n value, -nvalue. */
static int option_take(char **argv, int *at, struct audit_options *options, struct err *err)
{
	const char *word = argv[*at], *value = NULL, *command = options->command->name;
	size_t len = 0;
	const struct option *o = option_find(word, &len);

	if (!o || !takes(options->command, o))
		return err_set(err, EINVAL, "audit",
			       "%s is no option of %s; see creel audit %s --help", word, command,
			       command);
	if (word[len])
		value = word + len + (word[len] == '=' && word[1] == '-');
	if (!o->arg && value)
		return bad(err, o, value, "it takes no value");
	if (o->arg && !value)
		value = argv[++*at];
	if (o->arg && !value)
		return err_set(err, EINVAL, "audit", "%s needs a value: %s", word, o->arg);
	return o->set(options, o, value, err);
}

static int command_find(const char *name, const struct audit_command **ret, struct err *err)
{
	for (size_t i = 0; i < ELEMENTSOF(commands); i++)
		if (strcmp(commands[i].name, name) == 0) {
			*ret = &commands[i];
			return 0;
		}
	return err_set(err, EINVAL, "audit", "there is no command %s; see creel audit --help",
		       name);
}

static int check(const struct audit_options *o, struct err *err)
{
	const struct audit_command *command = o->command;

	if (o->help)
		return 0;
	if (command->arg && !o->arg)
		return err_set(err, EINVAL, "audit", "%s needs %s; see creel audit %s --help",
			       command->name, command->arg, command->name);
	if (o->filter.since > o->filter.until)
		return err_set(err, EINVAL, "audit", "--since is later than --until");
	return 0;
}

int audit_options_parse(int argc, char **argv, struct audit_options *ret, struct err *err)
{
	struct audit_options o = {.org = "local",
				  .lines = TAIL_LINES,
				  .filter = {.since = INT64_MIN, .until = INT64_MAX}};
	bool words_only = false;
	int r;

	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		o.help = argc >= 2;
		*ret = o;
		return argc >= 2 ? 0
				 : err_set(err, EINVAL, "audit",
					   "a command is needed; see creel audit --help");
	}
	r = command_find(argv[1], &o.command, err);
	for (int i = 2; i < argc && r == 0; i++) {
		if (!words_only && strcmp(argv[i], "--") == 0)
			words_only = true;
		else if (!words_only && argv[i][0] == '-' && argv[i][1])
			r = option_take(argv, &i, &o, err);
		else if (!o.command->arg || o.arg)
			r = err_set(err, EINVAL, "audit",
				    "%s: what is %s? See creel audit %s --help", o.command->name,
				    argv[i], o.command->name);
		else
			o.arg = argv[i];
	}
	if (r == 0)
		r = check(&o, err);
	if (r == 0)
		*ret = o;
	return r;
}
