//! The form of an edge in a checkpoint: without its cluster, which all edges of a joiner share.
//!
//! So checkpoints that were written before there were clusters are read as they are; the joiner
//! that restores one puts its own cluster in.

use std::sync::Arc;

use sekisho_model::{
    ClusterName, DecidedBy, EdgeKey, Party, Process, Protocol, ServiceRef, Verdict,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// All but the cluster, in the order of [`EdgeKey`].
#[derive(Serialize, Deserialize)]
struct Form {
    source: Arc<Party>,
    source_process: Option<Arc<Process>>,
    destination: Arc<Party>,
    destination_process: Option<Arc<Process>>,
    protocol: Protocol,
    port: u16,
    service: Option<ServiceRef>,
    verdict: Verdict,
    decided_by: Option<DecidedBy>,
    direction_inferred: bool,
}

pub(super) fn serialize<S: Serializer>(
    key: &Option<EdgeKey>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let form = key.clone().map(|key| Form {
        source: key.source,
        source_process: key.source_process,
        destination: key.destination,
        destination_process: key.destination_process,
        protocol: key.protocol,
        port: key.port,
        service: key.service,
        verdict: key.verdict,
        decided_by: key.decided_by,
        direction_inferred: key.direction_inferred,
    });
    form.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<EdgeKey>, D::Error> {
    let form = Option::<Form>::deserialize(deserializer)?;
    Ok(form.map(|form| EdgeKey {
        source: form.source,
        source_process: form.source_process,
        destination: form.destination,
        destination_process: form.destination_process,
        protocol: form.protocol,
        port: form.port,
        service: form.service,
        verdict: form.verdict,
        decided_by: form.decided_by,
        direction_inferred: form.direction_inferred,
        cluster: ClusterName::default(),
    }))
}
