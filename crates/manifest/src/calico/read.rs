//! Reads objects of Calico.

use ipnet::IpNet;

use crate::at::{At, nearest, shorten};
use crate::calico::read_rule::{read_net, read_rules};
use crate::calico::{
    CalicoObject, DefaultAction, NetworkSet, Order, Policy, PolicyScope, Rule, Selector, Tier,
    known,
};
use crate::read_meta::{Scope, read_meta, string};
use crate::{check, known as common};

/// The kinds that are read, with the staged ones, which are checked only.
pub(crate) const KINDS: &[&str] = &[
    "NetworkPolicy",
    "GlobalNetworkPolicy",
    "NetworkSet",
    "GlobalNetworkSet",
    "Tier",
    "StagedNetworkPolicy",
    "StagedGlobalNetworkPolicy",
];
/// Tier of policies that name none.
const DEFAULT_TIER: &str = "default";
/// Characters of a selector that the API takes.
const SELECTOR_CHARS_MAX: usize = 1024;
const STAGED_ACTIONS: &[&str] = &["Set", "Delete", "Learn", "Ignore"];
const HINTS: &[&str] = &["AssumeNeededOnEveryNode"];

/// Whether a kind is staged: what would be if it were in force.
pub(crate) fn is_staged(kind: &str) -> bool {
    kind.starts_with("Staged")
}

/// Reads an object of Calico; None if it is wrong, staged, or of another kind.
pub(crate) fn read_calico(at: &At<'_>, kind: &str) -> Option<CalicoObject> {
    let policy = |scope, staged| read_policy(at, scope, staged).map(Box::new);
    match kind {
        "NetworkPolicy" => policy(PolicyScope::Namespaced, false).map(CalicoObject::Policy),
        "GlobalNetworkPolicy" => policy(PolicyScope::Global, false).map(CalicoObject::Policy),
        "NetworkSet" => read_network_set(at, Scope::Namespaced(check::dns_subdomain)),
        "GlobalNetworkSet" => read_network_set(at, Scope::Cluster(check::dns_subdomain)),
        "Tier" => read_tier(at).map(CalicoObject::Tier),
        "StagedNetworkPolicy" => {
            policy(PolicyScope::Namespaced, true);
            None
        }
        "StagedGlobalNetworkPolicy" => {
            policy(PolicyScope::Global, true);
            None
        }
        _ => None,
    }
}

fn read_policy(at: &At<'_>, scope: PolicyScope, staged: bool) -> Option<Policy> {
    at.check_fields(common::OBJECT);
    let (meta_scope, fields) = match scope {
        PolicyScope::Namespaced => {
            (Scope::Namespaced(check::dns_subdomain), known::NETWORK_POLICY_SPEC)
        }
        PolicyScope::Global => {
            (Scope::Cluster(check::dns_subdomain), known::GLOBAL_NETWORK_POLICY_SPEC)
        }
    };
    let mut policy = Policy {
        meta: read_meta(at, meta_scope),
        scope,
        tier: DEFAULT_TIER.to_owned(),
        order: None,
        selector: Selector::All,
        namespace_selector: None,
        service_account_selector: None,
        applies_ingress: true,
        applies_egress: false,
        ingress: Vec::new(),
        egress: Vec::new(),
        do_not_track: false,
        pre_dnat: false,
        apply_on_forward: false,
    };
    let spec = at.required("spec")?;
    let mut fields = fields.to_vec();
    if staged {
        fields.push(known::STAGED_ACTION);
        one_of(&spec, known::STAGED_ACTION, STAGED_ACTIONS);
    }
    if !spec.check_fields(&fields) {
        return None;
    }
    if let Some(tier) = string(&spec, "tier").filter(|tier| !tier.is_empty()) {
        policy.tier = tier;
    }
    policy.order = read_order(&spec);
    let selector = |name| read_selector(&spec, name, false);
    policy.selector = selector("selector").unwrap_or(Selector::All);
    policy.namespace_selector = selector("namespaceSelector");
    policy.service_account_selector = selector("serviceAccountSelector");
    policy.ingress = read_rules(&spec, "ingress");
    policy.egress = read_rules(&spec, "egress");
    (policy.applies_ingress, policy.applies_egress) = read_types(&spec, &policy);
    spec.list("performanceHints", |item| check_word(item, HINTS));
    read_host_fields(&spec, &mut policy);
    Some(policy)
}

/// types: if empty, those with rules; Ingress if there are none at all.
fn read_types(spec: &At<'_>, policy: &Policy) -> (bool, bool) {
    let types = spec.list("types", |item| check_word(item, &["Ingress", "Egress"]));
    if types.is_empty() {
        let egress = has_rules(&policy.egress);
        return (!egress || has_rules(&policy.ingress), egress);
    }
    (types.contains(&"Ingress"), types.contains(&"Egress"))
}

fn has_rules(rules: &[Rule]) -> bool {
    !rules.is_empty()
}

/// doNotTrack, preDNAT, applyOnForward and what they exclude.
fn read_host_fields(spec: &At<'_>, policy: &mut Policy) {
    let flag = |name| spec.get(name).and_then(|at| at.bool()).unwrap_or(false);
    policy.do_not_track = flag("doNotTrack");
    policy.pre_dnat = flag("preDNAT");
    policy.apply_on_forward = flag("applyOnForward");
    let wrong = |name, message: &str| {
        if let Some(at) = spec.get(name) {
            at.wrong(message);
        }
    };
    if policy.do_not_track && policy.pre_dnat {
        wrong("preDNAT", "may not be true together with doNotTrack");
    }
    if (policy.do_not_track || policy.pre_dnat) && !policy.apply_on_forward {
        let name = if policy.pre_dnat { "preDNAT" } else { "doNotTrack" };
        wrong(name, "needs applyOnForward: true");
    }
    if policy.pre_dnat && (policy.applies_egress || !policy.egress.is_empty()) {
        wrong("preDNAT", "may not be true for a policy about egress");
    }
}

fn read_network_set(at: &At<'_>, scope: Scope) -> Option<CalicoObject> {
    at.check_fields(common::OBJECT);
    let mut set = NetworkSet { meta: read_meta(at, scope), nets: Vec::new(), domains: Vec::new() };
    if let Some(spec) = at.get("spec") {
        if !spec.check_fields(known::NETWORK_SET_SPEC) {
            return None;
        }
        set.nets = read_nets(&spec, "nets");
        set.domains = strings(&spec, "allowedEgressDomains");
    }
    Some(CalicoObject::NetworkSet(set))
}

fn read_tier(at: &At<'_>) -> Option<Tier> {
    at.check_fields(common::OBJECT);
    let meta = read_meta(at, Scope::Cluster(check::dns_subdomain));
    let mut tier = Tier { meta, order: None, default_action: DefaultAction::Deny };
    let Some(spec) = at.get("spec") else { return Some(tier) };
    if !spec.check_fields(known::TIER_SPEC) {
        return None;
    }
    tier.order = read_order(&spec);
    if one_of(&spec, "defaultAction", &["Deny", "Pass"]) == Some("Pass") {
        tier.default_action = DefaultAction::Pass;
    }
    Some(tier)
}

/// The number in field `order`.
fn read_order(spec: &At<'_>) -> Option<Order> {
    let at = spec.get("order")?;
    let number = match at.lenient_int() {
        // Up to 2^53 exact, and beyond that rounded, as in the API.
        Some(number) => number.to_string().parse::<f64>().ok(),
        None if at.is_string() => None,
        None => at.lenient_string().and_then(|text| text.replace('_', "").parse().ok()),
    };
    let number = number.filter(|number| number.is_finite());
    if number.is_none() {
        at.wrong("must be a number");
    }
    number.map(Order)
}

/// The selector in field `name`; None if absent, empty or wrong. Only `namespaceSelector` of a
/// rule may hold `global()`.
pub(super) fn read_selector(at: &At<'_>, name: &str, may_be_global: bool) -> Option<Selector> {
    let at = at.get(name)?;
    let text = at.string()?;
    if text.trim().is_empty() {
        return None;
    }
    at.refuse_above(SELECTOR_CHARS_MAX, text.chars().count(), "characters");
    match Selector::parse(text) {
        Ok(selector) if selector.has_global() && !may_be_global => {
            at.wrong("global() may stand only in namespaceSelector of a rule");
            None
        }
        Ok(selector) => Some(selector),
        Err(error) => {
            at.wrong_with(
                format!("`{}`: {error}", shorten(text)),
                Some("selectors look like: role == 'db' && !has(test)".to_owned()),
            );
            None
        }
    }
}

/// The address ranges in field `name`.
pub(super) fn read_nets(at: &At<'_>, name: &str) -> Vec<IpNet> {
    at.list(name, read_net)
}

/// The strings in field `name`.
pub(super) fn strings(at: &At<'_>, name: &str) -> Vec<String> {
    at.list(name, |item| item.string().map(str::to_owned))
}

/// The word in field `name`, if it is one of `words`.
pub(super) fn one_of<'w>(at: &At<'_>, name: &str, words: &[&'w str]) -> Option<&'w str> {
    at.get(name).and_then(|at| check_word(&at, words))
}

/// This word, if it is one of `words`; reports it if not.
pub(super) fn check_word<'w>(at: &At<'_>, words: &[&'w str]) -> Option<&'w str> {
    let text = at.string()?;
    let found = words.iter().find(|word| **word == text);
    if found.is_none() {
        let help = nearest(text, words).map(|word| format!("did you mean `{word}`?"));
        at.wrong_with(
            format!("must be one of {}, found `{}`", words.join(", "), shorten(text)),
            help,
        );
    }
    found.copied()
}
