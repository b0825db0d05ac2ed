/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * fs.h: files by descriptor. Nothing here follows a symbolic link below the directory that it is
 * given, so that a tree which a sandbox wrote can be walked (CVE-2018-15664, CVE-2019-14271).
 */
#include "cleanup.h"

#include <stdbool.h>
#include <sys/stat.h>

struct err;

/* openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS; O_CLOEXEC added.
 */
_must_check_ int fs_open_beneath(int dirfd, const char *path, int flags, mode_t mode);
/* As a process sees path whose root is dirfd: openat2(2) with RESOLVE_IN_ROOT, no magic links. */
_must_check_ int fs_open_inside(int dirfd, const char *path, int flags);
/* The file that fd (O_PATH) holds, with other flags; it needs /proc. */
_must_check_ int fs_reopen(int fd, int flags);
/* Makes every missing directory of path (absolute or relative to the working directory). */
_must_check_ int fs_mkdirs(const char *path, mode_t mode, struct err *err);
/* Makes every missing directory of a relative path below dirfd, no links followed; owner -1 keeps.
 */
_must_check_ int fs_mkdirs_beneath(int dirfd, const char *path, mode_t mode, uid_t uid, gid_t gid);
/*
 * A directory to read, at its start, with a description of its own: dirfd keeps its position and
 * stays open. NULL and errno on failure.
 */
DIR *fs_opendir(int dirfd);
/* The next entry but "." and "..". NULL: the end (errno 0) or a failure (errno). */
struct dirent *fs_next(DIR *dir);
/*
 * Removes name below dirfd with all it holds, file or tree, without crossing into another mount.
 * Missing is fine. The tree may be deeper than PATH_MAX.
 */
int fs_remove_tree(int dirfd, const char *name);
/* Writes a file as a whole, by a temporary name and rename(2): readers see the old or the new one.
 */
_must_check_ int fs_replace_file(int dirfd, const char *name, const void *data, size_t len,
				 mode_t mode);
/*
 * An absolute path inside a sandbox in canonical form: no "..", no ".", no "//". -EINVAL: not
 * absolute or leaves the root; -ENAMETOOLONG. size bytes at ret.
 */
_must_check_ int fs_canonical(const char *path, char *ret, size_t size);
/* path is prefix or lies below it; both canonical. */
bool fs_is_below(const char *path, const char *prefix);
