//! Edges for the tests of this crate.

use std::sync::Arc;

use sekisho_manifest::Object;
use sekisho_model::{
    ClusterName, EdgeKey, Labels, Party, PartyKind, Protocol, TimeRange, Verdict, WorkloadRef,
};
use sekisho_policy::{Dialect, RuleSet};
use sekisho_verify::{Summary, VerifiedRecord};

/// Pod `name` of namespace `shop`, labelled `app: <name>`, with address 10.0.0.`last`.
pub(crate) fn pod(name: &str, last: u8) -> Arc<Party> {
    let workload =
        WorkloadRef { namespace: "shop".to_owned(), name: name.to_owned(), kind: "Pod".to_owned() };
    Arc::new(Party {
        kind: PartyKind::Pod,
        workload,
        pod: name.to_owned(),
        labels: Labels::from([("app".to_owned(), name.to_owned())]),
        address: Some([10, 0, 0, last].into()),
        dns_name: None,
    })
}

/// An allowed TCP edge between two of these pods, by processes that nobody knows.
pub(crate) fn edge(from: (&str, u8), to: (&str, u8), port: u16) -> EdgeKey {
    EdgeKey {
        source: pod(from.0, from.1),
        source_process: None,
        destination: pod(to.0, to.1),
        destination_process: None,
        protocol: Protocol::Tcp,
        port,
        service: None,
        verdict: Verdict::Allowed,
        decided_by: None,
        direction_inferred: false,
        cluster: ClusterName::default(),
    }
}

/// A record of these policies, which nobody verified.
pub(crate) fn record(objects: &[Object]) -> VerifiedRecord {
    let rules = RuleSet::from_objects(objects, Dialect::default());
    VerifiedRecord {
        policies: rules.policies().to_vec(),
        others: rules.others().to_vec(),
        dialect: Dialect::default(),
        window: TimeRange::ALL,
        completeness: 1.0,
        summary: Summary::default(),
        accepted: Vec::new(),
        version: String::new(),
        digest: String::new(),
    }
}
