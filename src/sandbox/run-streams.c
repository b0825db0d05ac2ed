/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run-streams.c: standard streams and the terminal of a run. A descriptor of the caller goes into
 * the sandbox only if it is an anonymous pipe or /dev/null: anything else (a file that could be
 * opened again with more rights, a directory, the caller's own terminal) is relayed.
 */
#include "run-private.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/* A pipe without a name in a file system. */
static bool run_is_pipe(int fd)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 && st.f_type == PIPEFS_MAGIC;
}

static bool run_passes(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	return run_is_pipe(fd) || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
}

static int run_relay_new(struct relay **ret, int in, int out, struct buf *captured, uint64_t cap,
			 struct err *err)
{
	*ret = malloc(sizeof(**ret));
	if (!*ret)
		return err_set(err, ENOMEM, "run", "out of memory");
	relay_init(*ret, in, out, captured, cap);
	return 0;
}

/* So that "> /dev/stderr" works inside: it opens the pipe again, as the sandbox's user. */
static void run_own(const struct run *run, int fd)
{
	const struct idmap *map = &run->sandbox->idmap;
	uint32_t id = run->spec->sandbox.as_root ? idmap_root(map) : idmap_user(map);

	if (!map->rootless && run_is_pipe(fd) && fchown(fd, id, id) < 0)
		errno = 0;
}

/* One stream: *ret_fd is what the sandbox gets. */
int run_stream(struct run *run, int i, int *ret_fd, struct err *err)
{
	const struct limit *cap = &run->spec->sandbox.limits->of[LIMIT_OUTPUT];
	struct relay **relay = i == 0 ? &run->in : i == 1 ? &run->out : &run->err_out;
	struct buf *captured = i == 1 ? &run->result->out : &run->result->err_out;
	bool capture = run->spec->capture && i > 0;
	int fd = run->spec->stdio[i], pair[2];

	if (!capture && run_passes(fd) && (i == 0 || !cap->named)) {
		*ret_fd = fd;
		run_own(run, fd);
		return 0;
	}
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_errno(err, errno, "run", "pipe");
	*ret_fd = run->to_close[i] = i == 0 ? pair[0] : pair[1];
	run_own(run, *ret_fd);
	if (i == 0)
		return run_relay_new(relay, fd, pair[1], NULL, 0, err);
	return run_relay_new(relay, pair[0], capture ? -1 : fd, capture ? captured : NULL,
			     capture || cap->named ? cap->value : 0, err);
}

void run_window_size(struct run *run)
{
	struct winsize size;

	if (run->master >= 0 && ioctl(run->spec->stdio[0], TIOCGWINSZ, &size) == 0)
		ioctl(run->master, TIOCSWINSZ, &size);
}

void run_raw(struct run *run, bool on)
{
	struct termios raw;

	if (!on && run->raw)
		tcsetattr(run->spec->stdio[0], TCSADRAIN, &run->saved);
	if (on && tcgetattr(run->spec->stdio[0], &run->saved) == 0) {
		raw = run->saved;
		cfmakeraw(&raw);
		tcsetattr(run->spec->stdio[0], TCSADRAIN, &raw);
		run->raw = true;
		return;
	}
	run->raw = false;
}

int run_terminal(struct run *run, int master, struct err *err)
{
	const struct limit *cap = &run->spec->sandbox.limits->of[LIMIT_OUTPUT];
	bool capture = run->spec->capture;
	int r;

	run->master = master;
	run_window_size(run);
	r = run_relay_new(&run->in, run->spec->stdio[0], master, NULL, 0, err);
	if (r == 0)
		r = run_relay_new(&run->out, master, capture ? -1 : run->spec->stdio[1],
				  capture ? &run->result->out : NULL,
				  capture || cap->named ? cap->value : 0, err);
	if (r == 0)
		run->out->keep_in = true;
	return r;
}

/* Once the caller's input has ended, so does the command's: closed, or ^D on a terminal. */
void run_input_end(struct run *run)
{
	if (!run->in || !run->in->ended || run->in->out < 0)
		return;
	if (run->master < 0)
		fd_close(run->in->out);
	else if (write(run->master, "\4", 1) < 0)
		errno = 0;
	run->in->out = -1;
}

void run_streams_free(struct run *run)
{
	if (run->in && run->in->out >= 0 && run->master < 0)
		fd_close(run->in->out);
	if (run->out && run->master < 0)
		fd_close(run->out->in);
	if (run->err_out)
		fd_close(run->err_out->in);
	free(run->in);
	free(run->out);
	free(run->err_out);
	fd_close(run->master);
	for (int i = 0; i < 3; i++)
		fd_close(run->to_close[i]);
}
