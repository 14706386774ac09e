//! The shop scenario, embedded in the binary: manifests and the call graph that they cause.

use sekisho_manifest::Object;
use serde::{Deserialize, Serialize};

use crate::data;

const FILES: [(&str, &str); 8] = [
    ("shop/namespaces.yaml", include_str!("../scenarios/shop/namespaces.yaml")),
    ("shop/kube-system.yaml", include_str!("../scenarios/shop/kube-system.yaml")),
    ("shop/web.yaml", include_str!("../scenarios/shop/web.yaml")),
    ("shop/shop.yaml", include_str!("../scenarios/shop/shop.yaml")),
    ("shop/payments.yaml", include_str!("../scenarios/shop/payments.yaml")),
    ("shop/data.yaml", include_str!("../scenarios/shop/data.yaml")),
    ("shop/monitoring.yaml", include_str!("../scenarios/shop/monitoring.yaml")),
    ("shop/hosts.yaml", include_str!("../scenarios/shop/hosts.yaml")),
];

/// The embedded scenario is broken; a test sees to it that it is not.
#[derive(Debug, thiserror::Error)]
#[error("the embedded shop scenario: {message}")]
pub struct ShopError {
    /// Why.
    message: String,
}

/// The manifests of the shop scenario.
///
/// # Errors
/// [`ShopError`] if an embedded file is broken.
pub fn shop() -> Result<Vec<Object>, ShopError> {
    let mut objects = Vec::new();
    for (file, text) in FILES {
        let read = sekisho_manifest::parse(file, text).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            ShopError { message: lines.join("\n") }
        })?;
        objects.extend(read);
    }
    Ok(objects)
}

/// One edge that the shop causes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// `namespace/name[Kind]`, or `node` for probes.
    pub source: String,
    /// `namespace/name[Kind]`, or a DNS name on the internet.
    pub destination: String,
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// Port that the destination listens on, behind its Service.
    pub port: u16,
    /// File name of the source's executable.
    pub source_process: String,
    /// File name of the destination's executable; empty outside the lab's sight.
    #[serde(default)]
    pub destination_process: String,
}

/// All edges that the shop causes, and no others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallGraph {
    /// Calls between workloads, and to hosts and the internet.
    pub calls: Vec<Edge>,
    /// Name look-ups at the cluster's DNS.
    pub dns: Vec<Edge>,
    /// The scraper's visits.
    pub scrapes: Vec<Edge>,
    /// Readiness and liveness probes, from nodes.
    pub probes: Vec<Edge>,
}

/// The edges that the shop scenario causes.
///
/// # Errors
/// [`ShopError`] if the embedded file is broken.
pub fn callgraph() -> Result<CallGraph, ShopError> {
    data::read(include_str!("../scenarios/shop/callgraph.yaml"))
        .map_err(|error| ShopError { message: sekisho_base::error_chain(&error) })
}
