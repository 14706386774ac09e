//! The NetworkPolicy tests of Kubernetes itself, as facts: all pokes must come out as upstream says.
//! The table and its form are described in `tests/data/np_e2e/README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use crate::pokes::{Call, Family, Scene};

/// Bits of the network around an address that upstream calls large.
const LARGE_NETWORK_BITS: u8 = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    test: String,
    pods: Vec<String>,
    ports: Vec<u16>,
    protocols: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    says: String,
    #[serde(default)]
    apply: Vec<Value>,
    #[serde(default)]
    delete: Vec<String>,
    #[serde(default)]
    label: BTreeMap<String, Labels>,
    tables: Vec<Table>,
}

type Labels = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    protocol: String,
    port: u16,
    /// A client and a mark for each pod of the case in turn.
    rows: Vec<(String, String)>,
}

/// What stands at a step.
#[derive(Default)]
struct State {
    /// `namespace/name` -> policy.
    policies: BTreeMap<String, Value>,
    /// Namespace or `namespace/pod` -> labels beyond those it was made with.
    labels: BTreeMap<String, Labels>,
}

impl State {
    fn take(&mut self, step: &Step) {
        for policy in &step.apply {
            let meta = &policy["metadata"];
            let key = [&meta["namespace"], &meta["name"]].map(|text| text.as_str().unwrap());
            self.policies.insert(key.join("/"), policy.clone());
        }
        for name in &step.delete {
            self.policies.remove(name).unwrap_or_else(|| panic!("no policy {name}"));
        }
        for (name, labels) in &step.label {
            self.labels.entry(name.clone()).or_default().extend(labels.clone());
        }
    }

    /// Labels as a flow mapping; JSON is YAML.
    fn labels_of(&self, name: &str, key: &str, value: &str) -> String {
        let mut labels = self.labels.get(name).cloned().unwrap_or_default();
        labels.insert(key.to_owned(), value.to_owned());
        serde_json::to_string(&labels).unwrap()
    }

    /// The documents of the cluster and its policies.
    fn text(&self, case: &Case, network: &impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for namespace in ["x", "y", "z"] {
            let labels = self.labels_of(namespace, "ns", namespace);
            // In quotes, since a bare y is a boolean.
            let meta = format!("{{name: '{namespace}', labels: {labels}}}");
            write!(text, "---\napiVersion: v1\nkind: Namespace\nmetadata: {meta}\n").unwrap();
        }
        for (index, pod) in case.pods.iter().enumerate() {
            text += &self.pod(case, index, pod);
        }
        for policy in self.policies.values() {
            let mut policy = policy.clone();
            fill_networks(&mut policy, network);
            write!(text, "---\n{policy}\n").unwrap();
        }
        text
    }

    fn pod(&self, case: &Case, index: usize, pod: &str) -> String {
        let (namespace, name) = pod.split_once('/').unwrap();
        let labels = self.labels_of(pod, "pod", name);
        let mut ports = Vec::new();
        for (port, protocol) in
            case.ports.iter().flat_map(|port| case.protocols.iter().map(move |p| (port, p)))
        {
            let name = format!("serve-{port}-{}", protocol.to_lowercase());
            ports.push(format!("{{name: {name}, containerPort: {port}, protocol: {protocol}}}"));
        }
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: '{namespace}', \
             labels: {labels}}}\nspec: {{containers: [{{name: m, ports: [{}]}}]}}\nstatus: {{phase: \
             Running, podIPs: [{{ip: 10.0.0.{index}}}, {{ip: 'fd00::{index}'}}]}}\n",
            ports.join(", ")
        )
    }
}

/// Puts networks in the place of `address of ns/pod` and `/4 around ns/pod`.
fn fill_networks(value: &mut Value, network: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) if text.contains(' ') => *text = network(text),
        Value::Array(items) => items.iter_mut().for_each(|item| fill_networks(item, network)),
        Value::Object(fields) => fields.values_mut().for_each(|item| fill_networks(item, network)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The network that a text of the table stands for.
fn network(scene: &Scene, family: Family, text: &str) -> String {
    let (what, pod) = text.rsplit_once(' ').unwrap();
    let (namespace, name) = pod.split_once('/').unwrap();
    let pod = scene.pod(namespace, name);
    match what {
        "address of" => family.network(pod),
        "/4 around" => {
            let network = IpNet::new(family.address(pod), LARGE_NETWORK_BITS).unwrap();
            network.trunc().to_string()
        }
        other => panic!("{other}"),
    }
}

/// Asks a table; returns how many pokes it has.
fn ask(scene: &Scene, case: &Case, table: &Table, misses: &mut Vec<String>) -> usize {
    let find = |text: &str| {
        let (namespace, name) = text.split_once('/').unwrap();
        scene.pod(namespace, name)
    };
    let mut asked = 0;
    for (client, marks) in &table.rows {
        assert_eq!(marks.len(), case.pods.len(), "{}: {client}", case.test);
        for (server, mark) in case.pods.iter().zip(marks.chars()) {
            let expected = match mark {
                '.' => true,
                'X' => false,
                // Upstream leaves open whether a pod reaches itself.
                '-' => continue,
                other => panic!("{other}"),
            };
            asked += 1;
            let ends = (find(client), find(server));
            let answer = scene.ask(Call { ends, protocol: &table.protocol, port: table.port });
            if !answer.is(expected) {
                let call = format!("{client} {server} {} {}", table.protocol, table.port);
                misses.push(format!("{}: {call}: {answer:?}", case.test));
            }
        }
    }
    asked
}

#[test]
fn every_poke_of_the_kubernetes_network_policy_tests_comes_out_as_upstream_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/np_e2e/cases.json");
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let names: BTreeSet<_> = cases.iter().map(|case| &case.test).collect();
    assert_eq!(names.len(), cases.len(), "a test stands twice");
    let mut misses = Vec::new();
    for family in Family::BOTH {
        let (mut asked, before) = (0, misses.len());
        for case in &cases {
            let bare = State::default().text(case, &|_| panic!("no policy yet"));
            let bare = Scene::of(&case.test, family, &bare);
            let mut state = State::default();
            for step in &case.steps {
                state.take(step);
                let text = state.text(case, &|text| network(&bare, family, text));
                let name = format!("{}: {}", case.test, step.says);
                let scene = Scene::of(&name, family, &text);
                for table in &step.tables {
                    asked += ask(&scene, case, table, &mut misses);
                }
            }
        }
        let right = asked - (misses.len() - before);
        println!("{family:?}: {right}/{asked} pokes of {} tests", cases.len());
        assert_eq!(asked, 506, "the table has shrunk or grown");
    }
    assert!(misses.is_empty(), "{} differ:\n{}", misses.len(), misses.join("\n"));
}
