/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run-limits.c: the limits that creel enforces by looking at clocks and counters, and what the end
 * of a run means.
 */
#include "clock.h"
#include "run-private.h"

#include <signal.h>
#include <sys/wait.h>

#define RUN_WATCH_MS 20 /* how often limits without a controller are looked at */
#define RUN_DISK_MS  200
#define RUN_BOMB_MS  500
/* How long and how often a kill is looked for after the kernel told of no memory. */
#define RUN_OOM_MS    5
#define RUN_OOM_LOOKS 100

/* v1 tells before the kernel has killed and counted, and now and then it need not kill after all.
 */
static void run_look_for_oom(struct run *run, int64_t now)
{
	struct cgroup_usage usage;

	cgroup_read_events(run->sandbox->cgroup, &usage);
	if (usage.oom_kills)
		run_end(run, RUN_MEMORY, false);
	run->oom_ms = run->oom_looks-- > 0 ? now + RUN_OOM_MS : 0;
}

void run_oom(struct run *run)
{
	cgroup_oom_seen(run->sandbox->cgroup);
	run->oom_looks = RUN_OOM_LOOKS;
	run_look_for_oom(run, clock_ms());
}

/*
 * Forks that RLIMIT_NPROC refuses cost the machine memory that nothing counts, until RCU frees it:
 * gigabytes a second. Who stays at the limit and does little but call the kernel is a fork bomb;
 * with a controller the refusal is cheap, and the program's own matter.
 */
static bool run_is_fork_bomb(struct run *run, const struct cgroup_usage *usage, int64_t now)
{
	bool full =
		run->sandbox->pids_by_watch && usage->pids_peak + 1 >= run_limit(run, LIMIT_PIDS);

	if (!full || !run->full_ms || usage->cpu_system_us < run->full_system_us) {
		run->full_ms = full ? now : 0;
		run->full_system_us = usage->cpu_system_us;
		return false;
	}
	return now - run->full_ms >= RUN_BOMB_MS &&
	       usage->cpu_system_us - run->full_system_us >
		       (uint64_t)(now - run->full_ms) * 1000 / 2;
}

static void run_watch(struct run *run, int64_t now)
{
	const struct sandbox *sandbox = run->sandbox;
	uint64_t written = run_limit(run, LIMIT_WRITE_TOTAL);
	struct cgroup_usage usage;

	sandbox_sample(sandbox, &usage);
	if (usage.memory_peak_bytes > run->peak.memory_peak_bytes)
		run->peak.memory_peak_bytes = usage.memory_peak_bytes;
	if (usage.pids_peak > run->peak.pids_peak)
		run->peak.pids_peak = usage.pids_peak;
	if (sandbox->memory_by_watch && usage.memory_peak_bytes > run_limit(run, LIMIT_MEMORY))
		run_end(run, RUN_MEMORY, false);
	if ((sandbox->pids_by_watch && usage.pids_peak > run_limit(run, LIMIT_PIDS)) ||
	    run_is_fork_bomb(run, &usage, now))
		run_end(run, RUN_PIDS, false);
	if (written && usage.io_write_bytes > written)
		run_end(run, RUN_IO, false);
	run->watch_ms = now + RUN_WATCH_MS;
}

static void run_check_cpu(struct run *run, int64_t now)
{
	uint64_t limit = run_limit(run, LIMIT_CPU_TIME), used = 0, left;
	struct cgroup_usage usage;

	if (run->sandbox->cgroup && cgroup_has(run->sandbox->cgroup, CGROUP_CORE)) {
		used = cgroup_read_cpu_us(run->sandbox->cgroup) / 1000;
	} else {
		sandbox_sample(run->sandbox, &usage);
		used = (usage.cpu_user_us + usage.cpu_system_us) / 1000;
	}
	if (used >= limit) {
		run_end(run, RUN_CPU, false);
		return;
	}
	/* All CPUs at once could use the rest in left / CPUs. */
	left = (limit - used) * 1000 / (run_limit(run, LIMIT_CPUS) + 1000);
	run->cpu_check_ms = now + (int64_t)(left < 5 ? 5 : left > 1000 ? 1000 : left);
}

void run_timers(struct run *run)
{
	int64_t now = clock_ms();

	if (run->deadline_ms && now >= run->deadline_ms)
		run_end(run, RUN_TIMEOUT, true);
	if (run->kill_ms && now >= run->kill_ms)
		run->done = true;
	if (run->cpu_check_ms && now >= run->cpu_check_ms)
		run_check_cpu(run, now);
	if (run->watch_ms && now >= run->watch_ms)
		run_watch(run, now);
	if (run->oom_ms && now >= run->oom_ms)
		run_look_for_oom(run, now);
	if (run->disk_ms && now >= run->disk_ms) {
		if (sandbox_over_disk(run->sandbox))
			run_end(run, RUN_DISK, false);
		/* A large tree takes long to look at: a fifth of the time at most goes into it. */
		run->disk_ms = clock_ms() + 4 * (clock_ms() - now) + RUN_DISK_MS;
	}
	if ((run->out && run->out->over) || (run->err_out && run->err_out->over))
		run_end(run, RUN_OUTPUT, false);
}

int run_poll_ms(const struct run *run)
{
	const int64_t at[] = {run->deadline_ms, run->kill_ms, run->cpu_check_ms,
			      run->watch_ms,	run->disk_ms, run->oom_ms};
	int64_t now = clock_ms(), least = INT64_MAX;

	for (size_t i = 0; i < ELEMENTSOF(at); i++)
		if (at[i] && at[i] - now < least)
			least = at[i] - now;
	return least == INT64_MAX ? -1 : least < 0 ? 0 : (int)MIN(least, (int64_t)INT32_MAX);
}

void run_clocks(struct run *run)
{
	const struct sandbox *sandbox = run->sandbox;

	run->started_ms = clock_ms();
	if (run_limit(run, LIMIT_TIMEOUT))
		run->deadline_ms = run->started_ms + (int64_t)run_limit(run, LIMIT_TIMEOUT);
	if (run_limit(run, LIMIT_CPU_TIME))
		run->cpu_check_ms = run->started_ms + 1;
	if (sandbox->memory_by_watch || sandbox->pids_by_watch || run_limit(run, LIMIT_WRITE_TOTAL))
		run->watch_ms = run->started_ms + RUN_WATCH_MS;
	if (places_watched(&sandbox->places))
		run->disk_ms = run->started_ms + RUN_DISK_MS;
}

/* What the end means, now that everything is dead and counted. */
void run_judge(struct run *run)
{
	struct run_result *result = run->result;
	const struct cgroup_usage *usage = &run->sandbox->usage;

	result->pids_hit =
		usage->pids_refused > 0 || (run->sandbox->pids_by_watch &&
					    run->peak.pids_peak + 1 >= run_limit(run, LIMIT_PIDS));
	result->disk_hit = run->sandbox->disk_full;
	if (usage->oom_kills && (!run->ending || result->ended_by == RUN_EXIT)) {
		run->ending = true;
		result->ended_by = RUN_MEMORY;
	}
	if (run->exited && WIFSIGNALED(run->status))
		result->signal = WTERMSIG(run->status);
	if (run->ending && result->ended_by == RUN_EXIT)
		return; /* it never started; the code is set */
	if (run->ending) {
		result->exit_code = result->ended_by == RUN_TIMEOUT ? 124 : 137;
		if (!result->signal)
			result->signal = run->exited ? 0 : SIGKILL;
		return;
	}
	if (!run->exited) {
		result->ended_by = RUN_KILLED;
		result->signal = SIGKILL;
		result->exit_code = 137;
		return;
	}
	result->ended_by = result->signal ? RUN_SIGNAL : RUN_EXIT;
	result->exit_code = result->signal ? 128 + result->signal : WEXITSTATUS(run->status);
	/* RLIMIT_CPU stands behind the watchdog. */
	if (result->signal == SIGXCPU && run_limit(run, LIMIT_CPU_TIME)) {
		result->ended_by = RUN_CPU;
		result->exit_code = 137;
	}
	if (result->signal == SIGXFSZ) {
		result->ended_by = RUN_DISK;
		result->exit_code = 137;
	}
	/* To ask the pool costs a commit: only if it may be the reason. */
	if (result->exit_code && !result->disk_hit)
		result->disk_hit = places_full(&run->sandbox->places);
	/* A command that failed against a wall ended by it; its own code stays. */
	if (result->exit_code && result->disk_hit)
		result->ended_by = RUN_DISK;
	else if (result->exit_code && result->pids_hit)
		result->ended_by = RUN_PIDS;
}
