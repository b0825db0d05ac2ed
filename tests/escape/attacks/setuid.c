/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaving a setuid file where a user of the machine can run it: with a host directory mounted in,
 * a file that the sandbox's root makes 04755 may belong to a real user (chmod(2), open(2),
 * mknod(2), openat2(2), fchmodat2(2); runc and bubblewrap discussions of "setuid in a volume").
 * The filter refuses the bits in every call that carries a mode; openat2 hides its mode in memory
 * and must be refused whole. Tried in /workspace, which is a directory of the machine here.
 * Each success is judged by effect: the file must carry the bits.
 * run: workspace
 */
#include "attack.h"

#define NR_OPENAT2    437
#define NR_FCHMODAT2  452
#define NR_SETXATTRAT 463

static char path[96];

struct open_how_args {
	uint64_t flags, mode, resolve;
};

/* Whether path carries setuid or setgid now; -1 with EPERM if a call was "successful" without. */
static long judge_effect(long value)
{
	struct stat info;

	if (value < 0)
		return value;
	if (stat(path, &info) < 0 || !(info.st_mode & (S_ISUID | S_ISGID))) {
		errno = EPERM;
		return -1;
	}
	return 1;
}

static long create_plain(void)
{
	unlink(path);
	return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
}

static long chmod_call(void *arg)
{
	return create_plain() < 0 ? -1 : judge_effect(syscall(SYS_chmod, path, *(long *)arg));
}

static long fchmod_call(void *arg)
{
	long fd = create_plain();

	return fd < 0 ? -1 : judge_effect(syscall(SYS_fchmod, fd, *(long *)arg));
}

static long fchmodat_call(void *arg)
{
	return create_plain() < 0
		       ? -1
		       : judge_effect(syscall(SYS_fchmodat, AT_FDCWD, path, *(long *)arg));
}

static long fchmodat2_call(void *arg)
{
	return create_plain() < 0
		       ? -1
		       : judge_effect(syscall(NR_FCHMODAT2, AT_FDCWD, path, *(long *)arg, 0));
}

static long open_call(void *arg)
{
	unlink(path);
	return judge_effect(syscall(SYS_open, path, O_CREAT | O_WRONLY, *(long *)arg));
}

static long openat_call(void *arg)
{
	unlink(path);
	return judge_effect(syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY, *(long *)arg));
}

static long creat_call(void *arg)
{
	unlink(path);
	return judge_effect(syscall(SYS_creat, path, *(long *)arg));
}

static long openat2_call(void *arg)
{
	struct open_how_args how = {.flags = O_CREAT | O_WRONLY, .mode = *(uint64_t *)arg};

	unlink(path);
	return judge_effect(syscall(NR_OPENAT2, AT_FDCWD, path, &how, sizeof(how)));
}

static long mknod_call(void *arg)
{
	unlink(path);
	return judge_effect(syscall(SYS_mknod, path, S_IFREG | *(unsigned long *)arg, 0));
}

static long mknodat_call(void *arg)
{
	unlink(path);
	return judge_effect(syscall(SYS_mknodat, AT_FDCWD, path, *(unsigned long *)arg, 0));
}

/* O_TMPFILE makes a nameless file that linkat gives a name. */
static long tmpfile_call(void *arg)
{
	char fd_path[64];
	long fd = syscall(SYS_openat, AT_FDCWD, "/workspace", O_TMPFILE | O_WRONLY, *(long *)arg);

	if (fd < 0)
		return -1;
	unlink(path);
	snprintf(fd_path, sizeof(fd_path), "/proc/self/fd/%ld", fd);
	return judge_effect(linkat(AT_FDCWD, fd_path, AT_FDCWD, path, AT_SYMLINK_FOLLOW));
}

/* A directory with setgid gives its group to what is made in it. */
static long mkdir_call(void *arg)
{
	unlink(path);
	rmdir(path);
	return judge_effect(syscall(SYS_mkdir, path, *(unsigned long *)arg & 07777));
}

static long judge_capability(long value)
{
	if (value < 0)
		return value;
	errno = EPERM;
	return -1;
}

/*
 * A capability set on a file is a setuid bit by another name (capabilities(7)). Root of a user
 * namespace may set one that counts below that namespace only, so the file is left for the driver,
 * who looks whose it is: without a root id, or with 0, it would count on the machine.
 */
static long capability_call(void *arg)
{
	/* vfs_cap_data revision 2: CAP_SETUID and CAP_SYS_ADMIN, permitted and effective. */
	static const uint32_t caps[5] = {0x02000001, 0x00200080, 0, 0, 0};

	(void)arg;
	if (create_plain() < 0)
		return -1;
	return judge_capability(
		syscall(SYS_setxattr, path, "security.capability", caps, sizeof(caps), 0));
}

/* setxattrat(2), Linux 6.13, does the same by another number. */
static long capability_at_call(void *arg)
{
	static const uint32_t caps[5] = {0x02000001, 0x00200080, 0, 0, 0};
	struct {
		uint64_t value;
		uint32_t size, flags;
	} args = {ATTACK_PTR(caps), sizeof(caps), 0};

	(void)arg;
	if (create_plain() < 0)
		return -1;
	return syscall(NR_SETXATTRAT, AT_FDCWD, path, 0, "security.capability", &args,
		       sizeof(args));
}

static void try_modes(void)
{
	static const struct {
		const char *name;
		attack_call call;
	} calls[] = {
		{"chmod", chmod_call},	     {"fchmod", fchmod_call},
		{"fchmodat", fchmodat_call}, {"fchmodat2", fchmodat2_call},
		{"open", open_call},	     {"openat", openat_call},
		{"creat", creat_call},	     {"openat2", openat2_call},
		{"mknod", mknod_call},	     {"mknodat", mknodat_call},
		{"tmpfile", tmpfile_call},   {"mkdir", mkdir_call},
	};
	static const struct {
		const char *name;
		unsigned long mode;
	} modes[] = {
		{"suid", 04755},
		{"sgid", 02755},
		{"both", 06755},
		{"suid_high_bits", 04755 | (1UL << 32)},
	};
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(calls); i++)
		for (size_t j = 0; j < ATTACK_LENGTH(modes); j++) {
			unsigned long mode = modes[j].mode;

			snprintf(name, sizeof(name), "setuid.%s_%s", calls[i].name, modes[j].name);
			attack_judge(name, attack_try(calls[i].call, &mode),
				     (const int[]){EINVAL, 0});
			rmdir(path);
		}
}

int main(void)
{
	struct stat info;

	attack_begin();
	if (stat("/workspace", &info) < 0) {
		SKIP("setuid.workspace", "no /workspace: %s", attack_errno_name(errno));
		return attack_done();
	}
	umask(0);
	attack_become_owner("/workspace");
	snprintf(path, sizeof(path), "/workspace/creel-suid-%d", (int)getpid());
	try_modes();
	attack_judge("setuid.file_capability", attack_try(capability_call, NULL),
		     (const int[]){EOPNOTSUPP, EINVAL, 0});
	attack_judge("setuid.file_capability_at", attack_try(capability_at_call, NULL),
		     (const int[]){EOPNOTSUPP, EINVAL, 0});
	return attack_done();
}
