/* SPDX-License-Identifier: Apache-2.0 */
/* detached.c: --detach, and wait, logs and kill over what it left. */
#include "detached.h"

#include "creel.h"
#include "fs.h"
#include "io.h"
#include "result.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define PRUNE_NAMELESS_SECONDS 86400
#define RESERVE		       ".reserve"
#define RESERVE_BYTES	       65536

struct detached {
	const struct state *state;
	char hidden[64]; /* the directory's name until the id is known */
	int runs, dir;	 /* DATA/runs, and the run's own */
	int told;	 /* to the caller that waits for the id */
};

static bool is_id(const char *id)
{
	return strlen(id) == SANDBOX_ID_LEN && id[0] == 'i' &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789") == SANDBOX_ID_LEN;
}

/* The live file of a run while its creel runs, else -1. */
static int open_live(const struct state *state, const char *id)
{
	_cleanup_close_ int fd = -EBADF;
	char path[512];

	snprintf(path, sizeof(path), "%s/live/%s", state->run, id);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return -1;
	return TAKE_FD(fd);
}

static bool is_running(const struct state *state, const char *id)
{
	_cleanup_close_ int fd = open_live(state, id);

	return fd >= 0;
}

/* The oldest runs that have ended go when there are too many; what never got its name after a day.
 */
static void prune(const struct state *state, int runs)
{
	for (;;) {
		_cleanup_closedir_ DIR *dir = fs_opendir(runs);
		char oldest[64] = "";
		struct dirent *entry;
		time_t least = time(NULL) - PRUNE_NAMELESS_SECONDS;
		bool nameless = false;
		struct stat st;
		unsigned n = 0;

		while (dir && !nameless && (entry = fs_next(dir))) {
			bool named = is_id(entry->d_name);

			if (fstatat(runs, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			    (named && is_running(state, entry->d_name)))
				continue;
			nameless = !named && st.st_mtime < least;
			if (nameless || (named && (n++ == 0 || st.st_mtime < least))) {
				snprintf(oldest, sizeof(oldest), "%.60s", entry->d_name);
				least = st.st_mtime;
			}
		}
		if ((!nameless && n <= CEIL_FINISHED_RUNS) || fs_remove_tree(runs, oldest) < 0)
			return;
	}
}

/* Room that the result will have, whatever the run's output has filled the disk with. */
static int reserve(int dir)
{
	_cleanup_close_ int fd = openat(dir, RESERVE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : -posix_fallocate(fd, 0, RESERVE_BYTES);
}

static int prepare(struct detached *d, struct run_spec *spec, struct err *err)
{
	char path[512];
	int r;

	snprintf(path, sizeof(path), "%s/runs", d->state->data);
	d->runs = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(d->hidden, sizeof(d->hidden), ".new-%d", (int)getpid());
	if (d->runs >= 0)
		prune(d->state, d->runs);
	if (d->runs < 0 || fs_remove_tree(d->runs, d->hidden) < 0 ||
	    mkdirat(d->runs, d->hidden, 0700) < 0)
		return err_errno(err, errno, "detached", "cannot make a directory in %s", path);
	d->dir = openat(d->runs, d->hidden, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	spec->stdio[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	spec->stdio[1] = openat(d->dir, "stdout", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	spec->stdio[2] = openat(d->dir, "stderr", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	for (int i = 0; i < 3; i++)
		if (spec->stdio[i] < 0)
			return err_errno(err, errno, "detached", "cannot make the log files in %s",
					 path);
	r = reserve(d->dir);
	return r < 0 ? err_errno(err, -r, "detached", "cannot make room in %s", path) : 0;
}

static int started(const char *id, void *data)
{
	struct detached *d = data;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || renameat(d->runs, d->hidden, d->runs, id) < 0)
		return -errno;
	/* A caller that does not read any more still has its run. */
	if (write(d->told, id, SANDBOX_ID_LEN) < 0)
		errno = 0;
	d->told = fd_close(d->told);
	/* The caller's descriptors must not be kept open by a run in the background. */
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	fd_close(null);
	return 0;
}

static void keep_error(const struct detached *d, const struct err *err)
{
	if (fs_replace_file(d->dir, "error", err->text, strlen(err->text), 0600) < 0)
		errno = 0; /* then the result is missing, which says so too */
}

static int keep_result(struct detached *d, const struct options *options,
		       const struct run_result *result)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_RESULT);
	char code[16] = "";
	struct err err;
	int r = result_json(options, result, &text);

	unlinkat(d->dir, RESERVE, 0);
	if (r == 0)
		r = fs_replace_file(d->dir, "result.json", text.data, text.len, 0600);
	if (r < 0) {
		err_errno(&err, -r, "detached", "cannot keep the result");
		keep_error(d, &err);
	}
	snprintf(code, sizeof(code), "%d\n", result->exit_code);
	/* Last: whoever sees it sees the rest. */
	return fs_replace_file(d->dir, "exit", code, strlen(code), 0600);
}

static _Noreturn void supervise(struct detached *d, struct options *options, struct run_spec *spec)
{
	struct run_result result = {0};
	struct err err = {0};
	int r;

	setsid();
	signal(SIGHUP, SIG_DFL); /* creel kill sends it; nohup would have it ignored */
	spec->started = started;
	spec->started_data = d;
	r = prepare(d, spec, &err);
	if (r == 0)
		r = run(d->state, spec, &result, &err);
	if (r < 0) {
		if (d->dir >= 0 && d->told >= 0)
			fs_remove_tree(d->runs, d->hidden);
		else if (d->dir >= 0)
			keep_error(d, &err);
		_exit(creel_fail(&err, false));
	}
	result_explain(options, &result, spec->stdio[2]);
	r = keep_result(d, options, &result);
	run_result_done(&result);
	_exit(r < 0 ? CREEL_EXIT_FAILED : 0);
}

int detached_run(const struct state *state, struct options *options, struct run_spec *spec)
{
	struct detached d = {.state = state, .runs = -1, .dir = -1, .told = -1};
	char id[SANDBOX_ID_LEN + 1] = "";
	struct err err = {0};
	int pair[2];
	pid_t pid;

	/* What goes into files is capped, named or not. */
	options->limits.of[LIMIT_OUTPUT].named = true;
	if (pipe2(pair, O_CLOEXEC) < 0) {
		err_errno(&err, errno, "detached", "pipe");
		return creel_fail(&err, false);
	}
	pid = fork();
	if (pid == 0) {
		fd_close(pair[0]);
		d.told = pair[1];
		supervise(&d, options, spec);
	}
	fd_close(pair[1]);
	if (pid < 0) {
		err_errno(&err, errno, "detached", "cannot create a process");
		return creel_fail(&err, false);
	}
	if (io_read_full(pair[0], id, SANDBOX_ID_LEN) < 0)
		return CREEL_EXIT_FAILED; /* the supervisor has said why */
	puts(id);
	return 0;
}

/* ---- wait, logs, kill ---- */

struct run_ref {
	struct state state;
	char id[SANDBOX_ID_LEN + 1];
	int dir;
	bool json, follow, help;
};

/* [--state DIR] [--json] [-f] ID */
static int ref_parse(int argc, char **argv, struct run_ref *ref, struct err *err)
{
	static const struct option long_options[] = {{"state", required_argument, NULL, 's'},
						     {"json", no_argument, NULL, 'j'},
						     {"follow", no_argument, NULL, 'f'},
						     {"help", no_argument, NULL, 'h'},
						     {0}};
	const char *dir = NULL;
	char path[512];
	int c;

	*ref = (struct run_ref){.dir = -1};
	opterr = 0;
	while ((c = getopt_long(argc, argv, "fh", long_options, NULL)) >= 0) {
		if (c == 's')
			dir = optarg;
		else if (c == 'j')
			ref->json = true;
		else if (c == 'f')
			ref->follow = true;
		else if (c == 'h') {
			ref->help = true;
			return 0;
		} else
			return err_set(err, EINVAL, argv[0], "unknown option %s; see creel help %s",
				       argv[optind - 1], argv[0]);
	}
	if (optind + 1 != argc)
		return err_set(err, EINVAL, argv[0], "one ID is needed; see creel help %s",
			       argv[0]);
	if (state_open(dir, &ref->state, err) < 0)
		return -err->code;
	snprintf(ref->id, sizeof(ref->id), "%.21s", argv[optind]);
	snprintf(path, sizeof(path), "%s/runs/%s", ref->state.data, ref->id);
	if (is_id(argv[optind]))
		ref->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ref->dir < 0)
		return err_set(err, ENOENT, argv[0], "there is no detached run %.64s",
			       argv[optind]);
	return 0;
}

static int exit_code_of(const struct run_ref *ref, int *ret_code)
{
	uint64_t code;
	int r = io_read_u64(ref->dir, "exit", &code);

	if (r == 0 && code > 255)
		r = -ERANGE;
	if (r == 0)
		*ret_code = (int)code;
	return r;
}

/* Waits for the supervisor's end: its lock goes with it. */
static void wait_for_end(const struct run_ref *ref)
{
	_cleanup_close_ int fd = open_live(&ref->state, ref->id);
	int code, tries = fd >= 0 ? 500 : 20;

	while (fd >= 0 && flock(fd, LOCK_SH) < 0 && errno == EINTR)
		;
	/* The sandbox is gone before the result is written. */
	for (int i = 0; i < tries && exit_code_of(ref, &code) < 0; i++) {
		if (faccessat(ref->dir, "error", F_OK, 0) == 0)
			return;
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
}

/* What is left of fd, which may be -1. */
static int copy_fd(int fd, int out)
{
	char data[65536];
	ssize_t n = 0;
	int r = 0;

	while (r == 0 && fd >= 0 && (n = read(fd, data, sizeof(data))) > 0)
		r = io_write_full(out, data, (size_t)n);
	return n < 0 ? -errno : r;
}

static int show_result(const struct run_ref *ref, struct err *err)
{
	_cleanup_buf_ struct buf why = BUF_INIT(4096);
	_cleanup_close_ int fd = openat(ref->dir, "result.json", O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0 && io_read_file(ref->dir, "error", &why) == 0)
		return err_set(err, EIO, "wait", "%s", why.data);
	r = fd < 0 ? -errno : copy_fd(fd, 1);
	return r < 0 ? err_errno(err, -r, "wait", "cannot print the result") : 0;
}

static int show_help(const char *name)
{
	char *words[] = {(char *)(uintptr_t) "help", (char *)(uintptr_t)name, NULL};

	return cmd_help(2, words);
}

int cmd_wait(int argc, char **argv)
{
	_cleanup_buf_ struct buf why = BUF_INIT(4096);
	struct run_ref ref;
	struct err err = {0};
	int code = CREEL_EXIT_FAILED;

	if (ref_parse(argc, argv, &ref, &err) < 0)
		return creel_fail(&err, ref.json);
	if (ref.help)
		return show_help(argv[0]);
	wait_for_end(&ref);
	if (exit_code_of(&ref, &code) < 0) {
		if (io_read_file(ref.dir, "error", &why) < 0 || !why.data)
			err_set(&err, ESRCH, "wait",
				"the run %s has no result: its creel was killed", ref.id);
		else
			err_set(&err, EIO, "wait", "%s", why.data);
		return creel_fail(&err, ref.json);
	}
	if (ref.json && show_result(&ref, &err) < 0)
		return creel_fail(&err, true);
	fd_close(ref.dir);
	return code;
}

int cmd_logs(int argc, char **argv)
{
	struct run_ref ref;
	struct err err = {0};
	int fds[2], code = 0;

	if (ref_parse(argc, argv, &ref, &err) < 0)
		return creel_fail(&err, ref.json);
	if (ref.help)
		return show_help(argv[0]);
	fds[0] = openat(ref.dir, "stdout", O_RDONLY | O_CLOEXEC);
	fds[1] = openat(ref.dir, "stderr", O_RDONLY | O_CLOEXEC);
	for (bool last = false; code == 0;) {
		_cleanup_close_ int live = ref.follow ? open_live(&ref.state, ref.id) : -1;
		bool ended = live < 0;

		for (int i = 0; i < 2 && code == 0; i++)
			code = copy_fd(fds[i], 1 + i) < 0 ? CREEL_EXIT_FAILED : 0;
		if (last || !ref.follow)
			break;
		last = ended; /* one more look after the end */
		if (!ended)
			nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
	fd_close(fds[0]);
	fd_close(fds[1]);
	fd_close(ref.dir);
	return code;
}

int cmd_kill(int argc, char **argv)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	_cleanup_close_ int live = -EBADF, pidfd = -EBADF;
	struct run_ref ref;
	struct err err = {0};
	char path[512];

	if (ref_parse(argc, argv, &ref, &err) < 0)
		return creel_fail(&err, ref.json);
	if (ref.help)
		return show_help(argv[0]);
	snprintf(path, sizeof(path), "%s/live/%s", ref.state.run, ref.id);
	if (io_read_file(AT_FDCWD, path, &text) == 0 && text.data)
		pidfd = (int)syscall(SYS_pidfd_open, strtol(text.data, NULL, 10), 0);
	/* Only after the pid is held: while the lock is, the pid is the supervisor's. */
	live = open_live(&ref.state, ref.id);
	if (live < 0 || pidfd < 0) {
		err_set(&err, ESRCH, "kill", "the run %s has ended", ref.id);
		return creel_fail(&err, ref.json);
	}
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGHUP, NULL, 0) < 0) {
		err_errno(&err, errno, "kill", "%s", ref.id);
		return creel_fail(&err, ref.json);
	}
	wait_for_end(&ref);
	fd_close(ref.dir);
	return 0;
}
