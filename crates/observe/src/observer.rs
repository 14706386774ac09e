//! The observer: from kernel records to events.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::{Array, Map, PerCpuArray, RingBuf};
use nix::errno::Errno;
use sekisho_model::{
    Direction, DnsAnswer, DropRecord, Event, HookCounters, Process, ProcessExec, Protocol,
    SocketEvent, SocketPhase, SocketRole,
};

use crate::boot_clock::BootClock;
use crate::cgroups::Cgroups;
use crate::counters::Counters;
use crate::dns::parse_answer;
use crate::drops::{DropCounts, Reasons};
use crate::processes::{self, Processes};
use crate::programs::{self, Loaded, StartError};
use crate::rings::Rings;
use crate::sockets::{self, Pass, Walks};
use crate::tier::Tier;
use crate::wire::{self, Record};

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_SCTP: u8 = 132;
const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_ICMPV6: u8 = 58;
/// The UDP table is swept at least this often.
const SWEEP_MAX: Duration = Duration::from_secs(5);
/// And at most this often.
const SWEEP_MIN: Duration = Duration::from_millis(50);

/// The table of dropped packets is emptied so often.
const DROP_SWEEP: Duration = Duration::from_secs(1);

/// What to observe, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserverOptions {
    /// Absolute path of the cgroup v2 folder whose subtree is observed; the mount's root for the
    /// whole machine. It must exist and stay.
    pub cgroup_root: PathBuf,
    /// Time between two samples of a connection that stays open, e.g. 10 s.
    pub sample_period: Duration,
    /// A UDP flow without a datagram for so long is closed, e.g. 30 s.
    pub udp_idle: Duration,
    /// Bytes of each of the two ring buffers; rounded up to a power of two of pages. A connection
    /// costs 3 records of 120 bytes at each end.
    pub ring_bytes: u32,
    /// File of a network namespace, e.g. `/proc/self/ns/net`, whose dropped packets are observed
    /// also if no process of the folder runs in it: that of the node, which forwards for its pods.
    /// None = only namespaces that processes of the folder run in. It must stay open elsewhere.
    pub netns: Option<PathBuf>,
}

impl ObserverOptions {
    /// The defaults for `cgroup_root`: 10 s, 30 s, 8 MiB.
    #[must_use]
    pub fn new(cgroup_root: PathBuf) -> Self {
        Self {
            cgroup_root,
            sample_period: Duration::from_secs(10),
            udp_idle: Duration::from_secs(30),
            ring_bytes: 8 << 20,
            netns: None,
        }
    }
}

/// Reading the kernel's records failed; the observer may be polled again.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// Waiting for the rings failed.
    #[error("wait for the kernel's ring buffers")]
    Wait(#[source] Errno),
    /// A walk of the open sockets, or a sweep of the UDP table, failed.
    #[error("walk the kernel's `{what}`: {why}")]
    Walk {
        /// `sockets`, `udp flows` or `dropped packets`.
        what: &'static str,
        /// The kernel's words.
        why: String,
    },
}

/// Watches one cgroup v2 subtree until dropped.
///
/// Limits: an accepted socket names its listening process until the process that uses it closes
/// it, or is seen to hold it by a sample. `Exit` comes before `Closed` of the sockets that the
/// process left open. Answers to DNS over TCP are not read. A UDP flow of an unconnected socket
/// that the node itself translates (OUTPUT DNAT) shows the address after translation when sending.
/// Processes are numbered as in the pid namespace of /proc, which must be the machine's.
pub struct Observer {
    ebpf: Ebpf,
    rings: Rings,
    state: State,
    walks: Walks,
    tiers: Vec<Tier>,
    sample: Schedule,
    sweep: Schedule,
    drop_sweep: Schedule,
    drop_counts: DropCounts,
}

/// All that decoding needs, apart from the rings so that both can be borrowed.
struct State {
    clock: BootClock,
    cgroups: Cgroups,
    processes: Processes,
    counters: Counters,
    reasons: Reasons,
    pending: Vec<Event>,
}

struct Schedule {
    every: Duration,
    due: Instant,
    works: bool,
}

impl Observer {
    /// Loads and attaches the kernel programs, and finds what is already running and connected.
    ///
    /// # Errors
    /// [`StartError`] if a privilege, kernel feature or the folder is missing; then nothing is
    /// left attached. A single refused program is not an error: see [`Self::tiers`].
    pub fn start(options: ObserverOptions) -> Result<Self, StartError> {
        let cgroups = Cgroups::open(&options.cgroup_root)
            .map_err(|error| StartError::from((&options, error)))?;
        let Loaded { mut ebpf, tiers, reasons } = programs::load(&options, &cgroups)?;
        let rings = Rings::new(
            RingBuf::try_from(take_map(&mut ebpf, "ring_keep")?).map_err(programs::maps_error)?,
            RingBuf::try_from(take_map(&mut ebpf, "ring_shed")?).map_err(programs::maps_error)?,
        )?;
        let counters = PerCpuArray::try_from(take_map(&mut ebpf, "counters")?);
        let drops = PerCpuArray::try_from(take_map(&mut ebpf, "drop_reasons")?);
        let control = Array::try_from(take_map(&mut ebpf, "sockets_ctl")?);
        let sweep = (options.udp_idle / 4).clamp(SWEEP_MIN, SWEEP_MAX).min(options.sample_period);
        let mut observer = Self {
            rings,
            state: State {
                clock: BootClock::new(),
                cgroups,
                processes: Processes::default(),
                counters: Counters::new(counters.map_err(programs::maps_error)?),
                reasons,
                pending: Vec::new(),
            },
            walks: Walks::new(control.map_err(programs::maps_error)?),
            tiers,
            sample: Schedule::new(options.sample_period, &mut ebpf, "sockets"),
            sweep: Schedule::new(sweep.max(SWEEP_MIN), &mut ebpf, "udp_sweep"),
            drop_sweep: Schedule::new(DROP_SWEEP, &mut ebpf, "drop_sweep"),
            drop_counts: DropCounts::new(drops.map_err(programs::maps_error)?),
            ebpf,
        };
        observer.seed();
        Ok(observer)
    }

    /// Waits at most `timeout` for events and appends them to `out`, in the order of their time as
    /// far as they came together. Returns at the first batch; does the periodic work by itself, so
    /// call it in a loop and often (at least once per second).
    ///
    /// # Errors
    /// [`PollError`] if the kernel can't be asked; what was read before is in `out`.
    pub fn poll(&mut self, timeout: Duration, out: &mut Vec<Event>) -> Result<(), PollError> {
        let start = Instant::now();
        let deadline = start.checked_add(timeout).unwrap_or(start);
        let first = out.len();
        loop {
            self.state.clock.refresh(Instant::now());
            let periodic = self.do_periodic();
            out.append(&mut self.state.pending);
            let state = &mut self.state;
            self.rings.drain(&mut |record| state.take(record, out));
            periodic?;
            if out.len() > first {
                if let Some(new) = out.get_mut(first..) {
                    new.sort_by_key(time_of);
                }
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Ok(());
            }
            let until = deadline.min(self.sample.due).min(self.sweep.due).min(self.drop_sweep.due);
            self.rings.wait(until).map_err(PollError::Wait)?;
        }
    }

    /// The loss account of each hook since start.
    #[must_use]
    pub fn counters(&self) -> Vec<HookCounters> {
        self.state.counters.read()
    }

    /// Packets that the kernel dropped since the start, by the kernel's name of the reason, exact;
    /// read anew once a second by [`Self::poll`]. Each also comes as an [`Event::Dropped`], unless
    /// more 5-tuples were concerned in a second than are remembered: that is a loss of hook `drop`.
    #[must_use]
    pub fn drops(&self) -> Vec<(String, u64)> {
        self.drop_counts.known()
    }

    /// What works on this kernel, by area.
    #[must_use]
    pub fn tiers(&self) -> Vec<Tier> {
        self.tiers.clone()
    }

    /// Finds folders, processes, listeners and connections that are older than we are. The hooks
    /// are attached already, so nothing falls in between; a few things may be told twice.
    fn seed(&mut self) {
        let now = self.state.clock.now();
        let mut found = Vec::new();
        self.state.cgroups.walk(&mut |folder, path| {
            found.extend(processes::in_folder(folder).into_iter().map(|f| (f, path.to_owned())));
        });
        for (found, cgroup) in found {
            self.state.processes.started(found.pid, &found.process.exe);
            let (pid, parent, process) = (found.pid, found.parent, found.process);
            self.state.pending.push(Event::Exec(ProcessExec {
                time: now,
                pid,
                parent,
                cgroup,
                process,
            }));
        }
        for pass in [Pass::Listeners, Pass::Connections] {
            if let Err(why) = self.walk(pass) {
                tracing::warn!(why, "older connections were not found");
                self.sample.works = false;
            }
        }
    }

    fn walk(&mut self, pass: Pass) -> Result<(), String> {
        let mut events = Vec::new();
        let state = &mut self.state;
        let result =
            self.walks.walk(&mut self.ebpf, pass, &mut |record| state.take(record, &mut events));
        self.state.pending.append(&mut events);
        result
    }

    fn do_periodic(&mut self) -> Result<(), PollError> {
        let now = Instant::now();
        if self.sweep.is_due(now) {
            sockets::sweep(&mut self.ebpf, "udp_sweep")
                .map_err(|why| PollError::Walk { what: "udp flows", why })?;
        }
        if self.drop_sweep.is_due(now) {
            sockets::sweep(&mut self.ebpf, "drop_sweep")
                .map_err(|why| PollError::Walk { what: "dropped packets", why })?;
            self.drop_counts.refresh(&self.state.reasons);
        }
        if self.sample.is_due(now) {
            self.walk(Pass::Sample).map_err(|why| PollError::Walk { what: "sockets", why })?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let folder = self.state.cgroups.folder();
        f.debug_struct("Observer").field("folder", &folder).finish_non_exhaustive()
    }
}

impl Schedule {
    fn new(every: Duration, ebpf: &mut Ebpf, program: &str) -> Self {
        let works = ebpf.program_mut(program).and_then(|program| program.fd().ok()).is_some();
        Self { every, due: Instant::now() + every, works }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        if now < self.due {
            return false;
        }
        self.due = now + self.every;
        self.works
    }
}

impl State {
    /// Decodes one record and appends what it says.
    fn take(&mut self, record: &[u8], out: &mut Vec<Event>) {
        let decoded = wire::decode(record);
        let understood = decoded.is_some_and(|decoded| self.convert(decoded, out));
        self.counters.took(wire::hook_of(record), understood);
    }

    /// False if the record makes no sense.
    fn convert(&mut self, record: Record<'_>, out: &mut Vec<Event>) -> bool {
        match record {
            Record::Socket(socket) => match self.socket_event(&socket) {
                Some(event) => out.push(Event::Socket(event)),
                None => return false,
            },
            Record::Dns(dns, payload) => {
                // A payload that is no DNS answer, from port 53, is delivered and says nothing.
                let cut = dns.header.flags & wire::FLAG_CUT != 0;
                if let Ok(answer) = parse_answer(payload, cut) {
                    out.push(Event::Dns(DnsAnswer {
                        time: self.clock.unix(dns.header.time_ns),
                        cgroup: self.cgroups.path(dns.header.cgroup_id),
                        name: answer.name,
                        addresses: answer.addresses,
                        ttl_s: answer.ttl_s,
                        truncated: answer.truncated,
                    }));
                }
            }
            Record::Exec(task, parts) => {
                let exe = wire::join_path(parts, task.header.flags & wire::FLAG_CUT != 0);
                self.processes.started(task.header.pid, &exe);
                out.push(self.exec_event(&task, exe));
            }
            Record::Task(task) => {
                let exe = self.processes.forked(&task);
                out.push(self.exec_event(&task, exe));
            }
            Record::Exit(task) => {
                let pid = task.header.pid;
                self.processes.ended(pid, task.header.time_ns);
                out.push(Event::Exit { time: self.clock.unix(task.header.time_ns), pid });
            }
            Record::Cgroup(header, path) => {
                self.cgroups.learn(header.cgroup_id, String::from_utf8_lossy(path).into_owned());
            }
            Record::Drop(drop) => {
                let event = self.drop_event(&drop);
                out.push(event);
            }
        }
        true
    }

    fn exec_event(&mut self, task: &wire::Task, exe: String) -> Event {
        Event::Exec(ProcessExec {
            time: self.clock.unix(task.header.time_ns),
            pid: task.header.pid,
            parent: task.parent,
            cgroup: self.cgroups.path(task.header.cgroup_id),
            process: Process {
                exe,
                comm: wire::c_text(&task.comm),
                uid: task.uid,
                container: None,
            },
        })
    }

    fn drop_event(&mut self, drop: &wire::Drop) -> Event {
        Event::Dropped(DropRecord {
            time: self.clock.unix(drop.header.time_ns),
            first: self.clock.unix(drop.first_ns),
            protocol: match drop.protocol {
                PROTOCOL_TCP => Some(Protocol::Tcp),
                PROTOCOL_UDP => Some(Protocol::Udp),
                PROTOCOL_SCTP => Some(Protocol::Sctp),
                PROTOCOL_ICMP | PROTOCOL_ICMPV6 => Some(Protocol::Icmp),
                _ => None,
            },
            source: wire::address(drop.source, drop.source_port),
            destination: wire::address(drop.destination, drop.destination_port),
            direction: match drop.direction {
                wire::DIRECTION_INGRESS => Some(Direction::Ingress),
                wire::DIRECTION_EGRESS => Some(Direction::Egress),
                _ => None,
            },
            reason: self.reasons.name(drop.reason),
            packets: drop.packets,
            cgroup: self.cgroups.path(drop.header.cgroup_id),
        })
    }

    fn socket_event(&mut self, socket: &wire::Socket) -> Option<SocketEvent> {
        let header = &socket.header;
        let protocol = match socket.protocol {
            PROTOCOL_TCP => Protocol::Tcp,
            PROTOCOL_UDP => Protocol::Udp,
            _ => return None,
        };
        Some(SocketEvent {
            time: self.clock.unix(header.time_ns),
            id: socket.connection_id(protocol == Protocol::Udp),
            protocol,
            role: match socket.role {
                wire::ROLE_SOURCE => SocketRole::Source,
                wire::ROLE_DESTINATION => SocketRole::Destination,
                _ => return None,
            },
            role_inferred: header.flags & wire::FLAG_ROLE_INFERRED != 0,
            phase: match socket.phase {
                wire::PHASE_CONNECTING => SocketPhase::Connecting,
                wire::PHASE_OPEN => SocketPhase::Open,
                wire::PHASE_SAMPLE => SocketPhase::Sample,
                wire::PHASE_CLOSED => SocketPhase::Closed,
                _ => return None,
            },
            local: wire::address(socket.local, socket.local_port),
            remote: wire::address(socket.remote, socket.remote_port),
            pid: header.pid,
            cgroup: self.cgroups.path(header.cgroup_id),
            bytes_sent: socket.bytes_sent,
            bytes_received: socket.bytes_received,
            packets_sent: socket.packets_sent,
            packets_received: socket.packets_received,
            established: header.flags & wire::FLAG_ESTABLISHED != 0,
            reset: header.flags & wire::FLAG_RESET != 0,
        })
    }
}

fn time_of(event: &Event) -> sekisho_model::Timestamp {
    match event {
        Event::Exec(exec) => exec.time,
        Event::Exit { time, .. } => *time,
        Event::Socket(socket) => socket.time,
        Event::Dns(answer) => answer.time,
        Event::Denied(deny) => deny.time,
        Event::Dropped(drop) => drop.time,
    }
}

fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<Map, StartError> {
    ebpf.take_map(name)
        .ok_or_else(|| programs::maps_error(format!("`{name}` is not in the object")))
}
