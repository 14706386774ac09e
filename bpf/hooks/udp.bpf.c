// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Attaches to: cgroup_skb ingress and egress, cgroup sock_create and sock_release of the observed
 * folder. Emits: open records of UDP flows, closed records of sockets that end.
 * Bounds: UDP_FLOWS_MAX flows; a refused flow is counted as dropped. Minimum kernel: 5.11.
 *
 * The role is told by the first datagram. A connected socket's own addresses are used, since they
 * are those before NAT; an unconnected one gives what the packet says.
 */
static __always_inline void connected_remote(const struct bpf_sock *sk, struct udp_key *key)
{
	__u32 word[4];

	if (!sk->dst_port)
		return;
	if (sk->family == AF_INET) {
		if (!sk->dst_ip4)
			return;
		word[0] = sk->dst_ip4;
		__builtin_memcpy(key->remote + 12, word, 4);
	} else {
		word[0] = sk->dst_ip6[0];
		word[1] = sk->dst_ip6[1];
		word[2] = sk->dst_ip6[2];
		word[3] = sk->dst_ip6[3];
		if (!(word[0] | word[1] | word[2] | word[3]))
			return;
		__builtin_memcpy(key->remote, word, sizeof(word));
	}
	key->remote_port = bpf_ntohs(sk->dst_port);
}

/* A datagram of a socket older than us may be an answer: ports tell better than order, but guess. */
static __always_inline void set_role(struct udp_flow *flow, const struct udp_key *key, bool old,
				     bool egress)
{
	bool to_us = key->local_port < EPHEMERAL_UDP_PORT_MIN;
	bool to_them = key->remote_port < EPHEMERAL_UDP_PORT_MIN;

	flow->role = egress ? SEKISHO_ROLE_SOURCE : SEKISHO_ROLE_DESTINATION;
	if (!old || flow->start_ns - agent_start_ns > udp_idle_ns)
		return;
	flow->flags |= SEKISHO_F_ROLE_INFERRED;
	if (to_us != to_them)
		flow->role = to_us ? SEKISHO_ROLE_DESTINATION : SEKISHO_ROLE_SOURCE;
}

static __always_inline void add(struct udp_flow *flow, const struct datagram *datagram, bool egress)
{
	if (egress) {
		__sync_fetch_and_add(&flow->bytes_sent, datagram->payload_length);
		__sync_fetch_and_add(&flow->packets_sent, datagram->count);
	} else {
		__sync_fetch_and_add(&flow->bytes_received, datagram->payload_length);
		__sync_fetch_and_add(&flow->packets_received, datagram->count);
	}
}

static __always_inline void open_flow(struct __sk_buff *skb, struct bpf_sock *sk,
				      const struct udp_key *key, const struct datagram *datagram,
				      bool egress)
{
	struct udp_memory *memory = bpf_sk_storage_get(&udp_sockets, sk, NULL, 0);
	struct udp_flow flow = {};

	flow.start_ns = bpf_ktime_get_boot_ns();
	flow.last_ns = flow.start_ns;
	flow.sampled_ns = flow.start_ns;
	flow.cgroup_id = bpf_skb_cgroup_id(skb);
	flow.pid = memory ? memory->pid : 0;
	set_role(&flow, key, !memory || memory->seeded, egress);
	add(&flow, datagram, egress);
	if (bpf_map_update_elem(&udp_flows, key, &flow, BPF_NOEXIST)) {
		count_produced(SEKISHO_HOOK_UDP);
		count_dropped(SEKISHO_HOOK_UDP);
		return;
	}
	if (memory && !memory->first.cookie)
		memory->first = *key;
	if (!emit_udp(&ring_keep, key, &flow, SEKISHO_PHASE_OPEN)) {
		count_produced(SEKISHO_HOOK_UDP);
		count_dropped(SEKISHO_HOOK_UDP);
	}
}

static __always_inline int on_datagram(struct __sk_buff *skb, bool egress)
{
	struct bpf_sock *sk = skb->sk;
	struct datagram datagram = {};
	struct udp_key key = {};
	struct udp_flow *flow;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_UDP || !read_datagram(skb, &datagram))
		return 1;
	key.cookie = bpf_get_socket_cookie(skb);
	__builtin_memcpy(key.local, egress ? datagram.source : datagram.destination, 16);
	__builtin_memcpy(key.remote, egress ? datagram.destination : datagram.source, 16);
	key.local_port = egress ? datagram.source_port : datagram.destination_port;
	key.remote_port = egress ? datagram.destination_port : datagram.source_port;
	connected_remote(sk, &key);
	flow = bpf_map_lookup_elem(&udp_flows, &key);
	if (flow) {
		add(flow, &datagram, egress);
		flow->last_ns = bpf_ktime_get_boot_ns();
	} else {
		open_flow(skb, sk, &key, &datagram, egress);
	}
	if (!egress && datagram.source_port == DNS_PORT)
		capture_dns(skb, &datagram);
	return 1;
}

SEC("cgroup_skb/ingress")
int udp_ingress(struct __sk_buff *skb)
{
	return on_datagram(skb, false);
}

SEC("cgroup_skb/egress")
int udp_egress(struct __sk_buff *skb)
{
	return on_datagram(skb, true);
}

SEC("cgroup/sock_create")
int udp_create(struct bpf_sock *sk)
{
	struct udp_memory *memory;

	if (sk->type != SOCK_DGRAM)
		return 1;
	memory = bpf_sk_storage_get(&udp_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (memory)
		memory->pid = bpf_get_current_pid_tgid() >> 32;
	return 1;
}

/* The flow of a socket with one peer ends here; those of a server's socket end by idleness. */
SEC("cgroup/sock_release")
int udp_release(struct bpf_sock *sk)
{
	struct udp_memory *memory;
	struct udp_flow *flow;
	struct udp_key key;

	if (sk->type != SOCK_DGRAM)
		return 1;
	memory = bpf_sk_storage_get(&udp_sockets, sk, NULL, 0);
	if (!memory || !memory->first.cookie)
		return 1;
	key = memory->first;
	flow = bpf_map_lookup_elem(&udp_flows, &key);
	if (flow && emit_udp(&ring_keep, &key, flow, SEKISHO_PHASE_CLOSED))
		bpf_map_delete_elem(&udp_flows, &key);
	return 1;
}
