/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apt-sources.c: see apt-sources.h. apt itself reads its configuration, whatever its format is;
 * what it does not tell, the key files of a source, is looked up in the files that it names.
 */
#include "apt-sources.h"

#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "image-place.h"
#include "io.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>

#define DEBIAN_13 "trixie"

/* A source may call its suite by one of these instead of its codename. */
static const char *const aliases[] = {"stable", "oldstable", "testing", "unstable", "sid"};
static const char *const suffixes[] = {"", "-updates", "-security"};
static const char *const components[] = {"main", "universe"};

/* The suffix of a suite of the distribution, NULL: it is none. */
static const char *suite_suffix(const char *suite, const char *codename)
{
	for (size_t i = 0; i <= ELEMENTSOF(aliases); i++) {
		const char *base = i ? aliases[i - 1] : codename;
		size_t len = strlen(base);

		if (len == 0 || strncmp(suite, base, len) != 0)
			continue;
		for (size_t k = 0; k < ELEMENTSOF(suffixes); k++)
			if (strcmp(suite + len, suffixes[k]) == 0)
				return suffixes[k];
	}
	return NULL;
}

static bool component_wanted(const char *component)
{
	for (size_t i = 0; i < ELEMENTSOF(components); i++)
		if (strcmp(component, components[i]) == 0)
			return true;
	return false;
}

int apt_sources_select(const char *targets, const char *from, const char *to, struct buf *ret)
{
	_cleanup_buf_ struct buf copy = BUF_INIT(CEIL_CONFIG);
	char *save, *line;
	int r = buf_puts(&copy, targets);

	if (r == 0)
		r = buf_puts(ret, "");
	line = r == 0 ? strtok_r(copy.data, "\n", &save) : NULL;
	for (; r == 0 && line; line = strtok_r(NULL, "\n", &save)) {
		char entry[1024], uri[512], suite[128], component[64];
		const char *suffix;
		int n;

		if (sscanf(line, "%511s %127s %63s", uri, suite, component) != 3 ||
		    !component_wanted(component))
			continue;
		suffix = suite_suffix(suite, from);
		if (!suffix)
			continue;
		n = to ? snprintf(entry, sizeof(entry), "deb %s %s%s %s\n", uri, to, suffix,
				  component)
		       : snprintf(entry, sizeof(entry), "deb %s %s %s\n", uri, suite, component);
		/* One for each architecture: the same line again. */
		if (n > 0 && (size_t)n < sizeof(entry) && !strstr(ret->data, entry))
			r = buf_puts(ret, entry);
	}
	return r;
}

static int add_path(const char *text, size_t len, struct buf *ret)
{
	char path[512];

	if (len == 0 || text[0] != '/' || len >= sizeof(path) - 1)
		return 0; /* the key itself, or a fingerprint: apt's own key ring has it */
	snprintf(path, sizeof(path), "%.*s\n", (int)len, text);
	return ret->data && strstr(ret->data, path) ? 0 : buf_puts(ret, path);
}

int apt_sources_keys(const char *text, struct buf *ret)
{
	static const char *const words[] = {"Signed-By:", "signed-by="};
	int r = 0;

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		for (const char *p = text; r == 0 && (p = strstr(p, words[i]));) {
			p += strlen(words[i]);
			do {
				size_t len;

				p += strspn(p, ", \t");
				len = strcspn(p, ", \t\n]");
				r = add_path(p, len, ret);
				p += len;
			} while (r == 0 && *p == ',');
		}
	}
	return r;
}

static int copy_file(const char *from, const char *name, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(16u << 20);

	/* What the caller may not read or does not have is not needed. */
	if (io_read_file(AT_FDCWD, from, &text) < 0)
		return 0;
	return place_file(name, text.data, text.len, err);
}

/* Every file of a directory that apt would read, as PREFIX-NAME. */
static int copy_directory(const char *from, const char *prefix, struct err *err)
{
	_cleanup_close_ int fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fs_opendir(fd);
	struct dirent *entry;
	int r = 0;

	while (dir && r == 0 && (entry = fs_next(dir))) {
		char path[CEIL_PATH], name[300];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", from, entry->d_name);
		snprintf(name, sizeof(name), "%s-%s", prefix, entry->d_name);
		r = copy_file(path, name, err);
	}
	return r;
}

/* Keys of the sources: distributions' own under their name, others so that the image gets them. */
static int copy_source_keys(const struct buf *paths, struct err *err)
{
	_cleanup_buf_ struct buf copy = BUF_INIT(CEIL_SMALL_FILE);
	int r = buf_puts(&copy, paths->data);
	char *save, *path = r == 0 ? strtok_r(copy.data, "\n", &save) : NULL;

	if (r < 0)
		return err_errno(err, -r, "image", "cannot collect apt's keys");
	for (; r == 0 && path; path = strtok_r(NULL, "\n", &save)) {
		const char *base = strrchr(path, '/') + 1;
		bool own = strstr(base, "-archive-") != NULL;
		char name[300];

		snprintf(name, sizeof(name), "keys/%s-%s", own ? "own" : "image", base);
		r = copy_file(path, name, err);
	}
	return r;
}

static int copy_keys(const char *targets, struct err *err)
{
	_cleanup_buf_ struct buf paths = BUF_INIT(CEIL_SMALL_FILE);
	_cleanup_buf_ struct buf copy = BUF_INIT(CEIL_CONFIG);
	char *save, *line;
	int r = buf_puts(&copy, targets);

	if (r == 0)
		r = buf_puts(&paths, "");
	line = r == 0 ? strtok_r(copy.data, "\n", &save) : NULL;
	for (; r == 0 && line; line = strtok_r(NULL, "\n", &save)) {
		_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
		char *file = strrchr(line, ' '), *end = file ? strrchr(file, ':') : NULL;

		if (!end)
			continue;
		*end = '\0';
		if (io_read_file(AT_FDCWD, file + 1, &text) == 0)
			r = apt_sources_keys(text.data, &paths);
	}
	if (r == 0 && mkdir(PLACE_FILES "/keys", 0755) < 0)
		r = -errno;
	if (r < 0)
		return err_errno(err, -r, "image", "cannot collect apt's keys");
	r = copy_source_keys(&paths, err);
	if (r == 0)
		r = copy_file("/etc/apt/trusted.gpg", "keys/own-trusted.gpg", err);
	if (r == 0)
		r = copy_directory("/etc/apt/trusted.gpg.d", "keys/own", err);
	return r == 0 ? copy_file("/usr/share/keyrings/debian-archive-keyring.gpg",
				  "keys/own-debian-archive-keyring.gpg", err)
		      : r;
}

/* Proxies and certificates of apt, and its logins. */
static int copy_settings(const struct place *place, struct err *err)
{
	static const char *const kept[] = {
		"Acquire::http::", "Acquire::https::", "Acquire::Retries",
		"Acquire::ftp::", "Acquire::ForceIPv"};
	const char *argv[] = {"apt-config", "dump", NULL};
	_cleanup_buf_ struct buf dump = BUF_INIT(CEIL_CONFIG), conf = BUF_INIT(CEIL_CONFIG);
	char *save;
	int r = place_run(place, argv, &dump, err);

	if (r == 0)
		r = buf_puts(&dump, "") == 0 && buf_puts(&conf, "") == 0 ? 0 : -ENOMEM;
	for (char *line = r == 0 ? strtok_r(dump.data, "\n", &save) : NULL; r == 0 && line;
	     line = strtok_r(NULL, "\n", &save))
		for (size_t i = 0; i < ELEMENTSOF(kept); i++)
			if (strncmp(line, kept[i], strlen(kept[i])) == 0)
				r = buf_printf(&conf, "%s\n", line);
	if (r == 0)
		r = place_file("apt.conf", conf.data, conf.len, err);
	if (r == 0 && mkdir(PLACE_FILES "/auth", 0755) < 0)
		r = err_errno(err, errno, "image", "cannot make %s/auth", PLACE_FILES);
	if (r == 0)
		r = copy_file("/etc/apt/auth.conf", "auth/auth.conf", err);
	return r == 0 ? copy_directory("/etc/apt/auth.conf.d", "auth/creel", err) : r;
}

static int codename(char *ret, size_t size)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	const char *p;

	*ret = '\0';
	if (io_read_file(AT_FDCWD, "/etc/os-release", &text) < 0)
		return -ENOENT;
	p = strstr(text.data, "\nVERSION_CODENAME=");
	if (p)
		p += strlen("\nVERSION_CODENAME=");
	if (p)
		snprintf(ret, size, "%.*s", (int)strspn(p, "abcdefghijklmnopqrstuvwxyz"), p);
	return 0;
}

/* Does the archive have this suite, signed by a key of the machine? Only its index is fetched. */
static bool verifies(const struct place *place, const struct buf *list)
{
	const char *argv[] = {"apt-get",
			      "update",
			      "-qq",
			      "-oDir::Etc::SourceList=" PLACE_FILES "/probe.list",
			      "-oDir::Etc::SourceParts=/dev/null",
			      "-oDir::Etc::Trusted=/dev/null",
			      "-oDir::Etc::TrustedParts=" PLACE_FILES "/keys",
			      "-oDir::Etc::netrcparts=" PLACE_FILES "/auth",
			      "-oDir::State::Lists=" PLACE_FILES "/lists",
			      "-oDir::Cache=" PLACE_FILES "/cache",
			      "-oDir::State::status=/dev/null",
			      "-oAPT::Sandbox::User=root",
			      "-oAPT::Update::Error-Mode=any",
			      "-oAcquire::IndexTargets::deb::Packages::DefaultEnabled=false",
			      "-oAcquire::IndexTargets::deb::Translations::DefaultEnabled=false",
			      "-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
			      "-oAcquire::IndexTargets::deb::CNF::DefaultEnabled=false",
			      "-oAcquire::Retries=1",
			      NULL};
	/* Of the ids that apt-get has there. */
	const char *mkdir_argv[] = {"mkdir", "-p", PLACE_FILES "/lists/partial",
				    PLACE_FILES "/cache", NULL};
	_cleanup_buf_ struct buf out = BUF_INIT(CEIL_SMALL_FILE);
	struct err ignored;

	return list->len && place_file("probe.list", list->data, list->len, &ignored) == 0 &&
	       place_run(place, mkdir_argv, &out, &ignored) == 0 &&
	       place_run(place, argv, &out, &ignored) == 0;
}

static int choose(const struct place *place, const char *targets, struct apt_sources *ret,
		  struct err *err)
{
	char own[sizeof(ret->suite)];
	int r = codename(own, sizeof(own));

	if (r == 0)
		r = apt_sources_select(targets, own, DEBIAN_13, &ret->list);
	if (r < 0)
		return err_errno(err, -r, "image", "cannot read apt's sources");
	snprintf(ret->suite, sizeof(ret->suite), "%s", DEBIAN_13);
	if (verifies(place, &ret->list))
		return 0;
	ret->list.len = 0;
	snprintf(ret->suite, sizeof(ret->suite), "%s", *own ? own : "stable");
	r = apt_sources_select(targets, own, NULL, &ret->list);
	if (r < 0)
		return err_errno(err, -r, "image", "cannot read apt's sources");
	if (ret->list.len == 0)
		return err_set(
			err, ENOENT, "image",
			"apt has no source with packages of this machine's distribution (%s); "
			"see /etc/apt/sources.list and /etc/apt/sources.list.d",
			ret->suite);
	return 0;
}

int apt_sources_find(const struct place *place, struct apt_sources *ret, struct err *err)
{
	const char *argv[] = {"apt-get",
			      "indextargets",
			      "--format",
			      "$(REPO_URI) $(RELEASE) $(COMPONENT) $(SOURCESENTRY)",
			      "Created-By: Packages",
			      NULL};
	_cleanup_buf_ struct buf targets = BUF_INIT(CEIL_CONFIG);
	struct apt_sources sources = {.list = BUF_INIT(CEIL_SMALL_FILE)};
	int r = place_run(place, argv, &targets, err);

	if (r == 0 && buf_puts(&targets, "") < 0)
		r = err_errno(err, ENOMEM, "image", "apt's sources");
	if (r == 0)
		r = copy_keys(targets.data, err);
	if (r == 0)
		r = copy_settings(place, err);
	if (r == 0)
		r = choose(place, targets.data, &sources, err);
	if (r < 0) {
		buf_done(&sources.list);
		return r;
	}
	sources.local = sources.list.data && (strstr(sources.list.data, "deb file:") ||
					      strstr(sources.list.data, "deb copy:"));
	*ret = sources;
	return 0;
}
