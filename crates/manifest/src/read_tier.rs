//! Reads ClusterNetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy.
//!
//! Limits and rules are those of the custom resource definitions, the CEL ones included. A peer or
//! protocol of ClusterNetworkPolicy without any field that we know is refused, and read as one that
//! fails closed, because that API still grows. The v1alpha1 kinds do not: there it is a mistake.

use ipnet::IpNet;
use sekisho_model::Protocol;

use crate::at::{At, Choice, shorten};
use crate::read_meta::{Scope, read_meta};
use crate::read_policy::{read_cidr, read_port_number, read_protocol, read_selector};
use crate::{
    LabelSelector, Meta, Tier, TierAction, TierPeer, TierPolicy, TierPolicyKind, TierPort,
    TierRule, TierSubject, check, known_tier as known,
};

/// Highest spec.priority.
const PRIORITY_MAX: u32 = 1000;
/// Characters of a rule's name.
const NAME_CHARS_MAX: usize = 100;
/// Ranges or names in one peer, in both APIs.
const NETWORKS_MAX: usize = 25;
/// Characters of an address range.
const CIDR_CHARS_MAX: usize = 43;
/// The only name of a BaselineAdminNetworkPolicy.
const BASELINE_NAME: &str = "default";
const EMPTY: &str = "must hold at least one item";

/// What differs between the kinds and versions.
#[derive(Clone, Copy)]
struct Api {
    kind: TierPolicyKind,
    /// Rules of a direction, peers and protocols of a rule.
    items_max: usize,
    spec: &'static [&'static str],
    ports: &'static str,
    actions: &'static [(&'static str, TierAction)],
    /// Address ranges must have no host bits (v1beta1).
    masked: bool,
    /// The API may still get fields.
    grows: bool,
}

/// One direction of a policy.
#[derive(Clone, Copy)]
struct Side {
    rules: &'static str,
    peers: &'static str,
    is_egress: bool,
}

const INGRESS: Side = Side { rules: "ingress", peers: "from", is_egress: false };
const EGRESS: Side = Side { rules: "egress", peers: "to", is_egress: true };

const PASS: (&str, TierAction) = ("Pass", TierAction::Pass);
const DENY: (&str, TierAction) = ("Deny", TierAction::Deny);
const ALLOW: (&str, TierAction) = ("Allow", TierAction::Accept);
const ACCEPT: (&str, TierAction) = ("Accept", TierAction::Accept);

fn api(version: &str, kind: TierPolicyKind) -> Api {
    let (items_max, spec, actions): (_, _, &[_]) = match kind {
        TierPolicyKind::ClusterNetworkPolicy => (25, known::CLUSTER_SPEC, &[ACCEPT, DENY, PASS]),
        TierPolicyKind::AdminNetworkPolicy => (100, known::ADMIN_SPEC, &[ALLOW, DENY, PASS]),
        TierPolicyKind::BaselineAdminNetworkPolicy => (100, known::BASELINE_SPEC, &[ALLOW, DENY]),
    };
    let is_cluster = kind == TierPolicyKind::ClusterNetworkPolicy;
    Api {
        kind,
        items_max,
        spec,
        ports: if is_cluster { "protocols" } else { "ports" },
        actions,
        masked: version.ends_with("/v1beta1"),
        grows: is_cluster,
    }
}

/// Reads a policy of `kind` in apiVersion `version`.
pub(crate) fn read_tier_policy(
    at: &At<'_>,
    version: &str,
    kind: TierPolicyKind,
) -> Option<TierPolicy> {
    at.check_fields(crate::known::OBJECT);
    let api = api(version, kind);
    let meta = read_meta(at, Scope::Cluster(check::dns_subdomain));
    let spec = at.required("spec")?;
    if !spec.check_fields(api.spec) {
        return None;
    }
    // All are read before any can fail, so that all mistakes are reported.
    let tier = read_tier(at, &spec, api, &meta);
    let priority = read_priority(&spec, api);
    let subject = spec.required("subject").and_then(|at| read_subject(&at, api));
    let ingress = read_rules(&spec, INGRESS, api);
    let egress = read_rules(&spec, EGRESS, api);
    Some(TierPolicy {
        meta,
        kind,
        tier: tier?,
        priority: priority?,
        subject: subject?,
        ingress,
        egress,
    })
}

fn read_tier(object: &At<'_>, spec: &At<'_>, api: Api, meta: &Meta) -> Option<Tier> {
    match api.kind {
        TierPolicyKind::AdminNetworkPolicy => Some(Tier::Admin),
        TierPolicyKind::BaselineAdminNetworkPolicy => {
            let meta_at = object.get("metadata");
            if let Some(at) = meta_at.as_ref().and_then(|at| at.get("name"))
                && meta.name != BASELINE_NAME
            {
                at.wrong(format!(
                    "a cluster has one BaselineAdminNetworkPolicy only, named `{BASELINE_NAME}`, \
                     found `{}`",
                    shorten(&meta.name)
                ));
            }
            Some(Tier::Baseline)
        }
        TierPolicyKind::ClusterNetworkPolicy => {
            let tiers = [("Admin", Tier::Admin), ("Baseline", Tier::Baseline)];
            spec.required("tier")?.word(&tiers)
        }
    }
}

fn read_priority(spec: &At<'_>, api: Api) -> Option<u16> {
    if api.kind == TierPolicyKind::BaselineAdminNetworkPolicy {
        return Some(0);
    }
    let priority = spec.required("priority")?.int(0, PRIORITY_MAX)?;
    u16::try_from(priority).ok()
}

fn read_subject(at: &At<'_>, api: Api) -> Option<TierSubject> {
    match at.choice(known::SUBJECT, &[]) {
        Choice::One("namespaces") => {
            Some(TierSubject::Namespaces(read_selector(&at.get("namespaces")?)?))
        }
        Choice::One(_) => {
            let (namespaces, pods) = read_namespaced_pods(&at.get("pods")?, api)?;
            Some(TierSubject::Pods { namespaces, pods })
        }
        // Whom a policy is about can't be guessed.
        Choice::Unknown => {
            at.check_fields(known::SUBJECT);
            at.wrong("must have namespaces or pods");
            None
        }
        Choice::Wrong => None,
    }
}

/// Reads namespaceSelector and podSelector.
fn read_namespaced_pods(at: &At<'_>, api: Api) -> Option<(LabelSelector, LabelSelector)> {
    if !at.check_fields(known::NAMESPACED_POD) {
        return None;
    }
    let namespaces =
        if api.grows { at.get("namespaceSelector") } else { at.expected("namespaceSelector") };
    let namespaces = namespaces.map(|at| read_selector(&at));
    let pods = at.expected("podSelector").map(|at| read_selector(&at));
    let or_all = |selector: Option<Option<LabelSelector>>| {
        selector.unwrap_or_else(|| Some(LabelSelector::default()))
    };
    Some((or_all(namespaces)?, or_all(pods)?))
}

fn read_rules(spec: &At<'_>, side: Side, api: Api) -> Vec<TierRule> {
    let Some(list) = spec.get(side.rules) else { return Vec::new() };
    let items = list.items();
    list.refuse_above(api.items_max, items.len(), "rules");
    items.iter().filter_map(|item| read_rule(item, side, api)).collect()
}

fn read_rule(at: &At<'_>, side: Side, api: Api) -> Option<TierRule> {
    if !at.check_fields(&["name", "action", side.peers, api.ports]) {
        return None;
    }
    let name_at = at.get("name");
    let name = name_at.as_ref().and_then(At::string).unwrap_or_default();
    if let Some(at) = &name_at {
        at.refuse_above(NAME_CHARS_MAX, name.chars().count(), "characters");
    }
    let action = at.required("action").and_then(|at| at.word(api.actions));
    let peers = at.required(side.peers).and_then(|at| read_peers(&at, side, api));
    let ports = match at.get(api.ports) {
        Some(list) => read_ports(&list, api).map(Some),
        None => Some(None),
    };
    let rule = TierRule {
        name: name.to_owned(),
        action: action?,
        peers: peers?,
        ports: ports?.filter(|ports| !ports.is_empty()),
        position: at.position(),
    };
    check_rule(at, &rule, side).then_some(rule)
}

/// What must hold between the fields of a rule.
fn check_rule(at: &At<'_>, rule: &TierRule, side: Side) -> bool {
    let mut fits = true;
    let list = at.get(side.peers);
    let items = list.as_ref().map(At::items).unwrap_or_default();
    let named = rule.ports.iter().flatten().any(|port| matches!(port, TierPort::Named(_)));
    for (index, peer) in rule.peers.iter().enumerate() {
        let field = match peer {
            TierPeer::Nodes(_) => "nodes",
            TierPeer::Networks(_) => "networks",
            TierPeer::DomainNames(_) => "domainNames",
            TierPeer::Namespaces(_) | TierPeer::Pods { .. } | TierPeer::Unknown => continue,
        };
        let Some(place) = items.get(index).and_then(|item| item.get(field)) else { continue };
        if named {
            place.refuse(format!(
                "{field} may not stand together with a named port: they have none, so it matches \
                 nothing there"
            ));
        }
        if field == "domainNames" && rule.action != TierAction::Accept {
            place.wrong(format!(
                "domainNames may only be used with action Accept, found {}",
                rule.action.as_str()
            ));
            fits = false;
        }
    }
    fits
}

fn read_peers(list: &At<'_>, side: Side, api: Api) -> Option<Vec<TierPeer>> {
    let items = list.items();
    list.refuse_above(api.items_max, items.len(), "items");
    if items.is_empty() {
        list.wrong(EMPTY);
        return None;
    }
    // A rule that lost a peer would mean something else, so one wrong peer spoils it.
    let peers: Vec<Option<TierPeer>> =
        items.iter().map(|item| read_peer(item, side, api)).collect();
    peers.into_iter().collect()
}

fn read_peer(at: &At<'_>, side: Side, api: Api) -> Option<TierPeer> {
    let (fields, elsewhere): (_, &[&str]) = match (side.is_egress, api.kind) {
        (false, _) => (known::INGRESS_PEER, known::EGRESS_PEER),
        (true, TierPolicyKind::BaselineAdminNetworkPolicy) => {
            (known::BASELINE_EGRESS_PEER, known::EGRESS_PEER)
        }
        (true, _) => (known::EGRESS_PEER, &[]),
    };
    let name = match at.choice(fields, elsewhere) {
        Choice::One(name) => name,
        Choice::Unknown => return unknown(at, fields, api).then_some(TierPeer::Unknown),
        Choice::Wrong => return None,
    };
    let value = at.get(name)?;
    match name {
        "namespaces" => Some(TierPeer::Namespaces(read_selector(&value)?)),
        "pods" => {
            let (namespaces, pods) = read_namespaced_pods(&value, api)?;
            Some(TierPeer::Pods { namespaces, pods })
        }
        "nodes" => Some(TierPeer::Nodes(read_selector(&value)?)),
        "networks" => read_set(&value, |item| read_network(item, api)).map(TierPeer::Networks),
        _ => read_set(&value, read_domain_name).map(TierPeer::DomainNames),
    }
}

/// Reports a place without any field that we know; false if it is a mistake.
fn unknown(at: &At<'_>, fields: &[&str], api: Api) -> bool {
    if api.grows {
        at.refuse(format!(
            "has none of {}, so the rule fails closed: an Accept rule matches nothing, any other \
             denies all",
            fields.join(", ")
        ));
    } else {
        at.check_fields(fields);
        at.wrong(format!("must have one of {}", fields.join(", ")));
    }
    api.grows
}

/// Reads a list without duplicates of one to [`NETWORKS_MAX`] items.
fn read_set<T: PartialEq>(list: &At<'_>, read: impl Fn(&At<'_>) -> Option<T>) -> Option<Vec<T>> {
    let items = list.items();
    list.refuse_above(NETWORKS_MAX, items.len(), "items");
    if items.is_empty() {
        list.wrong(EMPTY);
        return None;
    }
    let mut texts: Vec<&str> = items.iter().filter_map(At::lenient_string).collect();
    texts.sort_unstable();
    if texts.windows(2).any(|pair| pair.first() == pair.last()) {
        list.refuse("may not hold the same item twice");
    }
    let values: Vec<Option<T>> = items.iter().map(read).collect();
    values.into_iter().collect()
}

fn read_network(at: &At<'_>, api: Api) -> Option<IpNet> {
    let net = read_cidr(at)?;
    let text = at.lenient_string().unwrap_or_default();
    at.refuse_above(CIDR_CHARS_MAX, text.len(), "characters");
    if net.addr().is_ipv4() && text.contains(':') {
        at.refuse("an IPv4 address inside an IPv6 one is not supported");
    }
    let address = text.split_once('/').and_then(|(address, _)| check::address(address));
    if api.masked && address != Some(net.network()) {
        at.refuse(format!("has bits beyond its prefix; write `{net}`"));
    }
    Some(net)
}

fn read_domain_name(at: &At<'_>) -> Option<String> {
    let text = at.string()?;
    if !is_domain_name(text) {
        at.wrong(format!(
            "`{}` is no domain name such as example.com or *.example.com",
            shorten(text)
        ));
        return None;
    }
    Some(text.to_owned())
}

/// The pattern of DomainName: two labels or more, `*.` before them, a dot behind them.
fn is_domain_name(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
            && bytes.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
    };
    name.contains('.') && name.split('.').all(is_label)
}

fn read_ports(list: &At<'_>, api: Api) -> Option<Vec<TierPort>> {
    let items = list.items();
    list.refuse_above(api.items_max, items.len(), "items");
    if items.is_empty() {
        // Go reads the empty list as if it were absent.
        list.refuse(EMPTY);
    }
    let ports: Vec<Option<TierPort>> = items
        .iter()
        .map(|item| if api.grows { read_match(item, api) } else { read_admin_port(item, api) })
        .collect();
    ports.into_iter().collect()
}

/// protocols[] of ClusterNetworkPolicy.
fn read_match(at: &At<'_>, api: Api) -> Option<TierPort> {
    let name = match at.choice(known::MATCH, &[]) {
        Choice::One(name) => name,
        Choice::Unknown => return unknown(at, known::MATCH, api).then_some(TierPort::Unknown),
        Choice::Wrong => return None,
    };
    let value = at.get(name)?;
    let protocol = match name {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => {
            let text = value.string()?;
            // Go takes the empty string for an absent field.
            let is_known = !text.is_empty() || !unknown(at, known::MATCH, api);
            return Some(if is_known {
                TierPort::Named(text.to_owned())
            } else {
                TierPort::Unknown
            });
        }
    };
    match value.choice(known::MATCH_PROTOCOL, &[]) {
        Choice::One(field) => read_match_port(&value.get(field)?, protocol, api),
        Choice::Unknown if value.entries().is_empty() => {
            value.refuse(format!("must have {}", known::MATCH_PROTOCOL.join(" or ")));
            Some(TierPort::Range { protocol, first: 1, last: u16::MAX })
        }
        Choice::Unknown => unknown(&value, known::MATCH_PROTOCOL, api).then_some(TierPort::Unknown),
        Choice::Wrong => None,
    }
}

/// destinationPort.
fn read_match_port(at: &At<'_>, protocol: Protocol, api: Api) -> Option<TierPort> {
    match at.choice(known::MATCH_PORT, &[]) {
        Choice::One("number") => {
            let number = read_port_number(&at.get("number")?)?;
            Some(TierPort::Range { protocol, first: number, last: number })
        }
        Choice::One(_) => {
            let range = at.get("range")?;
            if !range.check_fields(known::MATCH_RANGE) {
                return None;
            }
            read_range(&range, protocol)
        }
        Choice::Unknown => unknown(at, known::MATCH_PORT, api).then_some(TierPort::Unknown),
        Choice::Wrong => None,
    }
}

/// ports[] of AdminNetworkPolicy and BaselineAdminNetworkPolicy.
fn read_admin_port(at: &At<'_>, api: Api) -> Option<TierPort> {
    let name = match at.choice(known::ADMIN_PORT, &[]) {
        Choice::One(name) => name,
        Choice::Unknown => return unknown(at, known::ADMIN_PORT, api).then_some(TierPort::Unknown),
        Choice::Wrong => return None,
    };
    let value = at.get(name)?;
    match name {
        "portNumber" => {
            if !value.check_fields(known::PORT_NUMBER) {
                return None;
            }
            let protocol = read_protocol(&value);
            let number = value.required("port").and_then(|at| read_port_number(&at));
            Some(TierPort::Range { protocol: protocol?, first: number?, last: number? })
        }
        "portRange" => {
            if !value.check_fields(known::PORT_RANGE) {
                return None;
            }
            let protocol = read_protocol(&value);
            read_range(&value, protocol?)
        }
        _ => Some(TierPort::Named(value.string()?.to_owned())),
    }
}

/// Reads start and end.
fn read_range(at: &At<'_>, protocol: Protocol) -> Option<TierPort> {
    let first = at.required("start").and_then(|at| read_port_number(&at));
    let last = at.required("end").and_then(|at| read_port_number(&at));
    let (first, last) = (first?, last?);
    if first > last {
        at.wrong(format!("start must be below end, found {first} and {last}"));
        return None;
    }
    if first == last {
        at.refuse(format!("start must be below end, found {first} for both"));
    }
    Some(TierPort::Range { protocol, first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_names_are_those_of_the_pattern() {
        for good in ["kubernetes.io", "*.kubernetes.io", "a_b.c-d.e.", "1.2", "*.a.b."] {
            assert!(is_domain_name(good), "{good}");
        }
        for bad in
            ["", "io", "*.io", "*", "a.*.b", "w*.a.b", "-a.b", "a..b", ".a.b", "a.b..", "a b.c"]
        {
            assert!(!is_domain_name(bad), "{bad}");
        }
    }
}
