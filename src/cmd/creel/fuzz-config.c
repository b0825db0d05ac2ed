/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-config.c: the input is a configuration file, from which the profile "p" is asked. */
#include "config.h"
#include "err.h"
#include "options.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../testing/fuzz.h"

/* The real program's options live as long as it: nothing of them is ever freed. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static char dir[64];

static void remove_dir(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/creel/creel.yaml", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/creel", dir);
	rmdir(path);
	rmdir(dir);
}

static int config_file(void)
{
	static int fd = -1;
	char path[128];

	if (fd >= 0)
		return fd;
	snprintf(dir, sizeof(dir), "/tmp/creel-fuzz-XXXXXX");
	FUZZ_MUST(mkdtemp(dir));
	atexit(remove_dir);
	snprintf(path, sizeof(path), "%s/creel", dir);
	FUZZ_MUST(mkdir(path, 0700) == 0);
	snprintf(path, sizeof(path), "%s/creel/creel.yaml", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	FUZZ_MUST(fd >= 0 && setenv("XDG_CONFIG_HOME", dir, 1) == 0);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct options options;
	struct err err = {0};
	int fd = config_file(), r;

	FUZZ_MUST(ftruncate(fd, 0) == 0);
	FUZZ_MUST(pwrite(fd, data, size, 0) == (ssize_t)size);
	options = (struct options){.seccomp = seccomp_profile_find("strict")};
	r = config_profile("p", &options, &err);
	FUZZ_MUST(r <= 0);
	FUZZ_MUST(r == 0 || (err.code == -r && err.text[0] && !strchr(err.text, '\n')));
	FUZZ_MUST(options.seccomp && options.n_env <= OPTIONS_ENV_MAX);
	FUZZ_MUST(options.n_ro <= CEIL_MOUNTS && options.n_in <= OPTIONS_IN_MAX);
	return 0;
}

/* An ordinary user's file is read, as root too. */
uid_t geteuid(void)
{
	return 1234;
}
