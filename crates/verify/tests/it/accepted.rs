//! When a policy counts as verified, and what its stored form survives.

use sekisho_model::{Party, PartyKind};
use sekisho_policy::RuleSet;
use sekisho_verify::{
    Limits, Request, RestoreError, UNCHANGED_ALL, VerifiedPolicy, VerifiedRecord, WhatIf, what_if,
};

use crate::world::{DENY, WEB_OUT, WEB_TO_DB, cluster, complete, pod, replay, row, rules, window};

const EDGE: &str = "a/web[Deployment] -> a/db[Deployment]:8080/TCP";

fn ask(proposed: &RuleSet, accepted: &[&str], would_block_max: u64) -> WhatIf {
    let cluster = cluster();
    let accepted: Vec<String> = accepted.iter().map(|name| (*name).to_owned()).collect();
    what_if(&Request {
        current: &rules(&[]),
        proposed,
        cluster: &cluster,
        history: &[row(pod(&cluster, "web"), pod(&cluster, "db"))],
        window: window(),
        completeness: &complete(),
        accepted: &accepted,
        limits: Limits { would_block: would_block_max, uncertain: 0 },
        unchanged_max: UNCHANGED_ALL,
    })
}

#[test]
fn a_policy_that_blocks_what_works_is_not_verified() {
    let answer = ask(&rules(&[DENY]), &[], 0);
    assert!(answer.verified.is_none() && !answer.report.verified);
}

#[test]
fn a_policy_that_blocks_nothing_is_verified() {
    let proposed = rules(&[DENY, WEB_OUT, WEB_TO_DB]);
    let verified = ask(&proposed, &[], 0).verified.unwrap();
    assert_eq!(verified.rules(), &proposed);
    assert_eq!(verified.record().version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn an_edge_accepted_by_name_is_in_the_record_and_does_not_count() {
    let answer = ask(&rules(&[DENY]), &[EDGE, "a -> b:1/TCP"], 0);
    assert_eq!(answer.verified.unwrap().record().accepted, [EDGE]);
    assert_eq!(answer.report.accepted_unused, ["a -> b:1/TCP"]);
    assert_eq!(answer.report.summary.would_block, 1);
    assert!(answer.report.edges[0].accepted);
}

#[test]
fn as_many_edges_may_be_blocked_as_the_caller_says() {
    assert!(ask(&rules(&[DENY]), &[], 1).verified.is_some());
}

#[test]
fn what_is_uncertain_is_accepted_by_name_or_by_number_and_otherwise_not_verified() {
    let cluster = cluster();
    let mut nobody = Party::external([10, 0, 0, 77].into(), None);
    nobody.kind = PartyKind::Unknown;
    let ask = |accepted: &[String], uncertain| {
        what_if(&Request {
            current: &rules(&[]),
            proposed: &rules(&[DENY]),
            cluster: &cluster,
            history: &[row(nobody.clone(), pod(&cluster, "db"))],
            window: window(),
            completeness: &complete(),
            accepted,
            limits: Limits { would_block: 0, uncertain },
            unchanged_max: UNCHANGED_ALL,
        })
    };
    let refused = ask(&[], 0);
    assert!(refused.verified.is_none());
    let text = sekisho_verify::table(&refused.report, 100, false);
    assert!(text.contains("NOT verified (exit code 3): what was recorded does not tell"), "{text}");
    assert!(text.contains("uncertain (may block)"), "{text}");
    assert!(ask(&[], 1).verified.is_some());
    let name = refused.report.edges[0].name();
    let accepted = ask(std::slice::from_ref(&name), 0);
    assert_eq!(accepted.verified.unwrap().record().accepted, [name]);
}

#[test]
fn an_empty_history_is_verified_but_says_that_nothing_was_checked() {
    let answer = replay(&cluster(), &[], &rules(&[]), &rules(&[DENY]));
    assert!(answer.verified.is_some());
    assert!(sekisho_verify::table(&answer.report, 100, false).contains("nothing was checked"));
}

fn record() -> VerifiedRecord {
    ask(&rules(&[DENY]), &[EDGE], 0).verified.unwrap().record().clone()
}

#[test]
fn a_record_survives_being_stored_as_json() {
    let text = serde_json::to_string(&record()).unwrap();
    let restored = VerifiedPolicy::restore(serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(restored.rules(), &rules(&[DENY]));
}

const TIER: &str = "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, \
    metadata: {name: ops}, spec: {priority: 1, subject: {namespaces: {}}, \
    ingress: [{action: Deny, from: [{namespaces: {}}], ports: [{portNumber: {protocol: TCP, port: 22}}]}]}}";

#[test]
fn a_record_holds_policies_of_every_kind() {
    let tiers = sekisho_manifest::parse("tier.yaml", TIER).unwrap();
    let proposed = rules(&[DENY]).with(tiers);
    let record = ask(&proposed, &[EDGE], 0).verified.unwrap().record().clone();
    assert_eq!(record.policy_count(), 2);
    let text = serde_json::to_string(&record).unwrap();
    let mut record: VerifiedRecord = serde_json::from_str(&text).unwrap();
    assert_eq!(VerifiedPolicy::restore(record.clone()).unwrap().rules(), &proposed);
    record.others.clear();
    let error = VerifiedPolicy::restore(record).unwrap_err();
    assert!(matches!(error, RestoreError::Digest { .. }), "{error}");
}

#[test]
fn a_tier_that_denies_what_works_is_not_verified() {
    let tiers = |text: &str| sekisho_manifest::parse("tier.yaml", text).unwrap();
    let other_port = RuleSet::default().with(tiers(TIER));
    assert!(ask(&other_port, &[], 0).verified.is_some());
    let same_port = RuleSet::default().with(tiers(&TIER.replace("port: 22", "port: 8080")));
    let answer = ask(&same_port, &[], 0);
    assert!(answer.verified.is_none());
    let edge = &answer.report.edges[0];
    assert_eq!(edge.decided_by.as_ref().unwrap().to_string(), "ops ingress[0]");
}

#[test]
fn a_record_that_was_edited_is_refused() {
    let edits: [fn(&mut VerifiedRecord); 7] = [
        |record| record.policies.clear(),
        |record| record.policies[0].isolates_egress = false,
        |record| record.window.to = record.window.to.plus_seconds(1),
        |record| record.completeness = 1.0,
        |record| record.summary.would_block = 0,
        |record| record.accepted.clear(),
        |record| record.version.push('x'),
    ];
    for (number, edit) in edits.iter().enumerate() {
        let mut record = record();
        edit(&mut record);
        let error = VerifiedPolicy::restore(record).unwrap_err();
        assert!(matches!(error, RestoreError::Digest { .. }), "edit {number}: {error}");
    }
    let mut record = record();
    record.digest = "0".repeat(64);
    assert!(VerifiedPolicy::restore(record).is_err());
}
