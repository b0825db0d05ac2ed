/* SPDX-License-Identifier: Apache-2.0 */
/*
 * places.c: see places.h. Who owns a directory on disk is checked each time it is used: what has
 * other ids than it would have been given is somebody else's, or from other subordinate ids.
 */
#include "places.h"

#include "ceilings.h"
#include "changes.h"
#include "err.h"
#include "fs.h"
#include "io.h"
#include "pool.h"
#include "sandbox.h"
#include "tree.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <time.h>

/* A write is refused before the last bytes are used: metadata comes in blocks. */
#define PLACE_FULL_BYTES (256u << 10)

bool place_is_there(const struct places *places, enum place_kind kind)
{
	return places->of[kind].path[0] != '\0';
}

/* Which directories this run has, by their names below the pool or DATA. */
static void places_name(struct sandbox *sandbox)
{
	const struct sandbox_keeps *keeps = &sandbox->spec->keeps;
	const char *id = sandbox->live.id, *org = keeps->org;
	struct place *of = sandbox->places.of;

	if (keeps->layer)
		snprintf(of[PLACE_LAYER].name, sizeof(of->name), "kept/%s/%s", org, keeps->layer);
	else if (sandbox->layer_is_directory)
		snprintf(of[PLACE_LAYER].name, sizeof(of->name), "layers/%s", id);
	if (keeps->agent)
		snprintf(of[PLACE_AGENT].name, sizeof(of->name), "agents/%s/%s", org, keeps->agent);
	if (keeps->workspace)
		snprintf(of[PLACE_WORKSPACE].name, sizeof(of->name), "workspaces/%s/%s", org,
			 keeps->workspace);
	if (keeps->overlay)
		snprintf(of[PLACE_OVERLAY].name, sizeof(of->name), "overlays/%s/%s", org,
			 keeps->overlay_id ? keeps->overlay_id : id);
}

/* Everything lies in the pool or nothing does: a run must find what the one before has kept. */
static int places_pool(const struct state *state, struct pool **ret_pool, struct err *err)
{
	char image[512];
	int r;

	if (!state->root)
		return 0;
	r = pool_open(state->data, state->run, ret_pool, err);
	if (r != -EOPNOTSUPP)
		return r;
	snprintf(image, sizeof(image), "%s/pool.img", state->data);
	return access(image, F_OK) == 0 ? err_wrap(err, "what was kept is in %s", image) : 0;
}

int places_find_overlay(const struct state *state, const struct sandbox_keeps *keeps, char *ret,
			size_t size, struct err *err)
{
	_cleanup_pool_ struct pool *pool = NULL;
	_cleanup_close_ int fd = -EBADF;
	struct changes_meta meta;
	char path[900];
	int r = places_pool(state, &pool, err);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/overlays/%s/%s", pool ? pool_path(pool) : state->data,
		 keeps->org, keeps->overlay_id);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ENOENT, "places",
			       "there are no changes of a run %s; creel diff lists what there is",
			       keeps->overlay_id);
	r = changes_read_meta(fd, &meta, err);
	if (r < 0)
		return r;
	if (strcmp(meta.agent, keeps->owner ? keeps->owner : "") != 0)
		return err_set(err, EPERM, "places", "the changes of %s are another agent's",
			       keeps->overlay_id);
	snprintf(ret, size, "%s", meta.dir);
	return 0;
}

/* Made if it is missing. In the pool it has a limit at once. */
static int place_directory(struct sandbox *sandbox, struct place *place, struct err *err)
{
	struct pool *pool = sandbox->places.pool;

	snprintf(place->path, sizeof(place->path), "%s/%s",
		 pool ? pool_path(pool) : sandbox->state->data, place->name);
	if (!pool)
		return fs_mkdirs(place->path, 0700, err);
	return access(place->path, F_OK) == 0
		       ? 0
		       : pool_subvolume(pool, place->name, place->limit, err);
}

/*
 * The limit is the subvolume's and holds for all who use it: only who uses it alone may change it.
 */
static int place_limit(struct sandbox *sandbox, const struct place *place, bool alone,
		       struct err *err)
{
	struct pool *pool = sandbox->places.pool;
	struct pool_usage usage;
	int r;

	if (!pool)
		return 0;
	if (alone)
		return pool_subvolume(pool, place->name, place->limit, err);
	if (!sandbox->spec->limits->of[LIMIT_DISK].named)
		return 0;
	r = pool_usage(pool, place->name, &usage, err);
	if (r < 0 || usage.limit == place->limit)
		return r;
	return err_set(err, EBUSY, "places",
		       "%s is in use by another run with --disk %" PRIu64 "M: wait for it, or use "
		       "the same",
		       strrchr(place->name, '/') + 1, usage.limit >> 20);
}

static const char *place_what(enum place_kind kind)
{
	static const char *const what[] = {"the layer", "the agent's files", "the workspace",
					   "the overlay"};

	return what[kind];
}

/* Its name is this run's alone: nobody else can have given it another limit. */
static bool place_is_new(const struct sandbox_keeps *keeps, enum place_kind kind)
{
	return (kind == PLACE_LAYER && !keeps->layer) ||
	       (kind == PLACE_OVERLAY && !keeps->overlay_id);
}

static int place_open(struct sandbox *sandbox, enum place_kind kind, struct err *err)
{
	struct place *place = &sandbox->places.of[kind];
	const struct limit *disk = &sandbox->spec->limits->of[LIMIT_DISK];
	/* A layer and an overlay have one mount that writes to them (overlayfs.rst). */
	bool alone = kind == PLACE_LAYER || kind == PLACE_OVERLAY;
	struct stat st;
	bool only;
	int r;

	if (!*place->name)
		return 0;
	place->limit = disk->named || kind == PLACE_LAYER ? disk->value : PLACE_BYTES;
	r = place_directory(sandbox, place, err);
	if (r < 0)
		return r;
	place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (place->fd < 0 || fstat(place->fd, &st) < 0)
		return err_errno(err, errno, "places", "cannot open %s", place->path);
	if (st.st_uid != geteuid())
		return err_set(err, EPERM, "places", "%s belongs to uid %u, not to you: not used",
			       place->path, st.st_uid);
	/* When it was used last. */
	if (futimens(place->fd, NULL) < 0)
		return err_errno(err, errno, "places", "%s", place->path);
	only = flock(place->fd, LOCK_EX | LOCK_NB) == 0;
	/* Whoever has it for itself has so for a moment, or forever if it is for one run alone. */
	if (!only && (alone || flock(place->fd, LOCK_SH) < 0))
		return err_set(err, EBUSY, "places", "%s %s is in use by another run; wait for it",
			       place_what(kind), strrchr(place->name, '/') + 1);
	/* A limit that is just given cannot be read back before the next commit of the pool. */
	if (!place_is_new(&sandbox->spec->keeps, kind))
		r = place_limit(sandbox, place, only, err);
	if (r == 0 && only && !alone && flock(place->fd, LOCK_SH) < 0)
		r = err_errno(err, errno, "places", "%s", place->path);
	return r;
}

/* The owner on disk of what `inside` owns in the sandbox. */
static uid_t place_owner(const struct sandbox *sandbox, uint32_t inside)
{
	const struct idmap *map = &sandbox->idmap;

	if (!map->rootless)
		return inside; /* mounted with the sandbox's ids */
	return inside == 0 ? idmap_root(map) : idmap_user(map);
}

struct place_job {
	int dirfd;
	const char *name;
};

static int place_mkdir_fn(void *data, struct err *err)
{
	const struct place_job *job = data;

	return mkdirat(job->dirfd, job->name, 0700) < 0 && errno != EEXIST
		       ? err_errno(err, errno, "places", "cannot make %s", job->name)
		       : 0;
}

static int place_make_part(struct sandbox *sandbox, struct place_job *job, uid_t owner,
			   struct err *err)
{
	/* Only inside a user namespace can this caller make files of other ids. */
	if (sandbox->idmap.rootless && owner != geteuid())
		return idmap_run(&sandbox->idmap, -1, place_mkdir_fn, job, err);
	return place_mkdir_fn(job, err);
}

/*
 * What a run did to the directory itself must not close it to the next: it lies below one that only
 * creel enters, and so its owner and the owner's rights are creel's to say. Rootless another owner
 * cannot be undone; it comes from other subordinate ids.
 */
static int place_own_part(struct sandbox *sandbox, const struct place *place, const char *name,
			  uid_t owner, struct err *err)
{
	struct stat st;

	if (fstatat(place->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, errno, "places", "cannot use %s/%s", place->path, name);
	if (!S_ISDIR(st.st_mode))
		return err_errno(err, ENOTDIR, "places", "cannot use %s/%s", place->path, name);
	if (st.st_uid != owner && sandbox->idmap.rootless)
		return err_set(err, EPERM, "places",
			       "%s/%s belongs to uid %u and would have to belong to %u: was it "
			       "made with other ids (/etc/subuid, --root with a single id)?",
			       place->path, name, st.st_uid, owner);
	if (st.st_uid != owner && fchownat(place->fd, name, owner, owner, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, errno, "places", "cannot own %s/%s", place->path, name);
	if ((st.st_mode & 0700) != 0700 && owner == (sandbox->idmap.rootless ? geteuid() : owner) &&
	    fchmodat(place->fd, name, (st.st_mode & 0777) | 0700, 0) < 0)
		return err_errno(err, errno, "places", "cannot open %s/%s", place->path, name);
	return 0;
}

/* A directory that is shown inside, of this owner there; *ret_fd may be NULL. */
static int place_part(struct sandbox *sandbox, enum place_kind kind, const char *name,
		      uint32_t inside, int *ret_fd, struct err *err)
{
	const struct place *place = &sandbox->places.of[kind];
	struct place_job job = {place->fd, name};
	uid_t owner = place_owner(sandbox, inside);
	int r = 0, fd;

	if (faccessat(place->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		r = place_make_part(sandbox, &job, owner, err);
	if (r == 0)
		r = place_own_part(sandbox, place, name, owner, err);
	if (r < 0 || !ret_fd)
		return r;
	fd = openat(place->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "places", "cannot open %s/%s", place->path, name);
	*ret_fd = fd;
	return 0;
}

bool places_full(const struct places *places)
{
	struct pool_usage usage;

	for (enum place_kind i = 0; places->pool && i < PLACE_MAX; i++)
		if (place_is_there(places, i) &&
		    pool_usage(places->pool, places->of[i].name, &usage, NULL) == 0 &&
		    usage.limit && usage.referenced + PLACE_FULL_BYTES >= usage.limit)
			return true;
	return false;
}

bool places_watched(const struct places *places)
{
	for (enum place_kind i = 0; !places->pool && i < PLACE_MAX; i++)
		if (place_is_there(places, i))
			return true;
	return false;
}

static int places_agent(struct sandbox *sandbox, struct err *err)
{
	uint32_t user = sandbox->idmap.single ? sandbox->idmap.root_inside : IDMAP_USER;
	bool root = sandbox->spec->as_root;
	int r;

	if (!place_is_there(&sandbox->places, PLACE_AGENT))
		return 0;
	r = place_part(sandbox, PLACE_AGENT, root ? "root" : "home", root ? 0 : user, NULL, err);
	/* --workspace and --overlay take its place. */
	if (r == 0 && !sandbox->spec->workspace && !sandbox->spec->keeps.workspace &&
	    !sandbox->spec->keeps.overlay)
		r = place_part(sandbox, PLACE_AGENT, "workspace", user, &sandbox->workspace_fd,
			       err);
	return r;
}

static const char *place_owner_name(const struct sandbox_keeps *keeps)
{
	return keeps->owner ? keeps->owner : "";
}

/* What was written over one image has no meaning over another, and is of the agent who wrote it. */
static int places_layer(struct sandbox *sandbox, struct err *err)
{
	const struct sandbox_spec *spec = sandbox->spec;
	const struct place *place = &sandbox->places.of[PLACE_LAYER];
	const char *image = spec->image ? spec->image->digest : "host", *owner;
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_PATH);
	char made[300];
	int r;

	if (!spec->keeps.layer)
		return 0;
	snprintf(made, sizeof(made), "%s\n%s", image, place_owner_name(&spec->keeps));
	r = io_read_file(place->fd, "made", &text);
	if (r == -ENOENT)
		r = fs_replace_file(place->fd, "made", made, strlen(made), 0600);
	if (r < 0)
		return err_errno(err, -r, "places", "%s/made", place->path);
	if (!text.data || strcmp(text.data, made) == 0)
		return 0;
	owner = text.data + strcspn(text.data, "\n") + 1;
	if (strcmp(owner, place_owner_name(&spec->keeps)) != 0)
		return err_set(err, EPERM, "places", "--keep %s is another agent's",
			       spec->keeps.layer);
	return err_set(err, EINVAL, "places",
		       "--keep %s was made over the image %.*s, not %s: name that one, or another "
		       "layer",
		       spec->keeps.layer, (int)strcspn(text.data, "\n"), text.data, image);
}

static int places_workspace(struct sandbox *sandbox, struct err *err)
{
	uint32_t user = sandbox->idmap.single ? sandbox->idmap.root_inside : IDMAP_USER;

	if (!sandbox->spec->keeps.workspace)
		return 0;
	return place_part(sandbox, PLACE_WORKSPACE, "files", user, &sandbox->workspace_fd, err);
}

static int places_new_overlay(struct sandbox *sandbox, const struct place *place, struct err *err)
{
	const struct sandbox_keeps *keeps = &sandbox->spec->keeps;
	struct changes_meta meta = {.userxattr = sandbox->idmap.rootless};
	int r;

	snprintf(meta.dir, sizeof(meta.dir), "%s", keeps->overlay);
	snprintf(meta.org, sizeof(meta.org), "%s", keeps->org);
	snprintf(meta.agent, sizeof(meta.agent), "%s", place_owner_name(keeps));
	snprintf(meta.run, sizeof(meta.run), "%s", sandbox->live.id);
	snprintf(meta.image, sizeof(meta.image), "%s",
		 sandbox->spec->image ? sandbox->spec->image->digest : "host");
	r = changes_create(place->fd, sandbox->workspace_fd, &meta, err);
	sandbox->places.changes_start_ns = meta.started_ns;
	return r;
}

/*
 * Its path leads there again: somebody else may have put another directory in its place, and its
 * owner would be mapped.
 */
static int places_same_project(struct sandbox *sandbox, const struct place *place, struct err *err)
{
	struct changes_meta meta;
	struct stat st;
	int r = changes_read_meta(place->fd, &meta, err);

	if (r < 0)
		return r;
	if (fstat(sandbox->workspace_fd, &st) < 0)
		return err_errno(err, errno, "places", "%s", meta.dir);
	if (st.st_dev != meta.dev || st.st_ino != meta.ino || st.st_uid != meta.uid ||
	    st.st_gid != meta.gid)
		return err_set(
			err, ESTALE, "places",
			"%s is not the directory any more that the run %s had: move it back, "
			"or begin anew with --overlay",
			meta.dir, meta.run);
	return 0;
}

/* The project's changes: what /workspace shows as its root has the project's mode and owner. */
static int places_overlay(struct sandbox *sandbox, struct err *err)
{
	const struct sandbox_spec *spec = sandbox->spec;
	const struct place *place = &sandbox->places.of[PLACE_OVERLAY];
	uint32_t user = sandbox->idmap.single ? sandbox->idmap.root_inside : IDMAP_USER;
	/* Rootless it stays the caller's, whom root inside overrides. */
	uid_t owner = sandbox->idmap.rootless ? geteuid()
					      : place_owner(sandbox, spec->as_root ? 0 : user);
	struct stat st;
	int r;

	if (!place_is_there(&sandbox->places, PLACE_OVERLAY))
		return 0;
	r = spec->keeps.overlay_id ? places_same_project(sandbox, place, err)
				   : places_new_overlay(sandbox, place, err);
	if (r < 0)
		return r;
	/* An earlier run may have closed or given away what it saw as /workspace. */
	r = place_own_part(sandbox, place, "upper", owner, err);
	if (r == 0 && (fstat(sandbox->workspace_fd, &st) < 0 ||
		       fchmodat(place->fd, "upper", st.st_mode & 0777, 0) < 0))
		r = err_errno(err, errno, "places", "cannot prepare %s/upper", place->path);
	return r;
}

int places_enter(struct sandbox *sandbox, struct err *err)
{
	struct places *places = &sandbox->places;
	bool any = false;
	int r;

	places_name(sandbox);
	for (size_t i = 0; i < PLACE_MAX; i++)
		any |= *places->of[i].name != '\0';
	r = any ? places_pool(sandbox->state, &places->pool, err) : 0;
	/* A sweep must know where the layer of a killed run is. */
	if (r == 0 && places->pool && dprintf(sandbox->live.fd, "pool\n") < 0)
		r = err_errno(err, errno, "places", "cannot write %s", sandbox->live.path);
	return r;
}

int places_open(struct sandbox *sandbox, struct err *err)
{
	int r = 0;

	for (enum place_kind i = 0; r == 0 && i < PLACE_MAX; i++)
		r = place_open(sandbox, i, err);
	if (r == 0)
		r = places_layer(sandbox, err);
	if (r == 0)
		r = places_agent(sandbox, err);
	if (r == 0)
		r = places_workspace(sandbox, err);
	return r == 0 ? places_overlay(sandbox, err) : r;
}

static bool place_is_empty(const struct place *place, const char *name)
{
	_cleanup_close_ int fd = openat(place->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fs_opendir(fd);

	errno = 0;
	return dir && !fs_next(dir) && errno == 0;
}

void places_overlay_id(const struct sandbox *sandbox, char *ret)
{
	const struct place *place = &sandbox->places.of[PLACE_OVERLAY];

	if (place_is_there(&sandbox->places, PLACE_OVERLAY) && !place_is_empty(place, "upper"))
		snprintf(ret, SANDBOX_ID_LEN + 1, "%s", strrchr(place->name, '/') + 1);
}

static int place_remove(struct sandbox *sandbox, const struct place *place, struct err *err)
{
	const char *slash = strrchr(place->name, '/');
	char kind[256];

	if (sandbox->places.pool)
		return pool_delete(sandbox->places.pool, place->name, err);
	snprintf(kind, sizeof(kind), "%.*s", (int)(slash - place->name), place->name);
	return idmap_remove_tree(sandbox->state, kind, slash + 1, err);
}

int places_close(struct sandbox *sandbox, struct err *err)
{
	struct places *places = &sandbox->places;
	const struct sandbox_keeps *keeps = &sandbox->spec->keeps;
	int r = 0;

	if (place_is_there(places, PLACE_LAYER) && !keeps->layer)
		r = place_remove(sandbox, &places->of[PLACE_LAYER], err);
	/* A new overlay in which nothing was changed is none. */
	if (r == 0 && place_is_there(places, PLACE_OVERLAY) && !keeps->overlay_id &&
	    place_is_empty(&places->of[PLACE_OVERLAY], "upper"))
		r = place_remove(sandbox, &places->of[PLACE_OVERLAY], err);
	for (size_t i = 0; i < PLACE_MAX; i++)
		places->of[i].fd = fd_close(places->of[i].fd);
	places->pool = pool_close(places->pool);
	return r;
}

/* An overlay that a killed run had not changed yet is none; one that it had is kept. */
static void places_sweep_overlay(struct pool *pool, const char *root, const char *id)
{
	_cleanup_closedir_ DIR *orgs = NULL;
	struct dirent *org;
	char path[900];

	snprintf(path, sizeof(path), "%s/overlays", root);
	orgs = opendir(path);
	while (orgs && (org = fs_next(orgs))) {
		struct place place;

		snprintf(place.name, sizeof(place.name), "overlays/%.100s/%s", org->d_name, id);
		snprintf(path, sizeof(path), "%s/%s", root, place.name);
		place.fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (place.fd >= 0 && place_is_empty(&place, "upper") &&
		    pool_delete(pool, place.name, NULL) < 0)
			errno = 0; /* creel diff lists it, and discard removes it */
		fd_close(place.fd);
	}
}

int places_sweep(const struct state *state, const char *id, struct err *err)
{
	struct pool *pool = NULL;
	char name[64];
	int r = pool_open(state->data, state->run, &pool, err);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "layers/%s", id);
	r = pool_delete(pool, name, err);
	places_sweep_overlay(pool, pool_path(pool), id);
	pool_close(pool);
	return r == -ENOENT ? 0 : r;
}
