//! Events per second through the assembler, and halves per second through the joiner, on one core:
//! `cargo bench -p sekisho-flow`. The directory here answers at once; the inventory's cost comes on
//! top.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sekisho_flow::{Assembler, AssemblerLimits, Directory, JoinLimits, Joiner, ServiceTarget};
use sekisho_model::{
    Batch, ClusterName, Event, Half, Labels, Party, PartyKind, Process, ProcessExec, Protocol,
    SocketEvent, SocketPhase, SocketRole, Timestamp, WorkloadRef,
};

const CONNECTIONS: u64 = 400_000;
const HALVES_PER_BATCH: usize = 1_000;

/// Everybody is one pod.
struct OnePod(Arc<Party>);

impl Directory for OnePod {
    fn party_of_cgroup(&self, _: &str, _: &str, _: Timestamp) -> Option<Arc<Party>> {
        None
    }

    fn party_of_address(&self, _: IpAddr, _: Option<&str>, _: Timestamp) -> Arc<Party> {
        Arc::clone(&self.0)
    }

    fn service_at(&self, _: SocketAddr, _: Protocol, _: Timestamp) -> Option<ServiceTarget> {
        None
    }
}

fn pod() -> OnePod {
    let workload = WorkloadRef {
        namespace: "shop".to_owned(),
        name: "cart".to_owned(),
        kind: "Deployment".to_owned(),
    };
    OnePod(Arc::new(Party {
        kind: PartyKind::Pod,
        workload,
        pod: "cart-0".to_owned(),
        labels: Labels::new(),
        address: None,
        dns_name: None,
    }))
}

/// One socket's event; 20,000 connections a second, each 5 ms long.
fn event(n: u64, role: SocketRole, phase: SocketPhase) -> Event {
    let port = u16::try_from(n % 28_000).unwrap_or_default() + 32_000;
    let client = u32::try_from(n / 28_000).unwrap_or_default();
    let source = SocketAddr::from((Ipv4Addr::from(0x0af4_0100 + client), port));
    let destination = SocketAddr::from((Ipv4Addr::new(10, 244, 2, 1), 8_080));
    let (local, remote) = match role {
        SocketRole::Source => (source, destination),
        SocketRole::Destination => (destination, source),
    };
    let late_us = if phase == SocketPhase::Closed { 5_000 } else { 0 };
    Event::Socket(SocketEvent {
        time: Timestamp::from_nanos(1_000_000_000_000 + (n * 50 + late_us) * 1_000),
        id: n,
        protocol: Protocol::Tcp,
        role,
        role_inferred: false,
        phase,
        local,
        remote,
        pid: u32::try_from(n % 500).unwrap_or_default() + 1,
        cgroup: "/sekisho-lab/node-1/pods/pod0f6e7a31-5b8c-4f0e-9d2a-1c3b5d7f9a0b/app".to_owned(),
        bytes_sent: if phase == SocketPhase::Closed { 100 } else { 0 },
        bytes_received: 0,
        packets_sent: 3,
        packets_received: 3,
        established: phase != SocketPhase::Connecting,
        reset: false,
    })
}

/// Connecting, Open and Closed of all connections, with 100 open at any time.
fn events(role: SocketRole) -> Vec<Event> {
    let mut events = Vec::new();
    for n in 0..CONNECTIONS + 100 {
        if n < CONNECTIONS {
            if role == SocketRole::Source {
                events.push(event(n, role, SocketPhase::Connecting));
            }
            events.push(event(n, role, SocketPhase::Open));
        }
        if let Some(old) = n.checked_sub(100) {
            events.push(event(old, role, SocketPhase::Closed));
        }
    }
    events
}

fn assembled(role: SocketRole) -> Vec<Half> {
    let mut assembler = Assembler::new(AssemblerLimits::default());
    let mut out = Vec::new();
    for pid in 1..=500 {
        let process = Process {
            exe: format!("/usr/bin/program-{pid}"),
            comm: "program".to_owned(),
            uid: 0,
            container: None,
        };
        let time = Timestamp::from_seconds(1);
        let exec = ProcessExec { time, pid, parent: 1, cgroup: String::new(), process };
        assembler.assemble(Event::Exec(exec), &mut out);
    }
    let events = events(role);
    let count = events.len();
    let mut halves = Vec::with_capacity(count);
    let mut chunk = Vec::new();
    let begin = cpu_time();
    for event in events {
        assembler.assemble(event, &mut chunk);
        if chunk.len() >= HALVES_PER_BATCH {
            halves.append(&mut chunk);
        }
    }
    assembler.flush(&mut chunk);
    halves.append(&mut chunk);
    report("assembler", "events", count, begin);
    halves
}

fn batches(node: &str, halves: Vec<Half>) -> Vec<Batch> {
    let mut sequence = 0;
    let mut batches = Vec::new();
    let mut halves = halves.into_iter().peekable();
    while halves.peek().is_some() {
        sequence += 1;
        batches.push(Batch {
            node: node.to_owned(),
            epoch: Timestamp::from_seconds(1),
            sequence,
            time: Timestamp::from_nanos(1_000_000_000_000 + sequence * 50_000_000),
            halves: halves.by_ref().take(HALVES_PER_BATCH).collect(),
            counters: Vec::new(),
            shed: 0,
        });
    }
    batches
}

/// Time this thread ran on a processor (linux Documentation/scheduler/sched-stats.rst): other work
/// on the machine doesn't count.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

#[expect(clippy::print_stdout, reason = "a benchmark's result")]
fn report(stage: &str, unit: &str, count: usize, begin: Duration) {
    let seconds = cpu_time().saturating_sub(begin).as_secs_f64();
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    println!(
        "{stage}: {count} {unit} in {seconds:.2} CPU s, {:.0} per second",
        f64::from(count) / seconds
    );
}

fn main() {
    let sources = batches("node-1", assembled(SocketRole::Source));
    let destinations = batches("node-2", assembled(SocketRole::Destination));
    let directory = pod();
    let mut joiner = Joiner::new(JoinLimits::default(), ClusterName::default());
    let mut flows = Vec::new();
    let mut given = 0;
    let begin = cpu_time();
    for (source, destination) in sources.into_iter().zip(destinations) {
        joiner.push(source, &directory, &mut flows);
        joiner.push(destination, &directory, &mut flows);
        given += flows.len();
        flows.clear();
    }
    let stats = joiner.stats();
    report("joiner", "halves", usize::try_from(stats.halves).unwrap_or_default(), begin);
    assert_eq!(stats.joined, CONNECTIONS, "{given} flows, {stats:?}");
}
