/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp-gen.c: build-time program that turns profiles/NAME.profile into BPF and prints
 * seccomp-programs.h. A range tree over the call numbers (one `jge` for each place where the action
 * changes) is a third of what libseccomp writes and loads in a third of its time; libseccomp gives
 * the call numbers. A wrong profile (unknown call, a call named twice, a jump that does not fit in
 * eight bits) fails the build.
 *
 * usage: seccomp-gen DIR NAME...
 */
#include <err.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GEN_MAX_CALL 512
#define GEN_MAX_INSN 256

/* What becomes of a call. The checks end in one of the first five. */
enum gen_action {
	GEN_NOSYS, /* also every number that no line names */
	GEN_ALLOW,
	GEN_REFUSE,
	GEN_RECORD,
	GEN_NOTTY,
	GEN_NOFAMILY,
	GEN_CLONE,
	GEN_SOCKET,
	GEN_IOCTL,
	GEN_MODE1,
	GEN_MODE2,
	GEN_OPEN,
	GEN_OPENAT,
	GEN_RENAME2,
	GEN_ACTION_MAX
};

static const char *const gen_action_names[GEN_ACTION_MAX] = {
	[GEN_ALLOW] = "allow",	   [GEN_RECORD] = "record", [GEN_CLONE] = "clone",
	[GEN_SOCKET] = "socket",   [GEN_IOCTL] = "ioctl",   [GEN_MODE1] = "mode1",
	[GEN_MODE2] = "mode2",	   [GEN_OPEN] = "open",	    [GEN_OPENAT] = "openat",
	[GEN_RENAME2] = "rename2",
};

struct gen_arch {
	const char *macro;
	uint32_t scmp, audit;
};

static const struct gen_arch gen_archs[] = {
	{"__x86_64__", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64},
	{"__aarch64__", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64},
};

struct gen_profile {
	enum gen_action action[GEN_MAX_CALL];
	char name[GEN_MAX_CALL][32];
	bool mode_bits;
};

/* A program under construction; jumps hold labels until gen_resolve() turns them into distances. */
struct gen_program {
	struct gen_insn {
		uint16_t code;
		uint32_t k;
		int jt, jf; /* label, or -1: the next instruction */
	} insn[GEN_MAX_INSN];
	int n;
	int address[1024]; /* of a label; -1: not placed yet */
	int n_labels;
};

static int gen_emit(struct gen_program *p, uint16_t code, uint32_t k, int jt, int jf)
{
	if (p->n >= GEN_MAX_INSN)
		errx(1, "the program is longer than %d instructions", GEN_MAX_INSN);
	p->insn[p->n] = (struct gen_insn){.code = code, .k = k, .jt = jt, .jf = jf};
	return p->n++;
}

static int gen_label(struct gen_program *p)
{
	if (p->n_labels >= (int)(sizeof(p->address) / sizeof(p->address[0])))
		errx(1, "too many labels");
	p->address[p->n_labels] = -1;
	return p->n_labels++;
}

static void gen_load_arg(struct gen_program *p, unsigned arg)
{
	/* The low half, which is what the kernel uses of an int or a flag word (little endian). */
	gen_emit(p, BPF_LD | BPF_W | BPF_ABS,
		 (uint32_t)(offsetof(struct seccomp_data, args) + 8 * arg), -1, -1);
}

static void gen_jump(struct gen_program *p, uint16_t op, uint32_t k, int jt, int jf)
{
	gen_emit(p, BPF_JMP | op | BPF_K, k, jt, jf);
}

/* Balanced decision tree over starts[lo..hi): ranges of one action each. */
static void gen_tree(struct gen_program *p, const int *starts, const int *labels, int lo, int hi)
{
	int mid = (lo + hi) / 2, left, right;
	bool left_leaf = mid - lo == 1, right_leaf = hi - mid == 1;

	left = left_leaf ? labels[lo] : gen_label(p);
	right = right_leaf ? labels[mid] : gen_label(p);
	gen_jump(p, BPF_JGE, (uint32_t)starts[mid], right, left);
	if (!left_leaf) {
		p->address[left] = p->n;
		gen_tree(p, starts, labels, lo, mid);
	}
	if (!right_leaf) {
		p->address[right] = p->n;
		gen_tree(p, starts, labels, mid, hi);
	}
}

static void gen_check_socket(struct gen_program *p)
{
	int inet = gen_label(p), netlink = gen_label(p), proto = gen_label(p);

	/* AF_UNIX 1, AF_INET 2, AF_INET6 10, AF_NETLINK 16: the rest is attack surface (threats).
	 */
	gen_load_arg(p, 0);
	gen_jump(p, BPF_JEQ, 1, GEN_ALLOW, -1);
	gen_jump(p, BPF_JEQ, 2, inet, -1);
	gen_jump(p, BPF_JEQ, 10, inet, -1);
	gen_jump(p, BPF_JEQ, 16, netlink, GEN_NOFAMILY);
	p->address[netlink] = p->n;
	gen_load_arg(p, 2); /* NETLINK_ROUTE 0 */
	gen_jump(p, BPF_JEQ, 0, GEN_ALLOW, GEN_NOFAMILY);
	p->address[inet] = p->n;
	gen_load_arg(p, 1); /* SOCK_STREAM 1, SOCK_DGRAM 2, flags above */
	gen_emit(p, BPF_ALU | BPF_AND | BPF_K, 0xf, -1, -1);
	gen_jump(p, BPF_JEQ, 1, proto, -1);
	gen_jump(p, BPF_JEQ, 2, proto, GEN_REFUSE);
	p->address[proto] = p->n;
	gen_load_arg(p, 2); /* default, TCP, UDP: no MPTCP 262, SCTP 132, ICMP 1 */
	gen_jump(p, BPF_JEQ, 0, GEN_ALLOW, -1);
	gen_jump(p, BPF_JEQ, 6, GEN_ALLOW, -1);
	gen_jump(p, BPF_JEQ, 17, GEN_ALLOW, GEN_REFUSE);
}

static void gen_check_ioctl(struct gen_program *p)
{
	/* Refused on the low 32 bits, as the kernel reads them (CVE-2019-10063). */
	static const uint32_t refused[] = {0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */,
					   0x5423 /* TIOCSETD */};
	static const uint32_t cloning[] = {0x40049409 /* FICLONE */, 0x4020940d /* FICLONERANGE */,
					   0xc0189436 /* FIDEDUPERANGE */};

	gen_load_arg(p, 1);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		gen_jump(p, BPF_JEQ, refused[i], GEN_REFUSE, -1);
	for (size_t i = 0; i < sizeof(cloning) / sizeof(cloning[0]); i++)
		gen_jump(p, BPF_JEQ, cloning[i], GEN_ALLOW, -1);
	/* The rest of btrfs: nested subvolumes pass the disk limit. */
	gen_emit(p, BPF_ALU | BPF_AND | BPF_K, 0xff00, -1, -1);
	gen_jump(p, BPF_JEQ, 0x9400, GEN_NOTTY, GEN_ALLOW);
}

/*
 * Of a mode the setuid and setgid bits are refused, and S_IFCHR's bit, which block devices have as
 * well: device nodes and whiteouts are refused here as a second wall behind the missing CAP_MKNOD.
 */
static void gen_check_mode(struct gen_program *p, unsigned mode_arg, bool mode_bits)
{
	gen_load_arg(p, mode_arg);
	gen_jump(p, BPF_JSET, mode_bits ? 020000 : 026000, GEN_REFUSE, GEN_ALLOW);
}

/* Modes matter only when a file is made: O_CREAT, or the bit that is O_TMPFILE's own. */
static void gen_check_open(struct gen_program *p, unsigned flags_arg)
{
	int creates = gen_label(p);

	gen_load_arg(p, flags_arg);
	gen_jump(p, BPF_JSET, 0100 | 020000000, creates, GEN_ALLOW);
	p->address[creates] = p->n;
	gen_check_mode(p, flags_arg + 1, false);
}

static void gen_check(struct gen_program *p, enum gen_action action, bool mode_bits)
{
	switch (action) {
	case GEN_CLONE: /* all CLONE_NEW* that clone(2) takes */
		gen_load_arg(p, 0);
		gen_jump(p, BPF_JSET, 0x7e020000, GEN_REFUSE, GEN_ALLOW);
		break;
	case GEN_SOCKET:
		gen_check_socket(p);
		break;
	case GEN_IOCTL:
		gen_check_ioctl(p);
		break;
	case GEN_MODE1:
	case GEN_MODE2:
		gen_check_mode(p, action == GEN_MODE1 ? 1 : 2, mode_bits);
		break;
	case GEN_OPEN:
	case GEN_OPENAT:
		gen_check_open(p, action == GEN_OPEN ? 1 : 2);
		break;
	case GEN_RENAME2: /* RENAME_WHITEOUT leaves a device node that a later overlay would obey */
		gen_load_arg(p, 4);
		gen_jump(p, BPF_JSET, 4, GEN_REFUSE, GEN_ALLOW);
		break;
	default:
		errx(1, "no check for action %d", action);
	}
}

/* An open(2) can make nothing but regular files: with mode bits allowed there is nothing to check.
 */
static enum gen_action gen_effective(const struct gen_profile *profile, int nr)
{
	enum gen_action action = profile->action[nr];
	bool opens = action == GEN_OPEN || action == GEN_OPENAT;

	return profile->mode_bits && opens ? GEN_ALLOW : action;
}

static void gen_program_build(struct gen_program *p, const struct gen_profile *profile,
			      uint32_t audit)
{
	static const uint32_t results[] = {
		[GEN_NOSYS] = SECCOMP_RET_ERRNO | ENOSYS,
		[GEN_ALLOW] = SECCOMP_RET_ALLOW,
		[GEN_REFUSE] = SECCOMP_RET_ERRNO | EPERM,
		[GEN_RECORD] = SECCOMP_RET_USER_NOTIF,
		[GEN_NOTTY] = SECCOMP_RET_ERRNO | ENOTTY,
		[GEN_NOFAMILY] = SECCOMP_RET_ERRNO | EAFNOSUPPORT,
	};
	int starts[GEN_MAX_CALL + 2], labels[GEN_MAX_CALL + 2], n = 0, killed, native;
	bool used[GEN_ACTION_MAX] = {false};

	*p = (struct gen_program){0};
	for (int i = 0; i < GEN_ACTION_MAX; i++)
		gen_label(p); /* label i is action i */
	killed = gen_label(p);
	native = gen_label(p);
	gen_emit(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), -1, -1);
	gen_jump(p, BPF_JEQ, audit, native, killed); /* i386 */
	p->address[native] = p->n;
	gen_emit(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), -1, -1);
	for (int nr = 0; nr <= GEN_MAX_CALL; nr++) {
		/* The last range reaches to 2^32: x32 calls have bit 30 set and end here. */
		enum gen_action action = nr < GEN_MAX_CALL ? gen_effective(profile, nr) : GEN_NOSYS;

		used[action] = true;
		if (n && labels[n - 1] == (int)action)
			continue;
		starts[n] = nr;
		labels[n++] = (int)action;
	}
	gen_tree(p, starts, labels, 0, n);
	for (int a = GEN_CLONE; a < GEN_ACTION_MAX; a++) {
		if (!used[a])
			continue;
		p->address[a] = p->n;
		gen_check(p, (enum gen_action)a, profile->mode_bits);
	}
	for (int a = GEN_NOSYS; a < GEN_CLONE; a++) {
		p->address[a] = p->n;
		gen_emit(p, BPF_RET | BPF_K, results[a], -1, -1);
	}
	p->address[killed] = p->n;
	gen_emit(p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, -1, -1);
}

static unsigned gen_distance(const struct gen_program *p, int from, int label)
{
	int distance;

	if (label < 0)
		return 0;
	distance = p->address[label] - from - 1;
	if (p->address[label] < 0 || distance < 0 || distance > 255)
		errx(1, "label %d is %d instructions away from %d", label, distance, from);
	return (unsigned)distance;
}

static void gen_program_print(const struct gen_program *p, const char *name, const char *suffix)
{
	printf("static struct sock_filter seccomp_%s_%s[] = { /* %d instructions */\n", name,
	       suffix, p->n);
	for (int i = 0; i < p->n; i++) {
		const struct gen_insn *insn = &p->insn[i];
		bool jump = BPF_CLASS(insn->code) == BPF_JMP;

		printf("\t{0x%02x, %u, %u, 0x%08x},\n", insn->code,
		       jump ? gen_distance(p, i, insn->jt) : 0,
		       jump ? gen_distance(p, i, insn->jf) : 0, insn->k);
	}
	printf("};\n");
}

static int gen_number(const struct gen_arch *arch, char *word)
{
	char *equals = strchr(word, '=');
	int nr;

	if (equals) {
		*equals = '\0';
		return (int)strtol(equals + 1, NULL, 10);
	}
	nr = seccomp_syscall_resolve_name_arch(arch->scmp, word);
	if (nr == __NR_SCMP_ERROR)
		errx(1, "no system call is named %s", word);
	return nr; /* below zero: this architecture does not have it */
}

static enum gen_action gen_action_parse(const char *word)
{
	for (int i = 0; i < GEN_ACTION_MAX; i++)
		if (gen_action_names[i] && strcmp(word, gen_action_names[i]) == 0)
			return (enum gen_action)i;
	errx(1, "no action is named %s", word);
}

static void gen_read(const char *dir, const char *name, const struct gen_arch *arch,
		     struct gen_profile *profile)
{
	char path[4096], line[512];
	bool seen[GEN_MAX_CALL] = {false};
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.profile", dir, name);
	file = fopen(path, "re");
	if (!file)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), file)) {
		char *save = NULL, *word = strtok_r(line, " \t\n", &save);
		enum gen_action action;

		if (!word || *word == '#')
			continue;
		if (strcmp(word, "include") == 0) {
			gen_read(dir, strtok_r(NULL, " \t\n", &save), arch, profile);
			continue;
		}
		action = gen_action_parse(word);
		while ((word = strtok_r(NULL, " \t\n", &save))) {
			int nr = gen_number(arch, word);

			if (nr < 0)
				continue;
			if (nr >= GEN_MAX_CALL || seen[nr])
				errx(1, "%s: %s is named twice or out of range", path, word);
			seen[nr] = true;
			profile->action[nr] = action;
			snprintf(profile->name[nr], sizeof(profile->name[nr]), "%s", word);
		}
	}
	fclose(file);
}

static unsigned gen_count(const struct gen_profile *profile)
{
	unsigned n = 0;

	for (int nr = 0; nr < GEN_MAX_CALL; nr++)
		n += profile->action[nr] == GEN_ALLOW || profile->action[nr] >= GEN_CLONE;
	return n;
}

static void gen_arch_print(const struct gen_arch *arch, const char *dir, char **names, int n)
{
	static struct gen_program program;
	unsigned calls[16] = {0};
	static struct gen_profile recorded, profile;

	printf("#%s defined(%s)\n", arch == gen_archs ? "if" : "elif", arch->macro);
	for (int i = 0; i < n; i++) {
		profile = (struct gen_profile){0};
		gen_read(dir, names[i], arch, &profile);
		calls[i] = gen_count(&profile);
		for (int bits = 0; bits < 2; bits++) {
			profile.mode_bits = bits;
			gen_program_build(&program, &profile, arch->audit);
			gen_program_print(&program, names[i], bits ? "mode_bits" : "plain");
		}
		if (i == 0)
			recorded = profile;
	}
	printf("#define SECCOMP_PROG(a) {sizeof(a) / sizeof((a)[0]), (a)}\n"
	       "const struct seccomp_profile seccomp_profiles[] = {\n");
	for (int i = 0; i < n; i++)
		printf("\t{\"%s\", %u, SECCOMP_PROG(seccomp_%s_plain), "
		       "SECCOMP_PROG(seccomp_%s_mode_bits)},\n",
		       names[i], calls[i], names[i], names[i]);
	printf("};\nstatic const struct seccomp_recorded seccomp_recorded[] = {\n");
	for (uint32_t nr = 0; nr < GEN_MAX_CALL; nr++)
		if (recorded.action[nr] == GEN_RECORD)
			printf("\t{%u, \"%s\"},\n", nr, recorded.name[nr]);
	printf("\t{0, NULL},\n};\n");
}

int main(int argc, char **argv)
{
	if (argc < 3 || argc > 18)
		errx(2, "usage: seccomp-gen DIR NAME...");
	printf("/* Generated by seccomp-gen. */\n");
	for (size_t i = 0; i < sizeof(gen_archs) / sizeof(gen_archs[0]); i++)
		gen_arch_print(&gen_archs[i], argv[1], argv + 2, argc - 2);
	printf("#else\n#error \"creel has system call filters for x86_64 and aarch64 "
	       "only\"\n#endif\n");
	return 0;
}
