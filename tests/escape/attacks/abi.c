/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other doors into the kernel that a filter on x86-64 numbers does not see: i386 calls by
 * int 0x80, x32 numbers (bit 30), and modify_ldt(2) (CVE-2015-5157). seccomp(2) warns of exactly
 * this. Any answer but a refusal or death by SIGSYS (or SIGSEGV where the kernel has no i386
 * entry) is a way around. The i386 calls are first getpid, which would succeed anywhere, then
 * what an attacker wants from them: i386 mount, unshare, keyctl, socketcall.
 */
#include "attack.h"

#ifdef __x86_64__
#define X32 0x40000000L

struct i386_call {
	const char *name;
	long number, first, second;
};

/* The i386 ABI takes eax, ebx, ecx, ...; pointers must be below 4 GiB, here they are NULL. */
static long int80_call(void *arg)
{
	const struct i386_call *c = arg;
	long value;

	__asm__ volatile("int $0x80"
			 : "=a"(value)
			 : "a"(c->number), "b"(c->first), "c"(c->second), "d"(0L), "S"(0L), "D"(0L)
			 : "memory", "r8", "r9", "r10", "r11", "cc");
	if (value < 0 && value > -4096) {
		errno = (int)-value;
		return -1;
	}
	return value;
}

static void try_int80(void)
{
	static struct i386_call calls[] = {
		{"abi.int80_getpid", 20, 0, 0},
		{"abi.int80_unshare", 310, 0x10000000, 0},
		{"abi.int80_clone_newuser", 120, 0x10000000 | SIGCHLD, 0},
		{"abi.int80_keyctl", 288, 0, -3},
		{"abi.int80_ptrace", 26, 0, 0},
		{"abi.int80_socket_alg", 359, 38, 5},
		{"abi.int80_socket_vsock", 359, 40, 1},
		{"abi.int80_mount", 21, 0, 0},
		{"abi.int80_chmod", 15, 0, 04755},
		{"abi.int80_personality", 136, 0xffffffff, 0},
		{"abi.int80_x64_number", 101, 0, 0},
	};

	for (size_t i = 0; i < ATTACK_LENGTH(calls); i++) {
		struct attack_outcome out = attack_try(int80_call, &calls[i]);

		if (out.signal == SIGSEGV || out.signal == SIGSYS)
			HELD(calls[i].name, "signal %d", out.signal);
		else
			attack_judge(calls[i].name, out, NULL);
	}
}

/* 512 to 547 are x32's own numbers; the others are x86-64's with bit 30 set. */
static void try_x32(void)
{
	static char buffer[64];
	struct attack_syscall calls[] = {
		{"abi.x32_getpid", X32 | SYS_getpid, {0}, {0}},
		{"abi.x32_unshare", X32 | SYS_unshare, {0x10000000}, {0}},
		{"abi.x32_mount", X32 | SYS_mount, {0}, {0}},
		{"abi.x32_keyctl", X32 | SYS_keyctl, {0, -3UL}, {0}},
		{"abi.x32_ptrace", X32 | 521, {0}, {0}},
		{"abi.x32_ioctl", X32 | 514, {0, 0x5412, ATTACK_PTR(buffer)}, {0}},
		{"abi.x32_process_vm_readv", X32 | 539, {0}, {0}},
		{"abi.x32_execve", X32 | 520, {0}, {0}},
		{"abi.x32_bare_512", 512, {0}, {0}},
		{"abi.x32_bare_520", 520, {0}, {0}},
	};

	for (size_t i = 0; i < ATTACK_LENGTH(calls); i++)
		attack_syscall_case(&calls[i]);
}

struct user_descriptor {
	unsigned int entry, base, limit, flags;
};

static void try_ldt(void)
{
	static struct user_descriptor segment = {0, 0, 0xfffff, 0x51};
	struct attack_syscall read_case = {"abi.modify_ldt_read",
					   SYS_modify_ldt,
					   {0, ATTACK_PTR(&segment), sizeof(segment)},
					   {0}};
	struct attack_syscall write_case = {"abi.modify_ldt_write",
					    SYS_modify_ldt,
					    {0x11, ATTACK_PTR(&segment), sizeof(segment)},
					    {0}};

	attack_syscall_case(&read_case);
	attack_syscall_case(&write_case);
}

/* A far return to the 32-bit code segment (0x23), an i386 unshare there, exit with its errno. */
static void far_jump(void)
{
	__asm__ volatile("pushq $0x23\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n\t"
			 "1:\n\t"
			 ".code32\n\t"
			 "movl $310, %%eax\n\t"
			 "movl $0x10000000, %%ebx\n\t"
			 "int $0x80\n\t"
			 "movl %%eax, %%ebx\n\t"
			 "negl %%ebx\n\t"
			 "movl $1, %%eax\n\t"
			 "int $0x80\n\t"
			 "hlt\n\t"
			 ".code64\n\t"
			 :
			 :
			 : "rax", "rbx", "memory");
}

static void try_code32(void)
{
	static const char name[] = "abi.code32_unshare";
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		alarm(5);
		far_jump();
		_exit(99);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		SKIP(name, "fork");
	else if (WIFSIGNALED(status))
		HELD(name, "signal %d", WTERMSIG(status));
	else if (attack_is_refusal(WEXITSTATUS(status), NULL))
		HELD(name, "%s", attack_errno_name(WEXITSTATUS(status)));
	else
		BROKEN(name, "i386 exit ran: %d", WEXITSTATUS(status));
}
#endif

int main(void)
{
	attack_begin();
#ifdef __x86_64__
	try_int80();
	try_x32();
	try_ldt();
	try_code32();
#else
	SKIP("abi.x86", "another processor");
#endif
	return attack_done();
}
