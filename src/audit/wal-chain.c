/* SPDX-License-Identifier: Apache-2.0 */
/* wal-chain.c: see wal-chain.h. */
#include "wal-chain.h"

#include "banned.h"
#include "fs.h"

#include <fcntl.h>

static int enter(struct wal_chain *chain, uint64_t first, uint64_t at)
{
	_cleanup_close_ int fd = -EBADF;
	struct merkle_tree header;
	struct wal_reader reader;
	char name[WAL_NAME];
	int r;

	wal_name(first, name);
	fd = fs_open_beneath(chain->waldir, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	r = wal_read_header(fd, &header);
	if (r == 0 && header.size != first)
		r = -EBADMSG;
	if (r == 0)
		r = wal_reader_init(&reader, fd, at ? at : WAL_HEADER);
	if (r < 0)
		return r;
	wal_reader_done(&chain->reader);
	fd_close(chain->fd);
	chain->fd = TAKE_FD(fd);
	chain->first = first;
	chain->header = header;
	chain->reader = reader;
	chain->entered = true;
	return 0;
}

int wal_chain_init(struct wal_chain *chain, int waldir, uint64_t first, uint64_t at, uint64_t next)
{
	*chain = WAL_CHAIN_INIT;
	chain->waldir = waldir;
	chain->next = next;
	return enter(chain, first, at);
}

void wal_chain_done(struct wal_chain *chain)
{
	wal_reader_done(&chain->reader);
	chain->fd = fd_close(chain->fd);
}

int wal_chain_next(struct wal_chain *chain, struct wal_frame *ret)
{
	struct wal_frame frame;
	int r;

	r = wal_reader_next(&chain->reader, &frame);
	if (r == 0 && chain->next != chain->first) {
		r = enter(chain, chain->next, 0);
		if (r == -ENOENT)
			return 0;
		r = r < 0 ? r : wal_reader_next(&chain->reader, &frame);
	}
	if (r <= 0)
		return r;
	if (frame.seq != chain->next) {
		chain->reader.used -= WAL_FRAME + frame.len;
		return -EBADMSG;
	}
	chain->entered = frame.at == WAL_HEADER;
	chain->next += !frame.blob;
	*ret = frame;
	return 1;
}

int wal_chain_seek(struct wal_chain *chain, uint64_t seq)
{
	struct wal_frame frame;
	int r;

	while (chain->next < seq) {
		r = wal_chain_next(chain, &frame);
		if (r <= 0)
			return r < 0 ? r : -ENOENT;
	}
	return chain->next == seq ? 0 : -ENOENT;
}
