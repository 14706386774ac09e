//! Lays out a map of any size and prints the scene, for the bench of the console; how long it took
//! goes to standard error: `cargo run --release -p sekisho-map --example scene -- 5000 15000`.

use std::collections::BTreeSet;
use std::io::{Write, stderr, stdout};
use std::time::Instant;

use sekisho_map::{Grouping, Hidden, Map, MapEdge, MapNode, SceneOptions, scene};
use sekisho_model::{
    Completeness, Labels, PartyKind, Protocol, Reporters, TimeRange, Timestamp, Verdict,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let nodes = numbers.next().transpose()?.unwrap_or(400).max(2);
    let edges = numbers.next().transpose()?.unwrap_or(900);
    let map = map(nodes, edges);
    let mut took = Vec::new();
    let mut last = None;
    for _ in 0..5 {
        let start = Instant::now();
        last = Some(scene(&map, &SceneOptions::default()));
        took.push(start.elapsed());
    }
    writeln!(stderr(), "{nodes} nodes, {edges} edges: laid out in {took:?}")?;
    Ok(serde_json::to_writer(stdout().lock(), &last)?)
}

/// `nodes` workloads in one namespace for each 25, of uneven sizes, most edges inside a namespace.
fn map(nodes: u64, edges: u64) -> Map {
    let spaces = (nodes / 25).max(1);
    let space = |node: u64| node * node % spaces;
    let id = |node: u64| format!("team-{}/service-{node}[Deployment]", space(node));
    let mut all: Vec<MapNode> = (0..nodes)
        .map(|node| MapNode {
            id: id(node),
            cluster: None,
            kind: "Deployment".to_owned(),
            namespace: format!("team-{}", space(node)),
            name: format!("service-{node}"),
            labels: Labels::new(),
            party: PartyKind::Pod,
            pods: usize::try_from(node % 7).unwrap_or(1),
            process: None,
        })
        .collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let window = TimeRange { from: Timestamp::EPOCH, to: Timestamp::from_seconds(86_400) };
    let edge = |number: u64, (source, destination): (u64, u64)| MapEdge {
        source: id(source),
        destination: id(destination),
        protocol: Protocol::Tcp,
        port: 8_080,
        verdict: match number % 50 {
            0 => Verdict::Denied,
            1 | 2 => Verdict::WouldDeny,
            3 => Verdict::Unknown,
            _ => Verdict::Allowed,
        },
        processes: Vec::new(),
        connections: 1 + number * number % 90_000,
        bytes_sent: number * 512,
        bytes_received: number * 4_096,
        packets_sent: number,
        packets_received: number,
        resets: 0,
        first_seen: window.from,
        last_seen: window.to,
        services: Vec::new(),
        dns_names: Vec::new(),
        decided_by: Vec::new(),
        reporters: Reporters { source: true, destination: true, datapath: false },
        direction_inferred: false,
        loss: false,
    };
    Map {
        grouping: Grouping::Workload,
        window,
        completeness: Completeness { ratio: 1.0, produced: 0, dropped: 0, gaps: Vec::new() },
        nodes: all,
        edges: pairs(nodes, edges, spaces)
            .zip(0..)
            .map(|(pair, number)| edge(number, pair))
            .collect(),
        hidden: Hidden::default(),
    }
}

/// `edges` different pairs of nodes, or all that there are: no two are joined in the scene.
fn pairs(nodes: u64, edges: u64, spaces: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut seen = BTreeSet::new();
    let pair = move |number: u64| {
        let source = number.wrapping_mul(7_919) % nodes;
        let far = number.is_multiple_of(4);
        let step = if far { number.wrapping_mul(104_729) } else { spaces * (1 + number % 9) };
        (source, (source + step + number / (9 * nodes)) % nodes)
    };
    let tries = 0..edges.saturating_mul(100);
    let most = usize::try_from(edges).unwrap_or(usize::MAX);
    tries.map(pair).filter(move |pair| seen.insert(*pair)).take(most)
}
