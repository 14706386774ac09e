//! discovery.k8s.io/v1 EndpointSlice: who stands behind a Service, as its controller says.

use std::net::IpAddr;

use sekisho_model::Protocol;
use serde::{Deserialize, Serialize};

use crate::Meta;

/// Label that names the Service of a slice (k8s.io/api discovery/v1 well_known_labels.go).
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// discovery.k8s.io/v1 EndpointSlice, as far as addresses and ports go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSlice {
    /// Metadata.
    pub meta: Meta,
    /// endpoints[].addresses of type IPv4 and IPv6, ready or not; names (FQDN) are left out.
    pub addresses: Vec<IpAddr>,
    /// ports[] that have a number.
    pub ports: Vec<SlicePort>,
}

/// ports[] of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlicePort {
    /// name: that of the Service's port; empty if the Service has only one and does not name it.
    pub name: String,
    /// protocol; TCP if absent.
    pub protocol: Protocol,
    /// port that the endpoints listen on.
    pub port: u16,
}

impl EndpointSlice {
    /// The Service, in the slice's namespace; None if its label does not say.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.meta.labels.get(SERVICE_NAME).map(String::as_str).filter(|name| !name.is_empty())
    }
}
