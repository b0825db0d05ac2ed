/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-cgroup-host.c: /proc/self/cgroup and mountinfo as text; names of groups and mount points are
 * chosen by whoever made them. The input is the one, a NUL byte, and the other.
 */
#include "cgroup-host.c"

#include "../testing/fuzz.h"

static void one_mount(const struct cgroup_mount *m, const char *self)
{
	char own[100], dir[128];
	const char *const controllers[] = {NULL, "memory", "cpu", "pids"};

	for (size_t i = 0; i < ELEMENTSOF(controllers); i++) {
		if (cgroup_own_path(self, controllers[i], own, sizeof(own)) < 0)
			continue;
		FUZZ_MUST(strlen(own) < sizeof(own) && !strchr(own, '\n'));
		if (cgroup_directory(m, own, dir, sizeof(dir)) == 0)
			FUZZ_MUST(strlen(dir) < sizeof(dir));
	}
	if (cgroup_in_list(m->super, m->super_len, "memory", ","))
		FUZZ_MUST(m->super_len >= 6);
}

static void inside(const char *line, size_t n, const char *part, size_t len)
{
	FUZZ_MUST(part >= line && part + len <= line + n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *self = fuzz_text(data, size);
	size_t len = strlen(self);
	char *info = len < size ? fuzz_text(data + len + 1, size - len - 1) : fuzz_text(data, 0);

	for (const char *line = info, *next; *line; line = next) {
		size_t n = strcspn(line, "\n");
		/* Exactly the line, so that a read past its end is seen. */
		char *copy = fuzz_text((const uint8_t *)line, n);
		struct cgroup_mount m;

		next = line[n] ? line + n + 1 : line + n;
		if (cgroup_mount_parse(copy, n, &m)) {
			inside(copy, n, m.root, m.root_len);
			inside(copy, n, m.point, m.point_len);
			inside(copy, n, m.type, m.type_len);
			inside(copy, n, m.super, m.super_len);
			one_mount(&m, self);
		}
		free(copy);
	}
	free(self);
	free(info);
	return 0;
}
