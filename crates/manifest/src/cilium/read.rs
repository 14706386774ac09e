//! Reads objects of Cilium.

use crate::at::{At, nearest, shorten};
use crate::cilium::read_rule::{Side, read_rules};
use crate::cilium::{
    CidrGroup, CiliumObject, EndpointSelector, LabelSource, LabelTest, Policy, PolicyScope,
    RuleSpec, Subject, known,
};
use crate::read_meta::{Scope, read_meta, string};
use crate::read_policy::{read_cidr, read_operator};
use crate::{Operator, Requirement, check};

/// The kinds of cilium.io/v2 that are read; CiliumCIDRGroup is of v2alpha1 too.
pub(crate) const KINDS: &[&str] = &["CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"];

/// Reads an object of Cilium; None if it is wrong or of another kind.
pub(crate) fn read_cilium(at: &At<'_>, kind: &str) -> Option<CiliumObject> {
    match kind {
        "CiliumNetworkPolicy" => {
            Some(CiliumObject::Policy(read_policy(at, PolicyScope::Namespaced)))
        }
        "CiliumClusterwideNetworkPolicy" => {
            Some(CiliumObject::Policy(read_policy(at, PolicyScope::Clusterwide)))
        }
        "CiliumCIDRGroup" => read_cidr_group(at).map(CiliumObject::CidrGroup),
        _ => None,
    }
}

fn read_policy(at: &At<'_>, scope: PolicyScope) -> Policy {
    at.check_fields(known::OBJECT);
    let meta_scope = match scope {
        PolicyScope::Namespaced => Scope::Namespaced(check::dns_subdomain),
        PolicyScope::Clusterwide => Scope::Cluster(check::dns_subdomain),
    };
    let meta = read_meta(at, meta_scope);
    let spec = at.get("spec");
    let mut rules: Vec<RuleSpec> = spec.iter().filter_map(|at| read_spec(at, scope)).collect();
    rules.extend(at.list("specs", |item| read_spec(item, scope)));
    if spec.is_none() && at.get("specs").is_none() {
        at.missing("spec");
    }
    Policy { meta, scope, rules }
}

fn read_spec(at: &At<'_>, scope: PolicyScope) -> Option<RuleSpec> {
    if !at.check_fields(known::SPEC) {
        return None;
    }
    let subject = read_subject(at, scope);
    let deny = at.get("enableDefaultDeny");
    if let Some(deny) = &deny {
        deny.check_fields(known::DEFAULT_DENY);
    }
    let default_deny =
        |name| deny.as_ref().and_then(|deny| deny.get(name)).and_then(|at| at.bool());
    for label in at.get("labels").iter().flat_map(At::items) {
        label.check_fields(known::LABEL);
    }
    if let Some(log) = at.get("log") {
        log.check_fields(known::LOG);
    }
    let spec = RuleSpec {
        subject: subject?,
        ingress: read_rules(at, Side::INGRESS),
        ingress_deny: read_rules(at, Side::INGRESS_DENY),
        egress: read_rules(at, Side::EGRESS),
        egress_deny: read_rules(at, Side::EGRESS_DENY),
        default_deny_ingress: default_deny("ingress"),
        default_deny_egress: default_deny("egress"),
        description: string(at, "description").unwrap_or_default(),
        position: at.position(),
    };
    let lists = [&spec.ingress, &spec.ingress_deny, &spec.egress, &spec.egress_deny];
    if lists.iter().all(|rules| rules.is_empty()) {
        at.refuse("has no effect: there is no ingress, ingressDeny, egress or egressDeny rule");
    }
    Some(spec)
}

fn read_subject(at: &At<'_>, scope: PolicyScope) -> Option<Subject> {
    match (at.get("endpointSelector"), at.get("nodeSelector")) {
        (Some(endpoints), None) => read_selector(&endpoints).map(Subject::Endpoints),
        (None, Some(nodes)) => {
            if scope == PolicyScope::Namespaced {
                nodes.wrong_with(
                    "may stand only in CiliumClusterwideNetworkPolicy",
                    Some("write `endpointSelector` to select pods".to_owned()),
                );
            }
            read_selector(&nodes).map(Subject::Nodes)
        }
        (Some(_), Some(nodes)) => {
            nodes.wrong("may not stand together with endpointSelector");
            None
        }
        (None, None) => {
            at.wrong_with(
                "must have endpointSelector or nodeSelector",
                Some("`endpointSelector: {}` selects all pods".to_owned()),
            );
            None
        }
    }
}

fn read_cidr_group(at: &At<'_>) -> Option<CidrGroup> {
    at.check_fields(known::OBJECT);
    let meta = read_meta(at, Scope::Cluster(check::dns_subdomain));
    let spec = at.required("spec")?;
    if !spec.check_fields(known::CIDR_GROUP_SPEC) {
        return None;
    }
    Some(CidrGroup { meta, cidrs: spec.list("externalCIDRs", read_cidr) })
}

/// Reads a selector over labels with sources.
pub(super) fn read_selector(at: &At<'_>) -> Option<EndpointSelector> {
    if !at.check_fields(crate::known::SELECTOR) {
        return None;
    }
    let mut selector = EndpointSelector::default();
    let equal = at.get("matchLabels");
    for (key, value_at) in equal.iter().flat_map(At::entries) {
        let value = if value_at.is_null() { Some("") } else { value_at.string() };
        let (source, key) = read_key(key, &value_at);
        let Some(value) = value else { continue };
        check_value(&value_at, value);
        selector.tests.extend(EndpointSelector::of(source, &key, value).tests);
    }
    selector.tests.sort();
    selector.tests.extend(at.list("matchExpressions", read_expression));
    Some(selector)
}

fn read_expression(at: &At<'_>) -> Option<LabelTest> {
    if !at.check_fields(crate::known::REQUIREMENT) {
        return None;
    }
    let key = at.required("key").and_then(|at| at.string().map(|text| read_key(text, &at)));
    let operator = at.required("operator").and_then(|at| read_operator(&at));
    let values = at.list("values", |item| {
        let value = item.string()?;
        check_value(item, value);
        Some(value.to_owned())
    });
    let ((source, key), operator) = (key?, operator?);
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => {
            at.wrong("values must not be empty for operators In and NotIn");
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            at.wrong("values must be empty for operators Exists and DoesNotExist");
        }
        Operator::In | Operator::NotIn | Operator::Exists | Operator::DoesNotExist => {}
    }
    Some(LabelTest { source, requirement: Requirement { key, operator, values } })
}

fn read_key(text: &str, at: &At<'_>) -> (LabelSource, String) {
    let (source, key) = LabelSource::split(text);
    let message = match source {
        LabelSource::Any | LabelSource::K8s => check::label_key(key),
        LabelSource::Reserved | LabelSource::Other(_) => None,
    };
    if let Some(message) = message {
        at.refuse(format!("key `{}`: {message}", shorten(text)));
    }
    (source, key.to_owned())
}

fn check_value(at: &At<'_>, value: &str) {
    if let Some(message) = check::label_value(value) {
        at.refuse(format!("`{}`: {message}", shorten(value)));
    }
}

/// This word as one of `all`, by the name that `name` gives; reports it if it is none.
pub(super) fn read_word<T: Copy>(at: &At<'_>, all: &[T], name: fn(T) -> &'static str) -> Option<T> {
    let text = at.string()?;
    let found = all.iter().copied().find(|one| name(*one) == text);
    if found.is_none() {
        let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
        let help = nearest(text, &names).map(|name| format!("did you mean `{name}`?"));
        at.wrong_with(
            format!("must be one of {}, found `{}`", names.join(", "), shorten(text)),
            help,
        );
    }
    found
}
