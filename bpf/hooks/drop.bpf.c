// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Attaches to: tp_btf skb/kfree_skb, or the plain tracepoint of that name. Emits: nothing itself; it
 * sums dropped packets per reason, owner and 5-tuple, which drop_sweep emits.
 * Bounds: DROP_FLOWS_MAX entries between two sweeps; a refused one is counted as dropped.
 * Minimum kernel: 5.17 (a reason is given), 6.11 for the receiving socket of every drop.
 *
 * A packet is ours if its socket's cgroup is, or else its network namespace. Drops by which nobody
 * loses anything are left out: drop_harmless, copies for packet sockets, multicast, resets that
 * reach no socket, and what our own policies deny, which the deny log tells.
 */

/* Set before load, from the kernel's BTF. */
const volatile __u32 reason_no_socket = 0xffffffff;
const volatile __u32 reason_netfilter = 0xffffffff;
const volatile bool kfree_skb_tells_socket = false;
/* The mark that our own rules give a packet right before they drop it. */
const volatile __u32 policy_drop_mark = 0;

/* Request and TIME_WAIT sockets are no more than their common part. */
static __always_inline bool is_full_socket(const struct sock *sk)
{
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	return state != TCP_NEW_SYN_RECV && state != TCP_TIME_WAIT;
}

/* A raw or packet socket gets a copy: the packet itself goes on. */
static __always_inline bool takes_copies(const struct sock *sk)
{
	__u16 type = BPF_CORE_READ(sk, sk_type);

	return type == SOCK_RAW || type == SOCK_PACKET ||
	       BPF_CORE_READ(sk, __sk_common.skc_family) == AF_PACKET;
}

/* To whom it may concern: 224.0.0.0/4, 255.255.255.255 or ff00::/8. */
static __always_inline bool is_multicast(const __u8 *address)
{
	if (address[0] == 0xff)
		return true;
	return address[10] == 0xff && address[11] == 0xff && !address[0] && !address[1] &&
	       ((address[12] & 0xf0) == 0xe0 || (address[12] == 0xff && address[13] == 0xff &&
						 address[14] == 0xff && address[15] == 0xff));
}

static __always_inline bool is_inet(const struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return family == AF_INET || family == AF_INET6;
}

/* A packet that is dropped before it has headers: its socket knows where it should have gone. */
static __always_inline void read_socket(const struct sock *sk, struct drop_key *key)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET) {
		map_ipv4(key->source, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		map_ipv4(key->destination, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else {
		BPF_CORE_READ_INTO(&key->source, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&key->destination, sk, __sk_common.skc_v6_daddr);
	}
	key->protocol = BPF_CORE_READ(sk, sk_protocol);
	key->source_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	key->destination_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
}

/* Whose packet it is; false if it is not ours. */
static __always_inline bool find_owner(const struct sk_buff *skb, const struct sock *sk,
				       struct drop_key *key)
{
	struct net *net;

	if (sk) {
		net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
		if (is_full_socket(sk))
			key->cgroup_id = socket_cgroup_if_ours(sk);
	} else {
		net = BPF_CORE_READ(skb, dev, nd_net.net);
	}
	if (!key->cgroup_id && !is_our_netns(net, &key->cgroup_id))
		return false;
	key->netns_cookie = BPF_CORE_READ(net, net_cookie);
	return true;
}

static __always_inline void count_drop(const struct drop_key *key)
{
	struct drop_sum *sum = bpf_map_lookup_elem(&drop_flows, key);
	__u64 now = bpf_ktime_get_boot_ns();
	struct drop_sum first = {};

	count_reason(key->reason);
	if (!sum) {
		first.first_ns = now;
		if (bpf_map_update_elem(&drop_flows, key, &first, BPF_NOEXIST) == -E2BIG) {
			count_produced(SEKISHO_HOOK_DROP);
			count_dropped(SEKISHO_HOOK_DROP);
			return;
		}
		/* Another CPU may have been first: then it is that entry. */
		sum = bpf_map_lookup_elem(&drop_flows, key);
		if (!sum)
			return;
	}
	__sync_fetch_and_add(&sum->packets, 1);
	sum->last_ns = now;
}

static __always_inline int on_drop(const struct sk_buff *skb, __u32 reason,
				   const struct sock *receiver)
{
	const struct sock *sk = receiver ? receiver : BPF_CORE_READ(skb, sk);
	struct drop_key key = {};
	__u8 tcp_flags = 0;
	__u16 protocol;

	if (receiver && takes_copies(receiver))
		return 0;
	protocol = BPF_CORE_READ(skb, protocol);
	if (protocol != bpf_htons(ETH_P_IP) && protocol != bpf_htons(ETH_P_IPV6) &&
	    (protocol || !sk || !is_full_socket(sk) || !is_inet(sk)))
		return 0;
	if (!find_owner(skb, sk, &key))
		return 0;
	if (reason == reason_netfilter && policy_drop_mark &&
	    BPF_CORE_READ(skb, mark) == policy_drop_mark)
		return 0;
	key.reason = reason;
	if ((!protocol || !read_headers(skb, &key, &tcp_flags)) && sk && is_full_socket(sk) &&
	    is_inet(sk))
		read_socket(sk, &key);
	if (is_multicast(key.destination))
		return 0;
	/* Both ends are done with each other: nobody waits for this one. */
	if (reason == reason_no_socket && tcp_flags & TCP_RST)
		return 0;
	if (receiver)
		key.direction = SEKISHO_DIRECTION_INGRESS;
	else if (sk && is_full_socket(sk))
		key.direction = SEKISHO_DIRECTION_EGRESS;
	count_drop(&key);
	return 0;
}

SEC("tp_btf/kfree_skb")
int packet_drop(__u64 *context)
{
	__u32 reason = context[2];
	struct sock *receiver = NULL;

	if (is_harmless(reason))
		return 0;
	/* A constant to the verifier: where there is no such argument, it is never looked at. */
	if (kfree_skb_tells_socket)
		receiver = (void *)context[3];
	return on_drop((void *)context[0], reason, receiver);
}

SEC("tracepoint/skb/kfree_skb")
int packet_drop_plain(struct trace_event_raw_kfree_skb *context)
{
	struct sock *receiver = NULL;
	__u32 reason = context->reason;

	if (is_harmless(reason))
		return 0;
	if (bpf_core_field_exists(context->rx_sk))
		receiver = context->rx_sk;
	return on_drop(context->skbaddr, reason, receiver);
}
