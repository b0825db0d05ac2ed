/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.c: see access.h. The sandbox decides how many events there are, and reading them costs the
 * host: so each file is asked for once for each kind of access (an ignore mask on its inode), and
 * their number has a ceiling.
 */
#include "access.h"

#include "banned.h"
#include "ceilings.h"
#include "jcs.h"

#include <fcntl.h>
#include <sys/fanotify.h>

#define ACCESS_SLOTS (4u * 8192u) /* a power of two, well above CEIL_ACCESSED */
#define ACCESS_KINDS (FAN_ACCESS | FAN_MODIFY | FAN_OPEN_EXEC)

static void access_mark(struct access *access, const struct sandbox *sandbox, const char *target)
{
	char path[CEIL_PATH + 64];

	snprintf(path, sizeof(path), "/proc/%d/root%s", (int)sandbox->cell.pid, target);
	if (fanotify_mark(access->fd, FAN_MARK_ADD | FAN_MARK_MOUNT, ACCESS_KINDS, AT_FDCWD,
			  path) == 0)
		access->watched = true;
}

void access_watch(struct access *access, const struct sandbox *sandbox)
{
	const struct sandbox_spec *spec = sandbox->spec;

	if (sandbox->idmap.rootless)
		return;
	access->fd =
		fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_MARKS,
			      O_RDONLY | O_LARGEFILE | O_CLOEXEC);
	access->files = access->fd < 0 ? NULL : calloc(ACCESS_SLOTS, sizeof(*access->files));
	if (!access->files) {
		access->fd = fd_close(access->fd);
		return;
	}
	access_mark(access, sandbox, "/workspace");
	if (place_is_there(&sandbox->places, PLACE_AGENT))
		access_mark(access, sandbox, sandbox_home(spec));
	for (size_t i = 0; i < spec->n_ro; i++)
		access_mark(access, sandbox, spec->ro[i].target);
}

/* FNV-1a: the table has a ceiling, and whoever finds collisions slows his own run's end by them. */
static struct access_file *access_slot(struct access *access, const char *path)
{
	uint32_t hash = 2166136261u;

	for (const char *p = path; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	for (;; hash++) {
		struct access_file *file = &access->files[hash % ACCESS_SLOTS];

		if (!file->path || strcmp(file->path, path) == 0)
			return file;
	}
}

static void access_stop(struct access *access)
{
	access->overflow = true;
	access->fd = fd_close(access->fd);
}

static void access_event(struct access *access, int fd, uint64_t mask)
{
	char link[40], path[CEIL_PATH];
	struct access_file *file;
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len <= 0) {
		access->overflow = true; /* its path is longer than any that has a name */
		return;
	}
	path[len] = '\0';
	/* Seen: this file need not be told for it again. */
	if (fanotify_mark(access->fd,
			  FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY,
			  mask & ACCESS_KINDS, AT_FDCWD, link) < 0)
		errno = 0;
	file = access_slot(access, path);
	if (!file->path) {
		file->path = access->n < CEIL_ACCESSED ? strdup(path) : NULL;
		access->n++;
	}
	if (file->path)
		file->what |= (unsigned)(mask & ACCESS_KINDS);
}

bool access_read(struct access *access)
{
	_Alignas(struct fanotify_event_metadata) char data[8192];
	struct fanotify_event_metadata *event = (void *)data;
	ssize_t len = access->fd < 0 ? -1 : read(access->fd, data, sizeof(data));
	bool over = false, any = len > 0;

	for (; len > 0 && FAN_EVENT_OK(event, len); event = FAN_EVENT_NEXT(event, len)) {
		access->events++;
		if (event->mask & FAN_Q_OVERFLOW)
			over = true;
		if (event->fd < 0)
			continue;
		access_event(access, event->fd, event->mask);
		close(event->fd);
	}
	access->overflow |= over;
	/* A file that is made again and again is a new one to the kernel each time. */
	if (access->n > CEIL_ACCESSED || access->events > 10 * CEIL_ACCESSED)
		access_stop(access);
	return any;
}

static int access_compare(const void *a, const void *b)
{
	return strcmp(((const struct access_file *)a)->path, ((const struct access_file *)b)->path);
}

/* The sandbox chooses the names: a list of long ones must not fill the log. */
static void access_list(const struct access *access, struct jcs *jcs, const char *key,
			unsigned kind, size_t most)
{
	jcs_array(jcs, key);
	for (size_t i = 0; i < access->n && jcs->out->len < most; i++)
		if (access->files[i].what & kind)
			jcs_string(jcs, NULL, access->files[i].path);
	jcs_array_end(jcs);
}

int access_tell(struct access *access, struct buf *ret)
{
	size_t n = 0, bytes = 0;
	struct jcs jcs;

	if (!access->watched)
		return 0;
	while (access_read(access))
		;
	for (size_t i = 0; i < ACCESS_SLOTS; i++)
		if (access->files[i].path) {
			struct access_file file = access->files[i];

			access->files[i] = (struct access_file){0};
			access->files[n++] = file;
		}
	access->n = n;
	if (n)
		qsort(access->files, n, sizeof(*access->files), access_compare);
	for (size_t i = 0; i < access->n; i++)
		bytes += 12 * strlen(access->files[i].path); /* in two lists, as JSON escapes it */
	jcs_init(&jcs, ret);
	jcs_object(&jcs, NULL);
	access_list(access, &jcs, "executed", FAN_OPEN_EXEC, CEIL_ACCESSED_JSON / 3);
	jcs_bool(&jcs, "overflow", access->overflow || bytes > CEIL_ACCESSED_JSON / 3);
	access_list(access, &jcs, "read", FAN_ACCESS, 2 * CEIL_ACCESSED_JSON / 3);
	access_list(access, &jcs, "written", FAN_MODIFY, CEIL_ACCESSED_JSON);
	jcs_object_end(&jcs);
	return jcs_done(&jcs);
}

void access_done(struct access *access)
{
	for (size_t i = 0; access->files && i < ACCESS_SLOTS; i++)
		free(access->files[i].path);
	free(access->files);
	fd_close(access->fd);
	*access = ACCESS_INIT;
}
