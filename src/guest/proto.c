/* SPDX-License-Identifier: Apache-2.0 */
/* proto.c: both ends of the guest protocol; see proto.h. */
#include "proto.h"

#include "ceilings.h"
#include "io.h"

#include "banned.h"

int guest_send(int conn, enum guest_type type, const void *payload, size_t len, const int *fds,
	       size_t n_fds)
{
	struct guest_header header = {
		.version = GUEST_VERSION, .type = (uint16_t)type, .length = (uint32_t)len};
	char small[sizeof(header) + GUEST_REPLY_MAX];
	int r;

	if (len > CEIL_FRAME)
		return -E2BIG;
	if (len <= GUEST_REPLY_MAX) {
		memcpy(small, &header, sizeof(header));
		if (len)
			memcpy(small + sizeof(header), payload, len);
		return io_send_fds(conn, small, sizeof(header) + len, fds, n_fds);
	}
	r = io_send_fds(conn, &header, sizeof(header), fds, n_fds);
	return r < 0 ? r : io_send_fds(conn, payload, len, NULL, 0);
}

static void guest_close_all(int *fds, size_t n)
{
	while (n)
		fd_close(fds[--n]);
}

int guest_recv(int conn, size_t max, uint16_t *ret_type, struct buf *payload, int *fds,
	       size_t max_fds, size_t *ret_n_fds)
{
	struct guest_header header;
	size_t n_fds = 0;
	char *room;
	int r;

	r = io_recv_fds(conn, &header, sizeof(header), fds, max_fds, &n_fds);
	if (r < 0)
		return r;
	payload->len = 0;
	if (header.version != GUEST_VERSION || header.length > max)
		r = -EPROTO;
	else
		r = buf_reserve(payload, header.length, &room);
	if (r == 0 && header.length)
		r = io_read_full(conn, room, header.length);
	if (r == -ENODATA)
		r = -EPIPE;
	if (r < 0) {
		guest_close_all(fds, n_fds);
		return r;
	}
	payload->len = header.length;
	payload->data[payload->len] = '\0';
	*ret_type = header.type;
	*ret_n_fds = n_fds;
	return 0;
}

int guest_read(struct guest_reader *reader, void *ret, size_t len)
{
	if (reader->left < len)
		return -EPROTO;
	memcpy(ret, reader->p, len);
	reader->p += len;
	reader->left -= len;
	return 0;
}

int guest_read_string(struct guest_reader *reader, const char **ret_text)
{
	const char *end = reader->left ? memchr(reader->p, '\0', reader->left) : NULL;

	if (!end)
		return -EPROTO;
	*ret_text = reader->p;
	reader->left -= (size_t)(end + 1 - reader->p);
	reader->p = end + 1;
	return 0;
}

int guest_read_strings(struct guest_reader *reader, uint32_t n, char ***ret_list)
{
	char **list;

	/* Each string takes a byte at least: a count cannot make us allocate more than was sent. */
	if (n > CEIL_ARGS || n > reader->left)
		return -EPROTO;
	list = calloc((size_t)n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const char *text;
		int r = guest_read_string(reader, &text);

		if (r < 0) {
			free(list);
			return r;
		}
		list[i] = (char *)(uintptr_t)text;
	}
	*ret_list = list;
	return 0;
}

static int guest_append_strings(struct buf *payload, char *const *list, uint32_t *ret_n)
{
	uint32_t n = 0;

	for (; list[n]; n++) {
		int r = n >= CEIL_ARGS ? -E2BIG : buf_append(payload, list[n], strlen(list[n]) + 1);

		if (r < 0)
			return r;
	}
	*ret_n = n;
	return 0;
}

int guest_start_format(struct buf *payload, struct guest_start start, const char *cwd,
		       char *const *argv, char *const *env)
{
	int r;

	payload->len = 0;
	r = buf_append(payload, &start, sizeof(start));
	if (r == 0)
		r = buf_append(payload, cwd, strlen(cwd) + 1);
	if (r == 0)
		r = guest_append_strings(payload, argv, &start.n_argv);
	if (r == 0)
		r = guest_append_strings(payload, env, &start.n_env);
	if (r == 0)
		memcpy(payload->data, &start, sizeof(start));
	return r;
}
