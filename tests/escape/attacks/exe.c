/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overwriting the host's runtime through /proc/PID/exe (CVE-2019-5736): hold an O_PATH fd of a
 * program that comes from outside, wait until it no longer runs (no more ETXTBSY), re-open the fd
 * for writing. Tried on init's own image, on this program (it lies in a --ro directory) and on
 * the machine's programs in /usr. And "#!/proc/self/exe", which makes the runtime run itself.
 * As root of a sandbox /usr is a writable overlay by design; then only the driver can tell,
 * by comparing the machine's files before and after.
 */
#include "attack.h"

static const int busy_or_readonly[] = {EROFS, ETXTBSY, 0};

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

/* An O_PATH fd on the image of a program that has ended; -1 if there is none to be had. */
static int image_of_ended(const char *program, const char *argument)
{
	char path[64];
	int pipes[2], fd;
	pid_t child;

	if (pipe(pipes) < 0)
		return -1;
	child = fork();
	if (child == 0) {
		dup2(pipes[0], 0);
		close(pipes[1]);
		execl(program, program, argument, (char *)NULL);
		_exit(127);
	}
	close(pipes[0]);
	usleep(50 * 1000);
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)child);
	fd = open(path, O_PATH | O_CLOEXEC);
	close(pipes[1]);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return fd;
}

static void try_own_image(const char *self)
{
	int fd = image_of_ended(self, "--wait");

	if (fd < 0) {
		SKIP("exe.ro_image", "no image: %s", attack_errno_name(errno));
		return;
	}
	attack_expect("exe.ro_image_write", reopen(fd, O_WRONLY), (const int[]){EROFS, 0});
	attack_expect("exe.ro_image_truncate", reopen(fd, O_RDWR | O_TRUNC),
		      (const int[]){EROFS, 0});
	attack_expect("exe.ro_path_write", open(self, O_WRONLY | O_CLOEXEC), busy_or_readonly);
	attack_expect("exe.ro_chmod", chmod(self, 0777), (const int[]){EROFS, 0});
	attack_expect("exe.ro_unlink", unlink(self), (const int[]){EROFS, 0});
	close(fd);
}

static void try_machine_image(void)
{
	int fd = image_of_ended("/usr/bin/cat", "-");

	if (fd < 0) {
		SKIP("exe.usr_image_write", "no image: %s", attack_errno_name(errno));
		return;
	}
	if (geteuid() == 0) {
		int copy = reopen(fd, O_WRONLY);

		HELD("exe.usr_image_write", "%s: root's own copy, if any; the driver compares",
		     copy < 0 ? attack_errno_name(errno) : "opened");
		if (copy >= 0)
			(void)!write(copy, "#!", 2);
	} else {
		attack_expect("exe.usr_image_write", reopen(fd, O_WRONLY), (const int[]){EROFS, 0});
	}
	close(fd);
}

static void try_init(void)
{
	int fd = open("/proc/1/exe", O_PATH | O_CLOEXEC);

	attack_expect("exe.init_path", fd, NULL);
	if (fd >= 0) {
		attack_expect("exe.init_read", reopen(fd, O_RDONLY), NULL);
		attack_expect("exe.init_write", reopen(fd, O_WRONLY), NULL);
	}
	attack_expect("exe.init_open_write", open("/proc/1/exe", O_WRONLY | O_CLOEXEC), NULL);
	attack_expect("exe.init_truncate", truncate("/proc/1/exe", 0), NULL);
	attack_expect("exe.init_chmod", chmod("/proc/1/exe", 0777), NULL);
	attack_expect(
		"exe.init_link",
		linkat(AT_FDCWD, "/proc/1/exe", AT_FDCWD, "/tmp/creel-linked", AT_SYMLINK_FOLLOW),
		(const int[]){EXDEV, 0});
}

/* The fds of every other process that can be seen, re-opened for writing. */
static void try_other_images(void)
{
	int reached = 0;

	for (int pid = 1; pid < 64; pid++) {
		char path[64];
		int fd;

		if (pid == getpid() || pid == getppid())
			continue;
		snprintf(path, sizeof(path), "/proc/%d/exe", pid);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		reached++;
		BROKEN("exe.others", "opened %s for writing", path);
		close(fd);
	}
	if (reached == 0)
		HELD("exe.others", "none");
}

int main(int argc, char **argv)
{
	char self[256];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (argc > 1 && strcmp(argv[1], "--wait") == 0)
		return (int)read(0, self, 1);
	attack_begin();
	if (length <= 0) {
		SKIP("exe.self", "/proc/self/exe: %s", attack_errno_name(errno));
		return attack_done();
	}
	self[length] = '\0';
	try_own_image(self);
	try_machine_image();
	try_init();
	try_other_images();
	return attack_done();
}
