//! Explanations as JSON: field names and their order are part of the command's contract.

use sekisho_manifest::Position;
use sekisho_model::Protocol;
use serde::Serialize;

use super::answer::{DirectionExplanation, Explanation, Miss, SegmentExplanation, Why, Witness};
use crate::PortSet;
use crate::ir::Action;

/// One explained pair: `from` and `to` as shown; `asked` and `allowed`, each a list of protocols
/// with inclusive ranges of ports (types for ICMP; protocol `other` has none); `verdict`, which is
/// `allowed`, `denied` or, for some of the ports, `partly`; and `egress` and `ingress`, each with
/// `subject` and `segments`.
///
/// A segment has `ports`, `verdict`, `reason` (`rule`, `no_rule`, `not_selected`, `no_match`,
/// `not_subject`, `itself`, `own_node`), `witnesses` (`tier`, `kind`, `policy`, `rule`, `rule_name`,
/// `action`, `condition`, `file`, `line`; a `rule` of null isolates), and for denials `misses`
/// (`kind`, `policy`, `rule`, `rule_name`, `lacks`, `file`, `line`) with `misses_omitted`.
#[derive(Clone, Debug, Serialize)]
pub struct ExplanationJson {
    from: String,
    to: String,
    asked: Vec<PortsJson>,
    verdict: &'static str,
    allowed: Vec<PortsJson>,
    egress: DirectionJson,
    ingress: DirectionJson,
}

#[derive(Clone, Debug, Serialize)]
struct DirectionJson {
    subject: String,
    segments: Vec<SegmentJson>,
}

#[derive(Clone, Debug, Serialize)]
struct SegmentJson {
    ports: Vec<PortsJson>,
    verdict: &'static str,
    reason: &'static str,
    witnesses: Vec<WitnessJson>,
    misses: Vec<MissJson>,
    misses_omitted: u32,
}

#[derive(Clone, Debug, Serialize)]
struct PortsJson {
    protocol: String,
    ports: Vec<(u16, u16)>,
}

#[derive(Clone, Debug, Serialize)]
struct WitnessJson {
    tier: String,
    kind: &'static str,
    policy: String,
    rule: Option<u32>,
    rule_name: String,
    action: Option<&'static str>,
    condition: Option<String>,
    file: String,
    line: u32,
}

#[derive(Clone, Debug, Serialize)]
struct MissJson {
    kind: &'static str,
    policy: String,
    rule: u32,
    rule_name: String,
    lacks: Vec<&'static str>,
    file: String,
    line: u32,
}

impl Explanation {
    /// Its JSON form.
    #[must_use]
    pub fn json(&self) -> ExplanationJson {
        let verdict = match (self.allows_any(), self.allows_all()) {
            (false, _) => "denied",
            (true, false) => "partly",
            (true, true) => "allowed",
        };
        ExplanationJson {
            from: self.source.clone(),
            to: self.destination.clone(),
            asked: ports(&self.asked),
            verdict,
            allowed: ports(&self.allowed),
            egress: direction(&self.egress),
            ingress: direction(&self.ingress),
        }
    }
}

fn direction(direction: &DirectionExplanation) -> DirectionJson {
    DirectionJson {
        subject: direction.subject.clone(),
        segments: direction.segments.iter().map(segment).collect(),
    }
}

fn segment(segment: &SegmentExplanation) -> SegmentJson {
    let reason = match segment.why {
        Why::Rule => "rule",
        Why::NoRule => "no_rule",
        Why::NotSelected => "not_selected",
        Why::NoMatch => "no_match",
        Why::NotSubject => "not_subject",
        Why::Itself => "itself",
        Why::OwnNode => "own_node",
    };
    SegmentJson {
        ports: ports(&segment.ports),
        verdict: if segment.allowed { "allowed" } else { "denied" },
        reason,
        witnesses: segment.witnesses.iter().map(witness).collect(),
        misses: segment.misses.iter().map(miss).collect(),
        misses_omitted: segment.misses_omitted,
    }
}

fn witness(witness: &Witness) -> WitnessJson {
    let Witness { tier, policy, rule, position } = witness;
    let action = rule.as_ref().map(|rule| match rule.action {
        Action::Accept => "accept",
        Action::Deny => "deny",
        Action::Pass => "pass",
    });
    let Position { file, line, .. } = position.clone();
    WitnessJson {
        tier: tier.clone(),
        kind: policy.kind.as_str(),
        policy: policy.to_string(),
        rule: rule.as_ref().map(|rule| rule.index),
        rule_name: rule.as_ref().map(|rule| rule.name.clone()).unwrap_or_default(),
        action,
        condition: rule.as_ref().and_then(|rule| rule.condition.clone()),
        file,
        line,
    }
}

fn miss(miss: &Miss) -> MissJson {
    let lacks = [("peer", miss.peer_matches), ("port", miss.port_matches)];
    let Position { file, line, .. } = miss.position.clone();
    MissJson {
        kind: miss.policy.kind.as_str(),
        policy: miss.policy.to_string(),
        rule: miss.rule,
        rule_name: miss.name.clone(),
        lacks: lacks.into_iter().filter(|(_, has)| !has).map(|(what, _)| what).collect(),
        file,
        line,
    }
}

fn ports(set: &PortSet) -> Vec<PortsJson> {
    let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp];
    let known = all
        .into_iter()
        .map(|protocol| PortsJson { protocol: protocol.to_string(), ports: set.ranges(protocol) });
    let mut ports: Vec<PortsJson> = known.filter(|one| !one.ports.is_empty()).collect();
    if set.has_other_protocols() {
        ports.push(PortsJson { protocol: "other".to_owned(), ports: Vec::new() });
    }
    ports
}
