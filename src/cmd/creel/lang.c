/* SPDX-License-Identifier: Apache-2.0 */
/* lang.c: see lang.h. */
#include "lang.h"

#include "cleanup.h"
#include "fs.h"

#include <fcntl.h>

#include "banned.h"

const struct lang lang_table[] = {
	{{"python", "python3", "py"}, {"python3"}, {NULL}, "-c", NULL, ".py"},
	{{"node", "javascript", "js"}, {"node", "nodejs"}, {NULL}, "-e", NULL, ".js"},
	{{"bash"}, {"bash"}, {NULL}, "-c", NULL, ".sh"},
	{{"sh"}, {"sh"}, {NULL}, "-c", NULL, ".sh"},
	{{"r", "R"}, {"Rscript"}, {"--vanilla"}, "-e", NULL, ".R"},
	{{"sqlite", "sql"}, {"sqlite3"}, {"-batch", ":memory:"}, "", ".read", ".sql"},
	{{"perl"}, {"perl"}, {NULL}, "-e", NULL, ".pl"},
	{{"ruby", "rb"}, {"ruby"}, {NULL}, "-e", NULL, ".rb"},
	{{"php"}, {"php"}, {NULL}, "-r", NULL, ".php"},
	{{"lua"}, {"lua", "lua5.4", "lua5.3"}, {NULL}, "-e", NULL, ".lua"},
	{{"awk"}, {"awk"}, {NULL}, "", "-f", ".awk"},
	{{"java"}, {"java"}, {"-XX:+UseSerialGC"}, NULL, NULL, ".java"},
	{{"go"}, {"go"}, {"run"}, NULL, NULL, ".go"},
	{{"octave"}, {"octave-cli"}, {"--quiet"}, "--eval", NULL, ".m"},
	{{"julia", "jl"}, {"julia"}, {NULL}, "-e", NULL, ".jl"},
	{{"tcl"}, {"tclsh"}, {NULL}, NULL, NULL, ".tcl"},
	{{"guile", "scheme"}, {"guile"}, {"--no-auto-compile"}, "-c", NULL, ".scm"},
};

const size_t lang_count = ELEMENTSOF(lang_table);

const struct lang *lang_find(const char *name)
{
	for (size_t i = 0; i < lang_count; i++)
		for (size_t k = 0; k < ELEMENTSOF(lang_table[i].names); k++)
			if (lang_table[i].names[k] && strcmp(lang_table[i].names[k], name) == 0)
				return &lang_table[i];
	return NULL;
}

/* Links of an image are followed inside it: they may be absolute, and are somebody else's. */
static bool lang_is_there(const char *root, const char *path)
{
	_cleanup_close_ int at = root ? open(root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -EBADF;
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	if (!root)
		return access(path, X_OK) == 0;
	fd = at < 0 ? -EBADF : fs_open_inside(at, path, O_PATH);
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_mode & 0111;
}

const char *lang_program(const struct lang *lang, const char *root, char *ret, size_t size)
{
	static const char *const places[] = {"/usr/bin", "/usr/local/bin"};

	for (size_t i = 0; i < ELEMENTSOF(lang->programs) && lang->programs[i]; i++)
		for (size_t k = 0; k < ELEMENTSOF(places); k++) {
			snprintf(ret, size, "%s/%s", places[k], lang->programs[i]);
			if (lang_is_there(root, ret))
				return ret;
		}
	return NULL;
}

void lang_list(const char *root, char *ret, size_t size)
{
	char path[128];
	size_t len = 0;

	*ret = '\0';
	for (int found = 1; found >= 0; found--)
		for (size_t i = 0; i < lang_count && len < size; i++) {
			if ((lang_program(&lang_table[i], root, path, sizeof(path)) != NULL) !=
			    found)
				continue;
			len += (size_t)snprintf(ret + len, size - len, "%s%s%s", len ? ", " : "",
						lang_table[i].names[0],
						found ? "" : " (not installed)");
		}
}
