//! Reads NetworkPolicy and label selectors.

use ipnet::IpNet;
use sekisho_model::{Labels, Protocol};

use crate::at::{At, nearest, shorten};
use crate::read_meta::{Scope, labels, read_meta};
use crate::{
    LabelSelector, NetworkPolicy, Operator, PolicyPeer, PolicyPort, PolicyRule, PortRef,
    Requirement, check, known,
};

/// One direction of a policy: names and allowed fields.
#[derive(Clone, Copy)]
struct Side {
    rules: &'static str,
    peers: &'static str,
    fields: &'static [&'static str],
}

const INGRESS: Side = Side { rules: "ingress", peers: "from", fields: known::INGRESS_RULE };
const EGRESS: Side = Side { rules: "egress", peers: "to", fields: known::EGRESS_RULE };

/// Reads a NetworkPolicy (Kubernetes v1.34, NetworkPolicySpec).
pub(crate) fn read_policy(at: &At<'_>) -> Option<NetworkPolicy> {
    at.check_fields(known::OBJECT);
    let meta = read_meta(at, Scope::Namespaced(check::dns_subdomain));
    let mut policy = NetworkPolicy { meta, ..NetworkPolicy::default() };
    let Some(spec) = at.get("spec") else {
        // Without a spec all pods of the namespace are selected and nothing is let in.
        policy.isolates_ingress = true;
        return Some(policy);
    };
    if !spec.check_fields(known::POLICY_SPEC) {
        return None;
    }
    if let Some(selector) = spec.get("podSelector") {
        policy.pod_selector = read_selector(&selector).unwrap_or_default();
    }
    policy.ingress = read_rules(&spec, INGRESS);
    policy.egress = read_rules(&spec, EGRESS);
    (policy.isolates_ingress, policy.isolates_egress) = read_types(&spec, &policy);
    Some(policy)
}

/// policyTypes: if empty, Ingress always and Egress if there are egress rules.
fn read_types(spec: &At<'_>, policy: &NetworkPolicy) -> (bool, bool) {
    let types = spec.list("policyTypes", |item| {
        let name = item.string()?;
        if !matches!(name, "Ingress" | "Egress") {
            let help = nearest(name, &["Ingress", "Egress"]);
            item.wrong_with(
                format!("must be Ingress or Egress, found `{}`", shorten(name)),
                help.map(|name| format!("did you mean `{name}`?")),
            );
            return None;
        }
        Some(name == "Ingress")
    });
    if types.len() > 2
        && let Some(at) = spec.get("policyTypes")
    {
        at.wrong("may not hold more than two types");
    }
    if types.is_empty() {
        return (true, !policy.egress.is_empty());
    }
    (types.contains(&true), types.contains(&false))
}

fn read_rules(spec: &At<'_>, side: Side) -> Vec<PolicyRule> {
    spec.list(side.rules, |rule| {
        if !rule.check_fields(side.fields) {
            return None;
        }
        Some(PolicyRule {
            peers: rule.list(side.peers, read_peer),
            ports: rule.list("ports", read_port),
            position: rule.position(),
            comment: Vec::new(),
        })
    })
}

fn read_peer(at: &At<'_>) -> Option<PolicyPeer> {
    if !at.check_fields(known::PEER) {
        return None;
    }
    let namespaces = at.get("namespaceSelector");
    let pods = at.get("podSelector");
    let Some(block) = at.get("ipBlock") else {
        if namespaces.is_none() && pods.is_none() {
            at.wrong_with(
                "must have podSelector, namespaceSelector or ipBlock",
                Some("for any peer, leave out `from` or `to`; for all pods, write `namespaceSelector: {}`".to_owned()),
            );
            return None;
        }
        // Both are read before either can fail, so that all mistakes are reported.
        let namespaces = namespaces.map(|at| read_selector(&at));
        let pods = pods.map(|at| read_selector(&at));
        return Some(PolicyPeer::Pods {
            namespaces: namespaces.map_or(Some(None), |selector| selector.map(Some))?,
            pods: pods.map_or(Some(None), |selector| selector.map(Some))?,
        });
    };
    if namespaces.is_some() || pods.is_some() {
        block.wrong_with(
            "may not stand together with podSelector or namespaceSelector",
            Some("write two list items".to_owned()),
        );
        return None;
    }
    read_block(&block)
}

fn read_block(at: &At<'_>) -> Option<PolicyPeer> {
    if !at.check_fields(known::IP_BLOCK) {
        return None;
    }
    let cidr = at.required("cidr").and_then(|at| read_cidr(&at));
    let except = at.list("except", |item| {
        let except = read_cidr(item)?;
        let cidr = cidr?;
        if !is_strictly_inside(except, cidr) {
            item.wrong(format!("`{except}` must be a strict part of cidr `{cidr}`"));
            return None;
        }
        Some(except)
    });
    Some(PolicyPeer::IpBlock { cidr: cidr?, except })
}

fn is_strictly_inside(inner: IpNet, outer: IpNet) -> bool {
    outer.contains(&inner) && inner.prefix_len() > outer.prefix_len()
}

/// Reads an address range, host bits masked off.
pub(crate) fn read_cidr(at: &At<'_>) -> Option<IpNet> {
    let text = at.string()?;
    let cidr = check::cidr(text);
    if cidr.is_none() {
        let help = check::address(text).map(|address| {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            format!("for this one address write `{address}/{bits}`")
        });
        at.wrong_with(
            format!("`{}` is no address range such as 10.0.0.0/8 or 2001:db8::/32", shorten(text)),
            help,
        );
    }
    cidr
}

fn read_port(at: &At<'_>) -> Option<PolicyPort> {
    if !at.check_fields(known::POLICY_PORT) {
        return None;
    }
    let protocol = read_protocol(at);
    let given = at.get("port");
    let port = given.as_ref().map(read_port_ref);
    let end_at = at.get("endPort");
    let end_port = end_at.as_ref().map(read_port_number);
    if let (Some(end_at), Some(Some(end))) = (&end_at, end_port) {
        match &port {
            None => end_at.wrong("needs `port` as the start of the range"),
            Some(Some(PortRef::Name(name))) => {
                end_at.wrong(format!("may not stand together with the named port `{name}`"));
            }
            Some(Some(PortRef::Number(start))) if *start > end => {
                end_at.wrong(format!("must not be below port {start}, found {end}"));
            }
            Some(Some(PortRef::Number(_)) | None) => {}
        }
    }
    Some(PolicyPort {
        protocol: protocol?,
        port: port.map_or(Some(None), |port| port.map(Some))?,
        end_port: end_port.map_or(Some(None), |end| end.map(Some))?,
    })
}

/// Reads field `protocol` of `at`: TCP, UDP or SCTP; TCP if absent. None if wrong.
pub(crate) fn read_protocol(at: &At<'_>) -> Option<Protocol> {
    let Some(at) = at.get("protocol") else { return Some(Protocol::Tcp) };
    let text = at.string()?;
    match text {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => {
            let help = nearest(text, &["TCP", "UDP", "SCTP"]);
            at.wrong_with(
                format!("must be TCP, UDP or SCTP, found `{}`", shorten(text)),
                help.map(|name| format!("did you mean `{name}`?")),
            );
            None
        }
    }
}

/// Reads a port by number or name.
pub(crate) fn read_port_ref(at: &At<'_>) -> Option<PortRef> {
    if !at.is_string() {
        return read_port_number(at).map(PortRef::Number);
    }
    let text = at.string()?;
    if let Some(message) = check::port_name(text) {
        let help = text.parse::<u16>().ok();
        let help = help.map(|number| format!("for port {number} write it without quotes"));
        at.wrong_with(format!("`{}`: {message}", shorten(text)), help);
        return None;
    }
    Some(PortRef::Name(text.to_owned()))
}

/// Reads a port number from 1 to 65535.
pub(crate) fn read_port_number(at: &At<'_>) -> Option<u16> {
    at.int(1, u32::from(u16::MAX)).and_then(|number| u16::try_from(number).ok())
}

/// Reads a label selector.
pub(crate) fn read_selector(at: &At<'_>) -> Option<LabelSelector> {
    if !at.check_fields(known::SELECTOR) {
        return None;
    }
    let match_labels = at.get("matchLabels").map_or_else(Labels::new, |at| labels(&at));
    let match_expressions = at.list("matchExpressions", read_requirement);
    Some(LabelSelector { match_labels, match_expressions })
}

fn read_requirement(at: &At<'_>) -> Option<Requirement> {
    if !at.check_fields(known::REQUIREMENT) {
        return None;
    }
    let key = at.required("key").and_then(|at| {
        let key = at.string()?;
        if let Some(message) = check::label_key(key) {
            at.refuse(format!("`{}`: {message}", shorten(key)));
        }
        Some(key.to_owned())
    });
    let operator = at.required("operator").and_then(|at| read_operator(&at));
    let values = at.list("values", |item| {
        let value = item.string()?;
        if let Some(message) = check::label_value(value) {
            item.refuse(format!("`{}`: {message}", shorten(value)));
        }
        Some(value.to_owned())
    });
    let (operator, key) = (operator?, key?);
    match operator {
        Operator::In | Operator::NotIn
            if at.get("values").is_none_or(|at| at.items().is_empty()) =>
        {
            at.wrong("values must not be empty for operators In and NotIn");
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            at.wrong("values must be empty for operators Exists and DoesNotExist");
        }
        Operator::In | Operator::NotIn | Operator::Exists | Operator::DoesNotExist => {}
    }
    Some(Requirement { key, operator, values })
}

/// Reads the operator of a requirement.
pub(crate) fn read_operator(at: &At<'_>) -> Option<Operator> {
    let text = at.string()?;
    match text {
        "In" => Some(Operator::In),
        "NotIn" => Some(Operator::NotIn),
        "Exists" => Some(Operator::Exists),
        "DoesNotExist" => Some(Operator::DoesNotExist),
        _ => {
            let help = nearest(text, &["In", "NotIn", "Exists", "DoesNotExist"]);
            at.wrong_with(
                format!("must be In, NotIn, Exists or DoesNotExist, found `{}`", shorten(text)),
                help.map(|name| format!("did you mean `{name}`?")),
            );
            None
        }
    }
}
