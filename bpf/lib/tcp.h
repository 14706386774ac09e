/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What we remember of a TCP socket, and how a record is filled from the kernel's own counters.
 */
#ifndef SEKISHO_TCP_H
#define SEKISHO_TCP_H

#define GENERATION_SHIFT 48
#define EPHEMERAL_PORT_MIN 32768 /* net.ipv4.ip_local_port_range default */

struct tcp_memory {
	__u64 id; /* cookie | generation << 48 */
	__u64 start_ns;
	__u64 cgroup_id;
	__u32 pid;
	__u32 sampled_round;
	__u16 generation; /* a socket may connect again after a failure: another connection */
	__u8 role;
	__u8 flags;
	__u32 pad;
};

/* BPF_F_CLONE: an accepted socket begins with a copy of its listener's memory. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct tcp_memory);
} tcp_sockets SEC(".maps");

static __always_inline void map_ipv4(__u8 *to, __be32 address)
{
	__builtin_memset(to, 0, 10);
	to[10] = 0xff;
	to[11] = 0xff;
	__builtin_memcpy(to + 12, &address, sizeof(address));
}

/* Starts a connection in `memory`, whatever it held before. */
static __always_inline void begin(struct tcp_memory *memory, struct sock *sk, __u8 role)
{
	memory->id = bpf_get_socket_cookie(sk) | (__u64)memory->generation << GENERATION_SHIFT;
	memory->start_ns = bpf_ktime_get_boot_ns();
	memory->role = role;
	memory->flags = 0;
	memory->sampled_round = 0;
}

/* Direct loads: `tcp` is a typed pointer, and a probe read costs ten times as much. */
static __always_inline void fill_addresses(struct sekisho_socket *record,
					   const struct tcp_sock *tcp)
{
	const struct inet_sock *inet = &tcp->inet_conn.icsk_inet;
	const struct sock_common *common = &inet->sk.__sk_common;

	if (common->skc_family == AF_INET) {
		map_ipv4(record->local, inet->inet_saddr);
		map_ipv4(record->remote, common->skc_daddr);
	} else {
		bpf_core_read(record->local, sizeof(record->local), &common->skc_v6_rcv_saddr);
		bpf_core_read(record->remote, sizeof(record->remote), &common->skc_v6_daddr);
	}
	/* skc_num is already 0 at TCP_CLOSE (inet_put_port); inet_sport stays. */
	record->local_port = bpf_ntohs(inet->inet_sport);
	record->remote_port = bpf_ntohs(common->skc_dport);
}

static __always_inline void fill_totals(struct sekisho_socket *record, const struct tcp_sock *tcp)
{
	unsigned long flags = tcp->inet_conn.icsk_inet.sk.__sk_common.skc_flags;
	__u64 received = tcp->bytes_received;

	/* bytes_received follows the sequence number, which a FIN advances by one; SOCK_DONE is set
	 * by tcp_fin() and by nothing else during a connection. */
	if (received && (flags & (1UL << SOCK_DONE_BIT)))
		received--;
	record->bytes_sent = tcp->bytes_sent - tcp->bytes_retrans;
	record->bytes_received = received;
	record->packets_sent = tcp->segs_out;
	record->packets_received = tcp->segs_in;
}

static __always_inline void fill_tcp(struct sekisho_socket *record, const struct tcp_sock *tcp,
				     const struct tcp_memory *memory, __u8 phase, __u8 hook)
{
	fill_header(&record->header, SEKISHO_KIND_SOCKET, hook);
	record->header.flags = memory->flags;
	record->header.pid = memory->pid;
	record->header.cgroup_id = memory->cgroup_id;
	record->id = memory->id;
	record->start_ns = memory->start_ns;
	record->protocol = IPPROTO_TCP;
	record->role = memory->role;
	record->phase = phase;
	record->pad = 0;
	fill_addresses(record, tcp);
	fill_totals(record, tcp);
}

#endif
