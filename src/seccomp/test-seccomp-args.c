/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-seccomp-args.c: the checks of arguments. Every case is asked twice, the second time with the
 * upper half of each register filled: the kernel reads 32 bits of an int, and so must the filter
 * (CVE-2019-10063).
 */
#include "seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "../testing/testing.h"
#include "test-bpf.h"

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#else
#define NATIVE AUDIT_ARCH_AARCH64
#endif

#define ALLOW	 SECCOMP_RET_ALLOW
#define REFUSE	 (SECCOMP_RET_ERRNO | EPERM)
#define NOTTY	 (SECCOMP_RET_ERRNO | ENOTTY)
#define NOFAMILY (SECCOMP_RET_ERRNO | EAFNOSUPPORT)

struct args_case {
	int nr;
	uint64_t args[5];
	uint32_t plain, bits; /* without and with the right to set mode bits */
};

static uint32_t ask(const struct sock_fprog *program, const struct args_case *c, uint64_t high)
{
	struct seccomp_data data = {.nr = c->nr, .arch = NATIVE};

	for (int i = 0; i < 5; i++)
		data.args[i] = c->args[i] | high << 32;
	return bpf_run(program, &data);
}

static void args_cases(const struct args_case *cases, size_t n)
{
	static const uint64_t highs[] = {0, 1, 0x80000000, 0xffffffff};

	for (size_t p = 0; p < seccomp_n_profiles; p++)
		for (size_t i = 0; i < n; i++)
			for (size_t h = 0; h < sizeof(highs) / sizeof(highs[0]); h++) {
				uint32_t plain =
					ask(&seccomp_profiles[p].plain, &cases[i], highs[h]);
				uint32_t bits = ask(&seccomp_profiles[p].with_mode_bits, &cases[i],
						    highs[h]);

				if (plain != cases[i].plain || bits != cases[i].bits)
					fail_msg("%s: case %zu, upper half %llx: %x and %x",
						 seccomp_profiles[p].name, i,
						 (unsigned long long)highs[h], plain, bits);
			}
}

#define CASES(list) args_cases(list, sizeof(list) / sizeof((list)[0]))

static void clone_makes_no_namespaces(void **state)
{
	static const struct args_case cases[] = {
		{SYS_clone, {SIGCHLD}, ALLOW, ALLOW},
		{SYS_clone, {0x3d0f00}, ALLOW, ALLOW}, /* pthread_create(3) */
		{SYS_clone, {CLONE_VM | CLONE_VFORK | SIGCHLD}, ALLOW, ALLOW},
		{SYS_clone, {CLONE_NEWNS}, REFUSE, REFUSE},
		{SYS_clone, {CLONE_NEWCGROUP | SIGCHLD}, REFUSE, REFUSE},
		{SYS_clone, {CLONE_NEWUTS | SIGCHLD}, REFUSE, REFUSE},
		{SYS_clone, {CLONE_NEWIPC | SIGCHLD}, REFUSE, REFUSE},
		{SYS_clone, {CLONE_NEWUSER | SIGCHLD}, REFUSE, REFUSE},
		{SYS_clone, {CLONE_NEWPID | SIGCHLD}, REFUSE, REFUSE},
		{SYS_clone, {CLONE_NEWNET | SIGCHLD}, REFUSE, REFUSE},
		{SYS_clone, {CLONE_NEWUSER | CLONE_NEWNS | CLONE_VM}, REFUSE, REFUSE},
	};

	(void)state;
	CASES(cases);
}

static void sockets_of_four_families(void **state)
{
	static const struct args_case cases[] = {
		{SYS_socket, {AF_UNIX, SOCK_STREAM, 0}, ALLOW, ALLOW},
		{SYS_socket, {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0}, ALLOW, ALLOW},
		{SYS_socket, {AF_INET, SOCK_STREAM, 0}, ALLOW, ALLOW},
		{SYS_socket,
		 {AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 6},
		 ALLOW,
		 ALLOW},
		{SYS_socket, {AF_INET6, SOCK_DGRAM, 17}, ALLOW, ALLOW},
		{SYS_socket, {AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0}, ALLOW, ALLOW},
		{SYS_socket, {AF_NETLINK, SOCK_RAW, 0}, ALLOW, ALLOW},
		{SYS_socket, {AF_NETLINK, SOCK_RAW, 12}, NOFAMILY, NOFAMILY}, /* netfilter */
		{SYS_socket, {AF_NETLINK, SOCK_RAW, 6}, NOFAMILY, NOFAMILY},  /* xfrm */
		{SYS_socket, {AF_NETLINK, SOCK_RAW, 16}, NOFAMILY, NOFAMILY}, /* generic */
		{SYS_socket, {AF_INET, SOCK_RAW, 1}, REFUSE, REFUSE},
		{SYS_socket, {AF_INET, SOCK_RAW, 0}, REFUSE, REFUSE},
		{SYS_socket, {AF_INET, SOCK_RAW | SOCK_CLOEXEC, 255}, REFUSE, REFUSE},
		{SYS_socket, {AF_INET, SOCK_DGRAM, 1}, REFUSE, REFUSE},	   /* ping */
		{SYS_socket, {AF_INET, SOCK_STREAM, 262}, REFUSE, REFUSE}, /* MPTCP */
		{SYS_socket, {AF_INET, SOCK_STREAM, 132}, REFUSE, REFUSE}, /* SCTP */
		{SYS_socket, {AF_INET, SOCK_SEQPACKET, 132}, REFUSE, REFUSE},
		{SYS_socket, {AF_INET6, 6 /* DCCP */, 33}, REFUSE, REFUSE},
		{SYS_socket, {AF_INET6, SOCK_DGRAM, 136}, REFUSE, REFUSE}, /* UDP-Lite */
		{SYS_socket, {AF_INET6, 10 /* PACKET */, 0}, REFUSE, REFUSE},
	};

	(void)state;
	CASES(cases);
}

static void every_other_family_is_refused(void **state)
{
	(void)state;
	for (unsigned family = 0; family < 300; family++) {
		struct args_case c = {SYS_socket, {family, SOCK_DGRAM, 0}, NOFAMILY, NOFAMILY};

		if (family == AF_UNIX || family == AF_INET || family == AF_INET6 ||
		    family == AF_NETLINK)
			c.plain = c.bits = ALLOW;
		args_cases(&c, 1);
	}
}

static void ioctls(void **state)
{
	static const struct args_case cases[] = {
		{SYS_ioctl, {0, TIOCSTI}, REFUSE, REFUSE},
		{SYS_ioctl, {0, 0x541c /* TIOCLINUX */}, REFUSE, REFUSE},
		{SYS_ioctl, {0, TIOCSETD}, REFUSE, REFUSE},
		{SYS_ioctl, {0, TIOCGWINSZ}, ALLOW, ALLOW},
		{SYS_ioctl, {0, TIOCSCTTY}, ALLOW, ALLOW},
		{SYS_ioctl, {0, FIONREAD}, ALLOW, ALLOW},
		{SYS_ioctl, {0, FICLONE}, ALLOW, ALLOW},
		{SYS_ioctl, {0, FICLONERANGE}, ALLOW, ALLOW},
		{SYS_ioctl, {0, FIDEDUPERANGE}, ALLOW, ALLOW},
		{SYS_ioctl, {0, 0x5000940e /* BTRFS_IOC_SUBVOL_CREATE */}, NOTTY, NOTTY},
		{SYS_ioctl, {0, 0x50009401 /* SNAP_CREATE */}, NOTTY, NOTTY},
		{SYS_ioctl, {0, 0x50009418 /* SUBVOL_CREATE_V2 */}, NOTTY, NOTTY},
		{SYS_ioctl, {0, 0x9409 /* FICLONE's number, another size */}, NOTTY, NOTTY},
	};

	(void)state;
	CASES(cases);
}

static void modes_of_chmod(void **state)
{
	static const struct args_case cases[] = {
		{SYS_fchmod, {3, 0755}, ALLOW, ALLOW},
		{SYS_fchmod, {3, 01777}, ALLOW, ALLOW},
		{SYS_fchmod, {3, 04755}, REFUSE, ALLOW},
		{SYS_fchmod, {3, 02755}, REFUSE, ALLOW},
		{SYS_fchmodat, {3, 0, 0644}, ALLOW, ALLOW},
		{SYS_fchmodat, {3, 0, 06755}, REFUSE, ALLOW},
		{SYS_fchmodat, {3, 06000, 0644}, ALLOW, ALLOW}, /* a pointer, not a mode */
		{452 /* fchmodat2 */, {3, 0, 04755, 0}, REFUSE, ALLOW},
		{452, {3, 0, 0755, 06000}, ALLOW, ALLOW},
#ifdef SYS_chmod
		{SYS_chmod, {0, 0700}, ALLOW, ALLOW},
		{SYS_chmod, {04000, 0700}, ALLOW, ALLOW},
		{SYS_chmod, {0, 04700}, REFUSE, ALLOW},
		{SYS_chmod, {0, 02070}, REFUSE, ALLOW},
#endif
	};

	(void)state;
	CASES(cases);
}

static void modes_of_mknod(void **state)
{
	static const struct args_case cases[] = {
		{SYS_mknodat, {3, 0, S_IFIFO | 0600}, ALLOW, ALLOW},
		{SYS_mknodat, {3, 0, S_IFREG | 0644}, ALLOW, ALLOW},
		{SYS_mknodat, {3, 0, S_IFSOCK | 0644}, ALLOW, ALLOW},
		{SYS_mknodat, {3, 0, 0644}, ALLOW, ALLOW},
		{SYS_mknodat, {3, 0, S_IFREG | 04755}, REFUSE, ALLOW},
		{SYS_mknodat, {3, 0, S_IFCHR | 0600}, REFUSE, REFUSE},
		{SYS_mknodat, {3, 0, S_IFCHR | 0600, 0}, REFUSE, REFUSE}, /* a whiteout */
		{SYS_mknodat, {3, 0, S_IFBLK | 0600}, REFUSE, REFUSE},
#ifdef SYS_mknod
		{SYS_mknod, {0, S_IFIFO | 0600}, ALLOW, ALLOW},
		{SYS_mknod, {0, S_IFCHR | 0600}, REFUSE, REFUSE},
		{SYS_mknod, {0, S_IFBLK | 0600}, REFUSE, REFUSE},
		{SYS_mknod, {0, S_IFREG | 02755}, REFUSE, ALLOW},
#endif
	};

	(void)state;
	CASES(cases);
}

static void modes_of_open(void **state)
{
	static const struct args_case cases[] = {
		{SYS_renameat2, {3, 0, 3, 0, 1}, ALLOW, ALLOW},
		{SYS_renameat2, {3, 0, 3, 0, 4}, REFUSE, REFUSE}, /* RENAME_WHITEOUT */
		{SYS_openat, {3, 0, O_RDONLY, 0}, ALLOW, ALLOW},
		{SYS_openat, {3, 0, O_RDONLY, 06777}, ALLOW, ALLOW}, /* left in the register */
		{SYS_openat, {3, 0, O_WRONLY | O_CREAT, 0644}, ALLOW, ALLOW},
		{SYS_openat, {3, 0, O_WRONLY | O_CREAT | O_EXCL, 01600}, ALLOW, ALLOW},
		{SYS_openat, {3, 0, O_WRONLY | O_CREAT, 04755}, REFUSE, ALLOW},
		{SYS_openat, {3, 0, O_WRONLY | O_CREAT, 02755}, REFUSE, ALLOW},
		{SYS_openat, {3, 0, O_RDWR | O_TMPFILE, 0600}, ALLOW, ALLOW},
		{SYS_openat, {3, 0, O_RDWR | O_TMPFILE, 04755}, REFUSE, ALLOW},
		{SYS_openat, {3, 0, O_RDONLY | O_DIRECTORY, 04755}, ALLOW, ALLOW},
#ifdef SYS_open
		{SYS_open, {0, O_RDONLY, 04755}, ALLOW, ALLOW},
		{SYS_open, {0, O_WRONLY | O_CREAT, 0644}, ALLOW, ALLOW},
		{SYS_open, {0, O_WRONLY | O_CREAT, 04644}, REFUSE, ALLOW},
		{SYS_open, {0, O_RDWR | O_TMPFILE, 02644}, REFUSE, ALLOW},
		{SYS_creat, {0, 0644}, ALLOW, ALLOW},
		{SYS_creat, {0, 04644}, REFUSE, ALLOW},
#endif
	};

	(void)state;
	CASES(cases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clone_makes_no_namespaces),
		cmocka_unit_test(sockets_of_four_families),
		cmocka_unit_test(every_other_family_is_refused),
		cmocka_unit_test(ioctls),
		cmocka_unit_test(modes_of_chmod),
		cmocka_unit_test(modes_of_mknod),
		cmocka_unit_test(modes_of_open),
	};

	return cmocka_run_group_tests_name("seccomp-args", tests, NULL, NULL);
}
