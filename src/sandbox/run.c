/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c: see run.h. One poll(2) loop over the command's connection, signals, recorded system calls,
 * out-of-memory events and streams.
 */
#include "run-private.h"

#include "ceilings.h"
#include "clock.h"
#include "io.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>

const char *const run_end_names[RUN_END_MAX] = {"exit", "signal", "timeout", "cpu",    "memory",
						"disk", "pids",	  "io",	     "output", "killed"};

uint64_t run_limit(const struct run *run, enum limit_kind kind)
{
	return run->spec->sandbox.limits->of[kind].value;
}

void run_signal(struct run *run, int number, enum guest_scope scope)
{
	struct guest_signal signal = {.number = (uint32_t)number, .scope = scope};

	/* An init that does not listen any more has ended: its last message is still to be read. */
	if (guest_send(run->conn, GUEST_SIGNAL, &signal, sizeof(signal), NULL, 0) < 0)
		errno = 0;
}

/* The first cause counts. */
void run_end(struct run *run, enum run_end why, bool gently)
{
	if (run->ending)
		return;
	run->ending = true;
	run->result->ended_by = why;
	if (!gently) {
		run->done = true;
		return;
	}
	run_signal(run, SIGTERM, GUEST_SCOPE_ALL);
	run_signal(run, SIGCONT, GUEST_SCOPE_ALL); /* a stopped process cannot hear it */
	run->kill_ms = clock_ms() + RUN_KILL_GRACE_MS;
}

static const struct {
	uint32_t step;
	const char *what;
} run_steps[] = {
	{GUEST_STEP_START, "init could not start it"},
	{GUEST_STEP_TTY, "cannot make a terminal or set up its streams"},
	{GUEST_STEP_IDS, "cannot become the user"},
	{GUEST_STEP_CWD, "cannot enter the working directory"},
	{GUEST_STEP_EXEC, "cannot run"},
};

/* The command did not start: as a shell says it, 127 if it is not there and 126 if it cannot run.
 */
static void run_failed(struct run *run, const struct buf *payload)
{
	struct guest_reader reader = {payload->data, payload->len};
	struct guest_failed failed;
	char text[512];
	bool exec;
	int n;

	if (guest_read(&reader, &failed, sizeof(failed)) < 0 || failed.step >= GUEST_STEP_MAX)
		return;
	exec = failed.step == GUEST_STEP_EXEC;
	run->done = run->ending = true;
	run->result->ended_by = RUN_EXIT;
	run->result->exit_code = exec && failed.error == ENOENT ? 127
				 : exec				? 126
								: RUN_CODE_FAILED;
	n = snprintf(text, sizeof(text), "creel: %.200s: %s: %s\n",
		     failed.step == GUEST_STEP_CWD ? run->spec->cwd : run->spec->argv[0],
		     exec && failed.error == ENOENT ? "command not found"
						    : run_steps[failed.step].what,
		     strerror((int)failed.error));
	if (run->spec->capture) {
		if (buf_append(&run->result->err_out, text, (size_t)n) < 0)
			run->result->err_truncated = true;
	} else if (write(run->spec->stdio[2], text, (size_t)n) < 0) {
		errno = 0;
	}
}

static void run_message(struct run *run)
{
	_cleanup_buf_ struct buf payload = BUF_INIT(GUEST_REPLY_MAX);
	struct guest_reader reader;
	struct guest_exited exited;
	size_t n_fds = 0;
	uint16_t type;
	int fd = -EBADF;

	if (guest_recv(run->conn, GUEST_REPLY_MAX, &type, &payload, &fd, 1, &n_fds) < 0) {
		run->done = true; /* init is gone */
		return;
	}
	reader = (struct guest_reader){payload.data, payload.len};
	if (type == GUEST_TTY && n_fds == 1 && run->spec->tty && run->master < 0 && isatty(fd)) {
		if (run_terminal(run, TAKE_FD(fd), NULL) < 0)
			run_end(run, RUN_KILLED, false);
	} else if (type == GUEST_FAILED) {
		run_failed(run, &payload);
	} else if (type == GUEST_EXITED && guest_read(&reader, &exited, sizeof(exited)) == 0) {
		run->exited = run->done = true;
		run->status = exited.status;
	}
	fd_close(fd);
}

static void run_host_signal(struct run *run)
{
	struct signalfd_siginfo info;

	if (read(run->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGWINCH:
		run_window_size(run);
		return;
	case SIGTSTP: /* without a terminal inside: stop what runs there, then this process */
		run_signal(run, SIGSTOP, GUEST_SCOPE_GROUP);
		raise(SIGSTOP);
		run_signal(run, SIGCONT, GUEST_SCOPE_GROUP);
		return;
	case SIGINT:
		if (++run->interrupts >= 3) {
			run_end(run, RUN_KILLED, false);
			return;
		}
		break;
	case SIGHUP:
		run_signal(run, SIGHUP, GUEST_SCOPE_GROUP);
		run_end(run, RUN_KILLED, true); /* nobody is there any more */
		return;
	default:
		break;
	}
	run_signal(run, (int)info.ssi_signo, GUEST_SCOPE_GROUP);
}

/* A recorded system call: noted and answered with EPERM, whatever it was (seccomp_unotify(2)). */
static void run_attempt(struct run *run)
{
	struct run_result *result = run->result;
	struct seccomp_notif request = {0};
	struct seccomp_notif_resp reply = {.error = -EPERM};
	uint32_t total = 0;
	size_t i;

	if (ioctl(run->sandbox->notify_fd, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
		return;
	reply.id = request.id;
	ioctl(run->sandbox->notify_fd, SECCOMP_IOCTL_NOTIF_SEND, &reply);
	for (i = 0; i < result->n_attempts && result->attempts[i].number != request.data.nr; i++)
		;
	if (i < ELEMENTSOF(result->attempts)) {
		result->attempts[i].number = request.data.nr;
		result->attempts[i].count++;
		if (i == result->n_attempts)
			result->n_attempts++;
	}
	for (i = 0; i < result->n_attempts; i++)
		total += result->attempts[i].count;
	/* Enough is known: without a listener the kernel answers ENOSYS by itself. */
	if (total >= CEIL_ATTEMPTS)
		run->sandbox->notify_fd = fd_close(run->sandbox->notify_fd);
}

static void run_turn(struct run *run)
{
	struct relay *const relays[] = {run->in, run->out, run->err_out};
	struct cgroup *cgroup = run->sandbox->cgroup;
	struct pollfd polls[9];
	size_t n = 0;

	polls[n++] = (struct pollfd){.fd = run->conn, .events = POLLIN};
	polls[n++] = (struct pollfd){.fd = run->signals, .events = POLLIN};
	polls[n++] = (struct pollfd){.fd = run->sandbox->notify_fd, .events = POLLIN};
	polls[n++] = (struct pollfd){.fd = cgroup ? cgroup_oom_fd(cgroup) : -1,
				     .events = cgroup && cgroup_v2_path(cgroup) ? POLLPRI : POLLIN};
	polls[n++] = (struct pollfd){.fd = run->access.fd, .events = POLLIN};
	for (size_t i = 0; i < ELEMENTSOF(relays); i++)
		if (relays[i])
			polls[n++] = relay_poll(relays[i]);
	if (run_owes_end(run))
		polls[n++] = (struct pollfd){.fd = run->master, .events = POLLOUT};
	if (poll(polls, n, run_poll_ms(run)) < 0)
		return;
	if (polls[2].revents & POLLIN)
		run_attempt(run);
	else if (polls[2].revents) /* every process that had the filter is gone */
		run->sandbox->notify_fd = fd_close(run->sandbox->notify_fd);
	if (polls[3].revents)
		run_oom(run);
	if (polls[4].revents)
		access_read(&run->access);
	for (size_t i = 0; i < ELEMENTSOF(relays); i++)
		if (relays[i])
			relay_move(relays[i]);
	run_input_end(run);
	if (polls[1].revents)
		run_host_signal(run);
	if (polls[0].revents)
		run_message(run);
	run_timers(run);
}

static int run_signals(struct run *run, struct err *err)
{
	static const int taken[] = {SIGINT,  SIGTERM, SIGHUP,	SIGQUIT,
				    SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP};
	sigset_t set;

	/* Writes tell of it: EPIPE, and EFBIG above the caller's own ulimit -f. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&set);
	for (size_t i = 0; i < ELEMENTSOF(taken); i++) {
		struct sigaction action;

		/* What the caller had ignored (nohup) stays ignored. */
		if (sigaction(taken[i], NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			continue;
		sigaddset(&set, taken[i]);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	run->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signals < 0 ? err_errno(err, errno, "run", "signalfd") : 0;
}

static int run_spawn(struct run *run, struct err *err)
{
	const struct run_spec *spec = run->spec;
	const struct idmap *map = &run->sandbox->idmap;
	uint32_t id = spec->sandbox.as_root ? 0 : map->single ? map->root_inside : IDMAP_USER;
	struct guest_start start = {.uid = id, .gid = id};
	struct winsize size = {0};
	int fds[3] = {-1, -1, -1}, r = 0;

	/* Where use is read from /proc, it must be read before the end. */
	if (run->sandbox->cgroup && !run->sandbox->memory_by_watch)
		start.flags |= GUEST_START_LAST;
	if (spec->tty) {
		start.flags |= GUEST_START_TTY;
		ioctl(spec->stdio[0], TIOCGWINSZ, &size);
		start.rows = size.ws_row ? size.ws_row : 24;
		start.cols = size.ws_col ? size.ws_col : 80;
	}
	for (int i = 0; r == 0 && !spec->tty && i < 3; i++)
		r = run_stream(run, i, &fds[i], err);
	if (r == 0)
		r = sandbox_spawn(run->sandbox, start, spec->cwd, spec->argv, spec->env,
				  spec->tty ? NULL : fds, &run->conn, err);
	for (int i = 0; i < 3; i++)
		run->to_close[i] = fd_close(run->to_close[i]);
	if (r == 0)
		r = sandbox_go(run->sandbox, err);
	return r;
}

static bool run_cut(struct run *run, const struct relay *relay)
{
	bool lost = relay && relay->error && relay->error != EPIPE;

	if (lost)
		run->result->lost = relay->error;
	return relay && (relay->over || lost);
}

/* The cap may have fallen into the middle of a character of UTF-8. */
static void run_whole_characters(struct buf *text, bool cut)
{
	for (size_t n = 1; cut && n <= 3 && n <= text->len; n++) {
		unsigned char c = (unsigned char)text->data[text->len - n];

		if ((c & 0xc0) == 0x80)
			continue;
		if (c >= (n == 1 ? 0xc0 : n == 2 ? 0xe0 : 0xf0))
			text->len -= n;
		return;
	}
}

static void run_collect(struct run *run)
{
	struct run_result *result = run->result;
	struct cgroup_usage *usage = &run->sandbox->usage;

	if (usage->memory_peak_bytes < run->peak.memory_peak_bytes)
		usage->memory_peak_bytes = run->peak.memory_peak_bytes;
	if (usage->pids_peak < run->peak.pids_peak)
		usage->pids_peak = run->peak.pids_peak;
	result->usage = *usage;
	result->disk_bytes =
		run->sandbox->layer_is_directory ? 0 : sandbox_disk_bytes(run->sandbox);
	result->out_truncated = run_cut(run, run->out);
	result->err_truncated = run_cut(run, run->err_out);
	run_whole_characters(&result->out, result->out_truncated);
	run_whole_characters(&result->err_out, result->err_truncated);
	result->readback = run->sandbox->readback;
	result->rootless = run->sandbox->idmap.rootless;
	result->single_id = run->sandbox->idmap.single;
	if (run->spec->sandbox.image)
		snprintf(result->image, sizeof(result->image), "%s",
			 run->spec->sandbox.image->digest);
}

/* Whether changes are listed, in the result or for the log. */
static bool run_lists(const struct run_spec *spec)
{
	return spec->want_changes || spec->identity.keep[RUN_PAYLOAD_CHANGES] != AUDIT_KEEP_OFF;
}

/* Whether the trees are looked at, or only filled. */
static bool run_looks(const struct run_spec *spec)
{
	return run_lists(spec) || spec->out;
}

/* It has what the sandbox made to look at, however much that is: whoever waits may give up. */
static int run_await_keeper(const struct run *run, struct err *err)
{
	struct pollfd polls[] = {{.fd = run->keeper.conn, .events = POLLIN},
				 {.fd = run->signals, .events = POLLIN}};
	struct signalfd_siginfo info;

	while (poll(polls, 2, -1) < 0 || !polls[0].revents) {
		if (!(polls[1].revents & POLLIN) ||
		    read(run->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
			continue;
		if (info.ssi_signo != SIGWINCH && info.ssi_signo != SIGTSTP)
			return err_set(err, EINTR, "run",
				       "interrupted while the files were looked at");
	}
	return 0;
}

static int run_keeper(struct run *run, struct err *err)
{
	int r = keeper_start(run->sandbox, run_looks(run->spec), run_lists(run->spec), &run->keeper,
			     err);

	if (r == 0)
		r = run_await_keeper(run, err);
	return r == 0 ? keeper_ready(&run->keeper, err) : r;
}

static int run_finish_files(struct run *run, struct err *err)
{
	struct run_result *result = run->result;
	struct keeper_result told = {0};
	int r = 0;

	if (!run_looks(run->spec))
		return 0;
	if (run->keeper.pid <= 0 && keeper_sees_nothing(run->sandbox))
		return buf_puts(&result->changes, "[]");
	if (run->keeper.pid <= 0)
		r = run_keeper(run, err);
	if (r == 0)
		r = keeper_ask(&run->keeper, run->out_fd, err);
	if (r == 0)
		r = run_await_keeper(run, err);
	if (r == 0)
		r = keeper_finish(&run->keeper, &result->changes, &told, err);
	if (r < 0)
		return r;
	result->changes_truncated = told.truncated;
	result->skipped = told.skipped;
	if (run->sandbox->layer_is_directory)
		result->disk_bytes = told.disk_bytes;
	if (told.r < 0) {
		*err = told.err;
		return (int)told.r;
	}
	return 0;
}

static void run_free(struct run *run)
{
	keeper_done(&run->keeper);
	access_done(&run->access);
	record_done(&run->record);
	run_streams_free(run);
	fd_close(run->conn);
	fd_close(run->signals);
	fd_close(run->out_fd);
	run->sandbox = sandbox_free(run->sandbox);
}

/* Before anything runs: whoever is inside must not choose what the path leads to. */
static int run_open_out(struct run *run, struct err *err)
{
	const char *out = run->spec->out;

	if (!out)
		return 0;
	run->out_fd = open(out, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (run->out_fd < 0 || faccessat(run->out_fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return err_errno(err, errno, "run", "--out %s", out);
	return 0;
}

/*
 * What the command will find or leave there matters: a fresh layer's files come and go with it, and
 * to watch them would only cost time.
 */
static bool run_watches(const struct run_spec *spec)
{
	return spec->identity.keep[RUN_PAYLOAD_FILES] != AUDIT_KEEP_OFF &&
	       (spec->want_changes || spec->sandbox.n_ro || keeper_is_early(&spec->sandbox));
}

static int run_start(const struct state *state, struct run *run, struct err *err)
{
	const struct run_spec *spec = run->spec;
	bool early = keeper_is_early(&spec->sandbox), watches = run_watches(spec);
	struct err set_err = {0};
	int r = run_signals(run, err);

	if (r == 0)
		r = run_open_out(run, err);
	if (r == 0)
		r = sandbox_start(state, &spec->sandbox, &run->sandbox, err);
	/* Its sync and the sandbox's walls take about as long: they go on at the same time. */
	if (r == 0)
		r = record_start(&run->record, state, spec, run->sandbox, err);
	if (r == 0 && (early || watches))
		r = sandbox_wait_set(run->sandbox, err);
	if (r == 0 && early)
		r = sandbox_has_room(run->sandbox, err);
	if (r == 0 && early)
		r = run_keeper(run, err);
	if (r == 0 && early)
		r = record_inputs_same(&run->record, err);
	if (r == 0 && watches)
		access_watch(&run->access, run->sandbox);
	if (r == 0)
		r = run_spawn(run, err);
	/* A child that failed before it was let go has said why: that is the error, not our EPIPE.
	 */
	if (run->sandbox && sandbox_wait_set(run->sandbox, &set_err) < 0) {
		*err = set_err;
		return -set_err.code;
	}
	return r;
}

/* The run itself went well: its result is told, whatever fails now. */
static void run_finish(struct run *run)
{
	struct run_result *result = run->result;

	if (run_finish_files(run, &result->files) < 0 && !result->files.code)
		result->files.code = EIO;
	places_overlay_id(run->sandbox, result->overlay);
	if (access_tell(&run->access, &result->accessed) < 0 && !result->files.code)
		err_set(&result->files, E2BIG, "run", "the list of accessed files is too long");
	if (result->exit_code == 0 && (result->lost || result->files.code))
		result->exit_code = RUN_CODE_FAILED;
	record_end(&run->record, result);
	if (result->exit_code == 0 && result->audit.err.code)
		result->exit_code = RUN_CODE_FAILED;
}

static void run_loop(struct run *run)
{
	run_clocks(run);
	record_settle(&run->record);
	if (run->spec->tty)
		run_raw(run, true);
	while (!run->done)
		run_turn(run);
	run->result->duration_ms = (uint64_t)(clock_ms() - run->started_ms);
	/* With the last process the last writer goes: then the streams have an end. */
	sandbox_stop(run->sandbox);
	if (run->out)
		relay_drain(run->out, RUN_KILL_GRACE_MS);
	if (run->err_out)
		relay_drain(run->err_out, RUN_KILL_GRACE_MS);
	if (run->spec->tty)
		run_raw(run, false);
}

int run(const struct state *state, const struct run_spec *spec, struct run_result *ret,
	struct err *err)
{
	struct run run = {.spec = spec,
			  .result = ret,
			  .conn = -1,
			  .signals = -1,
			  .master = -1,
			  .to_close = {-1, -1, -1},
			  .again = {-1, -1, -1},
			  .out_fd = -1,
			  .keeper = KEEPER_INIT,
			  .record = RECORD_INIT,
			  .access = ACCESS_INIT};
	int r;

	*ret = (struct run_result){.out = BUF_INIT(CEIL_OUTPUT),
				   .err_out = BUF_INIT(CEIL_OUTPUT),
				   .changes = BUF_INIT(CEIL_RUN_LIST),
				   .accessed = BUF_INIT(CEIL_RUN_LIST),
				   .audit.checkpoint = BUF_INIT(AUDIT_NOTE_MAX)};
	r = run_start(state, &run, err);
	if (r == 0) {
		snprintf(ret->id, sizeof(ret->id), "%s", run.sandbox->live.id);
		if (spec->started)
			r = spec->started(ret->id, spec->started_data);
		if (r < 0)
			err_errno(err, -r, "run", "cannot keep the run %s", ret->id);
	}
	if (r == 0) {
		run_loop(&run);
		run_judge(&run);
		run_collect(&run);
		run_finish(&run);
	} else {
		record_failed(&run.record, err);
	}
	run_free(&run);
	if (r < 0)
		run_result_done(ret);
	return r;
}

void run_result_done(struct run_result *result)
{
	buf_done(&result->out);
	buf_done(&result->err_out);
	buf_done(&result->changes);
	buf_done(&result->accessed);
	buf_done(&result->audit.checkpoint);
}
