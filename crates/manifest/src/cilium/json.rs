//! Writes objects of Cilium as JSON.

use serde_json::{Map, Value, json};

use crate::cilium::{
    CidrRule, CidrSource, CiliumObject, Condition, DomainMatch, EndpointSelector, IcmpFamily,
    IcmpRule, LabelTest, Peers, PortRule, Rule, RuleSpec, ServiceMatch, Subject,
};
use crate::json::{Fields, selector as label_selector};
use crate::{Operator, PortRef};

/// The apiVersion that objects are written in.
pub(crate) const VERSION: &str = "cilium.io/v2";

/// The field that holds the object's content, and the content.
pub(crate) fn content(object: &CiliumObject) -> (&'static str, Value) {
    match object {
        CiliumObject::Policy(policy) => {
            ("specs", policy.rules.iter().map(rule_spec).collect::<Vec<_>>().into())
        }
        CiliumObject::CidrGroup(group) => {
            let cidrs: Vec<String> = group.cidrs.iter().map(ToString::to_string).collect();
            ("spec", json!({"externalCIDRs": cidrs}))
        }
    }
}

fn rule_spec(spec: &RuleSpec) -> Value {
    let mut out = Fields::default();
    match &spec.subject {
        Subject::Endpoints(endpoints) => out.put("endpointSelector", selector(endpoints)),
        Subject::Nodes(nodes) => out.put("nodeSelector", selector(nodes)),
    }
    for (name, rules, ingress) in [
        ("ingress", &spec.ingress, true),
        ("ingressDeny", &spec.ingress_deny, true),
        ("egress", &spec.egress, false),
        ("egressDeny", &spec.egress_deny, false),
    ] {
        out.put_list(name, rules.iter().map(|item| rule(item, ingress)).collect());
    }
    let mut deny = Fields::default();
    deny.put_some("ingress", spec.default_deny_ingress);
    deny.put_some("egress", spec.default_deny_egress);
    let deny = deny.done();
    if deny != json!({}) {
        out.put("enableDefaultDeny", deny);
    }
    out.put_text("description", &spec.description);
    out.done()
}

fn rule(rule: &Rule, ingress: bool) -> Value {
    let mut out = Fields::default();
    let prefix = if ingress { "from" } else { "to" };
    if let Some(peers) = &rule.peers {
        let (name, list) = peers_json(peers);
        out.put(&format!("{prefix}{name}"), list);
    }
    out.put_list(&format!("{prefix}Requires"), rule.requires.iter().map(selector).collect());
    out.put_list("toPorts", rule.ports.iter().map(port_rule).collect());
    out.put_list("icmps", rule.icmps.iter().map(icmp_rule).collect());
    out.put_some("authentication", rule.authentication.map(|mode| json!({"mode": mode.as_str()})));
    out.done()
}

fn peers_json(peers: &Peers) -> (&'static str, Vec<Value>) {
    match peers {
        Peers::Endpoints(list) => ("Endpoints", list.iter().map(selector).collect()),
        Peers::Networks(list) => ("CIDRSet", list.iter().map(cidr_rule).collect()),
        Peers::Entities(list) => {
            ("Entities", list.iter().map(|entity| json!(entity.as_str())).collect())
        }
        Peers::Nodes(list) => ("Nodes", list.iter().map(selector).collect()),
        Peers::Services(list) => ("Services", list.iter().map(service).collect()),
        Peers::Domains(list) => ("FQDNs", list.iter().map(domain).collect()),
        Peers::Groups(count) => ("Groups", (0..*count).map(|_| json!({})).collect()),
    }
}

fn cidr_rule(rule: &CidrRule) -> Value {
    let mut out = Fields::default();
    match &rule.source {
        CidrSource::Cidr(cidr) => out.put("cidr", cidr.to_string()),
        CidrSource::Group(name) => out.put("cidrGroupRef", name.as_str()),
        CidrSource::GroupSelector(groups) => out.put("cidrGroupSelector", label_selector(groups)),
    }
    out.put_list("except", rule.except.iter().map(|net| json!(net.to_string())).collect());
    out.done()
}

fn service(service: &ServiceMatch) -> Value {
    let mut out = Fields::default();
    if let Some((namespace, name)) = &service.service {
        out.put("k8sService", json!({"namespace": namespace, "serviceName": name}));
    }
    if let Some((namespace, services)) = &service.selector {
        let services = selector(services);
        out.put("k8sServiceSelector", json!({"namespace": namespace, "selector": services}));
    }
    out.done()
}

fn domain(domain: &DomainMatch) -> Value {
    match domain {
        DomainMatch::Name(name) => json!({"matchName": name}),
        DomainMatch::Pattern(pattern) => json!({"matchPattern": pattern}),
    }
}

fn port_rule(rule: &PortRule) -> Value {
    let mut out = Fields::default();
    let ports = rule.ports.iter().map(|port| {
        let mut out = Fields::default();
        let text = match &port.port {
            PortRef::Number(number) => number.to_string(),
            PortRef::Name(name) => name.clone(),
        };
        out.put("port", text);
        out.put_some("endPort", port.end_port);
        out.put("protocol", port.protocol.as_str());
        out.done()
    });
    out.put_list("ports", ports.collect());
    let mut rules = Map::new();
    // Only that there are conditions is kept, so they are written in their widest form.
    for condition in &rule.conditions {
        match condition {
            Condition::Http => rules.insert("http".to_owned(), json!([{}])),
            Condition::Kafka => rules.insert("kafka".to_owned(), json!([{}])),
            Condition::Dns => rules.insert("dns".to_owned(), json!([{"matchPattern": "*"}])),
            Condition::Protocol(name) => rules.insert("l7proto".to_owned(), json!(name)),
            Condition::ServerNames => {
                out.put("serverNames", json!(["**"]));
                None
            }
            Condition::Listener(name) => {
                out.put("listener", json!({"name": name, "envoyConfig": {"name": name}}));
                None
            }
        };
    }
    if !rules.is_empty() {
        if rule.conditions.contains(&Condition::ServerNames) {
            out.put("terminatingTLS", json!({"secret": {"name": "unknown"}}));
        }
        out.put("rules", rules);
    }
    out.done()
}

fn icmp_rule(rule: &IcmpRule) -> Value {
    let fields: Vec<Value> = rule
        .fields
        .iter()
        .map(|field| {
            let family = match field.family {
                IcmpFamily::V4 => "IPv4",
                IcmpFamily::V6 => "IPv6",
            };
            json!({"family": family, "type": field.kind})
        })
        .collect();
    json!({"fields": fields})
}

fn selector(selector: &EndpointSelector) -> Value {
    let tests: Vec<Value> = selector.tests.iter().map(test).collect();
    if tests.is_empty() { json!({}) } else { json!({"matchExpressions": tests}) }
}

fn test(test: &LabelTest) -> Value {
    let requirement = &test.requirement;
    let operator = match requirement.operator {
        Operator::In => "In",
        Operator::NotIn => "NotIn",
        Operator::Exists => "Exists",
        Operator::DoesNotExist => "DoesNotExist",
    };
    let mut out = Fields::default();
    out.put("key", format!("{}:{}", test.source.as_str(), requirement.key));
    out.put("operator", operator);
    out.put_list("values", requirement.values.iter().map(|value| json!(value)).collect());
    out.done()
}
