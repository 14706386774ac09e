//! Edges for the tests of this crate.

use std::sync::Arc;

use sekisho_model::{
    ClusterName, EdgeKey, Labels, Party, PartyKind, Protocol, Verdict, WorkloadRef,
};

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
