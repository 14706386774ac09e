//! Whose packets the kernel dropped.

use std::net::IpAddr;
use std::sync::Arc;

use sekisho_model::{
    Direction, DropRecord, Dropped, DroppedKey, DroppedVerdict, EdgeStats, Party, Protocol,
};

use crate::Directory;

/// Names both ends of what `node` reported, as of the time of the drop.
///
/// The end at which a socket was found is known by its cgroup, the other by its address; so is what
/// was dropped on the way. A loopback address is the namespace's own.
#[must_use]
pub fn identify(node: &str, record: &DropRecord, directory: &dyn Directory) -> Dropped {
    let at = record.time;
    let party = |address: IpAddr, side: Direction| {
        let own = record.direction == Some(side) || address.is_loopback();
        let known = own.then(|| directory.party_of_cgroup(node, &record.cgroup, at)).flatten();
        match known {
            Some(party) if party.address == Some(address) => party,
            Some(party) => Arc::new(Party { address: Some(address), ..Party::clone(&party) }),
            None => directory.party_of_address(address, None, at),
        }
    };
    let target = |protocol: Protocol| directory.service_at(record.destination, protocol, at);
    Dropped {
        key: DroppedKey {
            source: party(record.source.ip(), Direction::Egress),
            destination: party(record.destination.ip(), Direction::Ingress),
            protocol: record.protocol,
            port: record.destination.port(),
            service: record.protocol.and_then(target).map(|target| target.service),
            verdict: DroppedVerdict::Dropped,
        },
        drop_reason: record.reason.clone(),
        direction: record.direction,
        node: node.to_owned(),
        source: record.source,
        destination: record.destination,
        stats: EdgeStats {
            packets_sent: record.packets,
            first_seen: record.first,
            last_seen: record.time,
            ..EdgeStats::default()
        },
    }
}
