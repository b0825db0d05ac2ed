/* SPDX-License-Identifier: Apache-2.0 */
/* keeper.c: see keeper.h. */
#include "keeper.h"

#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "io.h"
#include "json.h"
#include "tree.h"

#include <fcntl.h>
#include <signal.h>
#include <sodium/crypto_hash_sha256.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define KEEPER_HOLES_MAX (16u << 20)

/* One writable part of the sandbox's tree. */
struct keeper_part {
	const char *dir;    /* in the layer; NULL: the host's workspace */
	const char *prefix; /* where it is inside */
	char lower[512];    /* what it lies over, or "" */
	int fd, lower_fd;
	struct tree before;
};

struct keeper_work {
	const struct sandbox *sandbox;
	struct keeper_part parts[4];
	size_t n_parts;
	bool want_changes;
	/* while changes are told: */
	const struct keeper_part *part;
	struct json json;
	size_t listed;
	uint64_t hash_left;
	int out_fd;
	uid_t out_owner;
	gid_t out_group;
	struct keeper_result result;
};

static int keeper_fill(const struct sandbox *sandbox, struct err *err)
{
	const struct sandbox_spec *spec = sandbox->spec;
	_cleanup_close_ int workspace = -EBADF, script = -EBADF;
	struct stat st;
	int r = 0;

	workspace = spec->workspace ? fcntl(sandbox->workspace_fd, F_DUPFD_CLOEXEC, 0)
				    : openat(sandbox->layer_fd, "workspace",
					     O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (workspace < 0 || fstat(workspace, &st) < 0)
		return err_errno(err, errno, "keeper", "cannot open the workspace");
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
	return r;
}

static void keeper_add_part(struct keeper_work *work, const char *dir, const char *prefix,
			    const char *lower)
{
	struct keeper_part *part = &work->parts[work->n_parts];

	*part = (struct keeper_part){.dir = dir, .prefix = prefix, .lower_fd = -1};
	snprintf(part->lower, sizeof(part->lower), "%s", lower);
	part->fd = dir ? openat(work->sandbox->layer_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
		       : fcntl(work->sandbox->workspace_fd, F_DUPFD_CLOEXEC, 0);
	if (part->fd < 0)
		return;
	if (*lower)
		part->lower_fd = open(lower, O_PATH | O_DIRECTORY | O_CLOEXEC);
	work->n_parts++;
}

static int keeper_look(struct keeper_work *work, struct err *err)
{
	const struct sandbox *sandbox = work->sandbox;
	char image[512];
	int r = 0;

	snprintf(image, sizeof(image), "%s/images/host/root", sandbox->state->data);
	keeper_add_part(work, sandbox->spec->workspace ? NULL : "workspace", "/workspace", "");
	keeper_add_part(work, "upper", "", image);
	if (sandbox->spec->as_root) {
		keeper_add_part(work, "usr-upper", "/usr", "/usr");
		keeper_add_part(work, "dpkg-upper", "/var/lib/dpkg", "/var/lib/dpkg");
	}
	for (size_t i = 0; r == 0 && i < work->n_parts; i++)
		r = tree_scan(work->parts[i].fd, &work->parts[i].before);
	return r < 0 ? err_errno(err, -r, "keeper", "cannot look at the files") : 0;
}

static bool keeper_hash(int dirfd, const char *path, uint64_t *left, char *ret)
{
	static unsigned char data[65536];
	_cleanup_close_ int fd =
		fs_open_beneath(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	unsigned char digest[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state state;
	struct stat st;
	ssize_t n;

	/* A file of holes has any size for nothing; and all of a run's files together have a bound.
	 */
	if (fd < 0 || fstat(fd, &st) < 0 ||
	    (uint64_t)st.st_size > (uint64_t)st.st_blocks * 512 + KEEPER_HOLES_MAX ||
	    (uint64_t)st.st_size > *left)
		return false;
	*left -= (uint64_t)st.st_size;
	crypto_hash_sha256_init(&state);
	while ((n = read(fd, data, sizeof(data))) > 0)
		crypto_hash_sha256_update(&state, data, (unsigned long long)n);
	if (n < 0)
		return false;
	crypto_hash_sha256_final(&state, digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(ret + 2 * i, 3, "%02x", digest[i]);
	return true;
}

static void keeper_list(struct keeper_work *work, const struct tree_change *change)
{
	static const char *const kinds[] = {"added", "modified", "deleted"};
	const struct tree_entry *entry = change->entry;
	char path[CEIL_PATH + 64], hash[65];

	snprintf(path, sizeof(path), "%s/%s", work->part->prefix, change->path);
	/* A byte of a name takes six of JSON at most. */
	if (work->listed++ >= CEIL_CHANGES ||
	    work->json.out->len > CEIL_CHANGES_JSON - 8 * CEIL_PATH) {
		work->result.truncated = true;
		return;
	}
	json_object(&work->json, NULL);
	json_string(&work->json, "path", path);
	json_string(&work->json, "kind", kinds[change->kind]);
	if (entry)
		json_u64(&work->json, "size", S_ISDIR(entry->mode) ? 0 : entry->size);
	else
		json_null(&work->json, "size");
	if (entry && S_ISREG(entry->mode) &&
	    keeper_hash(work->part->fd, change->path, &work->hash_left, hash))
		json_string(&work->json, "sha256", hash);
	else
		json_null(&work->json, "sha256");
	json_object_end(&work->json);
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
	struct buf text = BUF_INIT(CEIL_CHANGES_JSON);
	struct stat st;
	int r = 0;

	if (work->out_fd >= 0 && fstat(work->out_fd, &st) == 0) {
		work->out_owner = work->sandbox->idmap.rootless ? (uid_t)-1 : st.st_uid;
		work->out_group = work->sandbox->idmap.rootless ? (gid_t)-1 : st.st_gid;
	}
	json_init(&work->json, &text);
	json_array(&work->json, NULL);
	for (size_t i = 0; r == 0 && i < work->n_parts; i++) {
		struct tree now = TREE_INIT;

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
						 CEIL_TREE_ENTRIES, CEIL_TREE_DEPTH);
		if (work->part->dir)
			work->result.disk_bytes += now.bytes;
		tree_done(&now);
	}
	json_array_end(&work->json);
	if (r == 0)
		r = json_done(&work->json);
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
static void keeper_let_go(const struct sandbox *sandbox, int conn)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	for (int fd = 3; fd < 256; fd++)
		if (fd != conn && fd != sandbox->layer_fd && fd != sandbox->workspace_fd)
			close(fd);
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
	if (sandbox->idmap.rootless)
		result->r = idmap_enter(sandbox->cell.pid, &result->err);
	idmap_die_with(parent);
	if (result->r == 0)
		result->r = keeper_fill(sandbox, &result->err);
	keeper_let_go(sandbox, conn);
	if (result->r == 0 && look)
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
	struct keeper_result result;
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
	if (io_read_full(keeper.conn, &result, sizeof(result)) < 0)
		result.r = err_set(&result.err, EPIPE, "keeper", "the helper process died");
	if (result.r < 0) {
		if (err)
			*err = result.err;
		keeper_done(&keeper);
		return (int)result.r;
	}
	*ret_keeper = keeper;
	return 0;
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
