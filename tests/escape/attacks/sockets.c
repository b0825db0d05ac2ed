/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket families and protocols as kernel attack surface: AF_ALG (CVE-2026-31431), vsock, rxrpc,
 * packet (CVE-2020-14386), xfrm and nftables netlink (CVE-2023-32233), MPTCP, SCTP, raw.
 * Only AF_UNIX, AF_INET and AF_INET6 with TCP or UDP, and NETLINK_ROUTE may be had; the rest is
 * EPERM or EAFNOSUPPORT, whatever flag bits or high bits the arguments carry (socket(2)).
 */
#include "attack.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

static const int refusals[] = {EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT, 0};

/* All families (AF_MAX is 46 in Linux 6.x; a few beyond, for kernels to come). */
static const char *const families[] = {
	[0] = "unspec",	     [3] = "ax25",     [4] = "ipx",	 [5] = "appletalk",
	[6] = "netrom",	     [7] = "bridge",   [8] = "atmpvc",	 [9] = "x25",
	[11] = "rose",	     [12] = "decnet",  [13] = "netbeui", [14] = "security",
	[15] = "key",	     [17] = "packet",  [18] = "ash",	 [19] = "econet",
	[20] = "atmsvc",     [21] = "rds",     [22] = "sna",	 [23] = "irda",
	[24] = "pppox",	     [25] = "wanpipe", [26] = "llc",	 [27] = "ib",
	[28] = "mpls",	     [29] = "can",     [30] = "tipc",	 [31] = "bluetooth",
	[32] = "iucv",	     [33] = "rxrpc",   [34] = "isdn",	 [35] = "phonet",
	[36] = "ieee802154", [37] = "caif",    [38] = "alg",	 [39] = "nfc",
	[40] = "vsock",	     [41] = "kcm",     [42] = "qipcrtr", [43] = "smc",
	[44] = "xdp",	     [45] = "mctp",    [46] = "next_46", [63] = "next_63",
};

static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET};

struct socket_args {
	unsigned long family, type, protocol;
};

static long socket_call(void *arg)
{
	const struct socket_args *a = arg;

	return syscall(SYS_socket, a->family, a->type, a->protocol);
}

static long socketpair_call(void *arg)
{
	const struct socket_args *a = arg;
	int fds[2];

	return syscall(SYS_socketpair, a->family, a->type, a->protocol, fds);
}

/* A family is refused only if it is with each type; the first that gets through is reported. */
static struct attack_outcome try_types(attack_call call, unsigned long family)
{
	struct attack_outcome out = {.value = -1, .err = EPERM};

	for (size_t i = 0; i < ATTACK_LENGTH(types); i++) {
		struct socket_args args = {family, (unsigned long)types[i], 0};

		if (family == AF_PACKET)
			args.protocol = 0x0300; /* htons(ETH_P_ALL) */
		out = attack_try(call, &args);
		if (out.signal != SIGSYS &&
		    (out.value >= 0 || !attack_is_refusal(out.err, refusals)))
			return out;
	}
	return out;
}

static void try_families(void)
{
	static const unsigned long flagged[] = {AF_PACKET, AF_VSOCK, 33 /* rxrpc */, 38 /* alg */};
	char name[64];

	for (size_t family = 0; family < ATTACK_LENGTH(families); family++) {
		if (!families[family])
			continue;
		snprintf(name, sizeof(name), "socket.family_%s", families[family]);
		attack_judge(name, try_types(socket_call, family), refusals);
	}
	for (size_t i = 0; i < ATTACK_LENGTH(flagged); i++) {
		snprintf(name, sizeof(name), "socket.high_bits_%s", families[flagged[i]]);
		attack_judge(name, try_types(socket_call, flagged[i] | (1UL << 32)), refusals);
		snprintf(name, sizeof(name), "socket.pair_%s", families[flagged[i]]);
		attack_judge(name, try_types(socketpair_call, flagged[i]),
			     (const int[]){EAFNOSUPPORT, EPROTONOSUPPORT, EOPNOTSUPP, 0});
	}
	attack_judge("socket.pair_tipc", try_types(socketpair_call, 30), refusals);
}

static void try_protocols(void)
{
	static const struct {
		const char *name;
		struct socket_args args;
	} cases[] = {
		{"mptcp", {AF_INET, SOCK_STREAM, 262}},
		{"mptcp6", {AF_INET6, SOCK_STREAM, 262}},
		{"mptcp_high_bits", {AF_INET, SOCK_STREAM, 262UL | (1UL << 32)}},
		{"tcp_high_bits_mptcp", {AF_INET | (1UL << 32), SOCK_STREAM, 262}},
		{"sctp", {AF_INET, SOCK_STREAM, 132}},
		{"sctp_seqpacket", {AF_INET6, SOCK_SEQPACKET, 132}},
		{"dccp", {AF_INET, 6 /* SOCK_DCCP */, 33}},
		{"udplite", {AF_INET, SOCK_DGRAM, 136}},
		{"ping", {AF_INET, SOCK_DGRAM, 1}},
		{"ping6", {AF_INET6, SOCK_DGRAM, 58}},
		{"l2tp", {AF_INET, SOCK_DGRAM, 115}},
		{"smc", {AF_INET, SOCK_STREAM, 256}},
		{"raw_icmp", {AF_INET, SOCK_RAW, 1}},
		{"raw_tcp", {AF_INET, SOCK_RAW, 6}},
		{"raw_udp", {AF_INET, SOCK_RAW, 17}},
		{"raw_all", {AF_INET, SOCK_RAW, 255}},
		{"raw6", {AF_INET6, SOCK_RAW, 58}},
		{"raw_flags", {AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 6}},
		{"raw_high_bits", {AF_INET, SOCK_RAW | (1UL << 32), 6}},
		{"packet_old", {AF_INET, SOCK_PACKET, 0x0300}},
	};
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(cases); i++) {
		struct socket_args args = cases[i].args;

		snprintf(name, sizeof(name), "socket.%s", cases[i].name);
		attack_judge(name, attack_try(socket_call, &args),
			     (const int[]){EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT, 0});
	}
}

static void try_netlink(void)
{
	static const char *const names[] = {
		[1] = "unused",	     [2] = "usersock",	     [3] = "firewall",
		[4] = "sock_diag",   [5] = "nflog",	     [6] = "xfrm",
		[7] = "selinux",     [8] = "iscsi",	     [9] = "audit",
		[10] = "fib_lookup", [11] = "connector",     [12] = "netfilter",
		[13] = "ip6_fw",     [14] = "dnrtmsg",	     [15] = "kobject_uevent",
		[16] = "generic",    [18] = "scsitransport", [19] = "ecryptfs",
		[20] = "rdma",	     [21] = "crypto",	     [22] = "smc",
	};
	char name[64];

	for (size_t i = 0; i < ATTACK_LENGTH(names); i++) {
		struct socket_args args = {AF_NETLINK, SOCK_RAW, i};
		struct socket_args high = {AF_NETLINK, SOCK_RAW, i | (1UL << 32)};

		if (!names[i])
			continue;
		snprintf(name, sizeof(name), "socket.netlink_%s", names[i]);
		attack_judge(name, attack_try(socket_call, &args), refusals);
		snprintf(name, sizeof(name), "socket.netlink_high_bits_%s", names[i]);
		attack_judge(name, attack_try(socket_call, &high), refusals);
	}
}

/* NETLINK_ROUTE may be opened to look; to change something needs a capability nobody has. */
static long new_link_call(void *arg)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
		struct rtattr linkinfo, kind;
		char dummy[8];
	} request = {
		.header = {sizeof(request), RTM_NEWLINK, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK,
			   1, 0},
		.linkinfo = {sizeof(struct rtattr) * 2 + 8, IFLA_LINKINFO},
		.kind = {sizeof(struct rtattr) + 6, 1 /* IFLA_INFO_KIND */},
		.dummy = "dummy",
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[256];
	} reply = {0};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	(void)arg;
	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0 ||
	    recv(fd, &reply, sizeof(reply), 0) < 0)
		return -1;
	errno = -reply.error.error;
	return errno == 0 ? 0 : -1;
}

int main(void)
{
	attack_begin();
	try_families();
	try_protocols();
	try_netlink();
	attack_judge("socket.route_new_link", attack_try(new_link_call, NULL),
		     (const int[]){EAFNOSUPPORT, EOPNOTSUPP, 0});
	return attack_done();
}
