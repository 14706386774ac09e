//! Ends of flows, read once: all flows of a pod carry the same text, labels and all.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use indexmap::IndexMap;
use sekisho_model::{Labels, PartyKind, WorkloadRef};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Word;
use crate::formats::text::parsed;
use crate::record::{Identity, Reject};

/// Texts that are remembered; then all are forgotten.
const TEXTS_MAX: usize = 65_536;
/// Longest text that is remembered, bytes: 64 MiB in all, were each as long.
const TEXT_BYTES_MAX: usize = 1_024;

/// One end as it came.
pub(super) enum Ended<'a> {
    /// Not read yet.
    Text(&'a str),
    /// Of a message.
    Read(Box<Endpoint<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Ended<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|text| Self::Text(text.get()))
    }
}

#[derive(Deserialize)]
pub(super) struct Endpoint<'a> {
    #[serde(default, borrow)]
    pub(super) namespace: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) labels: Vec<Word<'a>>,
    #[serde(default, borrow, alias = "podName")]
    pub(super) pod_name: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) workloads: Vec<Workload<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Workload<'a> {
    #[serde(default, borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) kind: Cow<'a, str>,
}

/// Who an end is, as far as its text alone tells.
#[derive(Clone, Debug)]
pub(super) enum Who {
    /// A pod.
    Pod(Arc<Identity>),
    /// The node that tells.
    Host,
    /// Another node.
    RemoteNode,
    /// Whoever has the address.
    Anybody,
}

/// What was read before, by its text.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    known: IndexMap<Box<str>, Who, foldhash::fast::FixedState>,
}

impl Ends {
    /// Who it is.
    pub(super) fn who(&mut self, end: Option<&Ended<'_>>) -> Result<Who, Reject> {
        let text = match end {
            None => return Ok(Who::Anybody),
            Some(Ended::Read(endpoint)) => return Ok(endpoint.who()),
            Some(Ended::Text(text)) => *text,
        };
        if let Some(known) = self.known.get(text) {
            return Ok(known.clone());
        }
        let who = parsed::<Endpoint<'_>>(text)?.who();
        if text.len() <= TEXT_BYTES_MAX {
            if self.known.len() >= TEXTS_MAX {
                self.known.clear();
            }
            self.known.insert(text.into(), who.clone());
        }
        Ok(who)
    }
}

impl Who {
    /// Its identity at this address, as `node` tells; None = the inventory is asked.
    pub(super) fn identity(self, address: IpAddr, node: &str) -> Option<Arc<Identity>> {
        let name = match self {
            Self::Pod(identity) => return Some(identity),
            Self::Anybody => return None,
            // The node that tells knows its own name, and others by address only.
            Self::Host if !node.is_empty() => node.to_owned(),
            Self::Host | Self::RemoteNode => address.to_string(),
        };
        Some(Arc::new(Identity {
            kind: PartyKind::Node,
            namespace: String::new(),
            name,
            workload: None,
            labels: Labels::new(),
        }))
    }
}

impl Endpoint<'_> {
    fn who(&self) -> Who {
        if !self.pod_name.is_empty() {
            return Who::Pod(Arc::new(self.pod()));
        }
        let is = |name: &str| {
            self.labels.iter().any(|label| label.strip_prefix("reserved:") == Some(name))
        };
        match (is("host"), is("remote-node")) {
            (true, _) => Who::Host,
            (false, true) => Who::RemoteNode,
            (false, false) => Who::Anybody,
        }
    }

    fn pod(&self) -> Identity {
        let namespace = self.namespace.clone().into_owned();
        let owner =
            self.workloads.first().filter(|one| !one.name.is_empty() && !one.kind.is_empty());
        Identity {
            kind: PartyKind::Pod,
            name: self.pod_name.clone().into_owned(),
            workload: owner.map(|owner| WorkloadRef {
                namespace: namespace.clone(),
                name: owner.name.clone().into_owned(),
                kind: owner.kind.clone().into_owned(),
            }),
            namespace,
            labels: self.labels.iter().filter_map(|label| pod_label(label)).collect(),
        }
    }
}

/// A label of the pod; those that Cilium adds describe its namespace and its policy.
fn pod_label(label: &str) -> Option<(String, String)> {
    let label = label.strip_prefix("k8s:")?;
    if label.starts_with("io.cilium.k8s.") || label.starts_with("io.kubernetes.pod.namespace") {
        return None;
    }
    let (key, value) = label.split_once('=').unwrap_or((label, ""));
    Some((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_read_once_and_another_is_another() {
        let mut ends = Ends::default();
        let mut pod = |text: &str| match ends.who(Some(&Ended::Text(text))).unwrap() {
            Who::Pod(identity) => identity,
            other => panic!("{other:?}"),
        };
        let text = r#"{"namespace":"shop","labels":["k8s:app=c\u0061rt"],"pod_name":"cart-1"}"#;
        let first = pod(text);
        assert_eq!(first.labels["app"], "cart");
        assert!(Arc::ptr_eq(&first, &pod(text)));
        assert_eq!(pod(&text.replace("cart-1", "cart-2")).name, "cart-2");
        assert!(ends.who(Some(&Ended::Text("5"))).unwrap_err().reason.starts_with("JSON: "));
    }

    #[test]
    fn what_is_remembered_is_bounded_in_number_and_length() {
        let mut ends = Ends::default();
        let long = format!(r#"{{"pod_name":"{}"}}"#, "x".repeat(TEXT_BYTES_MAX));
        ends.who(Some(&Ended::Text(&long))).unwrap();
        assert_eq!(ends.known.len(), 0);
        for number in 0..=TEXTS_MAX {
            ends.who(Some(&Ended::Text(&format!(r#"{{"pod_name":"{number}"}}"#)))).unwrap();
        }
        assert_eq!(ends.known.len(), 1);
    }
}
