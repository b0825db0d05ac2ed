/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard output that is a regular file of the machine (creel run ... > log): what was handed
 * over is the right to append output, not the file. Through /proc/self/fd/1 it must not be opened
 * again (to read what others wrote, to truncate), and through the descriptor itself its mode,
 * owner, earlier content and xattrs must stay as they are (proc(5), open(2), fchmod(2)).
 * Findings go to stderr, as stdout is the target. Landlock holds the first part; the second
 * needs that the sandbox never holds the machine's descriptor.
 * run: stdout-file
 */
#include "attack.h"

#define TARGET 1

/* A pipe or terminal in between is the safe answer: then nothing of the file is in reach. */
static bool is_file(void)
{
	struct stat info;

	return fstat(TARGET, &info) == 0 && S_ISREG(info.st_mode);
}

static void try_reopen(void)
{
	static const struct {
		const char *name;
		int flags;
	} ways[] = {
		{"stdio.reopen_read", O_RDONLY},
		{"stdio.reopen_write", O_WRONLY},
		{"stdio.reopen_both", O_RDWR},
		{"stdio.reopen_truncate", O_WRONLY | O_TRUNC},
		{"stdio.reopen_append", O_WRONLY | O_APPEND},
	};

	for (size_t i = 0; i < ATTACK_LENGTH(ways); i++)
		attack_expect(ways[i].name, open("/proc/self/fd/1", ways[i].flags | O_CLOEXEC),
			      NULL);
	attack_expect("stdio.truncate_path", truncate("/proc/self/fd/1", 0), NULL);
	attack_expect("stdio.chmod_path", chmod("/proc/self/fd/1", 0777), NULL);
	attack_expect("stdio.link_path",
		      linkat(AT_FDCWD, "/proc/self/fd/1", AT_FDCWD, "/tmp/creel-linked",
			     AT_SYMLINK_FOLLOW),
		      (const int[]){EXDEV, ENOENT, 0});
}

/* The driver wrote a first line before creel started; it must still be there. */
static void try_descriptor(void)
{
	char byte;

	attack_expect("stdio.fd_read", pread(TARGET, &byte, 1, 0), (const int[]){EBADF, 0});
	attack_expect("stdio.fd_truncate", ftruncate(TARGET, 0), (const int[]){EINVAL, 0});
	attack_expect("stdio.fd_overwrite", pwrite(TARGET, "X", 1, 0), (const int[]){ESPIPE, 0});
	attack_expect("stdio.fd_chmod", fchmod(TARGET, 0777), NULL);
	attack_expect("stdio.fd_chown", fchown(TARGET, geteuid(), getegid()),
		      (const int[]){EINVAL, 0});
	attack_expect("stdio.fd_xattr", syscall(SYS_fsetxattr, TARGET, "user.creel", "x", 1, 0),
		      (const int[]){EOPNOTSUPP, 0});
}

int main(void)
{
	attack_stream = stderr;
	attack_begin();
	if (!is_file()) {
		HELD("stdio.not_a_file", "standard output is relayed");
		return attack_done();
	}
	try_reopen();
	try_descriptor();
	return attack_done();
}
