/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-place.c: see image-place.h. The tree is mounted with the ids of the user namespace, so that
 * what programs write has canonical ids on disk, and below a /tmp of its own, because the way to
 * the state directory is closed to every user of the namespace.
 */
#include "image-place.h"

#include "ceilings.h"
#include "clock.h"
#include "err.h"
#include "io.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PLACE_LINES 12

extern char **environ;

/* A mount of WORK/NAME that is nowhere yet, with the ids of userns. */
static int place_tree(const char *work, const char *name, int userns_fd, int *ret_tree)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns_fd};
	char path[CEIL_PATH];
	_cleanup_close_ int tree = -EBADF;

	snprintf(path, sizeof(path), "%s/%s", work, name);
	tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return -errno;
	if (userns_fd >= 0 &&
	    syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	*ret_tree = TAKE_FD(tree);
	return 0;
}

static int place_attach(int tree, const char *path)
{
	if (mkdir(path, 0755) < 0 ||
	    syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

int place_enter(const struct place *place, const char *work, struct err *err)
{
	_cleanup_close_ int root = -EBADF, oci = -EBADF;
	int r;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_errno(err, errno, "image", "cannot make a mount namespace");
	r = place_tree(work, "root", place->userns_fd, &root);
	if (r == 0)
		r = place_tree(work, "oci", place->userns_fd, &oci);
	if (r == -ENOENT && root >= 0)
		r = 0;
	if (r == -EINVAL)
		return err_set(
			err, EINVAL, "image",
			"the filesystem of the state directory cannot be mounted with mapped "
			"ids (a container's overlay, NFS or FUSE?): use --state DIR on ext4, "
			"xfs, btrfs or tmpfs");
	if (r == 0 && mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0)
		r = -errno;
	if (r == 0)
		r = place_attach(root, PLACE_ROOT);
	if (r == 0 && oci >= 0)
		r = place_attach(oci, PLACE_OCI);
	if (r == 0 && (mkdir(PLACE_FILES, 0755) < 0 || chmod(PLACE_FILES, 01777) < 0))
		r = -errno;
	return r < 0 ? err_errno(err, -r, "image", "cannot prepare the build's mounts") : 0;
}

int place_file(const char *name, const void *data, size_t len, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	char path[CEIL_PATH];
	int r;

	snprintf(path, sizeof(path), PLACE_FILES "/%s", name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	r = fd < 0 ? -errno : io_write_full(fd, data, len);
	return r < 0 ? err_errno(err, -r, "image", "cannot write %s", path) : 0;
}

int place_needs(const char *program, const char *package, struct err *err)
{
	static const char *const dirs[] = {"/usr/bin", "/usr/local/bin", "/usr/sbin", "/bin"};
	char path[128];

	for (size_t i = 0; i < ELEMENTSOF(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], program);
		if (access(path, X_OK) == 0)
			return 0;
	}
	return err_set(err, ENOENT, "image", "%s is needed; install it with: apt install %s",
		       program, package);
}

/* ---- progress ---- */

void place_say(const struct place *place, const char *step)
{
	int64_t seconds = (clock_ms() - place->start_ms) / 1000;

	if (!place->terminal) {
		fprintf(stderr, "%s: %s (%lld s)\n", place->what, step, (long long)seconds);
		return;
	}
	fprintf(stderr, "\r\033[K%.40s: %.60s  %lld s", place->what, step, (long long)seconds);
	if (place->about_ms)
		fprintf(stderr, " of about %llu s", (unsigned long long)place->about_ms / 1000);
	fflush(stderr);
}

void place_clear(const struct place *place)
{
	if (place->terminal)
		fputs("\r\033[K", stderr);
}

struct place_log {
	const struct place *place;
	struct buf *out; /* takes all, if there is one */
	char lines[PLACE_LINES][200];
	unsigned n;
	char line[200], step[200];
	size_t len;
};

/* What a program writes is shown on a terminal: control characters do not go there. */
static void log_line(struct place_log *log)
{
	char *kept = log->lines[log->n % PLACE_LINES];

	log->line[log->len] = '\0';
	log->len = 0;
	for (char *p = log->line; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	if (strncmp(log->line, "I: ", 3) == 0) {
		snprintf(log->step, sizeof(log->step), "%s", log->line + 3);
		place_say(log->place, log->step);
	} else if (*log->line) {
		if (log->place->as_caller)
			place_say(log->place, log->line);
		snprintf(kept, sizeof(log->lines[0]), "%s", log->line);
		log->n++;
	}
}

static int log_take(struct place_log *log, int fd)
{
	char data[4096];
	ssize_t n = read(fd, data, sizeof(data));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : -errno;
	if (n == 0)
		return 0;
	if (log->out)
		return buf_append(log->out, data, (size_t)n) < 0 ? -E2BIG : 1;
	for (ssize_t i = 0; i < n; i++) {
		if (data[i] == '\n' || data[i] == '\r')
			log_line(log);
		else if (log->len < sizeof(log->line) - 1)
			log->line[log->len++] = data[i];
	}
	return 1;
}

/* Until the program closes its output: 0. */
static int log_follow(struct place_log *log, int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	int r = 1;

	while (r > 0) {
		int n = poll(&wait, 1, log->place->terminal ? 1000 : -1);

		if (n == 0 && *log->step)
			place_say(log->place, log->step);
		else if (n != 0)
			r = n < 0 ? (errno == EINTR ? 1 : -errno) : log_take(log, fd);
	}
	if (log->len)
		log_line(log);
	return r;
}

static void log_print(const struct place_log *log)
{
	unsigned from = log->n > PLACE_LINES ? log->n - PLACE_LINES : 0;

	place_clear(log->place);
	for (unsigned i = from; i < log->n; i++)
		fprintf(stderr, "  %s\n", log->lines[i % PLACE_LINES]);
}

/* ---- programs ---- */

struct place_child {
	const struct place *place;
	const char *const *argv;
	int out, error, alive;
	int (*fn)(void *data, struct err *err);
	void *data;
};

/* Root of the user namespace, and gone with the parent: `alive` is closed when that dies. */
static int child_become(const struct place_child *child)
{
	struct pollfd parent = {.fd = child->alive, .events = 0};

	if (child->place->userns_fd >= 0 && !child->place->as_caller &&
	    (setns(child->place->userns_fd, CLONE_NEWUSER) < 0 || setgroups(0, NULL) < 0 ||
	     setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		return -errno;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return poll(&parent, 1, 0) != 0 ? -EPIPE : 0;
}

static const char **child_environment(void)
{
	static const char *const kept[] = {"http_proxy", "https_proxy", "ftp_proxy",   "no_proxy",
					   "all_proxy",	 "HTTP_PROXY",	"HTTPS_PROXY", "NO_PROXY",
					   "ALL_PROXY",	 "TERM"};
	static char text[ELEMENTSOF(kept)][2048];
	static const char *env[ELEMENTSOF(kept) + 8] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		("HOME=" PLACE_FILES), "TMPDIR=/tmp", "LC_ALL=C.UTF-8",
		"DEBIAN_FRONTEND=noninteractive",
		/* Dates that programs write into files are the same in every build. */
		"SOURCE_DATE_EPOCH=1735689600"};
	size_t n = 6;

	for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
		const char *value = getenv(kept[i]);
		int len = value ? snprintf(text[i], sizeof(text[i]), "%s=%s", kept[i], value) : 0;

		if (len > 0 && (size_t)len < sizeof(text[i]))
			env[n++] = text[i];
	}
	return env;
}

static _Noreturn void child_exec(const struct place_child *child)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(null, 0) < 0 || dup2(child->out, 1) < 0 ||
	    dup2(child->error >= 0 ? child->error : null, 2) < 0 ||
	    (!child->place->as_caller && chdir("/tmp") < 0) ||
	    setrlimit(RLIMIT_FSIZE, &(struct rlimit){CEIL_IMAGE_BYTES, CEIL_IMAGE_BYTES}) < 0)
		_exit(126);
	execvpe(child->argv[0], (char *const *)(uintptr_t)child->argv,
		child->place->as_caller ? environ : (char *const *)(uintptr_t)child_environment());
	dprintf(2, "cannot execute %s: %s\n", child->argv[0], strerror(errno));
	_exit(127);
}

/* A child in a PID namespace of its own; with it ends all that it started. */
static pid_t child_start(const struct place_child *child, const int alive[2])
{
	struct clone_args args = {.flags = child->place->as_caller ? 0 : CLONE_NEWPID,
				  .exit_signal = SIGCHLD};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid != 0)
		return pid < 0 ? -errno : pid;
	fd_close(alive[1]);
	if (child_become(child) < 0)
		_exit(125);
	child_exec(child);
}

static int program_failed(const struct place_log *log, const char *program, int status,
			  struct err *err)
{
	const char *last = log->n ? log->lines[(log->n - 1) % PLACE_LINES] : "";
	const char *full = NULL;

	log_print(log);
	for (unsigned i = 0; i < MIN(log->n, (unsigned)PLACE_LINES) && !full; i++)
		full = strstr(log->lines[i], "No space left on device")
			       ?: strstr(log->lines[i], "have enough free space");
	if (full)
		return err_set(err, ENOSPC, "image",
			       "the disk is full; make room or use --state DIR elsewhere");
	if (WIFSIGNALED(status))
		return err_set(err, EIO, "image", "%s was ended by signal %d", program,
			       WTERMSIG(status));
	return err_set(err, EIO, "image", "%s failed (exit code %d): %.200s", program,
		       WEXITSTATUS(status), last);
}

int place_run(const struct place *place, const char *const argv[], struct buf *out, struct err *err)
{
	struct place_log log = {.place = place, .out = out};
	_cleanup_close_ int read_end = -EBADF;
	int pair[2], life[2], status = 0, r;
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_errno(err, errno, "image", "pipe");
	read_end = pair[0];
	if (pipe2(life, O_CLOEXEC) < 0) {
		fd_close(pair[1]);
		return err_errno(err, errno, "image", "pipe");
	}
	pid = child_start(&(struct place_child){.place = place,
						.argv = argv,
						.out = pair[1],
						.error = out ? -1 : pair[1],
						.alive = life[0]},
			  life);
	fd_close(pair[1]);
	fd_close(life[0]);
	r = pid < 0 ? 0 : log_follow(&log, read_end);
	if (r < 0)
		kill(pid, SIGKILL);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	fd_close(life[1]);
	if (pid < 0)
		return err_errno(err, -pid, "image", "cannot start %s", argv[0]);
	if (r < 0)
		return err_errno(err, -r, "image", "cannot read what %s says", argv[0]);
	return status ? program_failed(&log, argv[0], status, err) : 0;
}

struct place_answer {
	int r;
	struct err err;
};

static int inside(const struct place_child *child, const char *root, struct err *err)
{
	int r = child_become(child);

	if (r == 0 && (chroot(root) < 0 || chdir("/") < 0))
		r = -errno;
	if (r < 0)
		return err_errno(err, -r, "image", "cannot enter the image");
	return child->fn(child->data, err);
}

int place_inside(const struct place *place, const char *root,
		 int (*fn)(void *data, struct err *err), void *data, struct err *err)
{
	struct place_child child = {.place = place, .fn = fn, .data = data};
	struct place_answer *answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE,
					   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int life[2], status = 0, r;
	pid_t pid;

	if (answer == MAP_FAILED || pipe2(life, O_CLOEXEC) < 0)
		return err_errno(err, errno, "image", "cannot start a helper");
	pid = fork();
	if (pid == 0) {
		fd_close(life[1]);
		child.alive = life[0];
		answer->r = inside(&child, root, &answer->err);
		_exit(0);
	}
	fd_close(life[0]);
	if (pid > 0)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	fd_close(life[1]);
	r = pid < 0 || status ? err_set(err, EIO, "image", "a helper process died") : answer->r;
	if (r < 0 && pid > 0 && !status)
		*err = answer->err;
	munmap(answer, sizeof(*answer));
	return r;
}
