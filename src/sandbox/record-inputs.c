/* SPDX-License-Identifier: Apache-2.0 */
/* record-inputs.c: see record-inputs.h. */
#include "record-inputs.h"

#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "jcs.h"
#include "sha.h"
#include "tree.h"

#include <fcntl.h>

static int record_hash_file(int fd, uint64_t *left, char ret_hex[AUDIT_HEX + 1], uint64_t *size)
{
	static char data[1u << 16];
	struct sha sha;
	ssize_t n;

	sha_init(&sha);
	while ((n = read(fd, data, sizeof(data))) > 0) {
		if ((uint64_t)n > *left)
			return -E2BIG;
		*left -= (uint64_t)n;
		*size += (uint64_t)n;
		sha_update(&sha, data, (size_t)n);
	}
	sha_final_hex(&sha, ret_hex);
	return n < 0 ? -errno : 0;
}

/* As sha256sum(1) writes a name: a backslash before the line if one had to be escaped in it. */
static int record_name(struct buf *line, const char *hex, const char *path)
{
	bool escaped = strpbrk(path, "\\\n\r") != NULL;
	int r = buf_printf(line, "%s%s  ./", escaped ? "\\" : "", hex);

	for (const char *p = path; r == 0 && *p; p++)
		switch (*p) {
		case '\\':
			r = buf_puts(line, "\\\\");
			break;
		case '\n':
			r = buf_puts(line, "\\n");
			break;
		case '\r':
			r = buf_puts(line, "\\r");
			break;
		default:
			r = buf_putc(line, *p);
		}
	return r == 0 ? buf_putc(line, '\n') : r;
}

static int record_hash_tree(int dirfd, uint64_t *left, char ret_hex[AUDIT_HEX + 1], uint64_t *size)
{
	struct tree tree = TREE_INIT;
	struct sha sha;
	int r = tree_scan(dirfd, &tree);

	if (r == 0 && tree.truncated)
		r = -E2BIG;
	sha_init(&sha);
	for (size_t i = 0; r == 0 && i < tree.n; i++) {
		_cleanup_buf_ struct buf line = BUF_INIT(3 * CEIL_PATH);
		_cleanup_close_ int fd = -EBADF;
		char hex[AUDIT_HEX + 1];

		if (!S_ISREG(tree.entries[i].mode))
			continue;
		fd = fs_open_beneath(dirfd, tree.entries[i].path, O_RDONLY | O_NONBLOCK, 0);
		r = fd < 0 ? fd : record_hash_file(fd, left, hex, size);
		if (r == 0)
			r = record_name(&line, hex, tree.entries[i].path);
		if (r == 0)
			sha_update(&sha, line.data, line.len);
	}
	if (r == 0)
		sha_final_hex(&sha, ret_hex);
	tree_done(&tree);
	return r;
}

int record_hash(const char *path, uint64_t *left, char ret_hex[AUDIT_HEX + 1], uint64_t *ret_size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	uint64_t size = 0;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return -EINVAL;
	r = S_ISDIR(st.st_mode) ? record_hash_tree(fd, left, ret_hex, &size)
				: record_hash_file(fd, left, ret_hex, &size);
	if (r == 0)
		*ret_size = size;
	return r;
}

/* FNV-1a over what a write changes of a file. */
static void record_mix(uint64_t *mark, const void *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*mark = (*mark ^ ((const unsigned char *)data)[i]) * 1099511628211u;
}

static void record_mark_file(uint64_t *mark, uint64_t ino, uint64_t size, int64_t ctime_ns)
{
	record_mix(mark, &ino, sizeof(ino));
	record_mix(mark, &size, sizeof(size));
	record_mix(mark, &ctime_ns, sizeof(ctime_ns));
}

static void record_mark_path(uint64_t *mark, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct tree tree = TREE_INIT;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	record_mark_file(mark, st.st_ino, (uint64_t)st.st_size,
			 (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec);
	if (S_ISDIR(st.st_mode) && tree_scan(fd, &tree) == 0)
		for (size_t i = 0; i < tree.n; i++) {
			const struct tree_entry *entry = &tree.entries[i];

			record_mix(mark, entry->path, strlen(entry->path));
			record_mark_file(mark, entry->ino, entry->size, entry->ctime_ns);
		}
	tree_done(&tree);
}

uint64_t record_inputs_mark(const struct run_spec *spec)
{
	const struct sandbox_spec *sandbox = &spec->sandbox;
	uint64_t mark = 14695981039346656037u;

	if (spec->identity.keep[RUN_PAYLOAD_INPUTS] == AUDIT_KEEP_OFF)
		return 0;
	for (size_t i = 0; i < sandbox->n_in; i++)
		record_mark_path(&mark, sandbox->in[i]);
	if (sandbox->script && !spec->identity.code)
		record_mark_path(&mark, sandbox->script);
	return mark;
}

static void record_input(struct jcs *jcs, const char *kind, const char *path, const char *stated,
			 uint64_t *left)
{
	char hex[AUDIT_HEX + 1];
	uint64_t size = 0;
	int r = stated ? -EALREADY : record_hash(path, left, hex, &size);

	jcs_object(jcs, NULL);
	jcs_string(jcs, "kind", kind);
	jcs_string(jcs, "path", path);
	jcs_string(jcs, "sha256", r == 0 ? hex : NULL);
	if (r == 0)
		jcs_u64(jcs, "size", size);
	if (stated)
		jcs_string(jcs, "stated", stated);
	jcs_object_end(jcs);
}

bool record_has_inputs(const struct run_spec *spec)
{
	const struct sandbox_spec *sandbox = &spec->sandbox;

	return sandbox->n_in || sandbox->n_ro || (sandbox->script && !spec->identity.code);
}

int record_inputs(struct audit *log, const struct run_spec *spec, struct audit_ref *ret,
		  struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CEIL_FRAME);
	const struct sandbox_spec *sandbox = &spec->sandbox;
	enum audit_keep keep = spec->identity.keep[RUN_PAYLOAD_INPUTS];
	uint64_t left = CEIL_INPUTS;
	struct jcs jcs;
	int r;

	jcs_init(&jcs, &text);
	jcs_array(&jcs, NULL);
	for (size_t i = 0; keep != AUDIT_KEEP_OFF && i < sandbox->n_in; i++)
		record_input(&jcs, "in", sandbox->in[i], NULL, &left);
	for (size_t i = 0; keep != AUDIT_KEEP_OFF && i < sandbox->n_ro; i++)
		record_input(&jcs, "ro", sandbox->ro[i].source, sandbox->ro[i].stated, &left);
	if (keep != AUDIT_KEEP_OFF && sandbox->script && !spec->identity.code)
		record_input(&jcs, "script", sandbox->script, NULL, &left);
	jcs_array_end(&jcs);
	r = jcs_done(&jcs);
	if (r < 0)
		return err_errno(err, -r, "record", "the list of inputs is too long");
	return audit_blob(log, text.data, text.len, keep, ret, err);
}
