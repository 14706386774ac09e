//! The same truth, thrice: what the tables of Cyclonus expect, what the policy engine says of the
//! live objects, and what packets do between pods on two nodes where our rules are in force.
//!
//! Each step of a table is a state of the cluster. Its labels are set through the API server, its
//! policies are applied as an operator does, and when both agents have carried them out every pair
//! of pods is asked on every port, from inside the pod's network namespace, over IPv4 and IPv6.
//! TCP answers from a process in the pod; UDP and SCTP, to which nobody listens there (most kernels
//! know no SCTP), by the kernel's refusal, which comes back only if the packet arrived.
//!
//! Every fourth case is asked, and all in which something changes from step to step;
//! `SEKISHO_TEST_TRUTH=all` asks all.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sekisho_model::Protocol;
use sekisho_policy::{
    Cluster as Known, Connection, Dialect, Endpoint, Party, Peer, Place, Reach, RuleSet,
};
use sekisho_system::netns;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};
use crate::poke::{self, Target};
use crate::product::{NODES, Product};
use crate::truth_table::{self, LabelsOf, PodId, Row, Step};

/// An answer takes a millisecond. A round in which one is missing proves nothing about the packets
/// that were dropped: the machine was too busy, and it is asked again with more patience.
const PATIENCE: [Duration; 3] =
    [Duration::from_millis(350), Duration::from_secs(1), Duration::from_secs(5)];
const PROBES_MIN: usize = 5_000;
const IMAGE: &str = "docker.io/sekisho/sekisho:dev";

/// The pods of the tables, for real.
struct Model<'cluster> {
    cluster: &'cluster Cluster,
    /// They end with the value.
    _namespaces: Vec<Namespace<'cluster>>,
    pods: BTreeMap<PodId, Pod>,
    /// As set last: of namespaces, of pods.
    labels: [LabelsOf; 2],
}

struct Pod {
    netns: PathBuf,
    /// IPv4, then IPv6.
    addresses: [IpAddr; 2],
}

/// A packet to be sent, and what must come of it.
struct Point<'a> {
    row: &'a Row,
    target: Target,
    expected: bool,
}

impl<'cluster> Model<'cluster> {
    /// Makes every pod that `steps` speak of; `cgroup` tells that of a node.
    fn start(
        cluster: &'cluster Cluster,
        cgroup: impl Fn(&str) -> PathBuf,
        steps: &[&Step],
    ) -> Self {
        let ids = truth_table::pods(steps.iter().copied());
        let mut names: Vec<&str> = ids.iter().map(|id| split(id).0).collect();
        names.dedup();
        // What a run that was killed left.
        let words = [&["delete", "namespace", "--ignore-not-found"], names.as_slice()].concat();
        cluster.kubectl(&words);
        let namespaces = names.iter().map(|name| cluster.namespace(name)).collect();
        let manifests: Vec<String> =
            ids.iter().zip(NODES.iter().cycle()).map(|(id, node)| manifest(id, node)).collect();
        cluster.apply(&manifests.join("\n---\n"));
        for name in &names {
            let words = ["wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s", "-n"];
            cluster.kubectl(&[&words[..], &[name]].concat());
        }
        let pods = ids.iter().map(|id| (id.clone(), Pod::find(cluster, &cgroup, id))).collect();
        Self { cluster, _namespaces: namespaces, pods, labels: Default::default() }
    }

    /// Gives namespaces and pods the labels of a step, each change after the one before came to the
    /// nodes.
    fn relabel(&mut self, product: &Product, step: &Step) -> usize {
        let mut changes = 0;
        let wanted = [("namespace", &step.namespaces), ("pod", &step.pods)];
        for ((kind, wanted), known) in wanted.into_iter().zip(&mut self.labels) {
            for (id, labels) in wanted {
                if known.get(id) == Some(labels) {
                    continue;
                }
                let (namespace, name) = split(id);
                let before = live_labels(self.cluster, kind, (namespace, name));
                // The API server gives every namespace its name as a label, asked or not.
                let mut labels_now = labels.clone();
                if kind == "namespace" {
                    labels_now.insert("kubernetes.io/metadata.name".to_owned(), id.clone());
                }
                if before != json!(labels_now) {
                    let patch =
                        json!([{"op": "add", "path": "/metadata/labels", "value": labels_now}]);
                    let patch = patch.to_string();
                    let generation = product.generation();
                    let words = ["patch", kind, name, "-n", namespace, "--type=json", "-p", &patch];
                    self.cluster.kubectl(&words);
                    product.carried_out_after(generation);
                    changes += 1;
                }
                known.insert(id.clone(), labels.clone());
            }
        }
        changes
    }

    /// The block of addresses that all pods are in, its first two numbers.
    fn network(&self) -> String {
        let IpAddr::V4(first) = self.pods.values().next().unwrap().addresses[0] else {
            panic!("IPv4 comes first")
        };
        let [a, b, ..] = first.octets();
        format!("{a}.{b}")
    }

    /// What the step expects of each pair and port and family.
    fn points<'a>(&self, step: &'a Step, open: bool) -> Vec<Point<'a>> {
        let families = if step.has_blocks() && !open { &[0][..] } else { &[0, 1] };
        let rows = step.rows.iter();
        rows.flat_map(|row| families.iter().map(move |family| (row, *family)))
            .map(|(row, family)| {
                let target = Target {
                    source: self.pods[&row.from].addresses[family],
                    destination: self.pods[&row.to].addresses[family],
                    protocol: row.protocol,
                    port: row.port,
                };
                // The tables judge a pod's talk with itself as if it were two pods; by the
                // specification, and in any kernel, nothing stands in between.
                let expected = open || row.allowed || row.from == row.to;
                Point { row, target, expected }
            })
            .collect()
    }

    /// Sends all, from all pods at once; which were answered.
    fn poke(&self, points: &[Point<'_>]) -> Vec<bool> {
        let mut answers = vec![false; points.len()];
        for patience in PATIENCE {
            answers = self.poke_once(points, patience);
            if points.iter().zip(&answers).all(|(point, answer)| *answer || !point.expected) {
                break;
            }
        }
        answers
    }

    fn poke_once(&self, points: &[Point<'_>], patience: Duration) -> Vec<bool> {
        let mut answers = vec![false; points.len()];
        std::thread::scope(|scope| {
            let mut workers = Vec::new();
            for (id, pod) in &self.pods {
                let own: Vec<usize> =
                    (0..points.len()).filter(|i| points[*i].row.from == *id).collect();
                let targets: Vec<Target> = own.iter().map(|i| points[*i].target).collect();
                workers.push(scope.spawn(move || (own, poke::all(&pod.netns, &targets, patience))));
            }
            for worker in workers {
                let (own, said) = worker.join().unwrap();
                for (index, answer) in own.into_iter().zip(said) {
                    answers[index] = answer;
                }
            }
        });
        answers
    }
}

impl Pod {
    fn find(cluster: &Cluster, cgroup: &impl Fn(&str) -> PathBuf, id: &str) -> Self {
        let (namespace, name) = split(id);
        let pod = cluster.get(&["pod", name, "-n", namespace]);
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        let folder = cgroup(pod["spec"]["nodeName"].as_str().unwrap())
            .join(format!("kubepods/besteffort/pod{uid}"));
        // Any container's: the pod's containers share it.
        let process = std::fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .filter_map(|entry| std::fs::read_to_string(entry.path().join("cgroup.procs")).ok())
            .find_map(|text| text.lines().next().map(str::to_owned))
            .unwrap_or_else(|| panic!("{id}: no process in {}", folder.display()));
        let mut addresses: Vec<IpAddr> = pod["status"]["podIPs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["ip"].as_str().unwrap().parse().unwrap())
            .collect();
        addresses.sort();
        let netns = PathBuf::from(format!("/proc/{process}/ns/net"));
        // However many refusals there are, each is to be sent.
        netns::within(&netns, || {
            for (file, value) in [("ipv4/icmp_ratemask", "0"), ("ipv6/icmp/ratelimit", "0")] {
                std::fs::write(format!("/proc/sys/net/{file}"), value).unwrap();
            }
        })
        .unwrap();
        Self { netns, addresses: addresses.try_into().unwrap() }
    }
}

fn split(id: &str) -> (&str, &str) {
    id.split_once('/').unwrap_or((id, id))
}

/// A pod of the tables: its ports have the names that the policies use. To YAML, a bare `y` is a
/// truth, too.
fn manifest(id: &str, node: &str) -> String {
    let (namespace, name) = split(id);
    let mut ports = String::new();
    for port in [80, 81] {
        for protocol in ["tcp", "udp", "sctp"] {
            let (name, upper) = (format!("serve-{port}-{protocol}"), protocol.to_uppercase());
            write!(ports, "{{containerPort: {port}, name: {name}, protocol: {upper}}}, ").unwrap();
        }
    }
    format!(
        "apiVersion: v1\nkind: Pod\n\
         metadata: {{name: '{name}', namespace: '{namespace}', labels: {{pod: '{name}'}}}}\n\
         spec:\n  \
           nodeName: {node}\n  \
           terminationGracePeriodSeconds: 0\n  \
           containers:\n  \
           - name: serve\n    \
             image: {IMAGE}\n    \
             imagePullPolicy: Never\n    \
             args: [workload, --tcp, '80', --tcp, '81']\n    \
             ports: [{ports}]\n    \
             readinessProbe: {{tcpSocket: {{port: 81}}, periodSeconds: 1}}\n"
    )
}

fn live_labels(cluster: &Cluster, kind: &str, (namespace, name): (&str, &str)) -> Value {
    cluster.get(&[kind, name, "-n", namespace])["metadata"]["labels"].clone()
}

/// The engine, with the policies of a step and the objects as they are in the API server.
struct Oracle {
    rules: RuleSet,
    known: Known,
    reach: Reach,
}

impl Oracle {
    fn new(cluster: &Cluster, policies: &str) -> Self {
        let live = cluster.kubectl(&["get", "pods,namespaces,nodes", "-A", "--output=json"]);
        let known = Known::from_objects(&sekisho_manifest::parse("live.json", &live).unwrap());
        let objects = sekisho_manifest::parse("policies.json", policies).unwrap();
        let rules = RuleSet::from_objects(&objects, Dialect::default());
        let reach = Reach::new(&rules, &known);
        Self { rules, known, reach }
    }

    fn end(&self, id: &str) -> &Endpoint {
        let (namespace, name) = split(id);
        self.known.endpoint_of_pod(namespace, name).unwrap()
    }

    fn place(&self, endpoint: &Endpoint, address: IpAddr) -> Place {
        let is_own = |index: &usize| self.known.endpoints[*index].is(endpoint);
        let holds =
            |party: &Party| matches!(party, Party::Endpoints(all) if all.iter().any(is_own));
        let party = self.reach.parties().iter().position(holds).unwrap();
        self.reach.place_at(party, address).unwrap()
    }

    /// What the evaluator says, and the engine of all pairs, where that is asked: it knows of no
    /// pod's talk with itself.
    fn says(&self, point: &Point<'_>) -> (bool, Option<bool>) {
        let Target { source, destination, protocol, port } = point.target;
        let (from, to) = (self.end(&point.row.from), self.end(&point.row.to));
        let decision = self.rules.decide(
            &self.known,
            &Connection {
                source: Peer::Endpoint(from),
                destination: Peer::Endpoint(to),
                source_address: Some(source),
                destination_address: Some(destination),
                protocol,
                port,
            },
        );
        let all_pairs = (!from.is(to)).then(|| {
            let (source, destination) = (self.place(from, source), self.place(to, destination));
            self.reach.allows_at(&source, &destination, protocol, port)
        });
        (decision.allows(), all_pairs)
    }
}

/// What was asked, and what differed.
#[derive(Default)]
struct Tally {
    probes: BTreeMap<(Protocol, bool), usize>,
    steps: usize,
    relabelled: usize,
    /// Talk of a pod with itself that the tables block.
    itself: usize,
    differences: Vec<String>,
}

impl Tally {
    fn add(
        &mut self,
        title: &str,
        oracle: Option<&Oracle>,
        points: &[Point<'_>],
        answers: &[bool],
    ) {
        self.steps += 1;
        for (point, packet) in points.iter().zip(answers) {
            *self.probes.entry((point.target.protocol, *packet)).or_default() += 1;
            self.itself += usize::from(oracle.is_some() && point.expected && !point.row.allowed);
            let (decided, all_pairs) =
                oracle.map_or((true, Some(true)), |oracle| oracle.says(point));
            let agree = [decided, all_pairs.unwrap_or(decided), *packet]
                .iter()
                .all(|answer| *answer == point.expected);
            if !agree {
                self.differences.push(format!(
                    "{title}: {} to {}, {:?}: expected {}, evaluator {decided}, engine \
                     {all_pairs:?}, packet {packet}",
                    point.row.from, point.row.to, point.target, point.expected
                ));
            }
        }
    }

    fn probes(&self) -> usize {
        self.probes.values().sum()
    }
}

/// Every fourth case, and those of several steps.
fn chosen(cases: &[Vec<Step>]) -> Vec<&Vec<Step>> {
    let all = std::env::var_os("SEKISHO_TEST_TRUTH").is_some_and(|value| value == "all");
    let wanted = |(number, case): &(usize, &Vec<Step>)| all || number % 4 == 0 || case.len() > 1;
    cases.iter().enumerate().filter(wanted).map(|(_, case)| case).collect()
}

#[test]
fn tables_and_engine_and_packets_in_a_real_cluster_agree() {
    let cluster = Cluster::find();
    let Some(cases) = truth_table::cases() else { return };
    let started = Instant::now();
    let cases = chosen(&cases);
    let steps: Vec<&Step> = cases.iter().flat_map(|case| case.iter()).collect();
    let product = Product::start(&cluster);
    let mut model = Model::start(&cluster, |node| product.cgroup(node), &steps);
    let mut tally = Tally::default();
    // Without policies all is open: what is denied later, policies deny.
    let all_open = |model: &Model<'_>, tally: &mut Tally, title: &str| {
        let points = model.points(steps[0], true);
        tally.add(title, None, &points, &model.poke(&points));
    };
    all_open(&model, &mut tally, "before");
    for step in &steps {
        tally.relabelled += model.relabel(&product, step);
        let policies = step.manifest(&model.network());
        product.enforce(&policies);
        let points = model.points(step, false);
        let answers = model.poke(&points);
        let known = tally.differences.len();
        tally.add(&step.title, Some(&Oracle::new(&cluster, &policies)), &points, &answers);
        if tally.differences.len() > known {
            tally.differences.push(format!("{}: {policies}", step.title));
        }
    }
    product.release();
    all_open(&model, &mut tally, "after");
    println!(
        "{} cases of {} steps, {} labels changed on the way: {} probes ({:?}), {} differences, \
         {} s; {} rows about a pod and itself are blocked in the tables, and are not here",
        cases.len(),
        steps.len(),
        tally.relabelled,
        tally.probes(),
        tally.probes,
        tally.differences.len(),
        started.elapsed().as_secs(),
        tally.itself,
    );
    let shown = &tally.differences[..tally.differences.len().min(30)];
    assert!(tally.differences.is_empty(), "{}", shown.join("\n"));
    assert!(tally.probes() >= PROBES_MIN, "{}", tally.probes());
}
