// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Attaches to: tp_btf cgroup_mkdir. Emits: id and path of each new folder of the subtree, so that
 * a pod that lives for a second keeps its name. Bounds: 1,024 bytes of path, as the tracepoint
 * itself (TRACE_CGROUP_PATH_LEN). Minimum kernel: 5.11.
 */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_made, struct cgroup *cgroup, const char *path)
{
	struct sekisho_cgroup *record;
	__u64 cgroup_id;
	long length;

	if (!is_default_hierarchy(cgroup))
		return 0;
	cgroup_id = id_if_ours(cgroup);
	if (!cgroup_id)
		return 0;
	record = reserve(&ring_keep, sizeof(*record), SEKISHO_HOOK_CGROUP);
	if (!record)
		return 0;
	fill_header(&record->header, SEKISHO_KIND_CGROUP, SEKISHO_HOOK_CGROUP);
	record->header.cgroup_id = cgroup_id;
	__builtin_memset(record->pad, 0, sizeof(record->pad));
	length = bpf_probe_read_kernel_str(record->path, sizeof(record->path), path);
	record->path_length = length > 0 ? length - 1 : 0;
	bpf_ringbuf_submit(record, wake_flags(&ring_keep));
	return 0;
}
