/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Dropped packets: one entry per reason, owner and 5-tuple in a bounded table that is emptied every
 * second, and an exact count per reason beside it.
 *
 * A flood of drops costs one table look-up per packet and no record. A full table refuses new
 * entries, counted; the counts per reason stay exact.
 */
#ifndef SEKISHO_DROP_H
#define SEKISHO_DROP_H

#define DROP_FLOWS_MAX 32768
#define DROP_REASONS 512 /* reasons of subsystems (numbers from 1 << 16 on) share the last */
#define IP_FRAGMENT_MASK 0x1fff
#define TCP_FLAGS_AT 13
#define TCP_RST 0x04

struct drop_key {
	__u64 cgroup_id;
	__u64 netns_cookie; /* 127.0.0.1 is somebody else in each namespace */
	__u8 source[16];
	__u8 destination[16];
	__u16 source_port;
	__u16 destination_port;
	__u8 protocol;
	__u8 direction;
	__u16 pad;
	__u32 reason;
	__u32 pad_end;
};

struct drop_sum {
	__u64 packets;
	__u64 first_ns;
	__u64 last_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, DROP_FLOWS_MAX);
	__type(key, struct drop_key);
	__type(value, struct drop_sum);
} drop_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROP_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} drop_reasons SEC(".maps");

/* Set before attaching, by the names in the kernel's BTF: 1 = nothing is lost by such a drop. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DROP_REASONS);
	__type(key, __u32);
	__type(value, __u8);
} drop_harmless SEC(".maps");

static __always_inline __u32 drop_index(__u32 reason)
{
	return reason < DROP_REASONS ? reason : DROP_REASONS - 1;
}

static __always_inline bool is_harmless(__u32 reason)
{
	__u32 index = drop_index(reason);
	__u8 *harmless = bpf_map_lookup_elem(&drop_harmless, &index);

	return harmless && *harmless;
}

/* Atomic although per-CPU: see count_produced(). */
static __always_inline void count_reason(__u32 reason)
{
	__u32 index = drop_index(reason);
	__u64 *count = bpf_map_lookup_elem(&drop_reasons, &index);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* Where the transport header of a packet should be, and how much of it is linear. */
struct transport {
	unsigned char *at;
	__u32 room;
};

/* Ports, and the flags of TCP; zeros where there are none or they can't be read. */
static __always_inline __u8 read_transport(const struct transport *from, struct drop_key *key)
{
	__be16 ports[2] = {};
	__u8 flags = 0;

	if (key->protocol != IPPROTO_TCP && key->protocol != IPPROTO_UDP &&
	    key->protocol != IPPROTO_SCTP)
		return 0;
	if (from->room < sizeof(ports) || bpf_probe_read_kernel(ports, sizeof(ports), from->at))
		return 0;
	key->source_port = bpf_ntohs(ports[0]);
	key->destination_port = bpf_ntohs(ports[1]);
	if (key->protocol == IPPROTO_TCP && from->room > TCP_FLAGS_AT)
		bpf_probe_read_kernel(&flags, sizeof(flags), from->at + TCP_FLAGS_AT);
	return flags;
}

/* Reads the headers into `key`; false if there is no IP header where one should be. */
static __always_inline bool read_headers(const struct sk_buff *skb, struct drop_key *key,
					 __u8 *tcp_flags)
{
	unsigned char *head = BPF_CORE_READ(skb, head);
	__u32 at = BPF_CORE_READ(skb, network_header);
	__u32 tail = BPF_CORE_READ(skb, tail);
	struct transport transport = {};
	__u8 header[IPV6_HEADER];
	__u32 length;

	if (at + IPV4_HEADER_MIN > tail ||
	    bpf_probe_read_kernel(header, IPV4_HEADER_MIN, head + at))
		return false;
	if (header[0] >> 4 == 4) {
		__be32 address;

		length = (header[0] & 0xf) * IPV4_WORD;
		key->protocol = header[IPV4_PROTOCOL_AT];
		__builtin_memcpy(&address, header + IPV4_SOURCE_AT, sizeof(address));
		map_ipv4(key->source, address);
		__builtin_memcpy(&address, header + IPV4_DESTINATION_AT, sizeof(address));
		map_ipv4(key->destination, address);
		/* Only the first fragment has a transport header. */
		if (((header[6] << 8 | header[7]) & IP_FRAGMENT_MASK) != 0)
			return true;
	} else if (header[0] >> 4 == 6) {
		length = IPV6_HEADER;
		if (at + length > tail || bpf_probe_read_kernel(header, IPV6_HEADER, head + at))
			return false;
		key->protocol = header[IPV6_NEXT_AT];
		__builtin_memcpy(key->source, header + IPV6_SOURCE_AT, 16);
		__builtin_memcpy(key->destination, header + IPV6_DESTINATION_AT, 16);
	} else {
		return false;
	}
	transport.at = head + at + length;
	transport.room = tail > at + length ? tail - at - length : 0;
	*tcp_flags = read_transport(&transport, key);
	return true;
}

#endif
