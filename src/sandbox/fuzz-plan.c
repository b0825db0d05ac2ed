/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-plan.c: a sandbox with fields of any value gives a plan within its bounds, in which nothing
 * is mounted without nosuid. The first 40 bytes are numbers, the rest are strings that end with
 * NUL.
 */
#include "err.h"
#include "plan.h"

#include <sys/mount.h>

#include "../testing/fuzz.h"

struct input {
	uint8_t flags, more, n_ro, profile;
	uint32_t root, inside;
	uint64_t limit[3];
};

static const char *next_string(char **p, const char *end)
{
	const char *text = *p;

	*p += strlen(*p);
	if (*p < end)
		++*p;
	return text;
}

static void check_mount(const struct cell_mount *mount)
{
	size_t n = 0;

	FUZZ_MUST(mount->kind == CELL_SYMLINK || mount->kind == CELL_SEAL ||
		  mount->attr & MOUNT_ATTR_NOSUID);
	FUZZ_MUST(mount->target && mount->idmap >= 0 && mount->idmap <= 2);
	while (n < ELEMENTSOF(mount->options) && mount->options[n])
		n += 2;
	FUZZ_MUST(n < ELEMENTSOF(mount->options));
}

static void check_plan(const struct plan *plan, const struct sandbox_spec *spec)
{
	FUZZ_MUST(plan->cell.n_mounts <= PLAN_MOUNTS_MAX && plan->cell.n_mounts > spec->n_ro);
	for (size_t i = 0; i < plan->cell.n_mounts; i++)
		check_mount(&plan->mounts[i]);
	check_mount(&plan->cell.layer);
	FUZZ_MUST(plan->dirs[ELEMENTSOF(plan->dirs) - 1].name == NULL);
	FUZZ_MUST(plan->cell.seccomp.len > 0);
	FUZZ_MUST((plan->cell.caps & ~0x800001fbull) == 0);
	FUZZ_MUST(plan->cell.seccomp.filter == spec->seccomp->plain.filter ||
		  (spec->as_root && !spec->workspace));
	for (int i = 0; i < RLIM_NLIMITS; i++)
		FUZZ_MUST(plan->cell.rlimits[i].rlim_cur <= plan->cell.rlimits[i].rlim_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {0};
	size_t head = size < sizeof(in) ? size : sizeof(in);
	char *strings, *p, *end;
	struct sandbox_mount ro[256];
	struct limits limits = {0};
	struct sandbox_spec spec = {.limits = &limits, .ro = ro};
	struct state state = {0};
	struct sandbox sandbox = {
		.spec = &spec, .state = &state, .places = PLACES_INIT, .workspace_fd = -1};
	struct plan *plan = malloc(sizeof(*plan));
	struct err err;
	int r;

	if (head)
		memcpy(&in, data, head);
	strings = p = fuzz_text(data + head, size - head);
	end = strings + size - head;
	spec.as_root = in.flags & 1;
	spec.hostname = next_string(&p, end);
	spec.workspace = in.flags & 2 ? next_string(&p, end) : NULL;
	spec.script = in.flags & 4 ? next_string(&p, end) : NULL;
	spec.seccomp = &seccomp_profiles[in.profile % seccomp_n_profiles];
	snprintf(state.data, sizeof(state.data), "%s", next_string(&p, end));
	snprintf(state.run, sizeof(state.run), "%s", next_string(&p, end));
	snprintf(sandbox.live.id, sizeof(sandbox.live.id), "%s", next_string(&p, end));
	for (spec.n_ro = 0; spec.n_ro < in.n_ro; spec.n_ro++)
		ro[spec.n_ro] = (struct sandbox_mount){next_string(&p, end), next_string(&p, end)};
	sandbox.layer_is_directory = in.flags & 8;
	sandbox.memory_by_watch = in.flags & 16;
	sandbox.idmap = (struct idmap){.rootless = in.flags & 32, .single = in.flags & 64, .n = 1};
	sandbox.idmap.uids[0] = (struct idmap_line){in.inside, in.root, 65536};
	sandbox.idmap.root_inside = in.inside;
	limits.of[LIMIT_MEMORY].value = in.limit[0];
	limits.of[LIMIT_DISK].value = in.limit[1];
	limits.of[LIMIT_CPUS].value = in.limit[2];
	limits.of[LIMIT_PIDS].value = in.more;
	limits.of[LIMIT_CPU_TIME].value = in.limit[2] >> 3;
	r = plan_make(&sandbox, 3, 4, plan, &err);
	FUZZ_MUST(r == 0 || spec.n_ro > CEIL_MOUNTS);
	if (r == 0)
		check_plan(plan, &spec);
	free(plan);
	free(strings);
	return 0;
}
