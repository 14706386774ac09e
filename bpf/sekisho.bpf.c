// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * All hooks in one object, because they share maps and nothing may be pinned. The loader loads and
 * attaches each program by itself, so that one refusal sinks nothing.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#include "sekisho_event.h"

#include "lib/rings.h"
#include "lib/subtree.h"
#include "lib/tcp.h"
#include "lib/udp.h"
#include "lib/packet.h"
#include "lib/dns.h"
#include "lib/netns.h"
#include "lib/drop.h"
#include "hooks/tcp_state.bpf.c"
#include "hooks/tcp_connect.bpf.c"
#include "hooks/sockets.bpf.c"
#include "hooks/udp.bpf.c"
#include "hooks/udp_sweep.bpf.c"
#include "hooks/process.bpf.c"
#include "hooks/cgroup.bpf.c"
#include "hooks/drop.bpf.c"
#include "hooks/drop_sweep.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
