//! policyTypes and empty lists: what is isolated without a word, or not although it says so.

use sekisho_manifest::{NetworkPolicy, Outline};

use super::code::{
    EMPTY_LIST_MEANS_ALL, IGNORED_RULES, IMPLICIT_INGRESS_DENY, NAME_CONTRADICTS, NOTHING_ISOLATED,
};
use super::context::{Context, Place};
use super::finding::{Finding, Fix, ObjectName};

pub(crate) fn check(cx: &Context<'_>, out: &mut Vec<Finding>) {
    for policy in cx.network_policies() {
        ignored_rules(cx, policy, out);
        implicit(cx, policy, out);
        empty_lists(cx, policy, out);
        names(cx, policy, out);
    }
}

fn place(cx: &Context<'_>, policy: &NetworkPolicy, field: &str) -> Place {
    let object = ObjectName {
        kind: "NetworkPolicy".to_owned(),
        namespace: policy.meta.namespace.clone(),
        name: policy.meta.name.clone(),
    };
    cx.place(object, &policy.meta.position, field)
}

/// Rules of a direction that policyTypes leaves out.
fn ignored_rules(cx: &Context<'_>, policy: &NetworkPolicy, out: &mut Vec<Finding>) {
    let sides = [
        ("ingress", "Ingress", policy.isolates_ingress, &policy.ingress),
        ("egress", "Egress", policy.isolates_egress, &policy.egress),
    ];
    for (field, kind, isolates, rules) in sides {
        if isolates || rules.is_empty() {
            continue;
        }
        let document = cx.document(&policy.meta.position);
        let edit = document
            .as_ref()
            .and_then(|document| document.append_item(document.field("spec.policyTypes")?, kind));
        let message = format!(
            "has {field} rules, but policyTypes does not list {kind}: they are ignored, and \
             {field} stays open"
        );
        let fix = Fix::with(format!("add {kind} to policyTypes"), edit);
        let place = place(cx, policy, &format!("spec.{field}"));
        out.push(place.finding(&IGNORED_RULES, message, fix));
    }
}

/// What the default of policyTypes makes of a policy.
fn implicit(cx: &Context<'_>, policy: &NetworkPolicy, out: &mut Vec<Finding>) {
    let Some(document) = cx.document(&policy.meta.position) else { return };
    let Some(spec) = document.field("spec") else { return };
    if !is_empty(spec.get("policyTypes")) {
        return;
    }
    let add = |types: &str| {
        let after =
            ["egress", "ingress", "podSelector"].into_iter().find(|key| spec.get(key).is_some());
        document.add_entry(spec, after?, &format!("policyTypes: [{types}]"))
    };
    if spec.get("egress").is_some() && policy.egress.is_empty() {
        let message = "an empty egress without policyTypes does not isolate egress: only Ingress \
                       is implied";
        let fix = Fix::with(
            "write policyTypes: [Ingress, Egress] to deny egress",
            add("Ingress, Egress"),
        );
        out.push(place(cx, policy, "spec.egress").finding(
            &NOTHING_ISOLATED,
            message.to_owned(),
            fix,
        ));
    }
    if policy.isolates_ingress && spec.get("ingress").is_none() && !policy.egress.is_empty() {
        let message = "has only egress rules and no policyTypes: Ingress is implied, so all \
                       ingress of the pods is denied";
        let fix = Fix::with(
            "write policyTypes: [Ingress, Egress] if that is meant, else policyTypes: [Egress]",
            add("Ingress, Egress"),
        );
        let place = place(cx, policy, "spec.egress");
        out.push(place.finding(&IMPLICIT_INGRESS_DENY, message.to_owned(), fix));
    }
}

fn is_empty(node: Option<&Outline>) -> bool {
    node.is_none_or(|node| node.items().is_empty())
}

/// `from: []`, `to: []` and `ports: []` look like nobody and mean everybody.
fn empty_lists(cx: &Context<'_>, policy: &NetworkPolicy, out: &mut Vec<Finding>) {
    let Some(document) = cx.document(&policy.meta.position) else { return };
    for (side, peers) in [("ingress", "from"), ("egress", "to")] {
        let path = format!("spec.{side}");
        let Some(list) = document.field(&path) else { continue };
        for (index, rule) in list.items().iter().enumerate() {
            for key in [peers, "ports"] {
                let Some(node) = rule.get(key) else { continue };
                if !node.items().is_empty() {
                    continue;
                }
                let all = if key == "ports" { "all ports" } else { "everyone" };
                let message = format!("an empty `{key}` does not mean none, it means {all}");
                let fix = format!(
                    "list what is meant; leave `{key}` out if {all} is meant; delete the rule to \
                     allow nothing"
                );
                let place = place(cx, policy, &format!("{path}[{index}].{key}"));
                out.push(place.finding(&EMPTY_LIST_MEANS_ALL, message, Fix::words(fix)));
            }
        }
    }
}

/// Names that promise the opposite: `[]` denies all, `[{}]` allows all.
fn names(cx: &Context<'_>, policy: &NetworkPolicy, out: &mut Vec<Finding>) {
    let name = policy.meta.name.to_ascii_lowercase();
    let says = |words: [&str; 2]| words.iter().any(|word| name.contains(word));
    let sides = [
        ("ingress", policy.isolates_ingress, &policy.ingress),
        ("egress", policy.isolates_egress, &policy.egress),
    ];
    for (side, isolates, rules) in sides {
        let about_side = !name.contains(if side == "ingress" { "egress" } else { "ingress" });
        if !isolates || !about_side {
            continue;
        }
        let allows_all = rules.iter().any(|rule| rule.peers.is_empty() && rule.ports.is_empty());
        let field = format!("spec.{side}");
        if allows_all && says(["deny", "block"]) {
            let document = cx.document(&policy.meta.position);
            let edit = document.as_ref().and_then(|document| {
                let list = document.field(&field)?;
                (list.items().len() == 1 && list.flow).then(|| document.replace(list, "[]"))
            });
            let message = format!(
                "is named `{}` and allows all {side}: `[{{}}]` is a rule for everyone, `[]` is no \
                 rule at all",
                policy.meta.name
            );
            let fix = Fix::with(format!("write `{side}: []` to deny"), edit);
            out.push(place(cx, policy, &field).finding(&NAME_CONTRADICTS, message, fix));
        }
        let both = policy.isolates_ingress && policy.isolates_egress;
        let other_side = !policy.ingress.is_empty() || !policy.egress.is_empty();
        if rules.is_empty()
            && says(["allow", "permit"])
            && !says(["deny", "block"])
            && !(both && other_side)
        {
            let message = format!(
                "is named `{}` and denies all {side}: it isolates the pods and has no {side} rule",
                policy.meta.name
            );
            let fix = Fix::words(format!(
                "write `{side}: [{{}}]` to allow all, or the rules that were meant"
            ));
            let place = place(cx, policy, "metadata.name");
            out.push(place.finding(&NAME_CONTRADICTS, message, fix));
        }
    }
}
