/* SPDX-License-Identifier: Apache-2.0 */
/* keeper.c: see keeper.h. */
#include "keeper.h"

#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "io.h"
#include "jsonw.h"
#include "sha.h"
#include "tree.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* One writable part of the sandbox's tree. */
struct keeper_part {
	const char *prefix; /* where it is inside */
	bool in_layer;
	int fd, lower_fd; /* lower: of the overlay whose upper layer it is, or -1 */
	struct tree before;
};

struct keeper_work {
	const struct sandbox *sandbox;
	struct keeper_part parts[5];
	size_t n_parts;
	bool want_changes;
	/* while changes are told: */
	const struct keeper_part *part;
	struct jsonw json;
	size_t listed;
	uint64_t hash_left;
	int out_fd;
	uid_t out_owner;
	gid_t out_group;
	struct keeper_result result;
};

/*
 * Through a mount with mapped ids the host's root may have none, and could make no file: they are
 * made as the owner of the directory, with root's capabilities. NULL: as root again.
 */
static void keeper_make_as(const struct sandbox *sandbox, const struct stat *owner)
{
	if (sandbox->idmap.rootless ||
	    prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
		return;
	setfsgid(owner ? owner->st_gid : 0);
	setfsuid(owner ? owner->st_uid : 0);
}

static int keeper_fill(const struct sandbox *sandbox, struct err *err)
{
	const struct sandbox_spec *spec = sandbox->spec;
	_cleanup_close_ int workspace = -EBADF, script = -EBADF;
	char path[64];
	struct stat st;
	int r = 0;

	if (!spec->n_in && !spec->script)
		return 0;
	/* As it is mounted: whatever is behind it, owners are mapped and an overlay copies. */
	snprintf(path, sizeof(path), "/proc/%d/root/workspace", (int)sandbox->cell.pid);
	workspace = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (workspace < 0 || fstat(workspace, &st) < 0)
		return err_errno(err, errno, "keeper", "cannot open the workspace");
	keeper_make_as(sandbox, &st);
	for (size_t i = 0; r == 0 && i < spec->n_in; i++) {
		const char *slash = strrchr(spec->in[i], '/');

		r = tree_copy_in(spec->in[i], workspace, slash ? slash + 1 : spec->in[i], st.st_uid,
				 st.st_gid, err);
	}
	if (r == 0 && spec->script) {
		script = openat(sandbox->layer_fd, "script", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = script < 0 || fstat(script, &st) < 0
			    ? err_errno(err, errno, "keeper", "cannot open the script directory")
			    : tree_copy_in(spec->script, script, spec->script_name, st.st_uid,
					   st.st_gid, err);
	}
	keeper_make_as(sandbox, NULL);
	return r;
}

/* A list of changes has an end; looking at more files than that takes long and is in no limit. */
static struct tree keeper_tree(const struct keeper_work *work)
{
	return (struct tree){.userxattr = work->sandbox->idmap.rootless, .most = CEIL_LOOKED};
}

/* fd may be -1: this sandbox has no such part. */
static struct keeper_part *keeper_add_part(struct keeper_work *work, const char *prefix, int fd,
					   int lower_fd)
{
	struct keeper_part *part = &work->parts[work->n_parts];

	*part = (struct keeper_part){
		.prefix = prefix, .fd = fd, .lower_fd = lower_fd, .before = keeper_tree(work)};
	if (fd >= 0)
		work->n_parts++;
	return part;
}

static int keeper_open(int dirfd, const char *name)
{
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void keeper_add_upper(struct keeper_work *work, const char *prefix, const char *upper,
			     const char *lower)
{
	keeper_add_part(work, prefix, keeper_open(work->sandbox->layer_fd, upper),
			open(lower, O_PATH | O_DIRECTORY | O_CLOEXEC))
		->in_layer = true;
}

static void keeper_add_parts(struct keeper_work *work)
{
	const struct sandbox *sandbox = work->sandbox;
	const struct sandbox_spec *spec = sandbox->spec;
	const struct place *agent = &sandbox->places.of[PLACE_AGENT];
	int workspace = fcntl(sandbox->workspace_fd, F_DUPFD_CLOEXEC, 0);
	char image[800];

	if (spec->keeps.overlay)
		keeper_add_part(work, "/workspace",
				keeper_open(sandbox->places.of[PLACE_OVERLAY].fd, "upper"),
				workspace);
	else if (workspace >= 0)
		keeper_add_part(work, "/workspace", workspace, -1);
	else
		keeper_add_part(work, "/workspace", keeper_open(sandbox->layer_fd, "workspace"), -1)
			->in_layer = true;
	keeper_add_part(work, sandbox_home(spec),
			keeper_open(agent->fd, spec->as_root ? "root" : "home"), -1);
	snprintf(image, sizeof(image), "%s/images/host/root", sandbox->state->data);
	keeper_add_upper(work, "", "upper", spec->image ? spec->image->root : image);
	if (spec->as_root && !spec->image) {
		keeper_add_upper(work, "/usr", "usr-upper", "/usr");
		keeper_add_upper(work, "/var/lib/dpkg", "dpkg-upper", "/var/lib/dpkg");
	}
}

static int keeper_look(struct keeper_work *work, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < work->n_parts; i++)
		r = tree_scan(work->parts[i].fd, &work->parts[i].before);
	return r < 0 ? err_errno(err, -r, "keeper", "cannot look at the files") : 0;
}

static bool keeper_is_empty(int dirfd, const char *name)
{
	_cleanup_close_ int fd = keeper_open(dirfd, name);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fs_opendir(fd);

	if (fd < 0)
		return errno == ENOENT;
	errno = 0;
	return dir && !fs_next(dir) && errno == 0;
}

bool keeper_is_early(const struct sandbox_spec *spec)
{
	const struct sandbox_keeps *keeps = &spec->keeps;

	return spec->n_in || spec->script || spec->workspace || keeps->agent || keeps->workspace ||
	       keeps->layer || keeps->overlay;
}

bool keeper_sees_nothing(const struct sandbox *sandbox)
{
	static const char *const dirs[] = {"workspace", "upper", "usr-upper", "dpkg-upper"};

	for (size_t i = 0; i < ELEMENTSOF(dirs); i++)
		if (!keeper_is_empty(sandbox->layer_fd, dirs[i]))
			return false;
	return true;
}

static void keeper_list(struct keeper_work *work, const struct tree_change *change)
{
	static const char *const kinds[] = {"added", "modified", "deleted"};
	const struct tree_entry *entry = change->entry;
	_cleanup_close_ int fd = -EBADF;
	char path[CEIL_PATH + 64], hash[SHA_HEX + 1];

	snprintf(path, sizeof(path), "%s/%s", work->part->prefix, change->path);
	/* A byte of a name takes six of JSON at most. */
	if (work->listed++ >= CEIL_CHANGES || work->json.out->len > CEIL_RUN_LIST - 8 * CEIL_PATH) {
		work->result.truncated = true;
		return;
	}
	jsonw_object(&work->json, NULL);
	jsonw_string(&work->json, "path", path);
	jsonw_string(&work->json, "kind", kinds[change->kind]);
	if (entry)
		jsonw_u64(&work->json, "size", S_ISDIR(entry->mode) ? 0 : entry->size);
	else
		jsonw_null(&work->json, "size");
	if (entry && S_ISREG(entry->mode))
		fd = fs_open_beneath(work->part->fd, change->path,
				     O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (sha_file_hex(fd, &work->hash_left, hash))
		jsonw_string(&work->json, "sha256", hash);
	else
		jsonw_null(&work->json, "sha256");
	jsonw_object_end(&work->json);
}

static int keeper_copy(struct keeper_work *work, const struct tree_change *change)
{
	struct keeper_result *result = &work->result;
	int r = tree_copy_out(work->part->fd, work->out_fd, change->entry, work->out_owner,
			      work->out_group);

	if (r > 0)
		result->skipped++;
	else if (r < 0 && result->r == 0)
		result->r = err_errno(&result->err, -r, "keeper",
				      "--out: cannot copy /workspace/%s", change->path);
	return 0;
}

static bool keeper_goes_out(const struct keeper_work *work)
{
	return work->out_fd >= 0 && strcmp(work->part->prefix, "/workspace") == 0;
}

static int keeper_change(const struct tree_change *change, void *data)
{
	struct keeper_work *work = data;

	if (work->want_changes)
		keeper_list(work, change);
	if (keeper_goes_out(work) && change->entry)
		return keeper_copy(work, change);
	return 0;
}

static void keeper_tell(struct keeper_work *work, int conn)
{
	struct buf text = BUF_INIT(CEIL_RUN_LIST);
	struct stat st;
	int r = 0;

	if (work->out_fd >= 0 && fstat(work->out_fd, &st) == 0) {
		work->out_owner = work->sandbox->idmap.rootless ? (uid_t)-1 : st.st_uid;
		work->out_group = work->sandbox->idmap.rootless ? (gid_t)-1 : st.st_gid;
	}
	jsonw_init(&work->json, &text);
	jsonw_array(&work->json, NULL);
	for (size_t i = 0; r == 0 && i < work->n_parts; i++) {
		struct tree now = keeper_tree(work);

		work->part = &work->parts[i];
		r = tree_scan(work->part->fd, &now);
		if (r == 0)
			r = tree_diff(&work->part->before, &now, work->part->lower_fd,
				      keeper_change, work);
		work->result.truncated |= now.truncated;
		if (now.truncated && keeper_goes_out(work) && work->result.r == 0)
			work->result.r = err_set(&work->result.err, EOVERFLOW, "keeper",
						 "--out: not everything was copied: /workspace has "
						 "more than %u files or %u directories below each "
						 "other",
						 CEIL_LOOKED, CEIL_TREE_DEPTH);
		if (work->part->in_layer)
			work->result.disk_bytes += now.bytes;
		tree_done(&now);
	}
	jsonw_array_end(&work->json);
	if (r == 0)
		r = jsonw_done(&work->json);
	if (r < 0 && work->result.r == 0)
		work->result.r =
			err_errno(&work->result.err, -r, "keeper", "cannot tell the changes");
	work->result.json_len = (uint32_t)text.len;
	if (io_write_full(conn, &work->result, sizeof(work->result)) == 0 &&
	    io_write_full(conn, text.data, text.len) < 0)
		_exit(1);
}

/*
 * What the parent had open is not the keeper's to hold: a pipe of the caller would have no end for
 * as long as the run lasts.
 */
static void keeper_let_go(const struct keeper_work *work, int conn)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	for (int fd = 3; fd < 256; fd++) {
		bool mine = fd == conn;

		for (size_t i = 0; i < work->n_parts; i++)
			mine |= fd == work->parts[i].fd || fd == work->parts[i].lower_fd;
		if (!mine)
			close(fd);
	}
	close_range(256, ~0u, 0);
}

static _Noreturn void keeper_main(const struct sandbox *sandbox, bool look, bool want_changes,
				  int conn, pid_t parent)
{
	static struct keeper_work work;
	struct keeper_result *result = &work.result;
	size_t n_fds = 0;
	char byte;

	work = (struct keeper_work){.sandbox = sandbox,
				    .want_changes = want_changes,
				    .out_fd = -1,
				    .hash_left = CEIL_HASHED};
	if (sandbox->idmap.rootless && setns(sandbox->userns_fd, CLONE_NEWUSER) < 0)
		result->r =
			err_errno(&result->err, errno, "keeper", "cannot enter the user namespace");
	idmap_die_with(parent);
	if (result->r == 0)
		result->r = keeper_fill(sandbox, &result->err);
	keeper_add_parts(&work);
	keeper_let_go(&work, conn);
	/* In a fresh layer there was nothing before. */
	if (result->r == 0 && look && keeper_is_early(sandbox->spec))
		result->r = keeper_look(&work, &result->err);
	if (io_write_full(conn, result, sizeof(*result)) < 0 || result->r < 0 || !look)
		_exit(1);
	if (io_recv_fds(conn, &byte, 1, &work.out_fd, 1, &n_fds) < 0)
		_exit(1);
	keeper_tell(&work, conn);
	_exit(0);
}

int keeper_start(const struct sandbox *sandbox, bool look, bool want_changes,
		 struct keeper *ret_keeper, struct err *err)
{
	struct keeper keeper = KEEPER_INIT;
	pid_t parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "keeper", "socketpair");
	keeper.conn = pair[0];
	keeper.pid = fork();
	if (keeper.pid == 0) {
		fd_close(pair[0]);
		keeper_main(sandbox, look, want_changes, pair[1], parent);
	}
	fd_close(pair[1]);
	if (keeper.pid < 0) {
		keeper_done(&keeper);
		return err_errno(err, errno, "keeper", "cannot create a process");
	}
	*ret_keeper = keeper;
	return 0;
}

int keeper_ready(struct keeper *keeper, struct err *err)
{
	struct keeper_result result;

	if (io_read_full(keeper->conn, &result, sizeof(result)) < 0)
		return err_set(err, EPIPE, "keeper", "the helper process died");
	if (result.r < 0 && err)
		*err = result.err;
	return (int)result.r;
}

int keeper_ask(struct keeper *keeper, int out_fd, struct err *err)
{
	int r = io_send_fds(keeper->conn, "F", 1, &out_fd, out_fd >= 0);

	return r < 0 ? err_errno(err, -r, "keeper", "the helper process died") : 0;
}

int keeper_finish(struct keeper *keeper, struct buf *json, struct keeper_result *ret,
		  struct err *err)
{
	char *room;
	int r = io_read_full(keeper->conn, ret, sizeof(*ret));

	if (r == 0)
		r = buf_reserve(json, ret->json_len, &room);
	if (r == 0 && ret->json_len) {
		r = io_read_full(keeper->conn, room, ret->json_len);
		if (r == 0)
			json->len += ret->json_len;
		json->data[json->len] = '\0';
	}
	return r < 0 ? err_errno(err, -r, "keeper", "cannot tell what changed") : 0;
}

void keeper_done(struct keeper *keeper)
{
	fd_close(keeper->conn);
	if (keeper->pid > 0) {
		kill(keeper->pid, SIGKILL);
		while (waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	*keeper = KEEPER_INIT;
}
