/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which cgroups are ours: those at or below one cgroup v2 folder.
 *
 * Tracing programs see the whole machine, so each asks here first. An ancestor at a fixed level is
 * one array access, whatever the depth (linux v6.18 include/linux/cgroup.h, cgroup_ancestor).
 */
#ifndef SEKISHO_SUBTREE_H
#define SEKISHO_SUBTREE_H

/* Set before load: the id of our root folder and its depth (0 = the hierarchy's root). */
const volatile __u64 subtree_id = 0;
const volatile __u32 subtree_level = 0;

#define DEFAULT_HIERARCHY 0 /* cgroup v2; v1 hierarchies count from 1 */

/* The id of `cgroup` if it is in our subtree of the v2 hierarchy, else 0. */
static __always_inline __u64 id_if_ours(struct cgroup *cgroup)
{
	struct cgroup *ancestor = NULL;
	__u64 id = 0;

	if (!cgroup || BPF_CORE_READ(cgroup, level) < (int)subtree_level)
		return 0;
	if (bpf_core_field_exists(cgroup->ancestors)) {
		bpf_core_read(&ancestor, sizeof(ancestor), &cgroup->ancestors[subtree_level]);
		id = BPF_CORE_READ(ancestor, kn, id);
	} else {
		struct cgroup___ids *old = (void *)cgroup;

		bpf_core_read(&id, sizeof(id), &old->ancestor_ids[subtree_level]);
	}
	return id == subtree_id ? BPF_CORE_READ(cgroup, kn, id) : 0;
}

static __always_inline __u64 socket_cgroup_if_ours(const struct sock *sk)
{
	return id_if_ours(BPF_CORE_READ(sk, sk_cgrp_data.cgroup));
}

static __always_inline __u64 task_cgroup_if_ours(struct task_struct *task)
{
	return id_if_ours(BPF_CORE_READ(task, cgroups, dfl_cgrp));
}

/* Sockets keep the v2 cgroup only; a folder may be of a v1 hierarchy with the same inode number. */
static __always_inline bool is_default_hierarchy(struct cgroup *cgroup)
{
	return BPF_CORE_READ(cgroup, root, hierarchy_id) == DEFAULT_HIERARCHY;
}

#endif
