// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Attaches to: iter/bpf_prog, the shortest list the kernel can iterate: only the call at its end
 * does work. User space reads the iterator to start a sweep of the UDP table in one go, which is
 * some twenty times cheaper than reading the table by system calls.
 * Emits: closed records of idle flows, samples of long ones. An entry whose record finds no room
 * stays for the next sweep, so nothing is lost.
 * Bounds: UDP_FLOWS_MAX entries. Minimum kernel: 5.13 (bpf_for_each_map_elem).
 */
struct sweep {
	__u64 now_ns;
};

static long sweep_flow(void *map, struct udp_key *key, struct udp_flow *flow, struct sweep *sweep)
{
	struct udp_key copy = *key;
	/* A datagram may have come after `now` was taken. */
	__s64 idle = sweep->now_ns - flow->last_ns;
	__s64 since = sweep->now_ns - flow->sampled_ns;

	if (idle > 0 && (__u64)idle >= udp_idle_ns) {
		if (emit_udp(&ring_keep, &copy, flow, SEKISHO_PHASE_CLOSED))
			bpf_map_delete_elem(map, &copy);
		return 0;
	}
	if (since > 0 && (__u64)since >= sample_period_ns &&
	    emit_udp(&ring_shed, &copy, flow, SEKISHO_PHASE_SAMPLE))
		flow->sampled_ns = sweep->now_ns;
	return 0;
}

SEC("iter/bpf_prog")
int udp_sweep(struct bpf_iter__bpf_prog *context)
{
	struct sweep sweep = {};

	if (context->prog)
		return 0;
	sweep.now_ns = bpf_ktime_get_boot_ns();
	bpf_for_each_map_elem(&udp_flows, sweep_flow, &sweep, 0);
	return 0;
}
