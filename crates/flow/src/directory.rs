//! Who is who, as the joiner asks it; `sekisho_inventory` answers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sekisho_model::{Party, PartyKind, Protocol, ServiceRef, Timestamp};

/// A Service port and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTarget {
    /// The Service and its port.
    pub service: ServiceRef,
    /// Ready and not-ready backends at that time: address and target port.
    pub backends: Vec<SocketAddr>,
}

/// Answers at a point in time, because addresses are reused.
pub trait Directory {
    /// The pod, host or node that owns a cgroup on `node`.
    fn party_of_cgroup(&self, node: &str, cgroup: &str, at: Timestamp) -> Option<Arc<Party>>;

    /// Who had `address`; external (named `dns_name` if given) or unknown if nobody of ours.
    fn party_of_address(
        &self,
        address: IpAddr,
        dns_name: Option<&str>,
        at: Timestamp,
    ) -> Arc<Party>;

    /// Who of ours had `address`, as [`Self::party_of_address`] says; None = external or unknown. Cheaper
    /// where it is known otherwise who that is.
    fn holder_of_address(&self, address: IpAddr, at: Timestamp) -> Option<Arc<Party>> {
        let party = self.party_of_address(address, None, at);
        match party.kind {
            PartyKind::External | PartyKind::Unknown => None,
            PartyKind::Pod | PartyKind::Service | PartyKind::Node | PartyKind::Host => Some(party),
        }
    }

    /// The Service that listened on a cluster address.
    fn service_at(
        &self,
        address: SocketAddr,
        protocol: Protocol,
        at: Timestamp,
    ) -> Option<ServiceTarget>;
}
