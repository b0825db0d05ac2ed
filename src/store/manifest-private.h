/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * manifest-private.h: the file `stat` of an image: a head, then a record for each entry of the
 * manifest, in its order. It is read on the machine that wrote it: host byte order, no version but
 * the magic. A record is followed by the entry's name, padded with NULs to a multiple of 8.
 */
#include "buf.h"
#include "ceilings.h"

#include <stdbool.h>
#include <sys/stat.h>

struct stat_head {
	char magic[8];
	char hex[64]; /* of the manifest that it goes with */
	uint64_t n;
	uint64_t ino, size; /* of the file `manifest` */
	int64_t mtime_ns, ctime_ns;
};

struct stat_record {
	uint64_t ino, size; /* a directory's size is 0: it differs among filesystems */
	int64_t mtime_ns, ctime_ns;
	uint32_t mode, uid, gid;
	uint32_t children; /* entries of a directory */
	uint16_t depth, name_size;
	uint32_t zero;
};

#define STAT_MAGIC "creelst1"

static inline struct stat_record stat_record_of(const struct stat *st)
{
	return (struct stat_record){
		.ino = st->st_ino,
		.size = S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_size,
		.mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
		.ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
	};
}

/* The file is as it was; children, depth and name are no facts of a file. */
static inline bool stat_record_same(const struct stat_record *a, const struct stat_record *b)
{
	return a->ino == b->ino && a->size == b->size && a->mtime_ns == b->mtime_ns &&
	       a->ctime_ns == b->ctime_ns && a->mode == b->mode && a->uid == b->uid &&
	       a->gid == b->gid;
}

_must_check_ int stat_begin(struct buf *stat);
_must_check_ int stat_record_put(struct buf *stat, const struct stat_record *record,
				 const char *name, unsigned depth);
/* Fills the head in, and puts the whole in the place of DIR/stat. */
_must_check_ int stat_write(int dirfd, const char *hex, struct buf *stat);

/* hex: 65 bytes. */
_must_check_ int manifest_hash_fd(int fd, char *ret_hex);
void manifest_hash_text(const char *text, size_t len, char *ret_hex);
/* What a symbolic link holds; size bytes at ret. */
_must_check_ int manifest_read_link(int dirfd, const char *name, char *ret, size_t size);
