// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Attaches to: tp_btf sched_process_exec, sched_process_fork, sched_process_exit and
 * cgroup_attach_task. Emits: which program runs as which process of the subtree.
 * Bounds: SEKISHO_PATH_DEPTH_MAX parts of a path, SEKISHO_PATH_MAX bytes. Minimum kernel: 5.11.
 *
 * The path of the executable is walked here, part by part, because a process may be gone before
 * user space can look into /proc, and bpf_d_path() is not allowed in tracepoints.
 */
#define PATH_ROOM (SEKISHO_PATH_MAX - SEKISHO_PATH_PART_MAX)

/* From the root of a mount to the point where it is mounted; false at the root of it all. */
static __always_inline bool leave_mount(struct dentry **dentry, struct vfsmount **mnt)
{
	struct mount *mount = (void *)*mnt - bpf_core_field_offset(struct mount, mnt);
	struct mount *parent = BPF_CORE_READ(mount, mnt_parent);

	if (parent == mount)
		return false;
	*dentry = BPF_CORE_READ(mount, mnt_mountpoint);
	*mnt = (void *)parent + bpf_core_field_offset(struct mount, mnt);
	return true;
}

static __always_inline void fill_path(struct sekisho_exec *record, struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);
	__u32 used = 0;

	/* A kernel thread, or a process that is ending, runs no program. */
	record->path_length = 0;
	if (!file)
		return;
	for (int i = 0; i < SEKISHO_PATH_DEPTH_MAX; i++) {
		struct dentry *parent;
		long length;

		if (dentry == BPF_CORE_READ(mnt, mnt_root)) {
			if (!leave_mount(&dentry, &mnt))
				goto done;
			continue;
		}
		if (used >= PATH_ROOM)
			break;
		length = bpf_probe_read_kernel_str(&record->path[used], SEKISHO_PATH_PART_MAX,
						   BPF_CORE_READ(dentry, d_name.name));
		if (length <= 0)
			break;
		used += length;
		parent = BPF_CORE_READ(dentry, d_parent);
		/* A file without a place (memfd) is its own parent. */
		if (parent == dentry)
			goto done;
		dentry = parent;
	}
	record->task.header.flags |= SEKISHO_F_CUT;
done:
	record->path_length = used;
}

static __always_inline void fill_task(struct sekisho_task *record, struct task_struct *task,
				      __u8 kind, __u64 cgroup_id)
{
	fill_header(&record->header, kind, SEKISHO_HOOK_PROCESS);
	record->header.pid = BPF_CORE_READ(task, tgid);
	record->header.cgroup_id = cgroup_id;
	record->parent = BPF_CORE_READ(task, real_parent, tgid);
	record->uid = BPF_CORE_READ(task, cred, uid.val);
	bpf_core_read(record->comm, sizeof(record->comm), &task->comm);
}

/* Emits a process with the path of its program. */
static __always_inline int emit_program(struct task_struct *task)
{
	__u64 cgroup_id = task_cgroup_if_ours(task);
	struct sekisho_exec *record;

	if (!cgroup_id)
		return 0;
	note_netns(task, cgroup_id);
	record = reserve(&ring_keep, sizeof(*record), SEKISHO_HOOK_PROCESS);
	if (!record)
		return 0;
	fill_task(&record->task, task, SEKISHO_KIND_EXEC, cgroup_id);
	__builtin_memset(record->pad, 0, sizeof(record->pad));
	fill_path(record, BPF_CORE_READ(task, mm, exe_file));
	bpf_ringbuf_submit(record, wake_flags(&ring_keep));
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task)
{
	return emit_program(task);
}

static __always_inline int emit_task(struct task_struct *task, __u8 kind)
{
	__u64 cgroup_id = task_cgroup_if_ours(task);
	struct sekisho_task *record;

	if (!cgroup_id)
		return 0;
	record = reserve(&ring_keep, sizeof(*record), SEKISHO_HOOK_PROCESS);
	if (!record)
		return 0;
	fill_task(record, task, kind, cgroup_id);
	bpf_ringbuf_submit(record, wake_flags(&ring_keep));
	return 0;
}

/* A worker that never executes a program is still a process of its own. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	if (child->pid != child->tgid)
		return 0;
	/* User space knows the parent's program, unless the child was cloned into our subtree. */
	if (!task_cgroup_if_ours(parent))
		return emit_program(child);
	return emit_task(child, SEKISHO_KIND_TASK);
}

/* Fires per thread; the process ends with its last one. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	if (BPF_CORE_READ(task, signal, live.counter) != 0)
		return 0;
	return emit_task(task, SEKISHO_KIND_EXIT);
}

/* Moved into the subtree by another process, as most container runtimes do. */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(process_move, struct cgroup *to, const char *path, struct task_struct *task)
{
	if (!is_default_hierarchy(to))
		return 0;
	return emit_program(BPF_CORE_READ(task, group_leader));
}
