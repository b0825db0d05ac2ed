/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply.c: see apply.h.
 *
 *   select   the changes asked for, and the directories that they need
 *   check    refusals; a conflict ends it
 *   stage    (apply-stage.c) every new file and link into DIR/.creel-apply-RUN, under a number;
 * synced check    again: staging may have taken minutes commit   (apply-commit.c) what goes, from
 * the deepest up; what comes, from the top down; modes of directories remember the ctimes that this
 * gave, then forget in upper
 *
 * All is done with the ids of DIR's owner (changes-private.h): a directory that is swapped for a
 * link while root applies leads nowhere that its owner could not go, and openat2(2) refuses it.
 * BASE/applying is there from before the first touch of DIR to the last.
 */
#include "apply-private.h"

#include "err.h"
#include "fs.h"

#include <fcntl.h>

void apply_tell(struct apply *apply, const struct apply_item *item, enum apply_fate fate,
		const char *why)
{
	size_t *counts[] = {&apply->result->done, &apply->result->conflicts, &apply->result->left};

	if (item->change->implied && fate == APPLY_DONE)
		return;
	(*counts[fate])++;
	apply->request->tell(item->change, fate, why, apply->request->data);
}

/* ---- select ---- */

static bool needed_by_others(const struct change *change)
{
	return S_ISDIR(change->mode) &&
	       (change->kind == CHANGES_ADDED || change->kind == CHANGES_TYPE);
}

/* The directories above path that the run made. */
static void select_above(struct apply *apply, const char *path)
{
	struct changes *changes = apply->changes;
	char up[CEIL_PATH];

	snprintf(up, sizeof(up), "%s", path);
	for (char *slash; (slash = strrchr(up, '/'));) {
		size_t i;

		*slash = '\0';
		i = changes_find(changes, up);
		if (i < changes->n && strcmp(changes->list[i].path, up) == 0 &&
		    needed_by_others(&changes->list[i]))
			apply->items[i].selected = true;
	}
}

static int select_path(struct apply *apply, const char *path)
{
	struct changes *changes = apply->changes;
	size_t len = strlen(path), n = 0;

	for (size_t i = 0; i < changes->n; i++) {
		const char *one = changes->list[i].path;

		if (len && (strncmp(one, path, len) != 0 || (one[len] && one[len] != '/')))
			continue;
		apply->items[i].selected = true;
		n++;
	}
	if (n == 0)
		return err_set(apply->err, ENOENT, "apply", "the run changed nothing at %s", path);
	select_above(apply, path);
	return 0;
}

static int apply_select(struct apply *apply)
{
	int r = 0;

	for (size_t i = 0; i < apply->changes->n; i++) {
		apply->items[i].change = &apply->changes->list[i];
		apply->items[i].selected = apply->request->n_paths == 0;
	}
	for (size_t i = 0; r == 0 && i < apply->request->n_paths; i++)
		r = select_path(apply, apply->request->paths[i]);
	return r;
}

/* ---- check ---- */

static bool above_is_ours(const struct changes *changes, const char *path)
{
	const char *name;
	_cleanup_close_ int parent = changes_host_parent(changes, path, &name);
	struct stat st;

	return parent < 0 || fstat(parent, &st) < 0 || !changes_is_foreign(changes, &st);
}

static void apply_check_one(struct apply *apply, struct apply_item *item)
{
	enum changes_refusal refusal = item->change->refusal;
	const char *why = changes_refusal_texts[refusal];
	bool forced = apply->request->force && refusal < CHANGES_SPECIAL;

	item->above_is_ours = above_is_ours(apply->changes, item->change->path);
	if (refusal == CHANGES_FINE || forced)
		return;
	item->selected = false;
	apply_tell(apply, item,
		   refusal == CHANGES_CONFLICT || refusal == CHANGES_GONE ? APPLY_CONFLICT
									  : APPLY_LEFT,
		   why);
}

static void apply_check(struct apply *apply)
{
	struct changes *changes = apply->changes;
	struct stat st;

	apply->top_is_ours = fstat(changes->dir, &st) == 0 && !changes_is_foreign(changes, &st);
	for (size_t i = 0; i < changes->n; i++)
		if (apply->items[i].selected)
			apply_check_one(apply, &apply->items[i]);
}

/* Whether what is there now is what the list was made from. */
static bool is_as_listed(const struct changes *changes, const struct change *change)
{
	struct stat st;
	int r = changes_host_stat(changes, change->path, &st);

	if (r < 0)
		return !change->old_mode;
	if (S_ISDIR(st.st_mode)) /* its ctime may be the staging's doing; rmdir(2) checks more */
		return (change->old_mode & S_IFMT) == S_IFDIR;
	return change->old_mode == st.st_mode && !changes_is_foreign(changes, &st);
}

static void apply_check_again(struct apply *apply)
{
	for (size_t i = 0; !apply->request->force && i < apply->changes->n; i++) {
		struct apply_item *item = &apply->items[i];

		if (item->selected && !is_as_listed(apply->changes, item->change))
			apply_tell(apply, item, APPLY_CONFLICT,
				   changes_refusal_texts[CHANGES_CONFLICT]);
	}
}

/* ---- begin ---- */

static int apply_begin(struct apply *apply)
{
	struct changes *changes = apply->changes;
	int r = 0;

	changes_as_own(changes);
	if (fs_replace_file(changes->base, CHANGES_APPLYING, "", 0, 0600) < 0 ||
	    fsync(changes->base) < 0)
		r = -errno;
	changes_as_host(changes);
	if (r == 0)
		r = fs_remove_tree(changes->dir, changes->stage);
	if (r == 0 && mkdirat(changes->dir, changes->stage, 0700) < 0)
		r = -errno;
	if (r == 0)
		apply->stage = changes_host_open(changes, changes->stage,
						 O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (r == 0 && apply->stage < 0)
		r = apply->stage;
	return r < 0 ? err_errno(apply->err, -r, "apply", "cannot begin in %s", changes->meta.dir)
		     : 0;
}

/* ---- remember ---- */

static int remember_one(struct changes *changes, const struct apply_item *item)
{
	const struct change *change = item->change;
	const char *name;
	_cleanup_close_ int parent = changes_host_parent(changes, change->path, &name);
	struct stat st;
	int r = 0;

	if (parent < 0)
		return 0;
	if (item->done && change->mode && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (!item->staged ||
	     (st.st_ino == item->ino && changes_ns(&st.st_mtim) == item->mtime_ns)))
		r = changes_known_add(changes, &st);
	if (r == 0 && item->above_is_ours && fstat(parent, &st) == 0)
		r = changes_known_add(changes, &st);
	return r;
}

/* The stage goes first: it, too, changed the ctime of DIR. */
static int apply_remember(struct apply *apply)
{
	struct changes *changes = apply->changes;
	int r = fs_remove_tree(changes->dir, changes->stage);
	struct stat st;

	for (size_t i = 0; r == 0 && i < changes->n; i++)
		if (apply->items[i].done || apply->items[i].above_is_ours)
			r = remember_one(changes, &apply->items[i]);
	if (r == 0 && apply->top_is_ours && fstat(changes->dir, &st) == 0)
		r = changes_known_add(changes, &st);
	return r < 0 ? r : changes_known_save(changes);
}

static int apply_end(struct apply *apply)
{
	struct changes *changes = apply->changes;
	int r = apply_remember(apply);

	if (r == 0) {
		changes_as_own(changes);
		r = unlinkat(changes->base, CHANGES_APPLYING, 0) < 0 ? -errno : 0;
		changes_as_host(changes);
	}
	return r < 0 ? err_errno(apply->err, -r, "apply",
				 "applied, but cannot remember it; call creel apply again")
		     : 0;
}

/* The changes that are left, in the same list. */
static void apply_drop_done(struct apply *apply)
{
	struct changes *changes = apply->changes;
	size_t n = 0;

	for (size_t i = 0; i < changes->n; i++) {
		if (apply->items[i].done) {
			apply_tell(apply, &apply->items[i], APPLY_DONE, NULL);
			change_done(&changes->list[i]);
		} else {
			changes->list[n++] = changes->list[i];
		}
	}
	changes->n = n;
}

static int apply_commit(struct apply *apply)
{
	struct changes *changes = apply->changes;
	int r;

	for (int pass = 0; pass < 3; pass++)
		apply_pass(apply, pass);
	if (syncfs(changes->dir) < 0)
		return err_errno(apply->err, errno, "apply",
				 "cannot sync %s; call creel apply again", changes->meta.dir);
	r = apply_end(apply);
	if (r < 0)
		return r;
	apply_drop_done(apply);
	r = changes_settle(changes);
	return r < 0 ? err_errno(apply->err, -r, "apply",
				 "applied, but cannot remove it from the kept changes")
		     : 0;
}

static void apply_would(struct apply *apply)
{
	for (size_t i = 0; i < apply->changes->n; i++)
		if (apply->items[i].selected)
			apply_tell(apply, &apply->items[i], APPLY_DONE, NULL);
}

static int apply_all(struct apply *apply)
{
	int r = apply_select(apply);

	if (r < 0)
		return r;
	apply_check(apply);
	if (apply->result->conflicts)
		return 0;
	if (apply->request->dry_run) {
		apply_would(apply);
		return 0;
	}
	r = apply_room(apply);
	if (r == 0)
		r = apply_begin(apply);
	if (r == 0)
		r = apply_stage(apply);
	if (r == 0)
		apply_check_again(apply);
	if (r == 0 && !apply->result->conflicts)
		return apply_commit(apply);
	/* The first error is the one to tell. */
	if (apply->stage >= 0)
		(void)!apply_end(&(struct apply){.changes = apply->changes,
						 .items = apply->items,
						 .top_is_ours = apply->top_is_ours});
	return r;
}

int apply_changes(struct changes *changes, const struct apply_request *request,
		  struct apply_result *ret_result, struct err *err)
{
	struct apply_result result = {0};
	struct apply apply = {.changes = changes,
			      .request = request,
			      .result = &result,
			      .stage = -EBADF,
			      .err = err};
	int r;

	apply.items = calloc(changes->n + 1, sizeof(*apply.items));
	if (!apply.items)
		return err_errno(err, ENOMEM, "apply", "cannot apply %zu changes", changes->n);
	r = apply_all(&apply);
	free(apply.items);
	fd_close(apply.stage);
	if (r == 0)
		*ret_result = result;
	return r;
}

int apply_abandon(int base, const struct changes_ids *host, struct err *err)
{
	struct changes_meta meta;
	struct changes_ids own = {geteuid(), getegid()};
	struct changes ids = {.own = own};
	char stage[sizeof(ids.stage)];
	int r;

	if (faccessat(base, CHANGES_APPLYING, F_OK, 0) < 0)
		return 0;
	r = changes_read_meta(base, &meta, err);
	if (r < 0)
		return r;
	snprintf(stage, sizeof(stage), ".creel-apply-%s", meta.run);
	ids.host = host ? *host : (struct changes_ids){meta.uid, meta.gid};
	changes_as_host(&ids);
	ids.dir = open(meta.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = ids.dir < 0 ? -errno : fs_remove_tree(ids.dir, stage);
	fd_close(ids.dir);
	changes_as_own(&ids);
	return r < 0 && r != -ENOENT
		       ? err_errno(err, -r, "apply", "cannot remove %s/%s", meta.dir, stage)
		       : 0;
}
