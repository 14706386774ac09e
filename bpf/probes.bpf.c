// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The smallest program of each kind, for `sekisho doctor` to try on the running kernel. Each does
 * nothing; those that must be attached to tell are attached for an instant to a function that only
 * the kernel's own tests call, or to a socket hook of an empty cgroup.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

SEC("tp_btf/cgroup_mkdir")
int probe_tp_btf(void *context)
{
	return 0;
}

SEC("fentry/bpf_fentry_test1")
int probe_fentry(void *context)
{
	return 0;
}

SEC("lsm/path_chroot")
int probe_lsm(void *context)
{
	return 0;
}

SEC("iter/bpf_prog")
int probe_iter(void *context)
{
	return 0;
}

SEC("cgroup_skb/ingress")
int probe_cgroup(struct __sk_buff *skb)
{
	return 1;
}

SEC("classifier")
int probe_tcx(struct __sk_buff *skb)
{
	return 0;
}

SEC("xdp")
int probe_xdp(void *context)
{
	return 2; /* XDP_PASS */
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
