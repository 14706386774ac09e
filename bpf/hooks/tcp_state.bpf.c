// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Attaches to: tp_btf inet_sock_set_state. Emits: open and closed records of TCP sockets.
 * Bounds: no loops; one socket storage per TCP socket of the subtree, freed with the socket.
 * Minimum kernel: 5.11 (socket storage and cookies in tracing programs).
 *
 * SYN_SENT runs in the connecting process and LISTEN in the listening one, whose memory accepted
 * sockets inherit. FIN_WAIT1 and LAST_ACK are entered by close() or shutdown(): they tell which
 * worker of a prefork server really had an accepted socket.
 */
static __always_inline struct tcp_memory *remember(struct sock *sk, __u64 cgroup_id)
{
	struct tcp_memory *memory =
		bpf_sk_storage_get(&tcp_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!memory) {
		count_produced(SEKISHO_HOOK_TCP_STATE);
		count_dropped(SEKISHO_HOOK_TCP_STATE);
		return NULL;
	}
	memory->cgroup_id = cgroup_id;
	return memory;
}

/* connect() or listen() was called by the current process. */
static __always_inline int on_own_call(struct sock *sk, __u8 role)
{
	__u64 cgroup_id = socket_cgroup_if_ours(sk);
	struct tcp_memory *memory;

	if (!cgroup_id)
		return 0;
	memory = remember(sk, cgroup_id);
	if (!memory)
		return 0;
	memory->generation++;
	begin(memory, sk, role);
	memory->pid = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

static __always_inline int emit(struct sock *sk, const struct tcp_memory *memory, __u8 phase)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct sekisho_socket *record;

	if (!tcp)
		return 0;
	record = reserve(&ring_keep, sizeof(*record), SEKISHO_HOOK_TCP_STATE);
	if (!record)
		return 0;
	fill_tcp(record, tcp, memory, phase, SEKISHO_HOOK_TCP_STATE);
	bpf_ringbuf_submit(record, wake_flags(&ring_keep));
	return 0;
}

static __always_inline int on_established(struct sock *sk, int old_state)
{
	struct tcp_memory *memory = bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0);

	if (!memory) {
		/* Its listener or its connect() came before us. */
		__u64 cgroup_id = socket_cgroup_if_ours(sk);

		memory = cgroup_id ? remember(sk, cgroup_id) : NULL;
		if (!memory)
			return 0;
		begin(memory, sk,
		      old_state == TCP_SYN_SENT ? SEKISHO_ROLE_SOURCE : SEKISHO_ROLE_DESTINATION);
	} else if (memory->role == SEKISHO_ROLE_LISTENER) {
		begin(memory, sk, SEKISHO_ROLE_DESTINATION);
	}
	memory->flags |= SEKISHO_F_ESTABLISHED;
	return emit(sk, memory, SEKISHO_PHASE_OPEN);
}

static __always_inline int on_closing_call(struct sock *sk)
{
	struct tcp_memory *memory = bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0);
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	/* Only a process of ours: a socket may also be closed by a kernel thread. */
	if (memory && pid && memory->role == SEKISHO_ROLE_DESTINATION && pid != memory->pid &&
	    task_cgroup_if_ours(bpf_get_current_task_btf()))
		memory->pid = pid;
	return 0;
}

/* An orderly connection reaches CLOSE by way of one of these. */
static __always_inline bool is_orderly_end(int old_state)
{
	return old_state == TCP_LAST_ACK || old_state == TCP_FIN_WAIT2 ||
	       old_state == TCP_CLOSING || old_state == TCP_TIME_WAIT;
}

static __always_inline int on_close(struct sock *sk, int old_state)
{
	struct tcp_memory *memory = bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0);
	__u8 role = memory ? memory->role : SEKISHO_ROLE_NONE;

	if (role != SEKISHO_ROLE_SOURCE && role != SEKISHO_ROLE_DESTINATION) {
		/* A listener, or a handshake that came to nothing. */
		if (memory)
			memory->role = SEKISHO_ROLE_NONE;
		return 0;
	}
	if (!is_orderly_end(old_state) || sk->sk_err)
		memory->flags |= SEKISHO_F_RESET;
	emit(sk, memory, SEKISHO_PHASE_CLOSED);
	memory->role = SEKISHO_ROLE_NONE;
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcp_state, struct sock *sk, int old_state, int new_state)
{
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	switch (new_state) {
	case TCP_SYN_SENT:
		return on_own_call(sk, SEKISHO_ROLE_SOURCE);
	case TCP_LISTEN:
		return on_own_call(sk, SEKISHO_ROLE_LISTENER);
	case TCP_ESTABLISHED:
		return on_established(sk, old_state);
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
		return on_closing_call(sk);
	case TCP_CLOSE:
		return on_close(sk, old_state);
	default:
		return 0;
	}
}
