//! Writes objects of Calico as JSON.

use serde_json::{Value, json};

use crate::calico::{
    CalicoObject, Entity, IcmpMatch, IpVersion, NetworkSet, Policy, PolicyScope, Port, Protocol,
    Rule, Selector, Tier,
};
use crate::json::Fields;

/// The apiVersion that objects are written in.
pub(crate) const VERSION: &str = "projectcalico.org/v3";

/// The spec of an object.
pub(crate) fn spec(object: &CalicoObject) -> Value {
    match object {
        CalicoObject::Policy(policy) => policy_spec(policy),
        CalicoObject::NetworkSet(set) => set_spec(set),
        CalicoObject::Tier(tier) => tier_spec(tier),
    }
}

fn policy_spec(policy: &Policy) -> Value {
    let mut out = Fields::default();
    out.put("tier", policy.tier.as_str());
    out.put_some("order", policy.order.map(|order| json!(order.0)));
    out.put("selector", policy.selector.to_string());
    put_selector(&mut out, "namespaceSelector", policy.namespace_selector.as_ref());
    put_selector(&mut out, "serviceAccountSelector", policy.service_account_selector.as_ref());
    let types = [(policy.applies_ingress, "Ingress"), (policy.applies_egress, "Egress")];
    let types = types.iter().filter(|(applies, _)| *applies).map(|(_, name)| json!(name));
    out.put_list("types", types.collect());
    out.put_list("ingress", policy.ingress.iter().map(rule).collect());
    out.put_list("egress", policy.egress.iter().map(rule).collect());
    if policy.scope == PolicyScope::Global {
        for (name, value) in [
            ("doNotTrack", policy.do_not_track),
            ("preDNAT", policy.pre_dnat),
            ("applyOnForward", policy.apply_on_forward),
        ] {
            if value {
                out.put(name, true);
            }
        }
    }
    out.done()
}

fn set_spec(set: &NetworkSet) -> Value {
    let mut out = Fields::default();
    out.put_list("nets", texts(&set.nets));
    out.put_list("allowedEgressDomains", texts(&set.domains));
    out.done()
}

fn tier_spec(tier: &Tier) -> Value {
    let mut out = Fields::default();
    out.put_some("order", tier.order.map(|order| json!(order.0)));
    out.put("defaultAction", tier.default_action.as_str());
    out.done()
}

fn rule(rule: &Rule) -> Value {
    let mut out = Fields::default();
    out.put("action", rule.action.as_str());
    out.put_some(
        "ipVersion",
        rule.ip_version.map(|version| match version {
            IpVersion::V4 => 4,
            IpVersion::V6 => 6,
        }),
    );
    out.put_some("protocol", rule.protocol.map(protocol));
    out.put_some("notProtocol", rule.not_protocol.map(protocol));
    out.put_some("icmp", rule.icmp.map(icmp));
    out.put_some("notICMP", rule.not_icmp.map(icmp));
    for (name, end) in [("source", &rule.source), ("destination", &rule.destination)] {
        if *end != Entity::default() {
            out.put(name, entity(end));
        }
    }
    if rule.http {
        // Only that there are conditions is kept.
        out.put("http", json!({"paths": [{"prefix": "/"}]}));
    }
    out.done()
}

fn protocol(protocol: Protocol) -> Value {
    match protocol {
        Protocol::Tcp => json!("TCP"),
        Protocol::Udp => json!("UDP"),
        Protocol::Sctp => json!("SCTP"),
        Protocol::Icmp => json!("ICMP"),
        Protocol::IcmpV6 => json!("ICMPv6"),
        Protocol::Other(number) => json!(number),
    }
}

fn icmp(icmp: IcmpMatch) -> Value {
    let mut out = Fields::default();
    out.put_some("type", icmp.kind);
    out.put_some("code", icmp.code);
    out.done()
}

fn entity(entity: &Entity) -> Value {
    let mut out = Fields::default();
    out.put_list("nets", texts(&entity.nets));
    out.put_list("notNets", texts(&entity.not_nets));
    put_selector(&mut out, "selector", entity.selector.as_ref());
    put_selector(&mut out, "notSelector", entity.not_selector.as_ref());
    put_selector(&mut out, "namespaceSelector", entity.namespace_selector.as_ref());
    if let Some(accounts) = &entity.service_accounts {
        let mut inner = Fields::default();
        inner.put_list("names", texts(&accounts.names));
        put_selector(&mut inner, "selector", accounts.selector.as_ref());
        out.put("serviceAccounts", inner.done());
    }
    if let Some(service) = &entity.services {
        let mut inner = Fields::default();
        inner.put("name", service.name.as_str());
        inner.put_some("namespace", service.namespace.as_deref());
        out.put("services", inner.done());
    }
    out.put_list("ports", entity.ports.iter().map(port).collect());
    out.put_list("notPorts", entity.not_ports.iter().map(port).collect());
    out.put_list("domains", texts(&entity.domains));
    out.done()
}

fn port(port: &Port) -> Value {
    match port {
        Port::Range(first, last) if first == last => json!(first),
        Port::Range(first, last) => json!(format!("{first}:{last}")),
        Port::Name(name) => json!(name),
    }
}

fn put_selector(out: &mut Fields, name: &str, selector: Option<&Selector>) {
    out.put_some(name, selector.map(ToString::to_string));
}

fn texts(items: &[impl ToString]) -> Vec<Value> {
    items.iter().map(|item| json!(item.to_string())).collect()
}
