//! The truth tables that Cyclonus computed (github.com/mattfenwick/cyclonus): policies and labels
//! of each step, and for each pair of pods and each port what must come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use sekisho_model::Protocol;
use serde_json::{Value, json};

/// `namespace/pod`.
pub(crate) type PodId = String;
/// Labels by name of the object that has them.
pub(crate) type LabelsOf = BTreeMap<String, BTreeMap<String, String>>;

/// A state of the cluster, and its table.
pub(crate) struct Step {
    /// Number and title of the case, and the number of the step in it.
    pub(crate) title: String,
    /// Objects of kind NetworkPolicy.
    policies: Vec<Value>,
    pub(crate) namespaces: LabelsOf,
    /// By [`PodId`].
    pub(crate) pods: LabelsOf,
    pub(crate) rows: Vec<Row>,
}

/// One line of a table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) from: PodId,
    pub(crate) to: PodId,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) allowed: bool,
}

impl Step {
    /// Its policies as a manifest, for pods whose addresses begin with `network`, such as `10.128`.
    ///
    /// The tables know two blocks: one of all pods, and a hole in it of all pods as well.
    pub(crate) fn manifest(&self, network: &str) -> String {
        let list = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicyList",
            "items": self.policies,
        });
        list.to_string()
            .replace("192.168.242.0/24", &format!("{network}.0.0/16"))
            .replace("192.168.242.0/28", &format!("{network}.0.0/22"))
    }

    /// Whether it speaks of addresses, and so of one address family only.
    pub(crate) fn has_blocks(&self) -> bool {
        self.policies.iter().any(|policy| policy.to_string().contains("ipBlock"))
    }
}

/// All cases in their order, each of one or more steps; None if the corpus is not beside the
/// project.
pub(crate) fn cases() -> Option<Vec<Vec<Step>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/corpora/policy/cyclonus/cases.json.gz");
    let file = File::open(&path)
        .map_err(|error| println!("not run: no corpus at {}: {error}", path.display()))
        .ok()?;
    let mut json = String::new();
    GzDecoder::new(file).read_to_string(&mut json).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&json).unwrap();
    Some(cases.iter().enumerate().map(|(number, case)| steps(number, case)).collect())
}

fn steps(number: usize, case: &Value) -> Vec<Step> {
    let title = text(&case["description"]);
    let list = case["steps"].as_array().unwrap().iter().enumerate();
    list.map(|(index, value)| step(format!("{number}.{index} {title}"), value)).collect()
}

fn step(title: String, value: &Value) -> Step {
    let pods = value["pods"].as_array().unwrap().iter().map(|pod| {
        let id = format!("{}/{}", text(&pod["Namespace"]), text(&pod["Name"]));
        (id, serde_json::from_value(pod["Labels"].clone()).unwrap())
    });
    Step {
        title,
        policies: value["policies"].as_array().cloned().unwrap_or_default(),
        namespaces: serde_json::from_value(value["namespaces"].clone()).unwrap(),
        pods: pods.collect(),
        rows: value["expected"].as_array().unwrap().iter().map(row).collect(),
    }
}

fn row(cells: &Value) -> Row {
    Row {
        from: text(&cells[0]),
        to: text(&cells[1]),
        protocol: text(&cells[2]).parse().unwrap(),
        port: u16::try_from(cells[3].as_u64().unwrap()).unwrap(),
        allowed: match text(&cells[5]).as_str() {
            "allowed" => true,
            "blocked" => false,
            other => panic!("verdict {other}"),
        },
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Every pod that any of `steps` speaks of.
pub(crate) fn pods<'a>(steps: impl Iterator<Item = &'a Step>) -> BTreeSet<PodId> {
    steps.flat_map(|step| step.pods.keys().cloned()).collect()
}
