//! `sekisho policy decide`: a flow per line in, the same line with its verdict out.
//!
//! Fails closed: what cannot be decided gets the verdict `error` and a reason, never a guess.

use std::net::IpAddr;

use sekisho_model::Protocol;
use serde_json::{Map, Value, json};

use crate::{Cluster, Connection, Decision, DirectionDecision, Endpoint, Peer, Reason, RuleSet};

/// Endpoints of one workload that are tried; they differ only while their labels do.
const IDENTITIES_MAX: usize = 64;

/// Why a line cannot be decided.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("not a JSON object")]
    Json(#[source] Option<serde_json::Error>),
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{field}` must be {expected}")]
    Type { field: String, expected: &'static str },
    #[error("`{field}` must have exactly one of pod, workload, ip, node")]
    Peer { field: &'static str },
    #[error("`{field}`: there is no {kind} `{name}`")]
    Unknown { field: &'static str, kind: &'static str, name: String },
    #[error(
        "`{field}`: `{address}` is an address of Service `{service}`: policy is decided after its \
         address translation, name the pod behind it"
    )]
    ServiceAddress { field: &'static str, address: IpAddr, service: String },
    #[error("pods of the workload have different labels and verdicts: name a pod")]
    Ambiguous,
    #[error("`{field}`: the workload has more than {IDENTITIES_MAX} sets of labels: name a pod")]
    TooMany { field: &'static str },
}

/// Decides a flow given as a line of JSON; returns the line with its verdict (no newline), and
/// whether it could be decided.
///
/// In: `{"source": {"pod"|"workload": "ns/name"} | {"ip": ".."} | {"node": ".."}, "destination":
/// .., "protocol": "TCP", "port": 80}`; protocol TCP if absent. Out: the same fields, unknown ones
/// included, with `verdict`, and `ingress` and `egress` each with `verdict`, `decided_by`, `tier`
/// and `reason`; or the verdict `error` and a `reason`.
#[must_use]
pub fn decide_line(rules: &RuleSet, cluster: &Cluster, line: &str) -> (String, bool) {
    let mut object = match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return (error_line(Map::new(), &LineError::Json(None)), false),
        Err(error) => return (error_line(Map::new(), &LineError::Json(Some(error))), false),
    };
    match decide_object(rules, cluster, &object) {
        Ok(decision) => {
            object.insert("verdict".to_owned(), json!(verdict(decision.allows())));
            object.insert("ingress".to_owned(), direction_json(&decision.ingress));
            object.insert("egress".to_owned(), direction_json(&decision.egress));
            (Value::Object(object).to_string(), true)
        }
        Err(error) => (error_line(object, &error), false),
    }
}

fn error_line(mut object: Map<String, Value>, error: &LineError) -> String {
    let mut reason = error.to_string();
    if let LineError::Json(Some(cause)) = error {
        reason = format!("{reason}: {cause}");
    }
    object.insert("verdict".to_owned(), json!("error"));
    object.insert("reason".to_owned(), json!(reason));
    Value::Object(object).to_string()
}

fn verdict(allows: bool) -> &'static str {
    if allows { "allowed" } else { "denied" }
}

fn direction_json(decision: &DirectionDecision) -> Value {
    let (policy, rule, reason) = match &decision.reason {
        Reason::NotSubject => (None, None, "not_subject"),
        Reason::Itself => (None, None, "itself"),
        Reason::OwnNode => (None, None, "own_node"),
        Reason::NotIsolated => (None, None, "not_isolated"),
        Reason::Rule { policy, rule, .. } => (Some(policy), Some(*rule), "rule"),
        Reason::NoRule { isolated_by } => (isolated_by.first(), None, "no_rule"),
    };
    let decided_by = policy.map(
        |policy| json!({"kind": policy.kind.as_str(), "policy": policy.to_string(), "rule": rule}),
    );
    let tier = decision.tier.as_deref().unwrap_or("default");
    let verdict = verdict(decision.allows());
    json!({"verdict": verdict, "decided_by": decided_by, "tier": tier, "reason": reason})
}

/// An end of the line, with the address used if the line says it.
type End<'a> = (Peer<'a>, Option<IpAddr>);

fn decide_object(
    rules: &RuleSet,
    cluster: &Cluster,
    object: &Map<String, Value>,
) -> Result<Decision, LineError> {
    let sources = ends(cluster, object, "source")?;
    let destinations = ends(cluster, object, "destination")?;
    let (protocol, port) = service(object)?;
    let mut decided: Option<Decision> = None;
    for (source, source_address) in &sources {
        for (destination, destination_address) in &destinations {
            // Pods of one workload are asked about each other, not about themselves.
            if sources.len().max(destinations.len()) > 1 && is_same(*source, *destination) {
                continue;
            }
            let decision = rules.decide(
                cluster,
                &Connection {
                    source: *source,
                    destination: *destination,
                    source_address: *source_address,
                    destination_address: *destination_address,
                    protocol,
                    port,
                },
            );
            match &decided {
                Some(first) if first.allows() != decision.allows() => {
                    return Err(LineError::Ambiguous);
                }
                Some(_) => {}
                None => decided = Some(decision),
            }
        }
    }
    decided.ok_or(LineError::Ambiguous)
}

fn is_same(source: Peer<'_>, destination: Peer<'_>) -> bool {
    match (source, destination) {
        (Peer::Endpoint(source), Peer::Endpoint(destination)) => source.is(destination),
        (Peer::Endpoint(_) | Peer::Node { .. } | Peer::Address(_) | Peer::Domain(_), _) => false,
    }
}

fn service(object: &Map<String, Value>) -> Result<(Protocol, u16), LineError> {
    let wrong = |field: &str, expected| LineError::Type { field: field.to_owned(), expected };
    let protocol = match object.get("protocol") {
        None | Some(Value::Null) => Protocol::Tcp,
        Some(value) => value
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| wrong("protocol", "TCP, UDP, SCTP or ICMP"))?,
    };
    let port = match object.get("port") {
        None | Some(Value::Null) if protocol == Protocol::Icmp => 0,
        None | Some(Value::Null) => return Err(LineError::Missing("port")),
        Some(value) => value
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .ok_or_else(|| wrong("port", "a number from 0 to 65535"))?,
    };
    Ok((protocol, port))
}

/// The ends that a field of the line may mean: one, or one per set of labels of a workload.
fn ends<'a>(
    cluster: &'a Cluster,
    object: &'a Map<String, Value>,
    field: &'static str,
) -> Result<Vec<End<'a>>, LineError> {
    let peer = object.get(field).ok_or(LineError::Missing(field))?;
    let peer = peer
        .as_object()
        .ok_or_else(|| LineError::Type { field: field.to_owned(), expected: "an object" })?;
    let known: Vec<_> = ["pod", "workload", "ip", "node"]
        .into_iter()
        .filter_map(|kind| peer.get(kind).map(|value| (kind, value)))
        .collect();
    let [(kind, value)] = known.as_slice() else { return Err(LineError::Peer { field }) };
    let text = value.as_str().ok_or_else(|| LineError::Type {
        field: format!("{field}.{kind}"),
        expected: "a string",
    })?;
    let unknown = || LineError::Unknown { field, kind, name: text.to_owned() };
    match *kind {
        "ip" => {
            let address = text.parse().map_err(|_not_an_address| LineError::Type {
                field: format!("{field}.ip"),
                expected: "an IP address",
            })?;
            Ok(vec![at_address(cluster, field, address)?])
        }
        "node" => {
            let (name, _) = cluster.nodes.get_key_value(text).ok_or_else(unknown)?;
            Ok(vec![(Peer::Node { name, address: None }, None)])
        }
        "pod" => {
            let (namespace, name) = text.split_once('/').ok_or_else(unknown)?;
            let pod = cluster.endpoint_of_pod(namespace, name).ok_or_else(unknown)?;
            Ok(vec![(Peer::Endpoint(pod), None)])
        }
        _ => {
            let (namespace, name) = text.split_once('/').ok_or_else(unknown)?;
            let identities = identities(cluster, namespace, name);
            if identities.len() > IDENTITIES_MAX {
                return Err(LineError::TooMany { field });
            }
            let ends: Vec<End<'a>> =
                identities.into_iter().map(|endpoint| (Peer::Endpoint(endpoint), None)).collect();
            if ends.is_empty() { Err(unknown()) } else { Ok(ends) }
        }
    }
}

/// Endpoints of a workload that policy can tell apart by labels, and one more of the first kind if
/// there is one, so that a workload can be asked about itself.
fn identities<'a>(cluster: &'a Cluster, namespace: &'a str, name: &'a str) -> Vec<&'a Endpoint> {
    let mut found: Vec<&Endpoint> = Vec::new();
    for endpoint in cluster.endpoints_of_workload(namespace, name) {
        let like = |other: &&&Endpoint| {
            other.labels == endpoint.labels
                && other.ports == endpoint.ports
                && other.host_network == endpoint.host_network
        };
        let alike = found.iter().filter(like).count();
        if alike == 0 || (alike == 1 && found.len() == 1) {
            found.push(endpoint);
        }
        if found.len() > IDENTITIES_MAX {
            break;
        }
    }
    found
}

fn at_address<'a>(
    cluster: &'a Cluster,
    field: &'static str,
    address: IpAddr,
) -> Result<End<'a>, LineError> {
    if let Some(endpoint) = cluster.endpoint_at(address) {
        return Ok((Peer::Endpoint(endpoint), Some(address)));
    }
    if let Some(name) = cluster.node_at(address) {
        return Ok((Peer::Node { name, address: Some(address) }, Some(address)));
    }
    let serves = cluster.services.iter().find(|service| {
        service.cluster_ips.iter().any(|ip| ip.to_canonical() == address.to_canonical())
    });
    match serves {
        Some(service) => Err(LineError::ServiceAddress {
            field,
            address,
            service: format!("{}/{}", service.meta.namespace, service.meta.name),
        }),
        None => Ok((Peer::Address(address), Some(address))),
    }
}
