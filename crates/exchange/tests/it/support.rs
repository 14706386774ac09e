//! A directory that knows two pods and a Service, and an import from text.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sekisho_exchange::{Format, Import, Tally};
use sekisho_flow::{Directory, ServiceTarget};
use sekisho_model::{
    Flow, Labels, LossMinute, Party, PartyKind, Protocol, ServiceRef, Timestamp, WorkloadRef,
};

/// When the imports happen, seconds since 1970: 2024-01-01.
const NOW_S: u64 = 1_704_067_200;

/// Knows `10.0.1.5` (shop/cart), `10.0.2.7` (shop/db) and the Service `10.96.0.10:5432`.
pub(crate) struct Cluster;

fn pod(name: &str, address: IpAddr) -> Party {
    Party {
        kind: PartyKind::Pod,
        workload: WorkloadRef {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            kind: "Deployment".to_owned(),
        },
        pod: format!("{name}-0"),
        labels: Labels::from([("app".to_owned(), name.to_owned())]),
        address: Some(address),
        dns_name: None,
    }
}

impl Directory for Cluster {
    fn party_of_cgroup(&self, _: &str, _: &str, _: Timestamp) -> Option<Arc<Party>> {
        None
    }

    fn party_of_address(&self, address: IpAddr, name: Option<&str>, _: Timestamp) -> Arc<Party> {
        Arc::new(match address.to_string().as_str() {
            "10.0.1.5" => pod("cart", address),
            "10.0.2.7" => pod("db", address),
            _ => Party::external(address, name.map(str::to_owned)),
        })
    }

    fn service_at(&self, address: SocketAddr, _: Protocol, _: Timestamp) -> Option<ServiceTarget> {
        (address.to_string() == "10.96.0.10:5432").then(|| ServiceTarget {
            service: ServiceRef { namespace: "shop".to_owned(), name: "db".to_owned(), port: 5432 },
            backends: Vec::new(),
        })
    }
}

/// What an import gave.
pub(crate) struct Imported {
    pub(crate) flows: Vec<Flow>,
    pub(crate) tally: Tally,
    pub(crate) losses: Vec<LossMinute>,
}

/// Imports `text` in pieces of `piece` bytes.
pub(crate) fn import_in(format: Format, text: &[u8], piece: usize) -> Imported {
    let mut import = Import::new(format, Timestamp::from_seconds(NOW_S));
    let mut flows = Vec::new();
    for piece in text.chunks(piece.max(1)) {
        import.feed(piece, &Cluster, &mut flows);
    }
    import.end(&Cluster, &mut flows);
    Imported { flows, tally: import.tally(), losses: import.take_losses() }
}

/// Imports `text` whole.
pub(crate) fn import(format: Format, text: &str) -> Imported {
    import_in(format, text.as_bytes(), usize::MAX)
}

/// `source -> destination:port verdict`, each line once, sorted.
pub(crate) fn edges(flows: &[Flow]) -> Vec<String> {
    let mut all: Vec<String> = flows
        .iter()
        .map(|flow| {
            let key = &flow.key;
            let guess = if key.direction_inferred { " ?" } else { "" };
            format!("{} -> {}:{} {}{guess}", key.source, key.destination, key.port, key.verdict)
        })
        .collect();
    all.sort();
    all.dedup();
    all
}
