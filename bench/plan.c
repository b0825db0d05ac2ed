/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.c: reads a plan (plan.h has its format). It checks what a mistake in bench.py could break;
 * it is no defence against a hostile plan, which could name any command anyway.
 */
#include "plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("spawn: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(EXIT_FAILURE);
}

long parse_number(const char *text, long max)
{
	char *end;

	errno = 0;
	long value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < 0 || value > max)
		die("not a number from 0 to %ld: %s", max, text);
	return value;
}

/* Splits "FIRST REST" in place. */
static char *split(char *text)
{
	char *space = strchr(text, ' ');

	if (!space)
		die("two values are needed: %s", text);
	*space = '\0';
	return space + 1;
}

static void append(char **list, size_t *count, char *value)
{
	if (*count == ARGS_MAX)
		die("more than %d values: %s", ARGS_MAX, value);
	list[(*count)++] = value;
}

static void parse_ids(struct command *command, char *value)
{
	char *group = split(value);

	command->uid = (uid_t)parse_number(value, INT32_MAX);
	command->gid = (gid_t)parse_number(group, INT32_MAX);
	command->has_ids = true;
}

static void parse_fd(struct command *command, char *value)
{
	char *path = split(value);

	if (command->fdc == FDS_MAX)
		die("more than %d files for one command", FDS_MAX);
	command->fds[command->fdc++] =
		(struct extra_fd){.number = (int)parse_number(value, 255), .path = path};
}

static void parse_detail(struct command *command, const char *key, char *value)
{
	if (!strcmp(key, "arg"))
		append(command->argv, &command->argc, value);
	else if (!strcmp(key, "env"))
		append(command->envp, &command->envc, value);
	else if (!strcmp(key, "cwd"))
		command->cwd = value;
	else if (!strcmp(key, "mntns"))
		command->mntns = value;
	else if (!strcmp(key, "ids"))
		parse_ids(command, value);
	else if (!strcmp(key, "fd"))
		parse_fd(command, value);
	else if (!strcmp(key, "rounds"))
		command->rounds = parse_number(value, ROUNDS_MAX);
	else
		die("unknown word in the plan: %s", key);
}

static void parse_line(struct plan *plan, char *line)
{
	char *value = split(line);

	if (!strcmp(line, "cmd")) {
		if (plan->count == COMMANDS_MAX)
			die("more than %d commands", COMMANDS_MAX);
		if (strpbrk(value, "\"\\"))
			die("a name must not need quoting in JSON: %s", value);
		plan->commands[plan->count++] = (struct command){.name = value, .rounds = 1};
		return;
	}
	if (!plan->count)
		die("the plan does not begin with cmd");
	parse_detail(&plan->commands[plan->count - 1], line, value);
}

void plan_read(const char *path, struct plan *ret_plan)
{
	FILE *file = fopen(path, "re");

	if (!file)
		die("%s: %s", path, strerror(errno));
	for (;;) {
		char *line = NULL;
		size_t size = 0;
		ssize_t length = getline(&line, &size, file);

		if (length < 0)
			break;
		if (length > 0 && line[length - 1] == '\n')
			line[length - 1] = '\0';
		parse_line(ret_plan, line);
	}
	fclose(file);
	for (size_t i = 0; i < ret_plan->count; i++)
		if (!ret_plan->commands[i].argc)
			die("%s: no arguments", ret_plan->commands[i].name);
	if (!ret_plan->count)
		die("%s: no commands", path);
}
