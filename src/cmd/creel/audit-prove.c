/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit-prove.c: prove, export and key: what is handed to somebody who does not trust us.
 */
#include "audit-cmd.h"
#include "audit.h"
#include "ceilings.h"
#include "err.h"
#include "fs.h"
#include "io.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#define PIECE	  3000 /* a multiple of three: no padding in between */
#define PROOF_MAX (AUDIT_NOTE_MAX + 4 * CEIL_AUDIT_RECORD)

/*
 * The record as the proof's extra line, behind its first (c2sp.org/tlog-proof: data from which the
 * leaf's hash is made; nothing vouches for it but that hash).
 */
static int add_record(const struct buf *proof, const struct buf *record, struct buf *ret)
{
	const char *line = memchr(proof->data, '\n', proof->len);
	size_t head = line ? (size_t)(line - proof->data) + 1 : 0;
	char text[PIECE / 3 * 4 + 1];
	int r = head ? buf_append(ret, proof->data, head) : -EBADMSG;

	if (r == 0)
		r = buf_puts(ret, "extra ");
	for (size_t i = 0; i < record->len && r == 0; i += PIECE) {
		sodium_bin2base64(text, sizeof(text), (const unsigned char *)record->data + i,
				  MIN((size_t)PIECE, record->len - i),
				  sodium_base64_VARIANT_ORIGINAL);
		r = buf_puts(ret, text);
	}
	if (r == 0)
		r = buf_putc(ret, '\n');
	return r == 0 ? buf_append(ret, proof->data + head, proof->len - head) : r;
}

/* As a shell's redirection does it: the file may be a device or a pipe. */
static int write_file(const char *path, const struct buf *data)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : io_write_full(fd, data->data, data->len);
}

int cmd_audit_prove(struct audit *log, const char *dir, const struct audit_options *options,
		    struct err *err)
{
	_cleanup_buf_ struct buf bare = BUF_INIT(PROOF_MAX), record = BUF_INIT(CEIL_AUDIT_RECORD),
				 proof = BUF_INIT(PROOF_MAX);
	uint64_t seq;
	int r;

	(void)dir;
	if (!audit_is_seq(options->arg, &seq))
		return err_set(err, EINVAL, "audit", "prove needs the number of a record, not %s",
			       options->arg);
	r = audit_prove(log, seq, &bare, err);
	if (r == 0)
		r = audit_read(log, seq, &record, err);
	if (r < 0)
		return r;
	r = add_record(&bare, &record, &proof);
	if (r < 0)
		return err_errno(err, -r, "audit", "cannot write the proof");
	if (!options->out)
		return audit_print(&proof, err);
	r = write_file(options->out, &proof);
	return r < 0 ? err_errno(err, -r, "audit", "cannot write %s", options->out) : 0;
}

/* ---- export and key ---- */

/* An empty directory, made if it is missing: what else lies there could be taken for the log. */
static int open_empty(const char *path, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_closedir_ DIR *dir = NULL;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_errno(err, errno, "audit", "cannot make %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fs_opendir(fd);
	if (!dir)
		return err_errno(err, errno, "audit", "cannot open %s", path);
	if (fs_next(dir))
		return err_set(err, ENOTEMPTY, "audit", "%s is not empty; export into a new one",
			       path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int cmd_audit_export(struct audit *log, const char *dir, const struct audit_options *options,
		     struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	int r = open_empty(options->arg, &fd, err);

	(void)dir;
	return r == 0 ? audit_export_tiles(log, fd, err) : r;
}

int cmd_audit_key(struct audit *log, const char *dir, const struct audit_options *options,
		  struct err *err)
{
	_cleanup_buf_ struct buf key = BUF_INIT(4096);
	int r = audit_vkey(log, &key, err);

	(void)dir, (void)options;
	if (r < 0)
		return r;
	r = buf_putc(&key, '\n');
	return r < 0 ? err_errno(err, -r, "audit", "cannot print the key") : audit_print(&key, err);
}
