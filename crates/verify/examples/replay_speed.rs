//! Measures the replay: `cargo run --release -p sekisho-verify --example replay_speed [ROWS]`.
//!
//! 300 pods of 100 workloads, 100 policies. Rows that repeat identities as stored history does,
//! with shared parties (as a store hands them out) and with a party object per row; rows of which
//! none repeats an identity; and the engine's verdicts alone. Times are of the processor, which is
//! what a busy machine leaves comparable.
#![expect(clippy::print_stdout, reason = "a measurement is for reading")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use sekisho_manifest::{LabelSelector, NetworkPolicy, PolicyPeer, PolicyRule};
use sekisho_model::{
    ClusterName, Completeness, EdgeDay, EdgeKey, EdgeMinute, EdgeStats, Labels, Party, PartyKind,
    Protocol, TimeRange, Timestamp, Verdict, WorkloadRef,
};
use sekisho_policy::{Cluster, Endpoint, Place, Reach, RuleSet};
use sekisho_verify::{Request, what_if};

const PODS: u16 = 300;
const WORKLOADS: u16 = 100;

fn selector(workload: u16) -> LabelSelector {
    LabelSelector::of(Labels::from([("app".to_owned(), format!("w{workload}"))]))
}

fn endpoint(number: u16) -> Endpoint {
    let name = format!("w{}", number % WORKLOADS);
    let [high, low] = number.to_be_bytes();
    Endpoint {
        namespace: "shop".to_owned(),
        name: format!("{name}-{number}"),
        workload: WorkloadRef {
            namespace: "shop".to_owned(),
            name: name.clone(),
            kind: "Deployment".to_owned(),
        },
        kind: PartyKind::Pod,
        labels: Labels::from([("app".to_owned(), name)]),
        addresses: vec![IpAddr::from([10, 0, high, low])],
        ports: Vec::new(),
        host_network: false,
        node: None,
        service_account: None,
    }
}

fn party(endpoint: &Endpoint) -> Arc<Party> {
    Arc::new(Party {
        kind: PartyKind::Pod,
        workload: endpoint.workload.clone(),
        pod: endpoint.name.clone(),
        labels: endpoint.labels.clone(),
        address: endpoint.addresses.first().copied(),
        dns_name: None,
    })
}

fn policy(workload: u16) -> NetworkPolicy {
    let peer = |of| PolicyPeer::Pods { namespaces: None, pods: Some(selector(of)) };
    let mut policy = NetworkPolicy { pod_selector: selector(workload), ..Default::default() };
    policy.meta.namespace = "shop".to_owned();
    policy.meta.name = format!("w{workload}");
    policy.isolates_ingress = true;
    policy.ingress = vec![PolicyRule {
        peers: (0..WORKLOADS).filter(|of| !(of + workload).is_multiple_of(3)).map(peer).collect(),
        ..PolicyRule::default()
    }];
    policy
}

fn row(source: &Arc<Party>, destination: &Arc<Party>, minute: u64) -> EdgeDay {
    let minute = Timestamp::from_seconds(1_795_392_000 + 60 * minute);
    EdgeDay::from(EdgeMinute {
        minute,
        key: EdgeKey {
            source: Arc::clone(source),
            source_process: None,
            destination: Arc::clone(destination),
            destination_process: None,
            protocol: Protocol::Tcp,
            port: 8080,
            service: None,
            verdict: Verdict::Allowed,
            decided_by: None,
            direction_inferred: false,
            cluster: ClusterName::default(),
        },
        stats: EdgeStats {
            connections: 1,
            first_seen: minute,
            last_seen: minute,
            ..EdgeStats::default()
        },
    })
}

fn measure(name: &str, cluster: &Cluster, history: &[EdgeDay], proposed: &RuleSet) {
    let completeness = Completeness { ratio: 1.0, produced: 1, dropped: 0, gaps: Vec::new() };
    let start = cpu();
    let answer = what_if(&Request {
        current: &RuleSet::default(),
        proposed,
        cluster,
        history,
        window: TimeRange::ALL,
        completeness: &completeness,
        accepted: &[],
        limits: sekisho_verify::Limits::NONE,
        unchanged_max: sekisho_verify::UNCHANGED_ALL,
    });
    let micros = (cpu() - start).as_micros().max(1);
    let rows = u128::try_from(history.len()).unwrap_or(u128::MAX);
    println!(
        "{name}: {rows} rows in {} ms, {} rows/s; {:?}",
        micros / 1000,
        rows * 1_000_000 / micros,
        answer.report.summary
    );
}

/// Processor time of this program.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The engine's part alone: places of both ends at hand, one verdict per row.
fn verdicts(cluster: &Cluster, proposed: &RuleSet, rows: usize) {
    let reach = Reach::new(proposed, cluster);
    let places: Vec<Place> = reach.places().filter(|place| place.egress_class.is_some()).collect();
    let start = cpu();
    let mut allowed = 0_u64;
    let pairs = places.iter().flat_map(|from| places.iter().map(move |to| (from, to)));
    for ((from, to), port) in pairs.cycle().take(rows).zip((8000_u16..8100).cycle()) {
        allowed += u64::from(reach.allows_at(from, to, Protocol::Tcp, port));
    }
    let micros = (cpu() - start).as_micros().max(1);
    let rows = u128::try_from(rows).unwrap_or(u128::MAX);
    println!("engine: {} verdicts/s, {allowed} allow", rows * 1_000_000 / micros);
}

fn main() {
    let rows = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2_000_000);
    let endpoints: Vec<Endpoint> = (0..PODS).map(endpoint).collect();
    let parties: Vec<Arc<Party>> = endpoints.iter().map(party).collect();
    let cluster = Cluster { endpoints, ..Cluster::default() };
    let proposed = RuleSet::new((0..WORKLOADS).map(policy));
    // Each pod talks to seven others, minute after minute.
    let pairs: Vec<(&Arc<Party>, &Arc<Party>)> = parties
        .iter()
        .enumerate()
        .flat_map(|(at, source)| {
            parties.iter().cycle().skip(at + 1).step_by(41).take(7).map(move |to| (source, to))
        })
        .collect();
    let minutes = (0_u64..).flat_map(|minute| pairs.iter().map(move |pair| (minute, pair)));
    let history: Vec<EdgeDay> =
        minutes.take(rows).map(|(minute, (from, to))| row(from, to, minute)).collect();
    measure("shared parties", &cluster, &history, &proposed);
    let all = parties.iter().flat_map(|from| parties.iter().map(move |to| (from, to)));
    let distinct: Vec<EdgeDay> = all
        .cycle()
        .zip(0_u32..)
        .take(rows)
        .map(|((from, to), number)| {
            let mut row = row(from, to, 0);
            let port = number / (u32::from(PODS) * u32::from(PODS));
            row.key_mut().port = 8080 + u16::try_from(port).unwrap_or(0);
            row
        })
        .collect();
    measure("no identity twice", &cluster, &distinct, &proposed);
    verdicts(&cluster, &proposed, rows * 5);
    let own: Vec<EdgeDay> = history
        .into_iter()
        .map(|mut row| {
            row.key_mut().source = Arc::new(Party::clone(&row.key.source));
            row.key_mut().destination = Arc::new(Party::clone(&row.key.destination));
            row
        })
        .collect();
    measure("a party per row", &cluster, &own, &proposed);
}
