//! The edges that are measured: those of a large cluster.

#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "every cast and index is the remainder of a division by the bound it needs"
)]

use std::sync::Arc;

use sekisho_model::{
    ClusterName, EdgeKey, Party, PartyKind, Process, Protocol, ServiceRef, Verdict, WorkloadRef,
};

const EDGES_PER_WORKLOAD: usize = 20;

fn party(number: usize) -> Arc<Party> {
    let name = format!("service-{number}");
    let labels = [
        ("app.kubernetes.io/name".to_owned(), name.clone()),
        ("app.kubernetes.io/part-of".to_owned(), "shop".to_owned()),
        ("pod-template-hash".to_owned(), format!("{:x}", number * 7_919)),
    ];
    Arc::new(Party {
        kind: PartyKind::Pod,
        workload: WorkloadRef {
            namespace: format!("team-{}", number % 50),
            name: name.clone(),
            kind: "Deployment".to_owned(),
        },
        pod: format!("{name}-{:x}-x{number}z", number * 7_919),
        labels: labels.into(),
        address: Some([10, 42, (number / 250 % 256) as u8, (number % 250) as u8].into()),
        dns_name: None,
    })
}

/// `edges` edges among a twentieth as many workloads; each thousandth is denied.
pub(crate) fn keys(edges: usize) -> Vec<EdgeKey> {
    let parties: Vec<Arc<Party>> = (0..(edges / EDGES_PER_WORKLOAD).max(2)).map(party).collect();
    let process = Arc::new(Process {
        exe: "/usr/local/bin/service".to_owned(),
        comm: "service".to_owned(),
        uid: 1000,
        container: None,
    });
    let pick = |number: usize| Arc::clone(&parties[number % parties.len()]);
    let key = |edge: usize| {
        let destination = pick(edge * 31 + edge / parties.len() + 1);
        let service = ServiceRef {
            namespace: destination.workload.namespace.clone(),
            name: destination.workload.name.clone(),
            port: 80,
        };
        EdgeKey {
            source: pick(edge),
            source_process: Some(Arc::clone(&process)),
            destination,
            destination_process: Some(Arc::clone(&process)),
            protocol: Protocol::Tcp,
            port: 8_000 + (edge / 97 % 40) as u16,
            service: Some(service),
            verdict: if edge.is_multiple_of(1_000) { Verdict::Denied } else { Verdict::Allowed },
            decided_by: None,
            direction_inferred: false,
            cluster: ClusterName::default(),
        }
    };
    (0..edges).map(key).collect()
}
