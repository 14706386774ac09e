// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Attaches to: iter/task_file, read by user space. Walks the open sockets of all processes, in
 * every network namespace, in one of three passes. Emits: samples of TCP sockets, written to the
 * iterator's own file: the reader sets the pace and nothing is lost.
 * Bounds: LISTENERS_MAX listening ports while seeding. Minimum kernel: 5.11.
 */
#define LISTENERS_MAX 16384

enum pass {
	PASS_LISTENERS = 1, /* at start: remember listening and UDP sockets */
	PASS_CONNECTIONS = 2, /* at start: remember and emit connections */
	PASS_SAMPLE = 3, /* from time to time: emit connections */
};

struct sockets_control {
	__u32 pass;
	__u32 round; /* rises by one per pass: a socket held by ten processes is emitted once */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sockets_control);
} sockets_ctl SEC(".maps");

struct listener_key {
	__u32 netns;
	__u32 port;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, LISTENERS_MAX);
	__type(key, struct listener_key);
	__type(value, __u8);
} listeners SEC(".maps");

static __always_inline struct listener_key listener_key(const struct sock *sk)
{
	struct listener_key key = {
		.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum),
		.port = BPF_CORE_READ(sk, __sk_common.skc_num),
	};

	return key;
}

static __always_inline void seed_listener(struct sock *sk, __u32 pid, __u64 cgroup_id)
{
	struct listener_key key = listener_key(sk);
	struct tcp_memory *memory;
	__u8 one = 1;

	bpf_map_update_elem(&listeners, &key, &one, BPF_ANY);
	memory = bpf_sk_storage_get(&tcp_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!memory || memory->role)
		return;
	memory->cgroup_id = cgroup_id;
	memory->pid = pid;
	memory->role = SEKISHO_ROLE_LISTENER;
}

static __always_inline void seed_udp(struct sock *sk, __u32 pid)
{
	struct udp_memory *memory =
		bpf_sk_storage_get(&udp_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!memory || memory->pid)
		return;
	memory->pid = pid;
	memory->seeded = 1;
}

/* Once per open file of a process, which is cheaper than to remember the process. */
static __always_inline void seed_netns(struct task_struct *task)
{
	__u64 cgroup_id = task_cgroup_if_ours(task);

	if (cgroup_id)
		note_netns(task, cgroup_id);
}

/* Which side an old connection is: a listener on its port tells; else the port range guesses. */
static __always_inline void seed_role(struct tcp_memory *memory, struct sock *sk)
{
	struct listener_key key = listener_key(sk);
	__u16 remote = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));

	memory->role = SEKISHO_ROLE_SOURCE;
	if (bpf_map_lookup_elem(&listeners, &key)) {
		memory->role = SEKISHO_ROLE_DESTINATION;
		return;
	}
	memory->flags |= SEKISHO_F_ROLE_INFERRED;
	if (key.port < EPHEMERAL_PORT_MIN && remote >= EPHEMERAL_PORT_MIN)
		memory->role = SEKISHO_ROLE_DESTINATION;
}

static __always_inline struct tcp_memory *seed_connection(struct sock *sk, __u32 pid,
							  __u64 cgroup_id)
{
	struct tcp_memory *memory =
		bpf_sk_storage_get(&tcp_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!memory || memory->role)
		return memory;
	begin(memory, sk, SEKISHO_ROLE_SOURCE);
	memory->flags |= SEKISHO_F_ESTABLISHED | SEKISHO_F_SEEDED;
	memory->cgroup_id = cgroup_id;
	memory->pid = pid;
	seed_role(memory, sk);
	return memory;
}

static __always_inline void emit_sample(struct bpf_iter__task_file *context, struct sock *sk,
					struct tcp_memory *memory, __u32 round)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct sekisho_socket record = {};

	if (!tcp)
		return;
	fill_tcp(&record, tcp, memory, SEKISHO_PHASE_SAMPLE, SEKISHO_HOOK_TCP_SAMPLE);
	/* On overflow the kernel calls again for the same file, with room. */
	if (bpf_seq_write(context->meta->seq, &record, sizeof(record)))
		return;
	count_produced(SEKISHO_HOOK_TCP_SAMPLE);
	memory->sampled_round = round;
}

static __always_inline bool is_connected(__u8 state)
{
	return state == TCP_ESTABLISHED || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 ||
	       state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK || state == TCP_CLOSING;
}

static __always_inline void on_connection(struct bpf_iter__task_file *context, struct sock *sk,
					  const struct sockets_control *control, __u64 cgroup_id,
					  __u32 pid)
{
	struct tcp_memory *memory;

	if (control->pass == PASS_CONNECTIONS)
		memory = seed_connection(sk, pid, cgroup_id);
	else
		memory = bpf_sk_storage_get(&tcp_sockets, sk, NULL, 0);
	if (!memory || !(memory->flags & SEKISHO_F_ESTABLISHED) ||
	    memory->sampled_round == control->round)
		return;
	/* The first holder: of a prefork server, the worker and not the listening master. */
	if (memory->role == SEKISHO_ROLE_DESTINATION)
		memory->pid = pid;
	emit_sample(context, sk, memory, control->round);
}

SEC("iter/task_file")
int sockets(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct sockets_control *control;
	struct socket *socket;
	struct sock *sk;
	__u64 cgroup_id;
	__u32 zero = 0;
	__u8 state;

	control = bpf_map_lookup_elem(&sockets_ctl, &zero);
	if (!task || !file || !control)
		return 0;
	if (control->pass == PASS_LISTENERS)
		seed_netns(task);
	socket = bpf_sock_from_file(file);
	if (!socket || !socket->sk)
		return 0;
	sk = socket->sk;
	if (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6)
		return 0;
	cgroup_id = socket_cgroup_if_ours(sk);
	if (!cgroup_id)
		return 0;
	if (sk->sk_protocol == IPPROTO_UDP && control->pass == PASS_LISTENERS)
		seed_udp(sk, task->tgid);
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	state = sk->__sk_common.skc_state;
	if (state == TCP_LISTEN && control->pass == PASS_LISTENERS)
		seed_listener(sk, task->tgid, cgroup_id);
	else if (is_connected(state) && control->pass != PASS_LISTENERS)
		on_connection(context, sk, control, cgroup_id, task->tgid);
	return 0;
}
