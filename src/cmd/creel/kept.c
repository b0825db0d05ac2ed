/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.c: see kept.h. A name that is no name (parse_name()) is looked for nowhere, so that no path
 * is made of what a user typed.
 */
#include "kept.h"

#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "idmap.h"
#include "parse.h"
#include "pool.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/vfs.h>

bool kept_has_pool(const struct state *state)
{
	struct statfs fs;
	char path[512];

	snprintf(path, sizeof(path), "%s/pool.img", state->data);
	return state->root && (access(path, F_OK) == 0 ||
			       (statfs(state->data, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC));
}

static int kept_map(const struct kept *kept, struct idmap *ret_map, struct err *err)
{
	struct live none = LIVE_INIT;

	return idmap_choose(&kept->state, &none, false, ret_map, err);
}

int kept_open(const char *dir, struct kept *ret_kept, struct err *err)
{
	struct kept kept = {0};
	struct idmap map = {0};
	int r = state_open(dir, &kept.state, err);

	if (r == 0)
		r = kept_map(&kept, &map, err);
	if (r < 0)
		return r;
	kept.caller = map.single ? map.root_inside : IDMAP_USER;
	snprintf(kept.root, sizeof(kept.root), "%s", kept.state.data);
	if (kept_has_pool(&kept.state)) {
		r = pool_open(kept.state.data, kept.state.run, &kept.pool, err);
		if (r < 0)
			return r;
		snprintf(kept.root, sizeof(kept.root), "%s", pool_path(kept.pool));
	}
	*ret_kept = kept;
	return 0;
}

void kept_close(struct kept *kept)
{
	kept->pool = pool_close(kept->pool);
}

int kept_lock(const struct kept *kept, const char *kind, const char *org, const char *name,
	      bool exclusive, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s/%s/%s", kept->root, kind, org, name);
	if (parse_name(org) < 0 || parse_name(name) < 0)
		return -ENOENT;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : err_errno(err, errno, "kept", "%s", path);
	if (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? err_set(err, EBUSY, "kept",
					 "%s is in use by a run or another creel: wait for its end "
					 "(creel kill ends a detached run)",
					 name)
			       : err_errno(err, errno, "kept", "cannot lock %s", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int kept_remove(const struct kept *kept, const char *kind, const char *org, const char *name,
		struct err *err)
{
	char path[256];

	if (kept->pool) {
		snprintf(path, sizeof(path), "%s/%s/%s", kind, org, name);
		return pool_delete(kept->pool, path, err);
	}
	snprintf(path, sizeof(path), "%s/%s", kind, org);
	return idmap_remove_tree(&kept->state, path, name, err);
}

static int kept_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct kept_names {
	char **names;
	size_t n, allocated;
};

static void kept_names_done(struct kept_names *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->names[i]);
	free(list->names);
}

static int kept_names_add(struct kept_names *list, const char *name)
{
	if (list->n == list->allocated) {
		size_t size = list->allocated ? 2 * list->allocated : 16;
		char **grown = realloc(list->names, size * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list->names = grown;
		list->allocated = size;
	}
	list->names[list->n] = strdup(name);
	return list->names[list->n] ? (list->n++, 0) : -ENOMEM;
}

static int kept_names_read(const char *path, struct kept_names *list)
{
	_cleanup_closedir_ DIR *dir = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (entry = fs_next(dir)))
		if (parse_name(entry->d_name) == 0)
			r = kept_names_add(list, entry->d_name);
	if (r == 0 && errno)
		r = -errno;
	if (list->n)
		qsort(list->names, list->n, sizeof(*list->names), kept_compare);
	return r;
}

int kept_each(const struct kept *kept, const char *kind, const char *org,
	      int (*fn)(const struct kept *kept, const char *name, void *data), void *data,
	      struct err *err)
{
	struct kept_names list = {0};
	char path[1024];
	int r;

	if (parse_name(org) < 0)
		return err_set(err, EINVAL, "kept", "--org %s: not a name", org);
	snprintf(path, sizeof(path), "%s/%s/%s", kept->root, kind, org);
	r = kept_names_read(path, &list);
	if (r < 0)
		err_errno(err, -r, "kept", "cannot list %s", path);
	for (size_t i = 0; r == 0 && i < list.n; i++) {
		r = fn(kept, list.names[i], data);
		if (r < 0)
			err_errno(err, -r, "kept", "cannot list %s", path);
	}
	kept_names_done(&list);
	return r;
}

int kept_run(const struct kept *kept, int (*fn)(void *data, struct err *err), void *data,
	     struct err *err)
{
	struct idmap map = {0};
	int r = kept_map(kept, &map, err);

	/* What is buffered would be written twice. */
	fflush(stdout);
	return r < 0 ? r : idmap_run(&map, -1, fn, data, err);
}
