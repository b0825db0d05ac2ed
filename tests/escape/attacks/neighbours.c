/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other tenants' processes, abstract sockets, System V and POSIX shared memory, message queues
 * and keyrings (ipc_namespaces(7), unix(7), keyrings(7)). "neighbours leave" sets everything up
 * and waits for a line on stdin; "neighbours find" in another sandbox looks for it. The driver
 * runs both at once, and the machine leaves the same marks too.
 * run: alone
 */
#include "attack.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MARK_KEY  0x0c4ee1
#define MARK_NAME "creel-neighbour"

static socklen_t abstract_address(struct sockaddr_un *ret_address)
{
	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->sun_family = AF_UNIX;
	memcpy(ret_address->sun_path + 1, MARK_NAME, strlen(MARK_NAME));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(MARK_NAME));
}

static int leave(void)
{
	struct sockaddr_un address;
	socklen_t length = abstract_address(&address);
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), made = 0;
	char line[8];

	made += bind(server, (struct sockaddr *)&address, length) == 0 && listen(server, 4) == 0;
	made += shmget(MARK_KEY, 4096, IPC_CREAT | 0666) >= 0;
	made += semget(MARK_KEY, 1, IPC_CREAT | 0666) >= 0;
	made += msgget(MARK_KEY, IPC_CREAT | 0666) >= 0;
	made += open("/dev/shm/" MARK_NAME, O_CREAT | O_WRONLY | O_CLOEXEC, 0666) >= 0;
	made += open("/tmp/" MARK_NAME, O_CREAT | O_WRONLY | O_CLOEXEC, 0666) >= 0;
	printf("LEFT %d\n", made);
	fflush(stdout);
	return (int)read(0, line, sizeof(line)) < 0;
}

static void try_ipc(void)
{
	static const int none[] = {ENOENT, 0};
	struct attack_syscall cases[] = {
		{"neighbours.shm", SYS_shmget, {MARK_KEY, 0, 0}, {ENOENT}},
		{"neighbours.sem", SYS_semget, {MARK_KEY, 0, 0}, {ENOENT}},
		{"neighbours.msg", SYS_msgget, {MARK_KEY, 0}, {ENOENT}},
	};

	for (size_t i = 0; i < ATTACK_LENGTH(cases); i++)
		attack_syscall_case(&cases[i]);
	attack_expect("neighbours.dev_shm", open("/dev/shm/" MARK_NAME, O_RDONLY | O_CLOEXEC),
		      none);
	attack_expect("neighbours.tmp", open("/tmp/" MARK_NAME, O_RDONLY | O_CLOEXEC), none);
}

static void try_abstract(void)
{
	struct sockaddr_un address;
	socklen_t length = abstract_address(&address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[16384];

	attack_expect("neighbours.abstract_socket",
		      connect(fd, (struct sockaddr *)&address, length),
		      (const int[]){ECONNREFUSED, 0});
	close(fd);
	if (attack_read_file("/proc/net/unix", text, sizeof(text)) > 0 && strstr(text, MARK_NAME))
		BROKEN("neighbours.proc_net_unix", "lists the socket");
	else
		HELD("neighbours.proc_net_unix", "not listed");
}

/*
 * The machine's own files are shared with everybody: a watch on them must not tell who else opens
 * or runs what (inotify(7) watches inodes, across all namespaces). The driver uses /usr/bin/env,
 * which nothing in here does, while this looks on for a second.
 */
static void try_watch(void)
{
	static const char *const places[] = {"/usr/bin", "/usr/lib", "/etc", "/dev"};
	char events[4096];
	struct pollfd waiting = {.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .events = POLLIN};
	int seen = 0;

	if (waiting.fd < 0) {
		HELD("neighbours.watch", "inotify: %s", attack_errno_name(errno));
		return;
	}
	for (size_t i = 0; i < ATTACK_LENGTH(places); i++)
		if (inotify_add_watch(waiting.fd, places[i], IN_OPEN | IN_ACCESS) < 0)
			continue;
	while (poll(&waiting, 1, 1000) > 0 && seen < 3) {
		const struct inotify_event *event = (const struct inotify_event *)events;

		if (read(waiting.fd, events, sizeof(events)) <= 0)
			break;
		seen++;
		BROKEN("neighbours.watch", "saw %s being used",
		       event->len ? event->name : "a node");
	}
	close(waiting.fd);
	if (seen == 0)
		HELD("neighbours.watch", "saw nothing");
}

/* Signals: number by number, whatever /proc lists; none but one's own may be reached. */
static void try_processes(void)
{
	int reached = 0;

	for (int pid = 1; pid < 70000; pid++)
		if (syscall(SYS_kill, pid, 0) == 0)
			reached++;
	if (reached <= 6)
		HELD("neighbours.signal", "%d processes reached, all of this sandbox", reached);
	else
		BROKEN("neighbours.signal", "%d processes reached", reached);
}

/* The command lines of everything in /proc: the driver's marks must not be among them. */
static void try_command_lines(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int seen = 0;

	while (dir && (entry = readdir(dir))) {
		char path[300], text[4096];
		ssize_t length;

		if (strtol(entry->d_name, NULL, 10) <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
		length = attack_read_file(path, text, sizeof(text));
		for (ssize_t i = 0; i < length; i++)
			if (text[i] == '\0')
				text[i] = ' ';
		if (length > 0 && (strstr(text, "neighbours leave") || strstr(text, "creel run")))
			seen++;
	}
	if (dir)
		closedir(dir);
	attack_report(seen ? ATTACK_BROKEN : ATTACK_HELD, "neighbours.command_lines", "%d seen",
		      seen);
}

static void try_keyrings(void)
{
	struct attack_syscall cases[] = {
		{"neighbours.user_keyring", SYS_keyctl, {0, -4UL, 1}, {0}},
		{"neighbours.session_keyring", SYS_keyctl, {0, -3UL, 0}, {0}},
		{"neighbours.search",
		 SYS_keyctl,
		 {10, -4UL, ATTACK_PTR("user"), ATTACK_PTR(MARK_NAME)},
		 {0}},
	};
	char text[4096];
	ssize_t length = attack_read_file("/proc/keys", text, sizeof(text));

	for (size_t i = 0; i < ATTACK_LENGTH(cases); i++)
		attack_syscall_case(&cases[i]);
	attack_report(length > 0 ? ATTACK_BROKEN : ATTACK_HELD, "neighbours.proc_keys", "%zd bytes",
		      length > 0 ? length : 0);
}

int main(int argc, char **argv)
{
	attack_begin();
	if (argc > 1 && strcmp(argv[1], "leave") == 0)
		return leave();
	try_watch();
	try_processes();
	try_ipc();
	try_abstract();
	try_command_lines();
	try_keyrings();
	return attack_done();
}
