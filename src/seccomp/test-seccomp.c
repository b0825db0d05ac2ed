/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test-seccomp.c: what the generated filters answer. The expectation for each system call is read
 * from profiles/ a second time, by another parser; the checks of arguments are written out as
 * cases.
 */
#include "seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/syscall.h>

#include "../testing/testing.h"
#include "test-bpf.h"

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#define WRONG  AUDIT_ARCH_I386
#else
#define NATIVE AUDIT_ARCH_AARCH64
#define WRONG  AUDIT_ARCH_ARM
#endif

#define ALLOW	 SECCOMP_RET_ALLOW
#define REFUSE	 (SECCOMP_RET_ERRNO | EPERM)
#define NOSYS	 (SECCOMP_RET_ERRNO | ENOSYS)
#define NOTTY	 (SECCOMP_RET_ERRNO | ENOTTY)
#define NOFAMILY (SECCOMP_RET_ERRNO | EAFNOSUPPORT)
#define RECORD	 SECCOMP_RET_USER_NOTIF

#define CALLS 601

/* What a profile says of each call; NULL: nothing. */
static const char *action[CALLS];

static void profile_read(const char *name);

static int call_number(char *word)
{
	char *equals = strchr(word, '=');
	int nr;

	if (equals)
		return (int)strtol(equals + 1, NULL, 10);
	nr = seccomp_syscall_resolve_name(word);
	assert_int_not_equal(nr, __NR_SCMP_ERROR);
	return nr;
}

static void profile_line(char *line)
{
	static const char *const actions[] = {"allow", "record", "clone", "socket", "ioctl",
					      "mode1", "mode2",	 "open",  "openat", "rename2"};
	const char *known = NULL;
	char *save = NULL, *word = strtok_r(line, " \t\n", &save);

	if (!word || *word == '#')
		return;
	if (strcmp(word, "include") == 0) {
		profile_read(strtok_r(NULL, " \t\n", &save));
		return;
	}
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(word, actions[i]) == 0)
			known = actions[i];
	assert_non_null(known);
	while ((word = strtok_r(NULL, " \t\n", &save))) {
		int nr = call_number(word);

		if (nr < 0)
			continue;
		assert_true(nr < CALLS);
		action[nr] = known;
	}
}

/* Included lines come first: a later line of the file that includes them wins. */
static void profile_read(const char *name)
{
	char path[512], line[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.profile", TEST_PROFILES, name);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		profile_line(line);
	fclose(file);
}

static void profile_load(const char *name)
{
	memset(action, 0, sizeof(action));
	profile_read(name);
}

static uint32_t answer(const struct sock_fprog *program, int nr, const uint64_t *args)
{
	struct seccomp_data data = {.nr = nr, .arch = NATIVE};

	for (int i = 0; args && i < 6; i++)
		data.args[i] = args[i];
	return bpf_run(program, &data);
}

/* A call that no profile line names is ENOSYS; one with a check answers with harmless arguments. */
static uint32_t expected(int nr)
{
	const char *a = action[nr];

	if (!a)
		return NOSYS;
	if (strcmp(a, "record") == 0)
		return RECORD;
	return strcmp(a, "socket") == 0 ? NOFAMILY : ALLOW; /* AF_UNSPEC */
}

static void every_call_is_as_the_profile_says(void **state)
{
	(void)state;
	assert_int_equal(seccomp_n_profiles, 3);
	for (size_t i = 0; i < seccomp_n_profiles; i++) {
		const struct seccomp_profile *profile = &seccomp_profiles[i];

		profile_load(profile->name);
		for (int nr = 0; nr < CALLS; nr++) {
			uint32_t plain = answer(&profile->plain, nr, NULL);
			uint32_t bits = answer(&profile->with_mode_bits, nr, NULL);

			if (plain != expected(nr) || bits != expected(nr))
				fail_msg("%s: call %d answers %x and %x, not %x", profile->name, nr,
					 plain, bits, expected(nr));
		}
	}
}

static void the_count_of_calls_is_right(void **state)
{
	(void)state;
	for (size_t i = 0; i < seccomp_n_profiles; i++) {
		unsigned n = 0;

		profile_load(seccomp_profiles[i].name);
		for (int nr = 0; nr < CALLS; nr++)
			n += action[nr] && strcmp(action[nr], "record") != 0;
		assert_int_equal(seccomp_profiles[i].calls, n);
	}
}

/* Never, in any profile: what makes namespaces, mounts and kernel code, and io_uring. */
static void the_dangerous_ones_are_in_no_profile(void **state)
{
	static const int recorded[] = {SYS_mount,
				       SYS_umount2,
				       SYS_pivot_root,
				       SYS_chroot,
				       SYS_setns,
				       SYS_unshare,
				       SYS_bpf,
				       SYS_keyctl,
				       SYS_kexec_load,
				       SYS_init_module,
				       SYS_reboot,
				       SYS_open_tree,
				       SYS_fsopen,
				       SYS_fsmount,
				       SYS_move_mount,
				       SYS_add_key,
				       SYS_userfaultfd,
				       SYS_pidfd_getfd,
				       SYS_perf_event_open,
				       SYS_open_by_handle_at};
	static const int nosys[] = {SYS_io_uring_setup,
				    SYS_io_uring_enter,
				    SYS_io_uring_register,
				    SYS_clone3,
				    SYS_openat2,
				    467,
				    511,
				    512,
				    547,
				    600};

	(void)state;
	for (size_t p = 0; p < seccomp_n_profiles; p++) {
		const struct seccomp_profile *profile = &seccomp_profiles[p];

		for (size_t i = 0; i < sizeof(recorded) / sizeof(recorded[0]); i++) {
			assert_int_equal(answer(&profile->plain, recorded[i], NULL), RECORD);
			assert_int_equal(answer(&profile->with_mode_bits, recorded[i], NULL),
					 RECORD);
		}
		for (size_t i = 0; i < sizeof(nosys) / sizeof(nosys[0]); i++)
			assert_int_equal(answer(&profile->plain, nosys[i], NULL), NOSYS);
	}
}

static void other_abis_are_refused(void **state)
{
	(void)state;
	for (size_t p = 0; p < seccomp_n_profiles; p++) {
		const struct sock_fprog *program = &seccomp_profiles[p].plain;

		for (int nr = 0; nr < CALLS; nr++) {
			struct seccomp_data data = {.nr = nr, .arch = WRONG};

			assert_int_equal(bpf_run(program, &data), SECCOMP_RET_KILL_PROCESS);
			assert_int_equal(answer(program, nr | 0x40000000, NULL), NOSYS); /* x32 */
		}
		assert_int_equal(answer(program, -1, NULL), NOSYS);
		assert_int_equal(answer(program, INT32_MAX, NULL), NOSYS);
		assert_int_equal(answer(program, INT32_MIN, NULL), NOSYS);
	}
}

static void programs_are_short(void **state)
{
	(void)state;
	for (size_t p = 0; p < seccomp_n_profiles; p++) {
		assert_in_range(seccomp_profiles[p].plain.len, 10, 140);
		assert_in_range(seccomp_profiles[p].with_mode_bits.len, 10, 140);
	}
}

static void look_ups(void **state)
{
	(void)state;
	assert_string_equal(seccomp_profile_find("strict")->name, "strict");
	assert_string_equal(seccomp_profile_find("build")->name, "build");
	assert_string_equal(seccomp_profile_find("browser")->name, "browser");
	assert_null(seccomp_profile_find("none"));
	assert_null(seccomp_profile_find(""));
	assert_string_equal(seccomp_recorded_name(SYS_mount), "mount");
	assert_string_equal(seccomp_recorded_name(SYS_ptrace), "ptrace");
	assert_null(seccomp_recorded_name(SYS_read));
	assert_null(seccomp_recorded_name(-1));
	assert_null(seccomp_recorded_name(100000));
}

/* Whatever a profile records has a name for the result. */
static void every_recorded_call_has_a_name(void **state)
{
	(void)state;
	for (size_t p = 0; p < seccomp_n_profiles; p++)
		for (int nr = 0; nr < CALLS; nr++)
			if (answer(&seccomp_profiles[p].plain, nr, NULL) == RECORD)
				assert_non_null(seccomp_recorded_name(nr));
}

static void wider_profiles_only_add(void **state)
{
	const struct sock_fprog *strict = &seccomp_profile_find("strict")->plain;

	(void)state;
	for (size_t p = 0; p < seccomp_n_profiles; p++)
		for (int nr = 0; nr < CALLS; nr++)
			if (answer(strict, nr, NULL) == ALLOW)
				assert_int_equal(answer(&seccomp_profiles[p].plain, nr, NULL),
						 ALLOW);
	assert_int_equal(answer(strict, SYS_ptrace, NULL), RECORD);
	assert_int_equal(answer(&seccomp_profile_find("build")->plain, SYS_ptrace, NULL), ALLOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_is_as_the_profile_says),
		cmocka_unit_test(the_count_of_calls_is_right),
		cmocka_unit_test(the_dangerous_ones_are_in_no_profile),
		cmocka_unit_test(other_abis_are_refused),
		cmocka_unit_test(programs_are_short),
		cmocka_unit_test(look_ups),
		cmocka_unit_test(every_recorded_call_has_a_name),
		cmocka_unit_test(wider_profiles_only_add),
	};

	return cmocka_run_group_tests_name("seccomp", tests, NULL, NULL);
}
