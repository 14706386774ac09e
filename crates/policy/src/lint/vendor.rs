//! Traps of policies of plugins and of the tiers around NetworkPolicy, read off the text.

use sekisho_manifest::{Object, Outline, TierPeer, TierPort};

use super::code::{CILIUM_EMPTY_RULE, FAILS_CLOSED, NOT_EVALUATED};
use super::context::{Context, Place, object_name_of};
use super::finding::{Finding, Fix};
use super::source::Document;

/// Sections of a Cilium policy, and the fields that name peers in their rules.
const CILIUM_SIDES: [(&str, &[&str]); 2] = [
    (
        "ingress",
        &["fromEndpoints", "fromCIDR", "fromCIDRSet", "fromEntities", "fromGroups", "fromNodes"],
    ),
    (
        "egress",
        &[
            "toEndpoints",
            "toCIDR",
            "toCIDRSet",
            "toEntities",
            "toFQDNs",
            "toServices",
            "toGroups",
            "toNodes",
        ],
    ),
];

pub(crate) fn check(cx: &Context<'_>, out: &mut Vec<Finding>) {
    for object in cx.objects {
        let Some(document) = cx.document(&object.meta().position) else { continue };
        let version = document.field("apiVersion").and_then(Outline::text).unwrap_or_default();
        let place = |field: &str| cx.place(object_name_of(object), &object.meta().position, field);
        if version.starts_with("cilium.io/") {
            cilium(&document, &place, out);
        }
        if let Object::TierPolicy(policy) = object {
            for (side, rules) in [("ingress", &policy.ingress), ("egress", &policy.egress)] {
                for (index, rule) in rules.iter().enumerate() {
                    let unknown = rule.peers.contains(&TierPeer::Unknown)
                        || rule.ports.iter().flatten().any(|port| *port == TierPort::Unknown);
                    if unknown {
                        let message = "holds a peer or port that is not known, so the whole rule \
                                       fails closed: Accept matches nothing, Deny and Pass deny all";
                        let fix =
                            Fix::words("name a peer and ports of the API version that is used");
                        let place = place(&format!("spec.{side}[{index}]"));
                        out.push(place.finding(&FAILS_CLOSED, message.to_owned(), fix));
                    }
                }
            }
        }
    }
    not_evaluated(cx, out);
}

/// In Cilium `[{}]` selects the direction and allows nothing, in Kubernetes it allows everything.
fn cilium(document: &Document<'_>, place: &dyn Fn(&str) -> Place, out: &mut Vec<Finding>) {
    let specs = document.field("specs").map_or(0, |specs| specs.items().len());
    let roots =
        std::iter::once("spec".to_owned()).chain((0..specs).map(|at| format!("specs[{at}]")));
    for root in roots {
        for (side, peers) in CILIUM_SIDES {
            let path = format!("{root}.{side}");
            let Some(list) = document.field(&path) else { continue };
            for (index, rule) in list.items().iter().enumerate() {
                let path = format!("{path}[{index}]");
                if rule.entries().is_empty() {
                    let message = format!(
                        "`{{}}` is an empty rule: in Cilium it allows nothing and denies all other \
                         {side}, in a NetworkPolicy it would allow everything"
                    );
                    let fix = format!(
                        "write `{}Entities: [all]` to allow, or keep it as a default deny",
                        if side == "ingress" { "from" } else { "to" }
                    );
                    out.push(place(&path).finding(&CILIUM_EMPTY_RULE, message, Fix::words(fix)));
                }
                for key in peers {
                    let empty = rule.get(key).is_some_and(|list| {
                        list.items().is_empty() && list.entries().is_empty() && list.flow
                    });
                    if empty {
                        let message = format!(
                            "an empty `{key}` matches nobody; in a NetworkPolicy an empty list \
                             matches everybody"
                        );
                        let fix = Fix::words(format!("leave `{key}` out, or name the peers"));
                        let place = place(&format!("{path}.{key}"));
                        out.push(place.finding(&CILIUM_EMPTY_RULE, message, fix));
                    }
                }
            }
        }
    }
}

/// Policies of kinds that are not read, of which an answer would have to know.
fn not_evaluated(cx: &Context<'_>, out: &mut Vec<Finding>) {
    for object in cx.objects {
        let Object::Other(other) = object else { continue };
        let is_policy = other.kind.ends_with("NetworkPolicy") || other.kind == "NetworkSet";
        if is_policy && !other.kind.starts_with("Staged") {
            let message = format!(
                "`{}` of `{}` is not evaluated: answers about these policies leave it out",
                other.kind, other.api_version
            );
            let place = cx.place(object_name_of(object), &object.meta().position, "kind");
            out.push(place.finding(&NOT_EVALUATED, message, Fix::words("judge it by hand")));
        }
    }
}
