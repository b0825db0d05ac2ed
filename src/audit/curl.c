/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curl.c: see curl.h. No shell, no configuration file, fixed arguments; the URL cannot be taken for
 * an option. Redirects are not followed: they would lead where the user has not pointed.
 */
#include "curl.h"

#include "banned.h"
#include "ceilings.h"
#include "err.h"
#include "io.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

static int memory_file(const char *name, const struct buf *content)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC);
	int r = fd < 0 ? -errno : 0;

	if (r == 0 && content)
		r = io_write_full(fd, content->data, content->len);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

static int start(const char *url, unsigned wait_ms, const int fds[3], pid_t *ret)
{
	char seconds[32];
	const char *const argv[] = {
		"curl",		"-q",	       "--silent",
		"--show-error", "--proto",     "=http,https",
		"--max-time",	seconds,       "--max-filesize",
		"32768",	"--header",    "Content-Type: text/plain; charset=utf-8",
		"--header",	"Expect:",     "--data-binary",
		"@-",		"--write-out", "\n%{http_code}",
		"--url",	url,	       NULL};
	posix_spawn_file_actions_t actions;
	int r;

	snprintf(seconds, sizeof(seconds), "%u.%03u", wait_ms / 1000, wait_ms % 1000);
	r = posix_spawn_file_actions_init(&actions);
	for (int i = 0; r == 0 && i < 3; i++)
		r = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	if (r == 0)
		r = posix_spawnp(ret, "curl", &actions, NULL, (char *const *)(uintptr_t)argv,
				 environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* The text before the last newline is the answer, behind it stands the status. */
static int split(struct buf *answer, unsigned *ret_status)
{
	size_t at = answer->len;
	unsigned status = 0;

	while (at && answer->data[at - 1] != '\n')
		at--;
	if (at == 0 || answer->len - at != 3)
		return -EPROTO;
	for (size_t i = at; i < answer->len; i++) {
		if (answer->data[i] < '0' || answer->data[i] > '9')
			return -EPROTO;
		status = status * 10 + (unsigned)(answer->data[i] - '0');
	}
	answer->len = at - 1;
	answer->data[answer->len] = '\0';
	*ret_status = status;
	return 0;
}

static int collect(int fd, struct buf *ret)
{
	char chunk[4096];
	int r = 0;

	ret->len = 0;
	while (r == 0) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		r = buf_append(ret, chunk, (size_t)n);
	}
	return r;
}

/* What curl said, as one line. */
static int failed(const char *url, int messages, struct err *err)
{
	char text[200] = "";
	ssize_t n = pread(messages, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return err_set(err, ECOMM, "audit", "cannot reach the witness %s: %s", url,
		       text[0] ? text : "curl gave no reason");
}

int curl_post(const char *url, const char *what, const struct buf *body, unsigned wait_ms,
	      unsigned *ret_status, struct buf *answer, struct err *err)
{
	_cleanup_close_ int in = memory_file("request", body),
			    messages = memory_file("messages", NULL);
	_cleanup_close_ int out = memory_file("answer", NULL);
	char full[CEIL_PATH];
	int status = 0, r;
	pid_t pid = -1;

	r = snprintf(full, sizeof(full), "%s%s%s", url, url[strlen(url) - 1] == '/' ? "" : "/",
		     what);
	if (r < 0 || (size_t)r >= sizeof(full))
		return err_set(err, ENAMETOOLONG, "audit", "the URL of the witness is too long");
	if (in < 0 || out < 0 || messages < 0)
		return err_set(err, ENOMEM, "audit", "no memory to speak to the witness");
	r = start(full, wait_ms, (const int[]){in, out, messages}, &pid);
	if (r < 0)
		return err_errno(err, -r, "audit",
				 "cannot start curl, which speaks to witnesses (install it)");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_errno(err, errno, "audit", "cannot wait for curl");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return failed(url, messages, err);
	if (lseek(out, 0, SEEK_SET) < 0)
		return err_errno(err, errno, "audit", "cannot read the answer of %s", url);
	r = collect(out, answer);
	if (r == 0)
		r = split(answer, ret_status);
	return r < 0 ? err_errno(err, -r, "audit", "the witness %s gave no sensible answer", url)
		     : 0;
}
