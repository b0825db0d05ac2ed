/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c: see watch.h. */
#include "watch.h"

#include "buf.h"
#include "ceilings.h"
#include "io.h"

#include <fcntl.h>
#include <stdbool.h>

#include "banned.h"

#define WATCH_PROCESSES_MAX 32768

static uint64_t watch_field(const char *text, const char *key)
{
	const char *p = text ? strstr(text, key) : NULL;

	return p ? strtoull(p + strlen(key), NULL, 10) : 0;
}

static bool watch_read(pid_t pid, const char *file, struct buf *text)
{
	char path[64];

	text->len = 0;
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return io_read_file(AT_FDCWD, path, text) == 0;
}

static void watch_add_stat(const char *text, struct watch_sample *sample)
{
	const char *p = strrchr(text, ')'); /* the name before it may hold anything */
	uint64_t tick = 1000000u / (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t field[21] = {
		0}; /* numbered as in proc_pid_stat(5): 14 utime to 17 cstime, 20 threads */

	for (size_t i = 3; p && i < ELEMENTSOF(field) && (p = strchr(p, ' ')); i++)
		field[i] = strtoull(++p, NULL, 10);
	sample->cpu_user_us += (field[14] + field[16]) * tick;
	sample->cpu_system_us += (field[15] + field[17]) * tick;
	sample->threads += field[20];
}

void watch_add_io(pid_t pid, struct watch_sample *sample)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);

	if (!watch_read(pid, "io", &text))
		return;
	sample->read_bytes += watch_field(text.data, "\nread_bytes:");
	sample->written_bytes += watch_field(text.data, "\nwrite_bytes:");
}

/* Processes that are still to be looked at; a queue, for a sandbox can nest as deep as it likes. */
struct watch_queue {
	pid_t pid[WATCH_PROCESSES_MAX];
	size_t n;
};

static void watch_children(pid_t pid, const char *task, struct watch_queue *queue)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	char file[300], *end;

	snprintf(file, sizeof(file), "task/%s/children", task);
	if (!watch_read(pid, file, &text))
		return;
	for (char *p = text.data; p && *p && queue->n < WATCH_PROCESSES_MAX; p = end) {
		long child = strtol(p, &end, 10);

		if (end == p)
			break;
		queue->pid[queue->n++] = (pid_t)child;
	}
}

static void watch_process(pid_t pid, struct watch_queue *queue, struct watch_sample *sample)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);
	_cleanup_closedir_ DIR *tasks = NULL;
	struct dirent *task;
	char path[64];

	if (watch_read(pid, "stat", &text))
		watch_add_stat(text.data, sample);
	if (watch_read(pid, "status", &text))
		sample->memory_bytes += 1024 * (watch_field(text.data, "\nRssAnon:") +
						watch_field(text.data, "\nRssShmem:"));
	watch_add_io(pid, sample);
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (task = readdir(tasks)))
		if (task->d_name[0] != '.')
			watch_children(pid, task->d_name, queue);
}

/* What the process would free by ending, and its part of what it shares; 0: it cannot be read. */
static uint64_t watch_pss(pid_t pid)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_SMALL_FILE);

	if (!watch_read(pid, "smaps_rollup", &text))
		return 0;
	return 1024 *
	       (watch_field(text.data, "\nPss_Anon:") + watch_field(text.data, "\nPss_Shmem:"));
}

void watch_tree(pid_t root, uint64_t memory_limit, struct watch_sample *ret_sample)
{
	static struct watch_queue queue;
	struct watch_sample sample = {0};

	queue.n = 1;
	queue.pid[0] = root;
	for (size_t i = 0; i < queue.n; i++)
		watch_process(queue.pid[i], &queue, &sample);
	if (memory_limit && sample.memory_bytes > memory_limit) {
		uint64_t pss = 0;

		for (size_t i = 1; i < queue.n && pss <= memory_limit; i++)
			pss += watch_pss(queue.pid[i]);
		if (pss)
			sample.memory_bytes = pss;
	}
	*ret_sample = sample;
}
