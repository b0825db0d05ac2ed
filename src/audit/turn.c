/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn.c: who syncs. One process has sync.lock; the others wait until their record is durable, not
 * until they have the lock: flock(2) wakes all and lets newcomers in first, so that a record that
 * is long on the disk could wait for hundreds of others.
 *
 * They sleep on a number in sync.lock that grows with every sync (futex(2) over a mapping of the
 * file). It is read and written with plain reads and writes, so that a file that was cut cannot
 * become a signal; and it is only a hint, since whoever has the lock may be killed.
 */
#include "audit-private.h"
#include "banned.h"
#include "err.h"

#include <linux/futex.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define PATIENCE_NS 5000000

static uint32_t number(const struct audit *log)
{
	uint32_t value = 0;

	return pread(log->sync_fd, &value, sizeof(value), 0) == (ssize_t)sizeof(value) ? value : 0;
}

static bool map(struct audit *log)
{
	void *page;

	if (log->turn)
		return true;
	page = mmap(NULL, TURN_PAGE, PROT_READ, MAP_SHARED, log->sync_fd, 0);
	if (page == MAP_FAILED)
		return false;
	log->turn = page;
	return true;
}

/* Until the number is another one, or for a while. */
static void sleep_on(struct audit *log, uint32_t value)
{
	static const struct timespec patience = {.tv_nsec = PATIENCE_NS};
	static const struct timespec nap = {.tv_nsec = PATIENCE_NS / 25};

	if (!map(log) ||
	    (syscall(SYS_futex, log->turn, FUTEX_WAIT, value, &patience, NULL, 0) < 0 &&
	     errno != EAGAIN && errno != ETIMEDOUT && errno != EINTR))
		nanosleep(&nap, NULL);
}

int audit_take_turn(struct audit *log, uint64_t seq, bool *ret_done, struct err *err)
{
	for (;;) {
		uint32_t value = number(log);
		int r;

		if (log->reader)
			return err_set(err, EBADF, "audit", "the log %s was opened to read",
				       log->path);
		if (flock(log->sync_fd, LOCK_EX | LOCK_NB) == 0) {
			*ret_done = false;
			return 0;
		}
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_errno(err, errno, "audit", "cannot lock %s/sync.lock",
					 log->path);
		r = audit_lock(log, err);
		if (r < 0)
			return r;
		*ret_done = log->head.synced > seq;
		audit_unlock(log);
		if (*ret_done)
			return 0;
		sleep_on(log, value);
	}
}

void audit_end_turn(struct audit *log)
{
	uint32_t value = number(log) + 1;

	/* Who is not woken wakes up by itself. */
	if (pwrite(log->sync_fd, &value, sizeof(value), 0) < 0)
		errno = 0;
	flock(log->sync_fd, LOCK_UN);
	if (map(log))
		syscall(SYS_futex, log->turn, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}
