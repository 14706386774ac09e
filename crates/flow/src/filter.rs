//! Which flows somebody wants to see: the words of `sekisho observe` and of the HTTP API.

use std::net::IpAddr;
use std::str::FromStr;

use sekisho_model::{DecidedBy, Dropped, EdgeKey, Flow, Party, Process, Protocol, Verdict};
use serde::{Deserialize, Serialize};

/// What is asked of flows; a field that is None asks nothing. The default takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowFilter {
    /// Source pod, `namespace/prefix` or a prefix of its name.
    pub from_pod: Option<String>,
    /// Destination pod.
    pub to_pod: Option<String>,
    /// Pod at either end.
    pub pod: Option<String>,
    /// Source namespace.
    pub from_namespace: Option<String>,
    /// Destination namespace.
    pub to_namespace: Option<String>,
    /// Namespace at either end.
    pub namespace: Option<String>,
    /// Source workload, `namespace/name` or its name.
    pub from_workload: Option<String>,
    /// Destination workload.
    pub to_workload: Option<String>,
    /// Workload at either end.
    pub workload: Option<String>,
    /// Source address.
    pub from_ip: Option<IpAddr>,
    /// Destination address.
    pub to_ip: Option<IpAddr>,
    /// DNS name of the destination; `*` stands for any characters.
    pub to_fqdn: Option<String>,
    /// Destination port after NAT.
    pub to_port: Option<u16>,
    /// Protocol.
    pub protocol: Option<Protocol>,
    /// What became of it.
    pub verdict: Option<VerdictFilter>,
    /// Executable or command name at either end; `*` stands for any characters.
    pub process: Option<String>,
    /// Policy that decided, as `namespace/name`.
    pub decided_by: Option<String>,
}

/// Which verdicts are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerdictFilter {
    /// Flows with this verdict.
    Only(Verdict),
    /// As hubble means it: denied flows, and packets that the kernel dropped.
    Dropped,
}

/// A text names no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not one of allowed, denied, would_deny, unknown, dropped")]
pub struct VerdictFilterError(String);

impl FromStr for VerdictFilter {
    type Err = VerdictFilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "allowed" | "forwarded" => Ok(Self::Only(Verdict::Allowed)),
            "denied" => Ok(Self::Only(Verdict::Denied)),
            "dropped" => Ok(Self::Dropped),
            "would_deny" | "would-deny" | "audit" => Ok(Self::Only(Verdict::WouldDeny)),
            "unknown" => Ok(Self::Only(Verdict::Unknown)),
            _ => Err(VerdictFilterError(text.to_owned())),
        }
    }
}

impl VerdictFilter {
    /// Whether it asks for this verdict.
    #[must_use]
    pub fn takes(self, verdict: Verdict) -> bool {
        match self {
            Self::Only(wanted) => verdict == wanted,
            Self::Dropped => verdict == Verdict::Denied,
        }
    }
}

type Addresses = Option<(IpAddr, IpAddr)>;

/// What flows and dropped packets have in common.
struct Ends<'a> {
    source: &'a Party,
    destination: &'a Party,
    addresses: Addresses,
    port: u16,
    protocol: Option<Protocol>,
}

fn asks<T>(wanted: &Option<T>, test: impl FnOnce(&T) -> bool) -> bool {
    wanted.as_ref().is_none_or(test)
}

impl FlowFilter {
    /// Whether it takes this flow.
    #[must_use]
    pub fn takes(&self, flow: &Flow) -> bool {
        self.takes_key(&flow.key, Some((flow.source.ip(), flow.destination.ip())))
    }

    /// Whether it takes connections of this edge, of which no more is known than the edge.
    #[must_use]
    pub fn takes_edge(&self, key: &EdgeKey) -> bool {
        self.takes_key(key, None)
    }

    /// Whether it takes these dropped packets.
    #[must_use]
    pub fn takes_dropped(&self, dropped: &Dropped) -> bool {
        let ends = Ends {
            source: &dropped.key.source,
            destination: &dropped.key.destination,
            addresses: Some((dropped.source.ip(), dropped.destination.ip())),
            port: dropped.key.port,
            protocol: dropped.key.protocol,
        };
        self.wants_dropped() && self.takes_ends(&ends)
    }

    /// Whether it takes any dropped packets: nobody knows which process one was for, and no policy
    /// decided.
    #[must_use]
    pub fn wants_dropped(&self) -> bool {
        asks(&self.verdict, |wanted| *wanted == VerdictFilter::Dropped)
            && self.process.is_none()
            && self.decided_by.is_none()
    }

    fn takes_key(&self, key: &EdgeKey, addresses: Addresses) -> bool {
        let ends = Ends {
            source: &key.source,
            destination: &key.destination,
            addresses,
            port: key.port,
            protocol: Some(key.protocol),
        };
        self.takes_ends(&ends)
            && asks(&self.verdict, |wanted| wanted.takes(key.verdict))
            && asks(&self.process, |name| {
                let ends = [&key.source_process, &key.destination_process];
                ends.into_iter().flatten().any(|process| is_process(process, name))
            })
            && asks(&self.decided_by, |name| {
                key.decided_by.as_ref().is_some_and(|by: &DecidedBy| by.policy == *name)
            })
    }

    fn takes_ends(&self, ends: &Ends<'_>) -> bool {
        let (source, destination) = (ends.source, ends.destination);
        let either = |test: &dyn Fn(&Party) -> bool| test(source) || test(destination);
        let source_ip = ends.addresses.map(|(ip, _)| ip).or(source.address);
        let destination_ip = ends.addresses.map(|(_, ip)| ip).or(destination.address);
        asks(&self.from_pod, |name| is_pod(source, name))
            && asks(&self.to_pod, |name| is_pod(destination, name))
            && asks(&self.pod, |name| either(&|party| is_pod(party, name)))
            && asks(&self.from_namespace, |name| source.workload.namespace == *name)
            && asks(&self.to_namespace, |name| destination.workload.namespace == *name)
            && asks(&self.namespace, |name| either(&|party| party.workload.namespace == *name))
            && asks(&self.from_workload, |name| is_workload(source, name))
            && asks(&self.to_workload, |name| is_workload(destination, name))
            && asks(&self.workload, |name| either(&|party| is_workload(party, name)))
            && asks(&self.from_ip, |ip| source_ip == Some(*ip))
            && asks(&self.to_ip, |ip| destination_ip == Some(*ip))
            && asks(&self.to_fqdn, |name| {
                destination.dns_name.as_deref().is_some_and(|dns| glob(name, dns))
            })
            && asks(&self.to_port, |port| ends.port == *port)
            && asks(&self.protocol, |protocol| ends.protocol == Some(*protocol))
    }
}

/// As `hubble observe --pod`: `namespace/prefix`, or a prefix of the name.
fn is_pod(party: &Party, wanted: &str) -> bool {
    match wanted.split_once('/') {
        Some((namespace, name)) => {
            party.workload.namespace == namespace
                && party.pod.starts_with(name)
                && !party.pod.is_empty()
        }
        None => !party.pod.is_empty() && party.pod.starts_with(wanted),
    }
}

fn is_workload(party: &Party, wanted: &str) -> bool {
    match wanted.split_once('/') {
        Some((namespace, name)) => {
            party.workload.namespace == namespace && party.workload.name == name
        }
        None => party.workload.name == wanted,
    }
}

fn is_process(process: &Process, wanted: &str) -> bool {
    let base = process.exe.rsplit('/').next().unwrap_or_default();
    [process.exe.as_str(), base, process.comm.as_str()].into_iter().any(|name| glob(wanted, name))
}

/// Whether `text` fits `pattern`, in which `*` stands for any characters, none included.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_whole_texts_only() {
        for (pattern, text) in [
            ("redis", "redis"),
            ("redis*", "redis-server"),
            ("*.example", "api.pay.example"),
            ("a*b*c", "axxbyyc"),
            ("*", ""),
        ] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("redis", "redis-server"), ("*.example", "example"), ("a*b*c", "acb"), ("", "x")]
        {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }
}
