// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Attaches to: iter/bpf_prog, as udp_sweep: only the call at its end does work. Emits: sums of dropped
 * packets, and empties their table. Bounds: DROP_FLOWS_MAX entries; one whose record finds no room
 * stays for the next sweep. Minimum kernel: 5.13 (bpf_for_each_map_elem).
 */

/* Emits what was dropped since the last sweep; an entry for which there is no room stays. */
static long sweep_drop(void *map, struct drop_key *key, struct drop_sum *sum, void *nothing)
{
	struct sekisho_drop *record;
	struct drop_key copy = *key;

	record = bpf_ringbuf_reserve(&ring_shed, sizeof(*record), 0);
	if (!record)
		return 1;
	count_produced(SEKISHO_HOOK_DROP);
	fill_header(&record->header, SEKISHO_KIND_DROP, SEKISHO_HOOK_DROP);
	record->header.time_ns = sum->last_ns;
	record->header.cgroup_id = copy.cgroup_id;
	record->first_ns = sum->first_ns;
	__builtin_memcpy(record->source, copy.source, sizeof(record->source));
	__builtin_memcpy(record->destination, copy.destination, sizeof(record->destination));
	record->source_port = copy.source_port;
	record->destination_port = copy.destination_port;
	record->protocol = copy.protocol;
	record->direction = copy.direction;
	record->pad = 0;
	record->reason = copy.reason;
	record->pad_end = 0;
	/* Deleted first: who still holds the entry adds to it before the sum is taken, but for a few
	 * instructions. */
	bpf_map_delete_elem(map, &copy);
	record->packets = sum->packets;
	bpf_ringbuf_submit(record, wake_flags(&ring_shed));
	return 0;
}

SEC("iter/bpf_prog")
int drop_sweep(struct bpf_iter__bpf_prog *context)
{
	if (context->prog)
		return 0;
	bpf_for_each_map_elem(&drop_flows, sweep_drop, NULL, 0);
	return 0;
}
