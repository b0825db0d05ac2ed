/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c: see state.h. Locks die with their process, so a kill -9 needs no database to be
 * repaired: what is listed and not locked is left over.
 */
#include "state.h"

#include "buf.h"
#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "idmap.h"
#include "io.h"
#include "places.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

/* 0x70000000 to 0x7ffdffff is free of systemd's and of distributions' ranges. */
#define IDS_FIRST  0x70000000u
#define IDS_COUNT  65536u
#define IDS_RANGES 4000u

int state_path(const struct state *state, char *ret, size_t size, const char *fmt, ...)
{
	size_t len = (size_t)snprintf(ret, size, "%s/", state->data);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = len < size ? vsnprintf(ret + len, size - len, fmt, ap) : -1;
	va_end(ap);
	return n < 0 || (size_t)n >= size - len ? -ENAMETOOLONG : 0;
}

static int state_default(struct state *state, struct err *err)
{
	const char *home = getenv("HOME"), *data = getenv("XDG_DATA_HOME");
	const char *run = getenv("XDG_RUNTIME_DIR"), *below = "/creel";

	if (state->root) {
		snprintf(state->data, sizeof(state->data), "/var/lib/creel");
		snprintf(state->run, sizeof(state->run), "/run/creel");
		return 0;
	}
	if ((!data || data[0] != '/') && (!home || home[0] != '/'))
		return err_set(err, EINVAL, "state",
			       "no place for state: HOME is not set; set it or use --state DIR");
	if (run && (run[0] != '/' || access(run, W_OK) < 0))
		run = NULL;
	if (!data || data[0] != '/') {
		data = home;
		below = "/.local/share/creel";
	}
	/* Names are added to both. */
	if (strlen(data) + strlen(below) + 8 > sizeof(state->data) ||
	    (run && strlen(run) + 8 > sizeof(state->run)))
		return err_set(err, ENAMETOOLONG, "state",
			       "no place for state: HOME, XDG_DATA_HOME or XDG_RUNTIME_DIR is too "
			       "long; use --state DIR");
	snprintf(state->data, sizeof(state->data), "%s%s", data, below);
	snprintf(state->run, sizeof(state->run), "%s%s", run ? run : state->data,
		 run ? "/creel" : "/run");
	return 0;
}

/* A private directory of ours; one that another user owns or can write is refused. */
static int state_directory(const char *base, const char *name, struct err *err)
{
	char path[512];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "%s%s%s", base, *name ? "/" : "", name);
	if (lstat(path, &st) < 0) {
		r = fs_mkdirs(path, 0700, err);
		if (r < 0)
			return err_wrap(err, "the state directory cannot be made; use --state DIR");
		if (lstat(path, &st) < 0)
			return err_errno(err, errno, "state", "%s", path);
	}
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ENOTDIR, "state", "%s is not a directory", path);
	if (st.st_uid != geteuid() || st.st_mode & 022)
		return err_set(err, EPERM, "state",
			       "%s belongs to uid %u with mode %o: it must be yours and writable "
			       "by you only",
			       path, st.st_uid, st.st_mode & 07777);
	return 0;
}

int state_open(const char *dir, struct state *ret_state, struct err *err)
{
	struct state state = {.root = geteuid() == 0};
	const char *const data_dirs[] = {"images", "images/host", "layers", "runs"};
	const char *const run_dirs[] = {"live", "stage"};
	char absolute[CEIL_PATH];
	int r = 0;

	if (!dir)
		dir = getenv("CREEL_STATE");
	if (dir && *dir) {
		if (*dir != '/') {
			char cwd[CEIL_PATH];

			if (!getcwd(cwd, sizeof(cwd)))
				return err_errno(err, errno, "state", "working directory");
			snprintf(absolute, sizeof(absolute), "%.2000s/%.2000s", cwd, dir);
			dir = absolute;
		}
		if (strlen(dir) >= sizeof(state.data) - 8)
			return err_set(err, ENAMETOOLONG, "state", "--state %.60s... is too long",
				       dir);
		snprintf(state.data, sizeof(state.data), "%s", dir);
		snprintf(state.run, sizeof(state.run), "%s/run", dir);
	} else {
		r = state_default(&state, err);
	}
	if (r == 0)
		r = state_directory(state.data, "", err);
	if (r == 0)
		r = state_directory(state.run, "", err);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(data_dirs); i++)
		r = state_directory(state.data, data_dirs[i], err);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(run_dirs); i++)
		r = state_directory(state.run, run_dirs[i], err);
	if (r == 0)
		*ret_state = state;
	return r;
}

static int live_take_range(struct live *live, struct err *err)
{
	static const char path[] = "/run/creel/ids";
	unsigned start;

	/* One pool for the machine, whatever --state says: two pools could give one range twice. */
	if (mkdir("/run/creel", 0700) == 0 || errno == EEXIST)
		live->ids_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (live->ids_fd < 0)
		return err_errno(err, errno, "state",
				 "cannot open %s, where the id ranges of this machine are kept",
				 path);
	if (getrandom(&start, sizeof(start), 0) != sizeof(start))
		return err_errno(err, errno, "state", "getrandom");
	for (unsigned i = 0; i < IDS_RANGES; i++) {
		unsigned range = (start + i) % IDS_RANGES;
		struct flock lock = {
			.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = range, .l_len = 1};

		if (fcntl(live->ids_fd, F_OFD_SETLK, &lock) == 0) {
			live->range = range;
			return 0;
		}
		if (errno != EAGAIN && errno != EACCES)
			return err_errno(err, errno, "state", "cannot lock an id range");
	}
	return err_set(err, EAGAIN, "state", "all %u id ranges are in use", IDS_RANGES);
}

uint32_t live_first_id(const struct live *live)
{
	return IDS_FIRST + live->range * IDS_COUNT;
}

/* 'i' and 20 of [a-z0-9]: what the E2B clients accept as a sandbox id. */
static int live_new_id(char *ret)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	unsigned char random[SANDBOX_ID_LEN - 1];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -errno;
	ret[0] = 'i';
	for (size_t i = 0; i < sizeof(random); i++)
		ret[1 + i] = letters[random[i] % 36];
	ret[SANDBOX_ID_LEN] = '\0';
	return 0;
}

int live_new(const struct state *state, struct live *ret_live, struct err *err)
{
	struct live live = LIVE_INIT;
	char hidden[512];
	int r;

	r = live_new_id(live.id);
	if (r < 0)
		return err_errno(err, -r, "state", "getrandom");
	snprintf(live.path, sizeof(live.path), "%s/live/%s", state->run, live.id);
	snprintf(hidden, sizeof(hidden), "%s/live/.%s", state->run, live.id);
	snprintf(live.cgroup, sizeof(live.cgroup), "creel/%s", live.id);
	/* Locked before it has its name, so that no sweep takes it for a left-over. */
	live.fd = open(hidden, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (live.fd < 0)
		return err_errno(err, errno, "state", "cannot register the sandbox in %s",
				 state->run);
	/* A sweep may hold the lock for the moment that it looks at the file: waited for. */
	do {
		r = flock(live.fd, LOCK_EX) < 0 ? -errno : 0;
	} while (r == -EINTR);
	if (r == 0 && rename(hidden, live.path) < 0)
		r = -errno;
	if (r < 0) {
		err_errno(err, -r, "state", "cannot register the sandbox in %s", state->run);
		unlink(hidden);
	}
	if (r == 0 && dprintf(live.fd, "%d\n", (int)getpid()) < 0)
		r = err_errno(err, errno, "state", "cannot write %s", live.path);
	if (r == 0 && state->root)
		r = live_take_range(&live, err);
	if (r < 0) {
		live_done(&live);
		return r;
	}
	*ret_live = live;
	return 0;
}

void live_leave(struct live *live)
{
	fd_close(live->fd);
	fd_close(live->ids_fd);
	*live = LIVE_INIT;
}

void live_done(struct live *live)
{
	if (live->fd >= 0)
		unlink(live->path);
	live_leave(live);
}

static bool live_is_left(int dirfd, const char *name, int *ret_fd)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return false;
	/* A name with a dot is being registered right now, unless it is old. */
	if (name[0] == '.' && (fstat(fd, &st) < 0 || time(NULL) - st.st_mtime < 10))
		return false;
	/* The lock may have been had because its owner just ended in order. */
	if (faccessat(dirfd, name, F_OK, 0) < 0)
		return false;
	*ret_fd = TAKE_FD(fd);
	return true;
}

/*
 * The groups that the live file names: only ours, "…/creel/ID". True: it says that the layer is in
 * the pool.
 */
static bool live_sweep_groups(int fd, const char *id)
{
	bool pooled = false;

	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	char path[64], end[300];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(end, sizeof(end), "/creel/%s", id);
	if (io_read_file(AT_FDCWD, path, &text) < 0 || !text.data)
		return false;
	for (char *save, *line = strtok_r(text.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		size_t len = strlen(line);

		pooled |= strcmp(line, "pool") == 0;
		if (line[0] == '/' && len > strlen(end) &&
		    strcmp(line + len - strlen(end), end) == 0 && !strstr(line, "/../"))
			cgroup_sweep_dir(line);
	}
	return pooled;
}

int live_sweep(const struct state *state, const struct cgroup_host *host, unsigned *ret_n,
	       char *names, size_t size)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;
	struct err err = {0};
	char path[512];
	size_t len = 0;
	int fd = -1;

	*ret_n = 0;
	snprintf(path, sizeof(path), "%s/live", state->run);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		const char *id = entry->d_name;
		char cgroup[300];

		if (strcmp(id, ".") == 0 || strcmp(id, "..") == 0 ||
		    !live_is_left(dirfd(dir), id, &fd))
			continue;
		snprintf(cgroup, sizeof(cgroup), "creel/%s", id);
		if (id[0] == 'i') {
			bool pooled = live_sweep_groups(fd, id);

			cgroup_sweep(host, cgroup); /* killed before it had written them */
			if ((pooled && places_sweep(state, id, &err) < 0) ||
			    idmap_remove_tree(state, "layers", id, &err) < 0) {
				fprintf(stderr, "creel: %s\n", err.text);
				fd = fd_close(fd);
				continue; /* until it can be freed */
			}
			(*ret_n)++;
			if (len < size)
				len += (size_t)snprintf(names + len, size - len, "%s%s",
							len ? ", " : "", id);
		}
		unlinkat(dirfd(dir), id, 0);
		fd = fd_close(fd);
	}
	return 0;
}
