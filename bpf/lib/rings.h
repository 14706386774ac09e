/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The two ring buffers, and the counters that must add up: produced = delivered + dropped.
 *
 * `ring_keep` carries what must not be lost (processes, connection begin and end); `ring_shed`
 * carries what can be asked for again (samples, DNS), so that a flood of it costs no connection.
 * Wake-ups, not copying, are the cost of a ring: none is sent until it is a quarter full; user
 * space looks at the rings every few milliseconds.
 */
#ifndef SEKISHO_RINGS_H
#define SEKISHO_RINGS_H

#define WAKE_AT_FRACTION 4

struct hook_counters {
	__u64 produced;
	__u64 dropped;
};

/* Sizes are set by the loader (ObserverOptions::ring_bytes). */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring_keep SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring_shed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SEKISHO_HOOK_COUNT);
	__type(key, __u32);
	__type(value, struct hook_counters);
} counters SEC(".maps");

/*
 * Atomic although per-CPU: a tracing program in process context can be interrupted between load
 * and store by the same program in a softirq, and the sum would then be wrong by one.
 */
static __always_inline void count_produced(__u32 hook)
{
	struct hook_counters *value = bpf_map_lookup_elem(&counters, &hook);

	if (value)
		__sync_fetch_and_add(&value->produced, 1);
}

static __always_inline void count_dropped(__u32 hook)
{
	struct hook_counters *value = bpf_map_lookup_elem(&counters, &hook);

	if (value)
		__sync_fetch_and_add(&value->dropped, 1);
}

/* Reserves `size` bytes (a constant), or counts the loss and gives NULL. */
static __always_inline void *reserve(void *ring, __u64 size, __u32 hook)
{
	void *record = bpf_ringbuf_reserve(ring, size, 0);

	count_produced(hook);
	if (!record)
		count_dropped(hook);
	return record;
}

static __always_inline __u64 wake_flags(void *ring)
{
	__u64 used = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);
	__u64 size = bpf_ringbuf_query(ring, BPF_RB_RING_SIZE);

	return used * WAKE_AT_FRACTION >= size ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void fill_header(struct sekisho_header *header, __u8 kind, __u8 hook)
{
	header->version = SEKISHO_WIRE_VERSION;
	header->kind = kind;
	header->hook = hook;
	header->flags = 0;
	header->pid = 0;
	header->time_ns = bpf_ktime_get_boot_ns();
	header->cgroup_id = 0;
}

#endif
