/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * cleanup.h: every owning local carries its destructor; TAKE_* hands ownership over.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn)  __attribute__((cleanup(fn)))
#define _unused_       __attribute__((unused))
#define _printf_(f, a) __attribute__((format(printf, f, a)))
#define _must_check_   __attribute__((warn_unused_result))

static inline int fd_close(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		close(fd);
		errno = saved;
	}
	return -EBADF;
}

static inline void cleanup_closep(int *fd)
{
	*fd = fd_close(*fd);
}

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

#define _cleanup_close_	   _cleanup_(cleanup_closep)
#define _cleanup_free_	   _cleanup_(cleanup_freep)
#define _cleanup_closedir_ _cleanup_(cleanup_closedirp)

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int _fd = (fd);                                                                    \
		(fd) = -EBADF;                                                                     \
		_fd;                                                                               \
	})
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		typeof(p) _p = (p);                                                                \
		(p) = NULL;                                                                        \
		_p;                                                                                \
	})

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                                                                                  \
	({                                                                                         \
		typeof(a) _a = (a);                                                                \
		typeof(b) _b = (b);                                                                \
		_a < _b ? _a : _b;                                                                 \
	})
