//! Tries what the running kernel allows, for `sekisho doctor`.
//!
//! Each answer comes from loading a tiny program of that kind (bpf/probes.bpf.c), not from a
//! version number. Works, and says what it could not try, without root. Changes nothing: what must
//! be attached to tell is attached where nothing passes, and detached at once.

use std::fs;
use std::time::Duration;

use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use nix::sys::utsname::uname;
use sekisho_base::error_chain;
use sekisho_system::command;

use crate::drops::Reasons;
use crate::privilege;
use crate::programs::describe;
use crate::tier::{Tier, TierStatus};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probes.bpf.o"));
const NFT_TIMEOUT: Duration = Duration::from_secs(5);
/// Socket storage from accepted sockets, and map iteration from a program: linux v5.15 has all.
const KERNEL_MIN: (u32, u32) = (5, 15);

/// What a probe is for.
struct Probe {
    program: &'static str,
    area: &'static str,
    used: &'static str,
    status: TierStatus,
    loss: &'static str,
    remedy: &'static str,
}

const KERNEL_REMEDY: &str =
    "use a kernel with CONFIG_BPF_SYSCALL, CONFIG_CGROUP_BPF and CONFIG_BPF_JIT";

const PROBES: &[Probe] = &[
    Probe {
        program: "probe_tp_btf",
        area: "tcp",
        used: "tp_btf inet_sock_set_state, cgroup sock_ops",
        status: TierStatus::Missing,
        loss: "tcp connections are not seen",
        remedy: KERNEL_REMEDY,
    },
    Probe {
        program: "probe_iter",
        area: "tcp existing",
        used: "iter task_file",
        status: TierStatus::Missing,
        loss: "connections older than the agent and long ones are not sampled",
        remedy: KERNEL_REMEDY,
    },
    Probe {
        program: "probe_cgroup",
        area: "udp",
        used: "cgroup_skb",
        status: TierStatus::Missing,
        loss: "udp flows are not seen",
        remedy: KERNEL_REMEDY,
    },
    Probe {
        program: "probe_cgroup",
        area: "dns",
        used: "cgroup_skb ingress; answers over TCP are not read",
        status: TierStatus::Missing,
        loss: "externals are known by address only",
        remedy: KERNEL_REMEDY,
    },
    Probe {
        program: "probe_tp_btf",
        area: "process",
        used: "tp_btf sched_process_exec, fork, exit",
        status: TierStatus::Missing,
        loss: "processes are not named",
        remedy: KERNEL_REMEDY,
    },
    Probe {
        program: "probe_fentry",
        area: "fentry",
        used: "fentry",
        status: TierStatus::Degraded,
        loss: "not needed: no stage of this version uses it",
        remedy: "use a kernel with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
    },
    Probe {
        program: "probe_lsm",
        area: "lsm",
        used: "lsm",
        status: TierStatus::Degraded,
        loss: "not needed: no stage of this version uses it",
        remedy: "use a kernel with CONFIG_BPF_LSM and boot it with `bpf` in lsm=",
    },
    Probe {
        program: "probe_tcx",
        area: "tc",
        used: "sched_cls",
        status: TierStatus::Degraded,
        loss: "not needed: enforcement uses nftables",
        remedy: "use a kernel with CONFIG_NET_CLS_ACT",
    },
    Probe {
        program: "probe_xdp",
        area: "xdp",
        used: "xdp",
        status: TierStatus::Degraded,
        loss: "not needed: enforcement uses nftables",
        remedy: KERNEL_REMEDY,
    },
];

/// Probes this machine; one line per area, in the order of a report.
#[must_use]
pub fn doctor() -> Vec<Tier> {
    let mut tiers = vec![kernel(), privileges(), cgroup2()];
    tiers.extend(programs());
    tiers.push(drops());
    tiers.push(deny_log());
    tiers.push(enforce());
    tiers
}

fn kernel() -> Tier {
    let release = uname().map(|name| name.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let used = format!("linux {release}");
    if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        let reason = "the kernel describes no types (BTF)".to_owned();
        return Tier::new("kernel", &used, TierStatus::Missing, reason)
            .with_remedy("use a kernel with CONFIG_DEBUG_INFO_BTF");
    }
    if version_of(&release) < KERNEL_MIN {
        let reason = format!("tested from linux {}.{} on", KERNEL_MIN.0, KERNEL_MIN.1);
        return Tier::new("kernel", &used, TierStatus::Degraded, reason)
            .with_remedy("use a newer kernel");
    }
    Tier::ok("kernel", &used)
}

/// Major and minor number; zeros for what is no number.
fn version_of(release: &str) -> (u32, u32) {
    let mut numbers = release.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn privileges() -> Tier {
    let missing = privilege::missing();
    if missing.is_empty() {
        return Tier::ok("privileges", "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN");
    }
    let reason = format!("this process lacks {}", missing.join(", "));
    Tier::new("privileges", "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN", TierStatus::Missing, reason)
        .with_remedy("run as root")
}

fn cgroup2() -> Tier {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut lines = mounts.lines().map(|line| line.split(' '));
    let point = lines.find_map(|mut fields| {
        let point = fields.nth(1)?;
        (fields.next()? == "cgroup2").then_some(point)
    });
    match point {
        Some(point) => Tier::ok("cgroup2", point),
        None => {
            let reason = "no cgroup2 file system is mounted".to_owned();
            Tier::new("cgroup2", "", TierStatus::Missing, reason).with_remedy(
                "mount -t cgroup2 none /sys/fs/cgroup/unified (after mkdir of that folder)",
            )
        }
    }
}

fn programs() -> Vec<Tier> {
    let missing = privilege::missing();
    if !missing.is_empty() {
        let reason = format!("could not be tried without {}", missing.join(", "));
        return PROBES
            .iter()
            .map(|probe| {
                Tier::new(probe.area, probe.used, TierStatus::Missing, reason.clone())
                    .with_remedy("run `sekisho doctor` as root")
            })
            .collect();
    }
    match load_object() {
        Ok((mut ebpf, btf)) => PROBES
            .iter()
            .map(|probe| judge(probe, attempt(&mut ebpf, probe.program, &btf)))
            .collect(),
        Err(why) => PROBES.iter().map(|probe| judge(probe, Err(why.clone()))).collect(),
    }
}

/// As the observer decides it, but for the attaching: the type of program is tried above.
fn drops() -> Tier {
    let used = "tp_btf kfree_skb";
    let reasons = Reasons::of_kernel();
    if let Some(why) = reasons.missing() {
        let reason = format!("{why}; packets that the kernel drops are not seen");
        return Tier::new("drops", used, TierStatus::Missing, reason)
            .with_remedy("use linux 5.17 or newer");
    }
    let missing = privilege::missing();
    if !missing.is_empty() {
        let reason = format!("could not be tried without {}", missing.join(", "));
        return Tier::new("drops", used, TierStatus::Missing, reason)
            .with_remedy("run `sekisho doctor` as root");
    }
    if !reasons.tells_socket() {
        let reason = "drops at a socket are known by their namespace only".to_owned();
        return Tier::new("drops", used, TierStatus::Degraded, reason)
            .with_remedy("use linux 6.11 or newer");
    }
    Tier::ok("drops", used)
}

fn load_object() -> Result<(Ebpf, Btf), String> {
    let btf = Btf::from_sys_fs().map_err(|error| error_chain(&error))?;
    let ebpf = EbpfLoader::new().btf(Some(&btf)).load(OBJECT);
    ebpf.map(|ebpf| (ebpf, btf)).map_err(|error| error_chain(&error))
}

fn judge(probe: &Probe, result: Result<(), String>) -> Tier {
    match result {
        Ok(()) => Tier::ok(probe.area, probe.used),
        Err(why) => {
            let reason = format!("the kernel refused it ({why}); {}", probe.loss);
            Tier::new(probe.area, probe.used, probe.status, reason).with_remedy(probe.remedy)
        }
    }
}

fn attempt(ebpf: &mut Ebpf, name: &str, btf: &Btf) -> Result<(), String> {
    let program = ebpf.program_mut(name).ok_or("not in the object")?;
    match try_program(program, btf) {
        // Two areas share a probe.
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(error) => Err(describe(&error)),
    }
}

fn try_program(program: &mut Program, btf: &Btf) -> Result<(), ProgramError> {
    match program {
        Program::BtfTracePoint(program) => {
            program.load("cgroup_mkdir", btf)?;
            let link = program.attach()?;
            program.detach(link)
        }
        Program::FEntry(program) => {
            program.load("bpf_fentry_test1", btf)?;
            let link = program.attach()?;
            program.detach(link)
        }
        Program::Lsm(program) => {
            program.load("path_chroot", btf)?;
            let link = program.attach()?;
            program.detach(link)
        }
        Program::Iter(program) => program.load("bpf_prog", btf),
        Program::CgroupSkb(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        Program::Xdp(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

fn deny_log() -> Tier {
    if fs::exists("/proc/net/netfilter/nfnetlink_log").unwrap_or(false) {
        return Tier::ok("deny log", "nfnetlink_log");
    }
    let reason = "nfnetlink_log is not there yet; it may be loaded at first use".to_owned();
    Tier::new("deny log", "nfnetlink_log", TierStatus::Degraded, reason)
        .with_remedy("modprobe nfnetlink_log")
}

fn enforce() -> Tier {
    if let Err(error) = command::run(&["nft", "--version"], "", NFT_TIMEOUT) {
        return Tier::new("enforce", "nftables", TierStatus::Missing, error_chain(&error))
            .with_remedy("apt-get install nftables");
    }
    match command::run(&["nft", "list", "tables"], "", NFT_TIMEOUT) {
        Ok(_) => Tier::ok("enforce", "nftables"),
        Err(error) => Tier::new("enforce", "nftables", TierStatus::Missing, error_chain(&error))
            .with_remedy("run as root, on a kernel with CONFIG_NF_TABLES"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_release_is_read_up_to_its_minor_number() {
        assert_eq!(version_of("6.18.44-fc-v595"), (6, 18));
        assert_eq!(version_of("5.15-rc1"), (5, 15));
        assert_eq!(version_of("x"), (0, 0));
    }
}
