//! What enforcement costs on this machine: time to replace a table, and new connections and
//! ping-pong through 10,000 rules against none, measured in turns in one run.
//!
//! `cargo run --release -p sekisho-enforce --example overhead` (root). Ratios are what to compare;
//! absolute figures depend on the machine and on who else uses it.
#![expect(clippy::print_stdout, reason = "prints its figures")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement that fails has nothing to clean up but namespaces, which Drop does"
)]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use sekisho_enforce::{Datapath, Mode, Scope, ScopeKind};
use sekisho_manifest::{
    LabelSelector, Meta, NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule, PortRef,
};
use sekisho_model::{Completeness, PartyKind, Protocol, TimeRange, WorkloadRef};
use sekisho_policy::{Cluster, Endpoint, RuleSet};
use sekisho_system::{command, netns};
use sekisho_verify::{Request, VerifiedPolicy, what_if};

/// Short turns, so that whatever else the machine does falls on all settings alike.
const ROUNDS: usize = 100;
const TURN: Duration = Duration::from_millis(40);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 11);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 12);
const PORT: u16 = 5432;
const PING_PORT: u16 = 5433;

fn main() {
    replacement(&Place::new("a"));
    overhead();
}

/// A node and two pods; gone with this value.
struct Place {
    prefix: String,
}

impl Place {
    fn new(letter: &str) -> Self {
        let place = Self { prefix: format!("skenfx-{}-{letter}", std::process::id()) };
        for name in ["node", "client", "server"] {
            netns::create(&format!("{}-{name}", place.prefix)).unwrap();
        }
        let prefix = &place.prefix;
        for (name, address) in [("client", CLIENT), ("server", SERVER)] {
            let lines = [
                format!(
                    "link add v-{name} netns {prefix}-node type veth peer eth0 netns {prefix}-{name}"
                ),
                format!(
                    "-n {prefix}-node addr add 169.254.1.1/32 dev v-{name}\n\
                     -n {prefix}-node link set v-{name} up\n\
                     -n {prefix}-node route add {address}/32 dev v-{name}\n\
                     -n {prefix}-{name} addr add {address}/32 dev eth0\n\
                     -n {prefix}-{name} link set eth0 up\n\
                     -n {prefix}-{name} route add 169.254.1.1 dev eth0\n\
                     -n {prefix}-{name} route add default via 169.254.1.1"
                ),
            ];
            for line in lines.iter().flat_map(|line| line.lines()) {
                let argv: Vec<&str> =
                    std::iter::once("ip").chain(line.split_whitespace()).collect();
                command::run(&argv, "", Duration::from_secs(10)).unwrap();
            }
        }
        netns::within(&place.netns("node"), || {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        })
        .unwrap();
        place
    }

    fn netns(&self, name: &str) -> PathBuf {
        netns::path(&format!("{}-{name}", self.prefix))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for name in netns::list(&format!("{}-", self.prefix)) {
            netns::delete(&name).ok();
        }
    }
}

fn pod(name: &str, address: Ipv4Addr) -> Endpoint {
    Endpoint {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        workload: WorkloadRef {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            kind: "Pod".to_owned(),
        },
        kind: PartyKind::Pod,
        labels: [("app".to_owned(), name.to_owned())].into(),
        addresses: vec![IpAddr::V4(address)],
        ports: Vec::new(),
        host_network: false,
        node: Some("node-1".to_owned()),
        service_account: None,
    }
}

fn cluster() -> Cluster {
    Cluster {
        endpoints: vec![pod("client", CLIENT), pod("server", SERVER)],
        nodes: [("node-1".to_owned(), Vec::new())].into(),
        ..Cluster::default()
    }
}

/// `count` rules for `subject`, each a block and a port of its own; the last allows the other pod.
fn policies(subject: &str, count: u32, salt: u32) -> Vec<NetworkPolicy> {
    const PER_POLICY: u32 = 50;
    let rule = |number: u32| {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(11, 0, 0, 0)) + number * 4 + salt);
        let last = number + 1 == count;
        let peer = if last {
            PolicyPeer::Pods { namespaces: None, pods: None }
        } else {
            PolicyPeer::IpBlock { cidr: IpAddr::V4(address).into(), except: Vec::new() }
        };
        let port = |number| PolicyPort {
            protocol: Protocol::Tcp,
            port: Some(PortRef::Number(number)),
            end_port: None,
        };
        let own = port(1 + u16::try_from(number % 60_000).unwrap());
        let ports = if last { vec![port(PORT), port(PING_PORT)] } else { vec![own] };
        PolicyRule { peers: vec![peer], ports, ..PolicyRule::default() }
    };
    (0..count.div_ceil(PER_POLICY))
        .map(|number| {
            let rules: Vec<PolicyRule> =
                (number * PER_POLICY..((number + 1) * PER_POLICY).min(count)).map(rule).collect();
            NetworkPolicy {
                meta: Meta {
                    name: format!("{subject}-{number:05}"),
                    namespace: "shop".to_owned(),
                    ..Meta::default()
                },
                pod_selector: LabelSelector::of([("app".to_owned(), subject.to_owned())].into()),
                isolates_ingress: subject == "server",
                isolates_egress: subject == "client",
                ingress: if subject == "server" { rules.clone() } else { Vec::new() },
                egress: if subject == "client" { rules } else { Vec::new() },
            }
        })
        .collect()
}

/// One policy with two blocks of many addresses: `count` elements that share a port table.
fn many_peers(count: u32, salt: u32) -> Vec<NetworkPolicy> {
    let mut list = policies("server", 1, 0);
    let base = u32::from(Ipv4Addr::new(12, 0, 0, 0));
    let blocks = (0..count).map(|number| PolicyPeer::IpBlock {
        cidr: IpAddr::V4(Ipv4Addr::from(base + number * 4 + salt)).into(),
        except: Vec::new(),
    });
    list[0].ingress[0].peers.extend(blocks);
    list
}

fn verified(policies: Vec<NetworkPolicy>, cluster: &Cluster) -> VerifiedPolicy {
    let completeness = Completeness { ratio: 1.0, produced: 0, dropped: 0, gaps: Vec::new() };
    let request = Request {
        current: &RuleSet::default(),
        proposed: &RuleSet::new(policies),
        cluster,
        history: &[],
        window: TimeRange::ALL,
        completeness: &completeness,
        accepted: &[],
        limits: sekisho_verify::Limits::NONE,
        unchanged_max: sekisho_verify::UNCHANGED_ALL,
    };
    what_if(&request).verified.unwrap()
}

fn scope(revision: u64) -> Scope {
    Scope { node: "node-1".to_owned(), kind: ScopeKind::Node, revision, log_group: 18 }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn replacement(place: &Place) {
    let cluster = cluster();
    let sets = [0, 1].map(|salt| verified(many_peers(10_000, salt), &cluster));
    let (mut replaced, mut updated, mut compiled) = (Vec::new(), Vec::new(), Vec::new());
    let mut kept = Datapath::new(place.netns("node"));
    let mut elements = 0;
    for round in 0..20_u64 {
        let set = &sets[usize::from(round % 2 == 1)];
        let applied = kept.apply(set, &cluster, &scope(round), Mode::Enforce).unwrap();
        if round > 0 {
            updated.push(applied.took.as_secs_f64() * 1e3);
        }
        compiled.push(applied.compiled_in.as_secs_f64() * 1e3);
        // An agent that was just restarted makes the table anew.
        let other = &sets[usize::from(round % 2 == 0)];
        kept = Datapath::new(place.netns("node"));
        let applied = kept.apply(other, &cluster, &scope(round), Mode::Enforce).unwrap();
        replaced.push(applied.took.as_secs_f64() * 1e3);
        elements = applied.elements;
    }
    println!("replace a table of {elements} elements, none the same: {:.0} ms", median(replaced));
    println!("update it, none the same: {:.0} ms", median(updated));
    println!("compile it: {:.0} ms", median(compiled));
    kept.remove(Mode::Enforce).unwrap();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    Nothing,
    Tracking,
    Policy,
}

/// One place per setting, set up once, measured in turns.
fn overhead() {
    let cluster = cluster();
    let mut list = policies("server", 5_000, 0);
    list.extend(policies("client", 5_000, 1));
    let rules: usize = list.iter().map(|one| one.ingress.len() + one.egress.len()).sum();
    let set = verified(list, &cluster);
    let settings = [Setting::Nothing, Setting::Tracking, Setting::Policy];
    let places = settings.map(|setting| Place::new(&format!("{setting:?}")));
    let mut elements = 0;
    for (setting, place) in settings.iter().zip(&places) {
        let mut datapath = Datapath::new(place.netns("node"));
        match setting {
            Setting::Nothing => {}
            Setting::Tracking => datapath.prepare().unwrap(),
            Setting::Policy => {
                let applied = datapath.apply(&set, &cluster, &scope(1), Mode::Enforce).unwrap();
                elements = applied.elements;
            }
        }
        serve(place);
    }
    let mut new: [Vec<f64>; 3] = Default::default();
    let mut trips: [Vec<f64>; 3] = Default::default();
    for round in 0..ROUNDS {
        for turn in 0..settings.len() {
            let which = (round + turn) % settings.len();
            let client = places[which].netns("client");
            new[which].push(netns::within(&client, connections_per_second).unwrap());
            trips[which].push(netns::within(&client, round_trips_per_second).unwrap());
        }
    }
    println!("{rules} rules, {elements} elements; {ROUNDS} turns each; median, and median of the");
    println!("ratios to no rules and to connection tracking only, turn by turn:");
    for (title, figures) in [("new connections/s", &new), ("round trips/s", &trips)] {
        for (setting, own) in settings.iter().zip(figures) {
            let ratio = |base: &Vec<f64>| {
                median(own.iter().zip(base).map(|(own, base)| own / base).collect())
            };
            let (nothing, tracking) = (ratio(&figures[0]), ratio(&figures[1]));
            let rate = median(own.clone());
            println!("{title} {setting:?}: {rate:.0} ({nothing:.2}, {tracking:.2})");
        }
    }
}

/// Accepts and closes on one port, echoes on the other, until the process ends.
fn serve(place: &Place) {
    let listen = |port| {
        netns::within(&place.netns("server"), move || TcpListener::bind((SERVER, port)).unwrap())
            .unwrap()
    };
    let (sink, echo) = (listen(PORT), listen(PING_PORT));
    std::thread::spawn(move || sink.incoming().for_each(drop));
    std::thread::spawn(move || {
        for stream in echo.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
}

fn per_second(mut once: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < TURN {
        once();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

fn connections_per_second() -> f64 {
    let to = SocketAddr::from((SERVER, PORT));
    per_second(|| {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(2)).unwrap();
        // The server closes first: until then it has not accepted, and its queue is short.
        assert_eq!((&stream).read(&mut [0]).unwrap(), 0);
        // Closing by reset leaves no TIME_WAIT, so that ports do not run out.
        let reset = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&stream, sockopt::Linger, &reset).unwrap();
    })
}

fn round_trips_per_second() -> f64 {
    let to = SocketAddr::from((SERVER, PING_PORT));
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2)).unwrap();
    stream.set_nodelay(true).unwrap();
    per_second(|| {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    })
}
