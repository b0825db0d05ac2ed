/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit-who.c: which run made a file with this content.
 *
 * What a run changed is found by the plain hash in its list of changes; its standard output and
 * error by their payload, or in hash mode by the salted hash in the record. The claim is about
 * content: two runs that wrote the same bytes are both named, and an empty file is everybody's.
 */
#include "audit-cmd.h"
#include "audit.h"
#include "ceilings.h"
#include "err.h"
#include "sha.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#define SALT SHA_LEN

struct wanted {
	struct audit *log;
	const char *name; /* FILE */
	int fd;
	int64_t size;
	char hash[SHA_HEX + 1];
	bool json;
	uint64_t n, missing;
};

/* The hash of what fd holds, after a salt (len may be 0), as hex. */
static int hash_fd(int fd, const unsigned char *salt, size_t salt_len, char ret[SHA_HEX + 1])
{
	struct sha sha;
	int r;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	sha_init(&sha);
	sha_update(&sha, salt, salt_len);
	r = sha_update_fd(&sha, fd);
	if (r == 0)
		sha_final_hex(&sha, ret);
	return r;
}

static int open_wanted(const char *name, struct wanted *w, struct err *err)
{
	struct stat st;
	int r;

	w->fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (w->fd < 0 || fstat(w->fd, &st) < 0)
		return err_errno(err, errno, "audit", "cannot open %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "audit", "%s is not a regular file", name);
	w->name = name;
	w->size = st.st_size;
	r = hash_fd(w->fd, NULL, 0, w->hash);
	return r < 0 ? err_errno(err, -r, "audit", "cannot read %s", name) : 0;
}

static int print_maker(struct wanted *w, const struct audit_hit *hit, const char *path,
		       struct err *err)
{
	static const char *const of_start[] = {"agent", "command", "session", "user"};
	static const char *const of_end[] = {"exit_code", "run", "time", "type"};
	_cleanup_buf_ struct buf out = BUF_INIT(16 * CEIL_AUDIT_RECORD);
	_cleanup_json_ json_t *start = NULL, *line = json_object();
	_cleanup_free_ char *text = NULL;
	int r = audit_load_start(w->log, hit->record, &start, err);

	if (r < 0)
		return r;
	w->n++;
	/* What is missing is left out. */
	for (size_t i = 0; i < ELEMENTSOF(of_start); i++)
		json_object_set(line, of_start[i], json_object_get(start, of_start[i]));
	for (size_t i = 0; i < ELEMENTSOF(of_end); i++)
		json_object_set(line, of_end[i], json_object_get(hit->record, of_end[i]));
	json_object_set_new(line, "path", json_string(path));
	json_object_set_new(line, "sha256", json_string(w->hash));
	text = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
	r = !text     ? -ENOMEM
	    : w->json ? audit_json_line(&out, hit->seq, text, strlen(text))
		      : audit_line(&out, hit->seq, line);
	return r < 0 ? err_errno(err, -r, "audit", "cannot print record %" PRIu64, hit->seq)
		     : audit_print(&out, err);
}

/* ---- changes ---- */

static int look_at_changes(struct wanted *w, const struct audit_hit *hit, struct err *err)
{
	const json_t *ref = audit_ref(hit->record, "changes");
	_cleanup_json_ json_t *list = NULL;
	json_t *change;
	size_t i;
	int r = ref ? audit_list(w->log, ref, &list, err) : 0;

	if (r == -ENOENT) {
		w->missing++;
		return 0;
	}
	json_array_foreach(list, i, change)
	{
		const char *hash = audit_field(change, "sha256");
		const char *path = audit_field(change, "path");

		if (r == 0 && hash && strcmp(hash, w->hash) == 0)
			r = print_maker(w, hit, path ? path : "?", err);
	}
	return r;
}

/* ---- standard output and error ---- */

/* 1: the payload of hash mode, of which only salt and hash are left. */
static int is_salted(struct wanted *w, const json_t *ref, const char *salt)
{
	unsigned char bytes[SALT];
	char hash[sizeof(w->hash)];
	size_t len = 0;
	int r;

	if (sodium_hex2bin(bytes, sizeof(bytes), salt, strlen(salt), NULL, &len, NULL) < 0 ||
	    len != SALT)
		return 0;
	r = hash_fd(w->fd, bytes, SALT, hash);
	return r < 0 ? r : strcmp(hash, audit_ref_hash(ref)) == 0;
}

static void file_closep(FILE **file)
{
	if (*file)
		fclose(*file);
}

/* 1: the payload that is kept. It may be larger than memory: it goes through a nameless file. */
static int is_kept(struct wanted *w, const json_t *ref, struct err *err)
{
	_cleanup_(file_closep) FILE *copy = tmpfile();
	char hash[sizeof(w->hash)];
	int r;

	if (!copy)
		return err_errno(err, errno, "audit", "cannot make a temporary file");
	r = audit_blob_copy(w->log, audit_ref_hash(ref), fileno(copy), err);
	if (r == -ENOENT)
		w->missing++;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = hash_fd(fileno(copy), NULL, 0, hash);
	return r < 0 ? r : strcmp(hash, w->hash) == 0;
}

static int look_at_output(struct wanted *w, const struct audit_hit *hit, const char *name,
			  struct err *err)
{
	const json_t *ref = audit_ref(json_object_get(hit->record, "outputs"), name);
	const char *salt = audit_field(ref, "salt");
	int r;

	if (!ref || json_integer_value(json_object_get(ref, "size")) != w->size)
		return 0;
	r = salt ? is_salted(w, ref, salt) : is_kept(w, ref, err);
	if (r < 0)
		return err->code ? r : err_errno(err, -r, "audit", "cannot read %s", w->name);
	return r ? print_maker(w, hit, name, err) : 0;
}

static int look(const struct audit_hit *hit, void *data, struct err *err)
{
	struct wanted *w = data;
	int r = look_at_changes(w, hit, err);

	if (r == 0)
		r = look_at_output(w, hit, "stdout", err);
	return r == 0 ? look_at_output(w, hit, "stderr", err) : r;
}

int cmd_audit_who(struct audit *log, const char *dir, const struct audit_options *options,
		  struct err *err)
{
	struct audit_filter ends = {.type = "run.end", .since = INT64_MIN, .until = INT64_MAX};
	struct wanted w = {.log = log, .fd = -1, .json = options->json};
	uint64_t missing;
	int r = open_wanted(options->arg, &w, err);

	(void)dir;
	if (r == 0)
		r = audit_search(log, &ends, look, &w, &missing, err);
	fd_close(w.fd);
	if (r < 0)
		return r;
	if (w.missing)
		fprintf(stderr,
			"creel: %" PRIu64 " lists or outputs are not kept (erased, or "
			"recorded as a hash only) and were not searched\n",
			w.missing);
	return w.n ? 0 : AUDIT_EXIT_NOTHING;
}
