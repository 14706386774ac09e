// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Attaches to: cgroup sock_ops of the observed folder. Emits: connecting records.
 * Bounds: no loops, nothing stored. Minimum kernel: 5.10.
 *
 * The state change to SYN_SENT comes before the kernel has chosen a source port; this callback
 * comes after it and before the SYN leaves, so that a denied SYN can be matched by its 5-tuple.
 * Without this program, connections are known from their open or closed record on.
 */
SEC("sockops")
int tcp_connect(struct bpf_sock_ops *context)
{
	struct sekisho_socket *record;
	struct tcp_memory *memory;
	struct bpf_sock *sk;
	struct tcp_sock *tcp;

	if (context->op != BPF_SOCK_OPS_TCP_CONNECT_CB)
		return 1;
	sk = context->sk;
	if (!sk)
		return 1;
	memory = bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0);
	if (!memory || memory->role != SEKISHO_ROLE_SOURCE)
		return 1;
	tcp = (struct tcp_sock *)bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 1;
	record = reserve(&ring_keep, sizeof(*record), SEKISHO_HOOK_TCP_STATE);
	if (!record)
		return 1;
	fill_tcp(record, tcp, memory, SEKISHO_PHASE_CONNECTING, SEKISHO_HOOK_TCP_STATE);
	bpf_ringbuf_submit(record, wake_flags(&ring_keep));
	return 1;
}
