/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * UDP flows: one entry per socket and peer, with counters, in a bounded table.
 *
 * A plain hash, not an LRU: eviction would lose totals without a word. A full table refuses new
 * flows, counted. Entries leave when their socket closes or, swept, when idle.
 */
#ifndef SEKISHO_UDP_H
#define SEKISHO_UDP_H

#define UDP_FLOWS_MAX 131072
#define EPHEMERAL_UDP_PORT_MIN 32768

/* Set before load, nanoseconds. */
const volatile __u64 udp_idle_ns = 30000000000ULL;
const volatile __u64 sample_period_ns = 10000000000ULL;
const volatile __u64 agent_start_ns = 0;

struct udp_key {
	__u64 cookie;
	__u8 local[16];
	__u8 remote[16];
	__u16 local_port;
	__u16 remote_port;
	__u32 pad;
};

struct udp_flow {
	__u64 start_ns;
	__u64 last_ns;
	__u64 sampled_ns;
	__u64 cgroup_id;
	__u64 bytes_sent;
	__u64 bytes_received;
	__u64 packets_sent;
	__u64 packets_received;
	__u32 pid;
	__u8 role;
	__u8 flags;
	__u16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, UDP_FLOWS_MAX);
	__type(key, struct udp_key);
	__type(value, struct udp_flow);
} udp_flows SEC(".maps");

struct udp_memory {
	struct udp_key first; /* cookie 0 = no flow yet */
	__u32 pid;
	__u32 seeded; /* 1: the socket is older than the agent */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct udp_memory);
} udp_sockets SEC(".maps");

/* Emits a record of a flow; false if the ring is full, uncounted so that the caller may retry. */
static __always_inline bool emit_udp(void *ring, const struct udp_key *key,
				     const struct udp_flow *flow, __u8 phase)
{
	struct sekisho_socket *record = bpf_ringbuf_reserve(ring, sizeof(*record), 0);

	if (!record)
		return false;
	count_produced(SEKISHO_HOOK_UDP);
	fill_header(&record->header, SEKISHO_KIND_SOCKET, SEKISHO_HOOK_UDP);
	record->header.flags = flow->flags;
	if (flow->packets_received)
		record->header.flags |= SEKISHO_F_ESTABLISHED;
	record->header.pid = flow->pid;
	record->header.cgroup_id = flow->cgroup_id;
	record->id = key->cookie;
	record->start_ns = flow->start_ns;
	record->bytes_sent = flow->bytes_sent;
	record->bytes_received = flow->bytes_received;
	record->packets_sent = flow->packets_sent;
	record->packets_received = flow->packets_received;
	__builtin_memcpy(record->local, key->local, sizeof(record->local));
	__builtin_memcpy(record->remote, key->remote, sizeof(record->remote));
	record->local_port = key->local_port;
	record->remote_port = key->remote_port;
	record->protocol = IPPROTO_UDP;
	record->role = flow->role;
	record->phase = phase;
	record->pad = 0;
	bpf_ringbuf_submit(record, wake_flags(ring));
	return true;
}

#endif
