/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev: only harmless nodes, own devpts, nothing of the machine's (CVE-2025-31133, -52565, -52881:
 * swapped /dev/null, /dev/console through /dev/pts). Making device nodes is refused everywhere
 * (mknod(2)), and where one exists on a nodev mount it does not open.
 */
#include "attack.h"

#include <dirent.h>
#include <sys/sysmacros.h>

static const struct {
	const char *name;
	unsigned int major, minor;
} nodes[] = {
	{"null", 1, 3},	   {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8},
	{"urandom", 1, 9}, {"tty", 5, 0},  {"ptmx", 5, 2},
};

static bool is_expected(const char *entry)
{
	static const char *const others[] = {".",  "..",    "pts",    "shm",
					     "fd", "stdin", "stdout", "stderr"};

	for (size_t i = 0; i < ATTACK_LENGTH(nodes); i++)
		if (strcmp(entry, nodes[i].name) == 0)
			return true;
	for (size_t i = 0; i < ATTACK_LENGTH(others); i++)
		if (strcmp(entry, others[i]) == 0)
			return true;
	return false;
}

static void try_listing(void)
{
	DIR *dir = opendir("/dev");
	struct dirent *entry;
	int more = 0;

	while (dir && (entry = readdir(dir))) {
		if (is_expected(entry->d_name))
			continue;
		more++;
		BROKEN("dev.only", "/dev/%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (more == 0)
		HELD("dev.only", "harmless entries only");
}

/* Each node is what its name says: a swapped /dev/null would get the runtime's writes. */
static void try_numbers(void)
{
	char path[64], name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(nodes); i++) {
		struct stat info;

		snprintf(path, sizeof(path), "/dev/%s", nodes[i].name);
		snprintf(name, sizeof(name), "dev.number_%s", nodes[i].name);
		if (stat(path, &info) < 0)
			HELD(name, "absent");
		else if (S_ISCHR(info.st_mode) && major(info.st_rdev) == nodes[i].major &&
			 minor(info.st_rdev) == nodes[i].minor)
			HELD(name, "%u:%u", nodes[i].major, nodes[i].minor);
		else
			BROKEN(name, "mode %o, %u:%u", info.st_mode, major(info.st_rdev),
			       minor(info.st_rdev));
	}
}

/* Replacing a node, or what lies under a mask, by a link to something of value. */
static void try_swap(void)
{
	static const struct {
		const char *name, *path;
	} targets[] = {
		{"dev.swap_null", "/dev/null"},	   {"dev.swap_tty", "/dev/tty"},
		{"dev.swap_ptmx", "/dev/ptmx"},	   {"dev.swap_pts", "/dev/pts"},
		{"dev.swap_shm", "/dev/shm"},	   {"dev.swap_kallsyms", "/proc/kallsyms"},
		{"dev.swap_procsys", "/proc/sys"}, {"dev.swap_dev", "/dev"},
		{"dev.swap_proc", "/proc"},
	};
	static const int more[] = {EROFS, EBUSY, EXDEV, ENOENT, EISDIR, 0};
	char moved[] = "/tmp/creel-swapped";

	for (size_t i = 0; i < ATTACK_LENGTH(targets); i++) {
		bool held = attack_expect(targets[i].name, unlink(targets[i].path), more);

		if (held && rename(targets[i].path, moved) == 0)
			BROKEN(targets[i].name, "renamed");
	}
}

/* Nodes of the machine's memory, disk, console, tun and fuse; then opened, if made. */
struct node {
	const char *name, *directory;
	mode_t type;
	unsigned int major, minor;
};

static long make_call(void *arg)
{
	const struct node *n = arg;
	char path[128];
	long made;
	int fd;

	snprintf(path, sizeof(path), "%s/creel-node-%d", n->directory, (int)getpid());
	made = syscall(SYS_mknodat, AT_FDCWD, path, n->type | 0666, makedev(n->major, n->minor));
	if (made < 0)
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	unlink(path);
	return fd >= 0 ? 1 : 0;
}

static void try_make(void)
{
	static const char *const directories[] = {"/tmp",	"/dev",	      "/dev/shm",
						  "/workspace", "/home/user", "/usr"};
	static const struct node kinds[] = {
		{"mem", NULL, S_IFCHR, 1, 1},	 {"port", NULL, S_IFCHR, 1, 4},
		{"kmsg", NULL, S_IFCHR, 1, 11},	 {"console", NULL, S_IFCHR, 5, 1},
		{"tty0", NULL, S_IFCHR, 4, 0},	 {"fuse", NULL, S_IFCHR, 10, 229},
		{"tun", NULL, S_IFCHR, 10, 200}, {"kvm", NULL, S_IFCHR, 10, 232},
		{"vda", NULL, S_IFBLK, 254, 0},	 {"sda", NULL, S_IFBLK, 8, 0},
		{"loop", NULL, S_IFBLK, 7, 0},
	};
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(kinds); i++) {
		struct attack_outcome out = {.value = -1, .err = EPERM};

		for (size_t j = 0; j < ATTACK_LENGTH(directories) && out.value < 0; j++) {
			struct node n = kinds[i];

			n.directory = directories[j];
			if (access(n.directory, W_OK) == 0)
				out = attack_try(make_call, &n);
		}
		snprintf(name, sizeof(name), "dev.make_%s", kinds[i].name);
		attack_judge(name, out, (const int[]){EROFS, 0});
	}
}

/* Names that must lead nowhere. */
static void try_absent(void)
{
	static const char *const paths[] = {
		"/dev/console", "/dev/kmsg",	"/dev/mem",	      "/dev/kvm",
		"/dev/fuse",	"/dev/net/tun", "/dev/vsock",	      "/dev/userfaultfd",
		"/dev/loop0",	"/dev/vda",	"/dev/btrfs-control", "/dev/cpu/0/msr",
		"/dev/hwrng",	"/dev/mqueue",	"/dev/log",
	};
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(paths); i++) {
		snprintf(name, sizeof(name), "dev.absent_%s", strrchr(paths[i], '/') + 1);
		attack_expect(name, open(paths[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
			      (const int[]){ENOENT, ENXIO, 0});
	}
}

int main(void)
{
	attack_begin();
	try_listing();
	try_numbers();
	try_make();
	try_absent();
	try_swap();
	return attack_done();
}
