/* SPDX-License-Identifier: Apache-2.0 */
/* test-watch.c: the sample of a tree of processes that the test itself makes. */
#include "watch.h"

#include "err.h"

#include <signal.h>
#include <sys/mman.h>

#include "../testing/testing.h"

#define TOUCHED ((size_t)24 << 20)

/* Two processes below each other; the inner one touches memory and tells when it is ready. */
static pid_t start_tree(int ready)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	setpgid(0, 0);
	if (fork() == 0) {
		char *memory = mmap(NULL, TOUCHED, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			_exit(1);
		memset(memory, 1, TOUCHED);
		_exit(write(ready, "x", 1) != 1 || pause());
	}
	pause();
	_exit(0);
}

static void end_tree(pid_t pid)
{
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_tree_is_counted(void **state)
{
	struct watch_sample sample;
	int ready[2];
	pid_t pid;
	char byte;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = start_tree(ready[1]);
	assert_true(pid > 0);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	watch_tree(pid, 0, &sample);
	assert_true(sample.threads == 2 || access("/proc/thread-self/children", F_OK) < 0);
	if (sample.threads == 2)
		assert_true(sample.memory_bytes >= TOUCHED);
	end_tree(pid);
	close(ready[0]);
	close(ready[1]);
}

static void this_process_is_counted(void **state)
{
	struct watch_sample sample;

	(void)state;
	watch_tree(getpid(), 0, &sample);
	assert_true(sample.threads >= 1);
	assert_true(sample.memory_bytes > 0);
}

static void nobody_is_nothing(void **state)
{
	struct watch_sample sample = {.threads = 9};
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	watch_tree(pid, 0, &sample);
	assert_int_equal(sample.threads, 0);
	assert_int_equal(sample.memory_bytes, 0);
	watch_add_io(pid, &sample);
	assert_int_equal(sample.written_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_is_counted),
		cmocka_unit_test(this_process_is_counted),
		cmocka_unit_test(nobody_is_nothing),
	};

	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
