/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running what is setuid or carries file capabilities already: the machine's own su and passwd in
 * /usr, and a setuid-root and a capable copy of this program that the driver leaves beside it
 * (execve(2), capabilities(7)). Walls: nosuid on every mount, no_new_privs, an empty bounding
 * set. The copy reports whom it runs as through its exit status.
 * run: suid-copies
 */
#include "attack.h"

enum {
	GAINED_NOTHING = 10,
	GAINED_ID = 11,
	GAINED_CAPABILITY = 12,
};

static uint64_t capabilities(const char *which)
{
	char text[4096], *found;

	if (attack_read_file("/proc/self/status", text, sizeof(text)) <= 0)
		return 0;
	found = strstr(text, which);
	return found ? strtoull(found + strlen(which), NULL, 16) : 0;
}

/* In the copy: argv[2] is the caller's uid, argv[3] its effective capabilities. */
static int report(char **argv)
{
	unsigned long uid = strtoul(argv[2], NULL, 10);
	uint64_t had = strtoull(argv[3], NULL, 16);

	if (geteuid() != uid || getuid() != uid || getegid() != getgid())
		return GAINED_ID;
	if (capabilities("CapEff:") & ~had || capabilities("CapPrm:") & ~had)
		return GAINED_CAPABILITY;
	return GAINED_NOTHING;
}

static void try_copy(const char *name, const char *copy)
{
	char uid[32], caps[32];
	int status = 0;
	pid_t child;

	snprintf(uid, sizeof(uid), "%u", geteuid());
	snprintf(caps, sizeof(caps), "%llx", (unsigned long long)capabilities("CapEff:"));
	if (access(copy, F_OK) < 0) {
		SKIP(name, "%s: %s", copy, attack_errno_name(errno));
		return;
	}
	child = fork();
	if (child == 0) {
		execl(copy, copy, "--report", uid, caps, (char *)NULL);
		_exit(errno == EPERM || errno == EACCES ? GAINED_NOTHING : 99);
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
		SKIP(name, "status %x", status);
		return;
	}
	if (WEXITSTATUS(status) == GAINED_NOTHING)
		HELD(name, "gained nothing");
	else
		BROKEN(name, "%s",
		       WEXITSTATUS(status) == GAINED_ID		  ? "became another user"
		       : WEXITSTATUS(status) == GAINED_CAPABILITY ? "gained capabilities"
								  : "did not run");
}

/* The machine's setuid programs: seen from outside while they wait for a password or a line. */
static void try_system(const char *name, const char *program)
{
	char path[64], text[4096], *line;
	int pipes[2], reached = 0;
	pid_t child;

	if (access(program, X_OK) < 0 || pipe(pipes) < 0) {
		HELD(name, "not there");
		return;
	}
	child = fork();
	if (child == 0) {
		dup2(pipes[0], 0);
		dup2(open("/dev/null", O_WRONLY), 2);
		execl(program, program, (char *)NULL);
		_exit(127);
	}
	snprintf(path, sizeof(path), "/proc/%d/status", (int)child);
	for (int i = 0; i < 200; i++) {
		unsigned int real, effective;

		if (attack_read_file(path, text, sizeof(text)) > 0 &&
		    (line = strstr(text, "\nUid:")) &&
		    sscanf(line, "\nUid: %u %u", &real, &effective) == 2 && effective != geteuid())
			reached = 1;
		usleep(500);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(pipes[0]);
	close(pipes[1]);
	if (reached)
		BROKEN(name, "%s ran as another user", program);
	else
		HELD(name, "%s gained nothing", program);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "--report") == 0)
		return report(argv);
	attack_begin();
	try_copy("setuid.exec_suid_copy", "/attacks/copies/suid");
	try_copy("setuid.exec_sgid_copy", "/attacks/copies/sgid");
	try_copy("setuid.exec_capable_copy", "/attacks/copies/capable");
	try_system("setuid.exec_su", "/usr/bin/su");
	try_system("setuid.exec_passwd", "/usr/bin/passwd");
	try_system("setuid.exec_newgrp", "/usr/bin/newgrp");
	try_system("setuid.exec_newuidmap", "/usr/bin/newuidmap");
	return attack_done();
}
