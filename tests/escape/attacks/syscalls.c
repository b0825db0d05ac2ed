/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that no honest program makes and that are the kernel's soft spots or its controls
 * (keyctl(2), io_uring_setup(2), bpf(2), perf_event_open(2), userfaultfd(2), kexec_load(2),
 * init_module(2), reboot(2), settimeofday(2), syslog(2), ...). The default-deny filter refuses
 * each; the arguments are valid, so that a missing filter shows. None does harm if it gets
 * through: clocks are set to what they are, names do not exist, reboot only turns Ctrl-Alt-Del off.
 * Also: unknown numbers give ENOSYS, and a number's high 32 bits do not hide it from the filter.
 */
#include "attack.h"

#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <sys/ptrace.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <time.h>

static char buffer[4096], target[64];
static struct iovec local_iov = {buffer, sizeof(target)}, remote_iov = {target, sizeof(target)};
static struct timespec now;
static struct timeval now_timeval;
static struct timex frequency = {.modes = ADJ_FREQUENCY};
static struct io_uring_params ring;
static struct perf_event_attr event = {
	.type = PERF_TYPE_SOFTWARE,
	.size = sizeof(event),
	.config = PERF_COUNT_SW_TASK_CLOCK,
	.exclude_kernel = 1,
	.exclude_hv = 1,
};
static struct bpf_insn insns[] = {{.code = 0xb7, .dst_reg = 0}, {.code = 0x95}}; /* r0 = 0; exit */
static union bpf_attr map = {
	.map_type = BPF_MAP_TYPE_ARRAY,
	.key_size = 4,
	.value_size = 4,
	.max_entries = 1,
};
static union bpf_attr prog = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2};

#define P	       ATTACK_PTR
#define NR_QUOTACTL_FD 443
#define NR_PIDFD_GETFD 438
#define HIGH	       (1L << 32)

static struct attack_syscall kernel_features[] = {
	{"syscalls.io_uring_setup", 425, {1, P(&ring)}, {0}},
	{"syscalls.io_uring_enter", 426, {(unsigned long)-1, 1, 0, 0, 0, 0}, {0}},
	{"syscalls.io_uring_register", 427, {(unsigned long)-1, 8, P(buffer), 1}, {0}},
	{"syscalls.bpf_map", SYS_bpf, {BPF_MAP_CREATE, P(&map), sizeof(map)}, {0}},
	{"syscalls.bpf_prog", SYS_bpf, {BPF_PROG_LOAD, P(&prog), sizeof(prog)}, {0}},
	{"syscalls.perf_event_open", SYS_perf_event_open, {P(&event), 0, -1UL, -1UL, 0}, {0}},
	{"syscalls.userfaultfd", SYS_userfaultfd, {1 /* UFFD_USER_MODE_ONLY */}, {0}},
	{"syscalls.keyctl_session", SYS_keyctl, {KEYCTL_GET_KEYRING_ID, -3UL, 1}, {0}},
	{"syscalls.keyctl_join", SYS_keyctl, {KEYCTL_JOIN_SESSION_KEYRING, 0}, {0}},
	{"syscalls.add_key", SYS_add_key, {P("user"), P("creel"), P("x"), 1, -4UL}, {0}},
	{"syscalls.request_key", SYS_request_key, {P("user"), P("creel-none"), 0, 0}, {0}},
	{"syscalls.quotactl", SYS_quotactl, {0x80000100 /* Q_SYNC */, 0, 0, 0}, {0}},
	{"syscalls.quotactl_fd", NR_QUOTACTL_FD, {0, 0x80000100, 0, 0}, {0}},
	{"syscalls.kexec_load", SYS_kexec_load, {0, 0, 0, 0}, {0}},
	{"syscalls.init_module", SYS_init_module, {P(buffer), 0, P("")}, {0}},
	{"syscalls.finit_module", SYS_finit_module, {0, P(""), 0}, {0}},
	{"syscalls.delete_module", SYS_delete_module, {P("creel_none"), 0}, {0}},
};

static struct attack_syscall machine_controls[] = {
	{"syscalls.reboot",
	 SYS_reboot,
	 {LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF},
	 {0}},
	{"syscalls.swapon", SYS_swapon, {P("/nonexistent"), 0}, {0}},
	{"syscalls.swapoff", SYS_swapoff, {P("/nonexistent")}, {0}},
	{"syscalls.acct", SYS_acct, {P("/nonexistent")}, {0}},
	{"syscalls.syslog_read", SYS_syslog, {3, P(buffer), sizeof(buffer)}, {0}},
	{"syscalls.syslog_size", SYS_syslog, {10, 0, 0}, {0}},
	{"syscalls.settimeofday", SYS_settimeofday, {P(&now_timeval), 0}, {0}},
	{"syscalls.clock_settime", SYS_clock_settime, {CLOCK_REALTIME, P(&now)}, {0}},
	{"syscalls.adjtimex", SYS_adjtimex, {P(&frequency)}, {0}},
	{"syscalls.clock_adjtime", SYS_clock_adjtime, {CLOCK_REALTIME, P(&frequency)}, {0}},
	{"syscalls.sethostname", SYS_sethostname, {P("creel"), 5}, {0}},
	{"syscalls.setdomainname", SYS_setdomainname, {P("creel"), 5}, {0}},
	{"syscalls.vhangup", SYS_vhangup, {0}, {0}},
};

static struct attack_syscall other_processes[] = {
	{"syscalls.ptrace_traceme", SYS_ptrace, {PTRACE_TRACEME, 0, 0, 0}, {0}},
	{"syscalls.pidfd_getfd", NR_PIDFD_GETFD, {-1UL, 0, 0}, {0}},
};

#ifdef __x86_64__
static struct attack_syscall x86_only[] = {
	{"syscalls.iopl", SYS_iopl, {3}, {0}},
	{"syscalls.ioperm", SYS_ioperm, {0x80, 1, 1}, {0}},
	{"syscalls.uselib", SYS_uselib, {P("/nonexistent")}, {0}},
	{"syscalls.kexec_file_load", SYS_kexec_file_load, {0, 0, 0, P(""), 0}, {0}},
	{"syscalls.high_bits_keyctl", HIGH | SYS_keyctl, {KEYCTL_GET_KEYRING_ID, -3UL, 1}, {0}},
	{"syscalls.high_bits_io_uring", HIGH | 425, {1, P(&ring)}, {0}},
	{"syscalls.high_bits_ptrace", HIGH | SYS_ptrace, {PTRACE_TRACEME, 0, 0, 0}, {0}},
};
#endif

/* On the calling process itself, where nothing but the filter stands in the way. */
static void try_on_self(void)
{
	unsigned long self = (unsigned long)getpid();
	struct attack_syscall read_case = {"syscalls.process_vm_readv",
					   SYS_process_vm_readv,
					   {self, P(&local_iov), 1, P(&remote_iov), 1, 0},
					   {0}};
	struct attack_syscall write_case = {"syscalls.process_vm_writev",
					    SYS_process_vm_writev,
					    {self, P(&local_iov), 1, P(&remote_iov), 1, 0},
					    {0}};

	struct attack_syscall kcmp = {"syscalls.kcmp", SYS_kcmp, {self, self, 0, 0, 1}, {0}};

	attack_syscall_case(&read_case);
	attack_syscall_case(&write_case);
	attack_syscall_case(&kcmp);
}

static void try_unknown(void)
{
	static const long numbers[] = {500, 9999, 0x7fffffff, -2};
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(numbers); i++) {
		struct attack_syscall c = {.name = name, .number = numbers[i]};
		struct attack_outcome out = attack_try(attack_syscall_call, &c);

		snprintf(name, sizeof(name), "syscalls.unknown_%ld", numbers[i]);
		if (out.signal == 0 && out.value < 0 && out.err == ENOSYS)
			HELD(name, "ENOSYS");
		else
			BROKEN(name, "signal %d, value %ld, %s", out.signal, out.value,
			       attack_errno_name(out.err));
	}
}

static void try_all(struct attack_syscall *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		attack_syscall_case(&cases[i]);
}

int main(void)
{
	attack_begin();
	clock_gettime(CLOCK_REALTIME, &now);
	now_timeval = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
	prog.insns = P(insns);
	prog.license = P("GPL");
	try_all(kernel_features, ATTACK_LENGTH(kernel_features));
	try_all(machine_controls, ATTACK_LENGTH(machine_controls));
	try_all(other_processes, ATTACK_LENGTH(other_processes));
#ifdef __x86_64__
	try_all(x86_only, ATTACK_LENGTH(x86_only));
#endif
	try_on_self();
	try_unknown();
	return attack_done();
}
