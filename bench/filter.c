/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.c: an allow-list like the container engines' default, as BPF on standard output.
 *
 * bubblewrap takes a filter only as finished bytes (--seccomp FD), so the row "bwrap equal" needs
 * them made beforehand. The names come on standard input, one or more a line; the OCI runtimes get
 * the same list in their bundle. A name that libseccomp or this machine does not know is skipped.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_LENGTH 63

/* The namespace flags of clone(2): a sandbox must not make new namespaces, where it has
 * capabilities again. */
#define NAMESPACE_FLAGS                                                                            \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "filter: %s: %s\n", what, strerror(-result));
	exit(EXIT_FAILURE);
}

static void allow_names(scmp_filter_ctx filter)
{
	char name[NAME_MAX_LENGTH + 1];

	while (scanf("%63s", name) == 1) {
		int number = seccomp_syscall_resolve_name(name);

		if (number >= 0) /* negative: only other architectures have it */
			check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0), name);
	}
}

static void add_clone(scmp_filter_ctx filter)
{
	struct scmp_arg_cmp no_namespaces = SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACE_FLAGS, 0);

	check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, no_namespaces), "clone");
	/* Its flags lie in memory, out of a filter's sight; ENOSYS makes libc fall back to clone.
	 */
	check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0), "clone3");
}

int main(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));

	if (!filter)
		check(-ENOMEM, "seccomp_init");
	/* A binary tree: the peer is given the fastest form that the library makes. */
	check(seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimize");
	allow_names(filter);
	add_clone(filter);
	check(seccomp_export_bpf(filter, STDOUT_FILENO), "export");
	seccomp_release(filter);
	return 0;
}
