/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which network namespaces are ours: those that a process of the subtree runs in, and the one the
 * agent was told of. A dropped packet often has no socket; then its namespace tells whose it is.
 *
 * Namespaces are known by their cookie, because their numbers are used again at once. The initial
 * one is everybody's, so it is ours only if we were told so.
 */
#ifndef SEKISHO_NETNS_H
#define SEKISHO_NETNS_H

#define NETNS_MAX 8192

/* Set before load: inode numbers of namespace files, 0 = none. */
const volatile __u32 initial_netns = 0;
const volatile __u32 node_netns = 0; /* held open by the agent, so not used again */

/* LRU: namespaces that ended leave by themselves. The value is the cgroup of the first process. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NETNS_MAX);
	__type(key, __u64);
	__type(value, __u64);
} our_netns SEC(".maps");

static __always_inline void note_netns(struct task_struct *task, __u64 cgroup_id)
{
	struct net *net = BPF_CORE_READ(task, nsproxy, net_ns);
	__u32 inum = BPF_CORE_READ(net, ns.inum);
	__u64 cookie = BPF_CORE_READ(net, net_cookie);

	/* An exiting process has no namespace any more. */
	if (!net || inum == initial_netns || inum == node_netns)
		return;
	if (!bpf_map_lookup_elem(&our_netns, &cookie))
		bpf_map_update_elem(&our_netns, &cookie, &cgroup_id, BPF_ANY);
}

/* Whether `net` is ours; `cgroup_id` is set to the cgroup that runs in it, 0 = unknown. */
static __always_inline bool is_our_netns(const struct net *net, __u64 *cgroup_id)
{
	__u64 cookie;
	__u64 *found;
	__u32 inum;

	if (!net)
		return false;
	cookie = BPF_CORE_READ(net, net_cookie);
	found = bpf_map_lookup_elem(&our_netns, &cookie);
	if (found) {
		*cgroup_id = *found;
		return true;
	}
	inum = BPF_CORE_READ(net, ns.inum);
	/* Level 0: the whole machine is ours. */
	return subtree_level == 0 || (inum && inum == node_netns);
}

#endif
