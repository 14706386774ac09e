//! Loads and attaches the kernel programs, each by itself: one refusal sinks nothing.

use std::fs::File;
use std::path::PathBuf;

use aya::programs::{
    CgroupAttachMode, CgroupSkbAttachType, Program, ProgramError, cgroup_skb::CgroupSkb,
};
use aya::{Btf, Ebpf, EbpfLoader, VerifierLogLevel};
use nix::errno::Errno;
use sekisho_base::error_chain;

use crate::boot_clock::BootClock;
use crate::cgroups::{CgroupError, Cgroups};
use crate::drops::{self, Reasons};
use crate::observer::ObserverOptions;
use crate::privilege;
use crate::tier::{Tier, TierStatus};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sekisho.bpf.o"));

/// Observation can't begin; nothing was left attached.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process may not load kernel programs.
    #[error("observing needs root, or {0} (and no user namespace)")]
    Privilege(String),
    /// The kernel describes no types.
    #[error("observing needs a kernel with CONFIG_DEBUG_INFO_BTF (/sys/kernel/btf/vmlinux)")]
    Btf(#[source] Box<aya::BtfError>),
    /// The folder to observe is not usable.
    #[error("observe `{folder}`: {why}")]
    Cgroup {
        /// [`ObserverOptions::cgroup_root`].
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The maps could not be made.
    #[error("create the kernel maps: {why}")]
    Maps {
        /// The kernel's words.
        why: String,
    },
    /// Every program was refused.
    #[error("the kernel refused every program: {why}")]
    AllRefused {
        /// Why the first one was.
        why: String,
    },
}

impl From<(&ObserverOptions, CgroupError)> for StartError {
    fn from((options, error): (&ObserverOptions, CgroupError)) -> Self {
        Self::Cgroup { folder: options.cgroup_root.clone(), why: error_chain(&error) }
    }
}

/// A program that may stay unloaded.
struct Hook {
    program: &'static str,
    area: &'static str,
    used: &'static str,
    /// What is lost without it; empty if the whole area is.
    loss: &'static str,
}

/// In this order, so that nothing is reported before its name is known.
const HOOKS: &[Hook] = &[
    Hook {
        program: "cgroup_made",
        area: "process",
        used: "tp_btf cgroup_mkdir",
        loss: "cgroups that live for less than a second may stay unnamed",
    },
    Hook { program: "process_exec", area: "process", used: "tp_btf sched_process_exec", loss: "" },
    Hook {
        program: "process_fork",
        area: "process",
        used: "tp_btf sched_process_fork",
        loss: "forked workers are not named",
    },
    Hook {
        program: "process_exit",
        area: "process",
        used: "tp_btf sched_process_exit",
        loss: "ends of processes are not seen",
    },
    Hook {
        program: "process_move",
        area: "process",
        used: "tp_btf cgroup_attach_task",
        loss: "processes moved into a cgroup are named at their next exec only",
    },
    Hook { program: "tcp_state", area: "tcp", used: "tp_btf inet_sock_set_state", loss: "" },
    Hook {
        program: "tcp_connect",
        area: "tcp",
        used: "cgroup sock_ops",
        loss: "connection attempts are seen when they succeed or end only",
    },
    Hook {
        program: "sockets",
        area: "tcp",
        used: "iter task_file",
        loss: "connections older than the agent and long ones are not sampled",
    },
    Hook {
        program: "udp_create",
        area: "udp",
        used: "cgroup sock_create",
        loss: "udp flows have no process",
    },
    Hook {
        program: "udp_release",
        area: "udp",
        used: "cgroup sock_release",
        loss: "udp flows end by idleness only",
    },
    Hook {
        program: "udp_sweep",
        area: "udp",
        used: "iter bpf_prog",
        loss: "udp flows do not end, and the table fills",
    },
    Hook { program: "udp_ingress", area: "udp", used: "cgroup_skb ingress", loss: "" },
    Hook { program: "udp_egress", area: "udp", used: "cgroup_skb egress", loss: "" },
];

const DROPS_TYPED: &str = "tp_btf kfree_skb";
const DROPS_PLAIN: &str = "tracepoint skb/kfree_skb";

/// What was loaded.
pub(crate) struct Loaded {
    pub(crate) ebpf: Ebpf,
    pub(crate) tiers: Vec<Tier>,
    pub(crate) reasons: Reasons,
}

/// Loads everything the kernel accepts.
pub(crate) fn load(options: &ObserverOptions, cgroups: &Cgroups) -> Result<Loaded, StartError> {
    let missing = privilege::missing();
    if !missing.is_empty() {
        return Err(StartError::Privilege(missing.join(", ")));
    }
    let btf = Btf::from_sys_fs().map_err(|error| StartError::Btf(Box::new(error)))?;
    let reasons = Reasons::of_kernel();
    let mut ebpf = load_object(options, cgroups, &btf, &reasons)
        .map_err(|error| StartError::Maps { why: error_chain(&error) })?;
    let folder = File::open(cgroups.folder()).map_err(|cause| StartError::Cgroup {
        folder: options.cgroup_root.clone(),
        why: cause.to_string(),
    })?;
    let mut refusals = Vec::new();
    for hook in HOOKS {
        if let Err(why) = attach(&mut ebpf, hook.program, &folder, &btf) {
            tracing::warn!(program = hook.program, why, "the kernel refused a program");
            refusals.push((hook, why));
        }
    }
    if let (true, Some((_, why))) = (refusals.len() == HOOKS.len(), refusals.first()) {
        return Err(StartError::AllRefused { why: why.clone() });
    }
    let mut tiers = tiers(&refusals);
    tiers.push(attach_drops(&mut ebpf, &reasons, &folder, &btf));
    Ok(Loaded { ebpf, tiers, reasons })
}

fn load_object(
    options: &ObserverOptions,
    cgroups: &Cgroups,
    btf: &Btf,
    reasons: &Reasons,
) -> Result<Ebpf, aya::EbpfError> {
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let (idle, period) = (nanos(options.udp_idle), nanos(options.sample_period));
    let netns = options.netns.as_deref().and_then(|path| drops::netns_number(path).ok());
    let drops = reasons.globals(netns.unwrap_or(0));
    EbpfLoader::new()
        .btf(Some(btf))
        .verifier_log_level(VerifierLogLevel::DEBUG)
        .override_global("subtree_id", &cgroups.root_id(), true)
        .override_global("subtree_level", &cgroups.level(), true)
        .override_global("udp_idle_ns", &idle, true)
        .override_global("sample_period_ns", &period, true)
        .override_global("agent_start_ns", &BootClock::boot_ns(), true)
        .override_global("reason_no_socket", &drops.no_socket, true)
        .override_global("reason_netfilter", &drops.netfilter, true)
        .override_global("kfree_skb_tells_socket", &drops.tells_socket, true)
        .override_global("policy_drop_mark", &drops.policy_mark, true)
        .override_global("initial_netns", &drops.initial_netns, true)
        .override_global("node_netns", &drops.node_netns, true)
        .map_max_entries("ring_keep", options.ring_bytes)
        .map_max_entries("ring_shed", options.ring_bytes)
        .load(OBJECT)
}

/// Observes kernel drops by the best tier that works.
fn attach_drops(ebpf: &mut Ebpf, reasons: &Reasons, folder: &File, btf: &Btf) -> Tier {
    let missing = |used: &str, why: String| {
        tracing::warn!(why, "packets that the kernel drops are not seen");
        Tier::new("drops", used, TierStatus::Missing, why)
    };
    if let Some(why) = reasons.missing() {
        return missing(DROPS_TYPED, why.to_owned());
    }
    let ready = reasons.arm(ebpf).and_then(|()| attach(ebpf, "drop_sweep", folder, btf));
    if let Err(why) = ready {
        return missing(DROPS_TYPED, why);
    }
    let typed = attach(ebpf, "packet_drop", folder, btf);
    let plain = match &typed {
        Ok(()) => Ok(()),
        Err(_refused) => attach(ebpf, "packet_drop_plain", folder, btf),
    };
    match (typed, plain) {
        (Ok(()), _) if reasons.tells_socket() => Tier::ok("drops", DROPS_TYPED),
        (Ok(()), _) => {
            let reason = "drops at a socket are known by their namespace only (linux 6.11 and newer \
                          tell the socket)";
            Tier::new("drops", DROPS_TYPED, TierStatus::Degraded, reason.to_owned())
        }
        (Err(why), Ok(())) => {
            let reason = format!("{DROPS_TYPED} refused ({why}): each drop costs more");
            Tier::new("drops", DROPS_PLAIN, TierStatus::Degraded, reason)
        }
        (Err(why), Err(also)) => missing(DROPS_TYPED, format!("{why}; {DROPS_PLAIN}: {also}")),
    }
}

fn attach(ebpf: &mut Ebpf, name: &str, folder: &File, btf: &Btf) -> Result<(), String> {
    let program = ebpf.program_mut(name).ok_or("not in the object")?;
    attach_program(program, name, folder, btf).map_err(|error| describe(&error))
}

/// The errno and the last line of the verifier: the whole log is pages long.
pub(crate) fn describe(error: &ProgramError) -> String {
    if let ProgramError::LoadError { io_error, verifier_log } = error {
        let log = verifier_log.to_string();
        let last = log.lines().rev().map(str::trim).find(|line| {
            !line.is_empty()
                && !line.starts_with("processed ")
                && !line.starts_with("verification time")
        });
        return format!("{io_error} {}", last.unwrap_or_default()).trim_end().to_owned();
    }
    error_chain(error)
}

fn attach_program(
    program: &mut Program,
    name: &str,
    folder: &File,
    btf: &Btf,
) -> Result<(), ProgramError> {
    // The links stay with the program, so they live as long as the observer.
    match program {
        Program::BtfTracePoint(program) => {
            program.load(tracepoint_of(name), btf)?;
            program.attach().map(drop)
        }
        Program::TracePoint(program) => {
            program.load()?;
            program.attach("skb", "kfree_skb").map(drop)
        }
        Program::Iter(program) => {
            program.load(if name == "sockets" { "task_file" } else { "bpf_prog" }, btf)
        }
        Program::SockOps(program) => {
            program.load()?;
            program.attach(folder, CgroupAttachMode::Single).map(drop)
        }
        Program::CgroupSock(program) => {
            program.load()?;
            program.attach(folder, CgroupAttachMode::Single).map(drop)
        }
        Program::CgroupSkb(program) => attach_skb(program, folder),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// `Single` sets no flag, which is what a link wants: links always go beside one another.
fn attach_skb(program: &mut CgroupSkb, folder: &File) -> Result<(), ProgramError> {
    let kind = program.expected_attach_type().unwrap_or(CgroupSkbAttachType::Ingress);
    program.load()?;
    program.attach(folder, kind, CgroupAttachMode::Single).map(drop)
}

fn tracepoint_of(program: &str) -> &str {
    match program {
        "cgroup_made" => "cgroup_mkdir",
        "process_exec" => "sched_process_exec",
        "process_fork" => "sched_process_fork",
        "process_exit" => "sched_process_exit",
        "process_move" => "cgroup_attach_task",
        "tcp_state" => "inet_sock_set_state",
        "packet_drop" => "kfree_skb",
        _ => program,
    }
}

fn tiers(refusals: &[(&Hook, String)]) -> Vec<Tier> {
    let mut tiers: Vec<Tier> = ["tcp", "udp", "process"]
        .iter()
        .map(|area| {
            let used: Vec<_> =
                HOOKS.iter().filter(|hook| hook.area == *area).map(|hook| hook.used).collect();
            let lost: Vec<_> = refusals.iter().filter(|(hook, _)| hook.area == *area).collect();
            let status = if lost.iter().any(|(hook, _)| hook.loss.is_empty()) {
                TierStatus::Missing
            } else if lost.is_empty() {
                TierStatus::Ok
            } else {
                TierStatus::Degraded
            };
            let reasons: Vec<_> = lost.iter().map(|(hook, why)| reason(hook, why)).collect();
            Tier::new(area, &used.join(", "), status, reasons.join("; "))
        })
        .collect();
    let udp_in = refusals.iter().find(|(hook, _)| hook.program == "udp_ingress");
    tiers.push(match udp_in {
        Some((hook, why)) => {
            Tier::new("dns", hook.used, TierStatus::Missing, format!("{}: {why}", hook.used))
        }
        None => Tier::new(
            "dns",
            "cgroup_skb ingress",
            TierStatus::Ok,
            "answers over TCP and over encrypted transports are not read".to_owned(),
        ),
    });
    tiers
}

fn reason(hook: &Hook, why: &str) -> String {
    if hook.loss.is_empty() {
        format!("{} refused: {why}", hook.used)
    } else {
        format!("{} refused ({why}): {}", hook.used, hook.loss)
    }
}

/// A map or link could not be had after load: a fault of ours, or the kernel is out of memory.
pub(crate) fn maps_error(why: impl std::fmt::Display) -> StartError {
    StartError::Maps { why: why.to_string() }
}

impl From<Errno> for StartError {
    fn from(errno: Errno) -> Self {
        maps_error(format!("epoll: {errno}"))
    }
}
