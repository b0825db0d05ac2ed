/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run-streams.c: standard streams and the terminal of a run. Nothing of the caller's but /dev/null
 * goes into the sandbox: a file could be opened again with more rights, a pipe from its other end,
 * where the output of other programs passes, and its flags are everybody's. All else is relayed.
 */
#include "fs.h"
#include "run-private.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

static bool run_passes(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/*
 * The caller's pipe or terminal opened again, non-blocking for us alone: between poll(2) and a read
 * or write somebody else may have emptied or filled it, and a terminal takes less than it polled
 * for. -1: it may not be opened (after su), or is of another kind. A named pipe, too: opened after
 * its last writer has gone, poll(2) does not tell of its end.
 */
static int run_open_again(int fd, int flags)
{
	struct statfs st;
	int own;

	if (!isatty(fd) && (fstatfs(fd, &st) < 0 || st.f_type != PIPEFS_MAGIC))
		return -1;
	own = fs_reopen(fd, flags | O_NONBLOCK | O_NOCTTY);
	return own < 0 ? -1 : own;
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

	if (!map->rootless && fchown(fd, id, id) < 0)
		errno = 0;
}

static int run_relay_in(struct run *run, int out, struct err *err)
{
	int fd = run->spec->stdio[0], r;

	run->again[0] = run_open_again(fd, O_RDONLY);
	r = run_relay_new(&run->in, run->again[0] >= 0 ? run->again[0] : fd, out, NULL, 0, err);
	if (r == 0)
		run->in->most = sizeof(run->in->data);
	return r;
}

static void run_tap_out(void *data, const void *bytes, size_t len)
{
	record_output(data, 1, bytes, len);
}

static void run_tap_err(void *data, const void *bytes, size_t len)
{
	record_output(data, 2, bytes, len);
}

/* To the caller's stdout (1) or stderr (2), or captured. */
static int run_relay_out(struct run *run, int i, int in, struct err *err)
{
	const struct limit *cap = &run->spec->sandbox.limits->of[LIMIT_OUTPUT];
	struct relay **relay = i == 1 ? &run->out : &run->err_out;
	struct buf *captured = i == 1 ? &run->result->out : &run->result->err_out;
	int fd = run->spec->stdio[i], r;

	if (run->spec->capture) {
		r = run_relay_new(relay, in, -1, captured, cap->value, err);
	} else {
		run->again[i] = run_open_again(fd, O_WRONLY);
		r = run_relay_new(relay, in, run->again[i] >= 0 ? run->again[i] : fd, NULL,
				  cap->named ? cap->value : 0, err);
	}
	if (r < 0 || !*relay)
		return r;
	(*relay)->tap = i == 1 ? run_tap_out : run_tap_err;
	(*relay)->tap_data = &run->record;
	if (run->spec->capture)
		return 0;
	if (run->again[i] >= 0)
		(*relay)->most = sizeof((*relay)->data);
	else if (isatty(fd))
		(*relay)->most = 1; /* while it polls writable, it takes that much */
	return 0;
}

/* One stream: *ret_fd is what the sandbox gets. Our own end never blocks. */
int run_stream(struct run *run, int i, int *ret_fd, struct err *err)
{
	int fd = run->spec->stdio[i], pair[2], ours = i == 0 ? 1 : 0;

	if (run_passes(fd) && (i == 0 || !run->spec->capture)) {
		*ret_fd = fd;
		return 0;
	}
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_errno(err, errno, "run", "pipe");
	*ret_fd = run->to_close[i] = pair[!ours];
	run_own(run, *ret_fd);
	if (fcntl(pair[ours], F_SETFL, O_NONBLOCK) < 0)
		errno = 0; /* a pipe has no reason to refuse it */
	return i == 0 ? run_relay_in(run, pair[1], err) : run_relay_out(run, i, pair[0], err);
}

void run_window_size(struct run *run)
{
	struct winsize size;

	if (run->master >= 0 && ioctl(run->spec->stdio[0], TIOCGWINSZ, &size) == 0)
		ioctl(run->master, TIOCSWINSZ, &size);
}

/* At once: a terminal that stalls would never drain. */
void run_raw(struct run *run, bool on)
{
	struct termios raw;

	if (!on && run->raw)
		tcsetattr(run->spec->stdio[0], TCSADRAIN, &run->saved);
	if (on && tcgetattr(run->spec->stdio[0], &run->saved) == 0) {
		raw = run->saved;
		cfmakeraw(&raw);
		tcsetattr(run->spec->stdio[0], TCSANOW, &raw);
		run->raw = true;
		return;
	}
	run->raw = false;
}

int run_terminal(struct run *run, int master, struct err *err)
{
	int r;

	run->master = master;
	run_window_size(run);
	/* What is typed ahead while nobody inside reads would block the write. */
	if (fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return err_errno(err, errno, "run", "cannot use the terminal inside");
	r = run_relay_in(run, master, err);
	if (r == 0)
		r = run_relay_out(run, 1, master, err);
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
	else if (write(run->master, "\4", 1) < 0 && errno == EAGAIN)
		return;
	run->in->out = -1;
}

bool run_owes_end(const struct run *run)
{
	return run->master >= 0 && run->in && run->in->ended && run->in->out >= 0;
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
	for (int i = 0; i < 3; i++) {
		fd_close(run->again[i]);
		fd_close(run->to_close[i]);
	}
}
