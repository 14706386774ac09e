/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The only wire format between the kernel programs and user space (crates/observe/src/wire.rs).
 *
 * Same machine, same byte order: integers are in host order unless a comment says otherwise;
 * ports are in host order; addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d.
 * Times are nanoseconds of CLOCK_BOOTTIME. A change of any struct raises SEKISHO_WIRE_VERSION.
 */
#ifndef SEKISHO_EVENT_H
#define SEKISHO_EVENT_H

#define SEKISHO_WIRE_VERSION 1

/* Hooks: index of the per-CPU counters. */
enum sekisho_hook {
	SEKISHO_HOOK_TCP_STATE = 0,
	SEKISHO_HOOK_TCP_SAMPLE = 1,
	SEKISHO_HOOK_UDP = 2,
	SEKISHO_HOOK_DNS = 3,
	SEKISHO_HOOK_PROCESS = 4,
	SEKISHO_HOOK_CGROUP = 5,
	SEKISHO_HOOK_DROP = 6,
	SEKISHO_HOOK_COUNT = 7,
};

enum sekisho_kind {
	SEKISHO_KIND_SOCKET = 1,
	SEKISHO_KIND_DNS = 2,
	SEKISHO_KIND_EXEC = 3, /* or a running process came into the subtree */
	SEKISHO_KIND_TASK = 4, /* a fork: the program is the parent's */
	SEKISHO_KIND_EXIT = 5,
	SEKISHO_KIND_CGROUP = 6, /* a folder was made */
	SEKISHO_KIND_DROP = 7, /* packets that the kernel dropped, summed over a second or so */
};

enum sekisho_phase {
	SEKISHO_PHASE_CONNECTING = 1,
	SEKISHO_PHASE_OPEN = 2,
	SEKISHO_PHASE_SAMPLE = 3,
	SEKISHO_PHASE_CLOSED = 4,
};

enum sekisho_role {
	SEKISHO_ROLE_NONE = 0,
	SEKISHO_ROLE_SOURCE = 1,
	SEKISHO_ROLE_DESTINATION = 2,
	SEKISHO_ROLE_LISTENER = 3, /* never on the wire */
};

/* Which way a dropped packet went, as the socket at hand tells. */
enum sekisho_direction {
	SEKISHO_DIRECTION_UNKNOWN = 0, /* no socket: forwarded, or before one was found */
	SEKISHO_DIRECTION_INGRESS = 1,
	SEKISHO_DIRECTION_EGRESS = 2,
};

/* sekisho_header.flags */
#define SEKISHO_F_ESTABLISHED 0x01
#define SEKISHO_F_RESET 0x02
#define SEKISHO_F_ROLE_INFERRED 0x04
#define SEKISHO_F_SEEDED 0x08 /* older than the agent */
#define SEKISHO_F_CUT 0x10 /* payload or path is longer than what was captured */

#define SEKISHO_COMM_LEN 16
#define SEKISHO_PATH_PART_MAX 256
#define SEKISHO_PATH_DEPTH_MAX 24
#define SEKISHO_PATH_MAX 1024
#define SEKISHO_CGROUP_PATH_MAX 1024
#define SEKISHO_DNS_SMALL 512 /* RFC 1035 section 4.2.1 */
#define SEKISHO_DNS_LARGE 1232 /* DNS flag day 2020: the usual EDNS buffer */

struct sekisho_header {
	__u8 version;
	__u8 kind;
	__u8 hook;
	__u8 flags;
	__u32 pid; /* thread-group id in the initial pid namespace; 0 = unknown */
	__u64 time_ns;
	__u64 cgroup_id; /* inode number of the cgroup v2 folder; 0 = unknown */
};

struct sekisho_socket {
	struct sekisho_header header;
	__u64 id; /* TCP: cookie, generation in the upper 16 bits; UDP: cookie */
	__u64 start_ns;
	__u64 bytes_sent;
	__u64 bytes_received;
	__u64 packets_sent;
	__u64 packets_received;
	__u8 local[16]; /* network order */
	__u8 remote[16]; /* network order */
	__u16 local_port;
	__u16 remote_port;
	__u8 protocol;
	__u8 role;
	__u8 phase;
	__u8 pad;
};

struct sekisho_dns {
	struct sekisho_header header;
	__u16 captured; /* bytes of payload that follow */
	__u16 length; /* bytes of payload there were */
	__u32 pad;
};

struct sekisho_dns_small {
	struct sekisho_dns dns;
	__u8 payload[SEKISHO_DNS_SMALL];
};

struct sekisho_dns_large {
	struct sekisho_dns dns;
	__u8 payload[SEKISHO_DNS_LARGE];
};

struct sekisho_task {
	struct sekisho_header header;
	__u32 parent; /* thread-group id */
	__u32 uid;
	__u8 comm[SEKISHO_COMM_LEN]; /* NUL-terminated */
};

struct sekisho_exec {
	struct sekisho_task task;
	__u16 path_length; /* bytes of path in use */
	__u16 pad[3];
	/* Parts of the executable's path, last one first, each NUL-terminated. */
	__u8 path[SEKISHO_PATH_MAX];
};

struct sekisho_cgroup {
	struct sekisho_header header;
	__u16 path_length; /* bytes of path in use, without the NUL */
	__u16 pad[3];
	__u8 path[SEKISHO_CGROUP_PATH_MAX]; /* from the hierarchy's root */
};

struct sekisho_drop {
	struct sekisho_header header; /* time_ns: the last of them */
	__u64 first_ns;
	__u64 packets;
	__u8 source[16]; /* network order; zeros if the headers could not be read */
	__u8 destination[16]; /* network order */
	__u16 source_port;
	__u16 destination_port;
	__u8 protocol; /* IANA number; 0 = not read */
	__u8 direction;
	__u16 pad;
	__u32 reason; /* enum skb_drop_reason of the running kernel */
	__u32 pad_end;
};

_Static_assert(sizeof(struct sekisho_header) == 24, "wire size");
_Static_assert(sizeof(struct sekisho_socket) == 112, "wire size");
_Static_assert(sizeof(struct sekisho_dns) == 32, "wire size");
_Static_assert(sizeof(struct sekisho_dns_small) == 544, "wire size");
_Static_assert(sizeof(struct sekisho_dns_large) == 1264, "wire size");
_Static_assert(sizeof(struct sekisho_task) == 48, "wire size");
_Static_assert(sizeof(struct sekisho_exec) == 1080, "wire size");
_Static_assert(sizeof(struct sekisho_cgroup) == 1056, "wire size");
_Static_assert(sizeof(struct sekisho_drop) == 88, "wire size");

#endif
