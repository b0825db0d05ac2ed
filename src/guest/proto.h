/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * proto.h: the messages between creel (the host) and creel-init (the guest, PID 1 of a sandbox).
 *
 * Stream sockets. The control connection is descriptor GUEST_CONTROL_FD of init; over it the host
 * sends one OPEN for each process, with a new connection that then belongs to this process alone:
 *
 *   host                                guest
 *   START argv, env, cwd, ids, fds  ->
 *                                   <-  TTY (the pty's master)          if GUEST_START_TTY
 *   SIGNAL number, scope            ->  (any number)
 *                                   <-  FAILED step, errno              exec did not happen
 *                                   <-  EXITED wait status              always the last
 *
 * A connection that the host closes ends its process; the control connection's end ends init, and
 * so the sandbox. Types from GUEST_FILES on are kept for file service. Integers are in host byte
 * order: both ends are one build on one machine, and the version says so.
 *
 * Neither end trusts the other's lengths. The guest's messages are small (GUEST_REPLY_MAX); only
 * the host's may be large (CEIL_FRAME). A message that breaks a rule ends the connection.
 */
#include "buf.h"

#include <sys/types.h>

#define GUEST_VERSION	 1
#define GUEST_CONTROL_FD 3
#define GUEST_REPLY_MAX	 256

enum guest_type {
	GUEST_OPEN = 1,
	GUEST_START,
	GUEST_SIGNAL,
	GUEST_TTY = 0x81,
	GUEST_FAILED,
	GUEST_EXITED,
	GUEST_FILES = 0x100,
};

struct guest_header {
	uint16_t version;
	uint16_t type;
	uint32_t length; /* of the payload that follows */
};

#define GUEST_START_TTY	 1u /* a new terminal instead of three descriptors */
#define GUEST_START_LAST 2u /* init ends with this process, and so does the sandbox */

/* START's payload begins with this; then cwd, argv and env as NUL-terminated strings. */
struct guest_start {
	uint32_t flags;
	uint32_t uid, gid;
	uint32_t n_argv, n_env;
	uint16_t rows, cols;
};

enum guest_scope {
	GUEST_SCOPE_GROUP, /* the process group that the process leads */
	GUEST_SCOPE_ALL,   /* every process of the sandbox but init */
};

struct guest_signal {
	uint32_t number;
	uint32_t scope;
};

enum guest_step {
	GUEST_STEP_START, /* the message itself */
	GUEST_STEP_TTY,
	GUEST_STEP_IDS,
	GUEST_STEP_CWD,
	GUEST_STEP_EXEC,
	GUEST_STEP_MAX
};

struct guest_failed {
	uint32_t step;
	uint32_t error; /* errno */
};

struct guest_exited {
	int32_t status; /* as of waitpid(2) */
};

/* Sends one message; fds go with its first byte and stay the caller's. */
_must_check_ int guest_send(int conn, enum guest_type type, const void *payload, size_t len,
			    const int *fds, size_t n_fds);

/*
 * Receives one message of at most max bytes into payload (emptied first) and at most max_fds
 * descriptors, which become the caller's. -ENODATA: the other end closed. -EPROTO: a wrong version
 * or a length above max.
 */
_must_check_ int guest_recv(int conn, size_t max, uint16_t *ret_type, struct buf *payload, int *fds,
			    size_t max_fds, size_t *ret_n_fds);

/* A length-checked view of a payload. */
struct guest_reader {
	const char *p;
	size_t left;
};

_must_check_ int guest_read(struct guest_reader *reader, void *ret, size_t len);
_must_check_ int guest_read_string(struct guest_reader *reader, const char **ret_text);
/* n strings as a NULL-terminated array that points into the payload; the caller frees the array. */
_must_check_ int guest_read_strings(struct guest_reader *reader, uint32_t n, char ***ret_list);

/* START's payload. argv and env end with NULL. */
_must_check_ int guest_start_format(struct buf *payload, struct guest_start start, const char *cwd,
				    char *const *argv, char *const *env);
