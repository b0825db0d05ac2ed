/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typing into the terminal of whoever started the sandbox: TIOCSTI (CVE-2017-5226), TIOCLINUX's
 * paste (CVE-2023-28100), both also with high bits set that a 64-bit comparison misses
 * (CVE-2019-10063); line disciplines by TIOCSETD as kernel attack surface (CVE-2017-2636).
 * ioctl_tty(2), ioctl_console(2). Tried on a pty of this sandbox's own devpts that is the
 * controlling terminal of a session of one's own, where the kernel itself has nothing against it.
 */
#include "attack.h"

#include <sys/ioctl.h>
#include <termios.h>

struct tty_try {
	unsigned long request;
	int ldisc;
};

/* Opens a pty pair and makes the slave the controlling terminal; returns the slave. */
static int own_terminal(void)
{
	int unlock = 0, number, slave, master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	char path[64];

	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
	    ioctl(master, TIOCGPTN, &number) < 0)
		return -1;
	snprintf(path, sizeof(path), "/dev/pts/%d", number);
	setsid();
	slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave >= 0)
		ioctl(slave, TIOCSCTTY, 0);
	return slave;
}

static long ioctl_call(void *arg)
{
	const struct tty_try *t = arg;
	char paste[2] = {3 /* TIOCL_PASTESEL */, 0};
	int slave = own_terminal();

	if (slave < 0)
		return -1;
	if ((t->request & 0xffffffff) == TIOCSETD)
		return syscall(SYS_ioctl, slave, t->request, &t->ldisc);
	return syscall(SYS_ioctl, slave, t->request, paste);
}

/* The same on what the sandbox was given as standard input. */
static long stdin_call(void *arg)
{
	const struct tty_try *t = arg;

	return syscall(SYS_ioctl, 0, t->request, "\n");
}

static void try_requests(void)
{
	static const struct {
		const char *name;
		struct tty_try try;
	} cases[] = {
		{"tty.tiocsti", {TIOCSTI, 0}},
		{"tty.tiocsti_high_bits", {TIOCSTI | (1UL << 32), 0}},
		{"tty.tiocsti_all_high_bits", {TIOCSTI | (0xffffffffUL << 32), 0}},
		{"tty.tioclinux", {TIOCLINUX, 0}},
		{"tty.tioclinux_high_bits", {TIOCLINUX | (1UL << 32), 0}},
		{"tty.tiocsetd_hdlc", {TIOCSETD, 13}},
		{"tty.tiocsetd_slip", {TIOCSETD, 1}},
		{"tty.tiocsetd_gsm", {TIOCSETD, 21}},
		{"tty.tiocsetd_high_bits", {TIOCSETD | (1UL << 32), 3}},
	};

	for (size_t i = 0; i < ATTACK_LENGTH(cases); i++) {
		struct tty_try t = cases[i].try;

		attack_judge(cases[i].name, attack_try(ioctl_call, &t), NULL);
	}
}

static void try_stdin(void)
{
	struct tty_try plain = {TIOCSTI, 0}, high = {TIOCSTI | (1UL << 32), 0};
	static const int not_tty[] = {ENOTTY, 0};

	attack_judge("tty.stdin_tiocsti", attack_try(stdin_call, &plain), not_tty);
	attack_judge("tty.stdin_tiocsti_high_bits", attack_try(stdin_call, &high), not_tty);
}

/* TIOCCONS moves the machine's console output here; vhangup and vt switching by their ioctls. */
static void try_console(void)
{
	static const struct {
		const char *name;
		struct tty_try try;
	} cases[] = {
		{"tty.tioccons", {TIOCCONS, 0}}, {"tty.vt_activate", {0x5606, 0}},
		{"tty.kdsetmode", {0x4B3A, 0}},	 {"tty.kdskbsent", {0x4B49, 0}},
		{"tty.kdfontop", {0x4B72, 0}},
	};
	static const int not_console[] = {ENOTTY, EBUSY, 0};

	for (size_t i = 0; i < ATTACK_LENGTH(cases); i++) {
		struct tty_try t = cases[i].try;
		bool cons = t.request == TIOCCONS;

		attack_judge(cases[i].name, attack_try(ioctl_call, &t), cons ? NULL : not_console);
	}
}

/* A terminal on 0, 1 or 2 must come from the devpts inside: the sandbox knows no other. */
static void try_foreign(void)
{
	struct stat pts, info;
	bool have_pts = stat("/dev/pts", &pts) == 0;
	char name[64];

	for (int fd = 0; fd < 3; fd++) {
		snprintf(name, sizeof(name), "tty.own_devpts_%d", fd);
		if (!isatty(fd))
			HELD(name, "not a terminal");
		else if (fstat(fd, &info) == 0 && have_pts && info.st_dev == pts.st_dev)
			HELD(name, "a terminal of its own");
		else
			BROKEN(name, "a terminal of the machine");
	}
	if (!isatty(0) && !isatty(1) && !isatty(2))
		attack_expect("tty.controlling", open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY),
			      (const int[]){ENXIO, ENOENT, 0});
}

/* devpts inside is a new instance: it holds no terminal but those made here. */
static void try_other_ptys(void)
{
	char path[64], name[] = "tty.other_ptys";
	int found = 0;

	for (int i = 0; i < 64; i++) {
		struct stat info;

		snprintf(path, sizeof(path), "/dev/pts/%d", i);
		if (stat(path, &info) < 0 || (isatty(0) && i == 0))
			continue;
		found++;
		BROKEN(name, "%s", path);
	}
	if (found == 0)
		HELD(name, "none");
}

int main(void)
{
	attack_begin();
	try_foreign();
	try_other_ptys();
	try_requests();
	try_stdin();
	try_console();
	return attack_done();
}
