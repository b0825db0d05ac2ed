/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes-git.c: what of a run's changes git on the host would execute: hooks, and programs that
 * its settings name. The user who runs git status, or whose prompt does, does not expect to run
 * what a sandbox wrote (CVE-2022-24765 and its like). So of .git only what work with git writes is
 * fine, and no directory may become a repository of its own.
 */
#include "changes-private.h"

#include "banned.h"

/* What work with git writes below .git; of all else git may start programs that it names. */
static bool git_is_harmless(const char *name, size_t len)
{
	static const char *const known[] = {"objects",	   "refs",	 "logs",
					    "index",	   "HEAD",	 "ORIG_HEAD",
					    "FETCH_HEAD",  "MERGE_HEAD", "MERGE_MSG",
					    "MERGE_MODE",  "AUTO_MERGE", "CHERRY_PICK_HEAD",
					    "packed-refs", "shallow",	 "REVERT_HEAD",
					    "description", "info",	 "COMMIT_EDITMSG"};

	for (size_t i = 0; i < ELEMENTSOF(known); i++)
		if (strlen(known[i]) == len && memcmp(known[i], name, len) == 0)
			return true;
	return false;
}

static bool is_there(const struct changes *changes, const char *dir, size_t len, const char *name)
{
	char path[CEIL_PATH];
	struct stat st;

	if (snprintf(path, sizeof(path), "%.*s%s", (int)len, dir, name) >= (int)sizeof(path))
		return true; /* too long to be looked at */
	return tree_find(&changes->tree, path) || changes_host_stat(changes, path, &st) == 0;
}

/* A directory is a repository of its own, without the name .git, if it has what makes one. */
static bool makes_repository(const struct changes *changes, const char *path)
{
	static const char *const parts[] = {"HEAD", "config", "config.worktree", "commondir"};
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *hooks = strcasestr(path, "hooks/");
	size_t len = (size_t)(name - path);
	bool part = false;

	for (size_t i = 0; i < ELEMENTSOF(parts); i++)
		part |= strcasecmp(name, parts[i]) == 0;
	if (!part && hooks && (hooks == path || hooks[-1] == '/')) {
		len = (size_t)(hooks - path);
		part = true;
	}
	return part && is_there(changes, path, len, "HEAD") &&
	       (is_there(changes, path, len, "config") ||
		is_there(changes, path, len, "commondir") || is_there(changes, path, len, "hooks"));
}

bool changes_git_runs(const struct changes *changes, const struct change *change)
{
	for (const char *at = change->path; *at; at += strcspn(at, "/") + 1) {
		size_t len = strcspn(at, "/");

		if (len == 4 && strncasecmp(at, ".git", 4) == 0) {
			const char *next = at[len] ? at + len + 1 : "";

			if (!*next)
				return !S_ISDIR(change->mode); /* names another directory */
			return !git_is_harmless(next, strcspn(next, "/")) && !S_ISDIR(change->mode);
		}
		if (!at[len])
			break;
	}
	return !S_ISDIR(change->mode) && makes_repository(changes, change->path);
}
