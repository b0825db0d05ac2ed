/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Without a guard nothing leaves: there is no interface but lo, no route, and attempts fail at
 * once instead of timing out (network_namespaces(7)). Tried by effect: the interface list, TCP
 * and UDP to public, private, link-local and metadata addresses, over v4, v6 and v4-in-v6.
 */
#include "attack.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static const int unreachable[] = {ENETUNREACH,	 EHOSTUNREACH, ECONNREFUSED,
				  EADDRNOTAVAIL, EAFNOSUPPORT, 0};

struct target {
	const char *name, *address;
	uint16_t port;
	int type;
};

static int fill_address(const struct target *t, struct sockaddr_storage *ret_address,
			socklen_t *ret_length)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret_address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_address;

	memset(ret_address, 0, sizeof(*ret_address));
	if (inet_pton(AF_INET, t->address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(t->port);
		*ret_length = sizeof(*v4);
		return AF_INET;
	}
	inet_pton(AF_INET6, t->address, &v6->sin6_addr);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(t->port);
	*ret_length = sizeof(*v6);
	return AF_INET6;
}

/* A connect that neither succeeds nor fails within 2 s means that packets left. */
static long connect_call(void *arg)
{
	const struct target *t = arg;
	struct sockaddr_storage address;
	socklen_t length, size = sizeof(int);
	struct pollfd waiting = {.events = POLLOUT};
	int family = fill_address(t, &address, &length), err = 0;
	int fd = socket(family, t->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (t->type == SOCK_DGRAM)
		return sendto(fd, "x", 1, 0, (struct sockaddr *)&address, length);
	if (connect(fd, (struct sockaddr *)&address, length) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -1;
	waiting.fd = fd;
	if (poll(&waiting, 1, 2000) == 0) {
		errno = ETIMEDOUT;
		return -1;
	}
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size);
	errno = err;
	return err ? -1 : 0;
}

static void try_targets(void)
{
	static struct target targets[] = {
		{"tcp_public", "1.1.1.1", 443, SOCK_STREAM},
		{"tcp_metadata", "169.254.169.254", 80, SOCK_STREAM},
		{"tcp_metadata_alibaba", "100.100.100.200", 80, SOCK_STREAM},
		{"tcp_metadata_azure", "168.63.129.16", 80, SOCK_STREAM},
		{"tcp_private_10", "10.0.0.1", 22, SOCK_STREAM},
		{"tcp_private_172", "172.17.0.1", 2375, SOCK_STREAM},
		{"tcp_private_192", "192.168.0.1", 80, SOCK_STREAM},
		{"tcp_public6", "2606:4700:4700::1111", 443, SOCK_STREAM},
		{"tcp_metadata6", "fd00:ec2::254", 80, SOCK_STREAM},
		{"tcp_mapped", "::ffff:169.254.169.254", 80, SOCK_STREAM},
		{"udp_dns", "8.8.8.8", 53, SOCK_DGRAM},
		{"udp_dns6", "2001:4860:4860::8888", 53, SOCK_DGRAM},
		{"udp_broadcast", "10.255.255.255", 9, SOCK_DGRAM},
		{"udp_multicast", "224.0.0.251", 5353, SOCK_DGRAM},
		{"udp_mapped", "::ffff:8.8.8.8", 53, SOCK_DGRAM},
	};
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(targets); i++) {
		snprintf(name, sizeof(name), "network.%s", targets[i].name);
		attack_judge(name, attack_try(connect_call, &targets[i]), unreachable);
	}
}

static void try_interfaces(void)
{
	char text[4096], *line, *save = NULL;
	int foreign = 0;

	if (attack_read_file("/proc/net/dev", text, sizeof(text)) < 0) {
		HELD("network.interfaces", "/proc/net/dev cannot be read");
		return;
	}
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *colon = strchr(line, ':');

		if (!colon)
			continue;
		*colon = '\0';
		line += strspn(line, " ");
		if (strcmp(line, "lo") == 0)
			continue;
		foreign++;
		BROKEN("network.interfaces", "found %s", line);
	}
	if (foreign == 0)
		HELD("network.interfaces", "lo only");
}

/* Taking lo down or giving it an address needs CAP_NET_ADMIN over the namespace. */
static long change_call(void *arg)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)arg;
	request.ifr_flags = 0;
	return fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &request);
}

int main(void)
{
	attack_begin();
	try_interfaces();
	try_targets();
	attack_judge("network.change_lo", attack_try(change_call, NULL), NULL);
	return attack_done();
}
