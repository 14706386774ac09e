//! Explanations as lines for people.

use std::fmt::Write as _;

use sekisho_manifest::Position;
use sekisho_model::{Direction, Protocol};

use super::answer::{DirectionExplanation, Explanation, Miss, SegmentExplanation, Why, Witness};
use crate::ir::Action;
use crate::{MatchedRule, PortSet};

const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const RESET: &str = "\u{1b}[0m";

/// Width of `egress` and `ingress` with their gap.
const DIRECTION_WIDTH: usize = 9;
/// Width of `allowed` and `denied`.
const VERDICT_WIDTH: usize = 7;

impl Explanation {
    /// Prints it in plain words, several lines; verdicts in colour if asked for.
    #[must_use]
    pub fn text(&self, color: bool) -> String {
        let ports = |set: &PortSet| shown_of(set, &self.asked);
        let ends = format!("{} -> {}", self.source, self.destination);
        let whole = single(&self.asked).is_some() || self.allowed == self.asked;
        let mut text = match (self.allows_any(), whole) {
            (true, true) => format!("{ends} {}: {}", ports(&self.asked), verdict(true, color)),
            (true, false) => format!("{ends} {}: {}", ports(&self.allowed), verdict(true, color)),
            (false, _) => format!("{ends} {}: {}", ports(&self.asked), verdict(false, color)),
        };
        if self.allows_any() && !whole {
            let _infallible = write!(text, ", the rest {}", verdict(false, color));
        }
        text.push('\n');
        for direction in [&self.egress, &self.ingress] {
            direction.add(&self.asked, color, &mut text);
        }
        text
    }
}

impl DirectionExplanation {
    fn add(&self, asked: &PortSet, color: bool, text: &mut String) {
        let names: Vec<String> = self
            .segments
            .iter()
            .enumerate()
            .map(|(index, segment)| {
                let is_rest = index > 0 && index + 1 == self.segments.len();
                match (self.segments.len(), is_rest) {
                    (1, _) => String::new(),
                    (_, true) => "everything else".to_owned(),
                    (_, false) => shown_of(&segment.ports, asked),
                }
            })
            .collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        for (index, (segment, name)) in self.segments.iter().zip(&names).enumerate() {
            let direction = if index == 0 { self.direction.to_string() } else { String::new() };
            let gap = if width == 0 { String::new() } else { format!("{name:width$}  ") };
            let pad = " ".repeat(VERDICT_WIDTH - if segment.allowed { 7 } else { 6 });
            let _infallible = write!(
                text,
                "  {direction:DIRECTION_WIDTH$}{gap}{}{pad}  ",
                verdict(segment.allowed, color)
            );
            let indent = 2 + DIRECTION_WIDTH + gap.chars().count() + VERDICT_WIDTH + 2;
            segment.add(self.direction, &self.subject, indent, text);
        }
    }
}

impl SegmentExplanation {
    fn add(&self, direction: Direction, subject: &str, indent: usize, text: &mut String) {
        let passed = self.witnesses.iter().filter(|witness| passes(witness));
        let deciding: Vec<&Witness> =
            self.witnesses.iter().filter(|witness| !passes(witness)).collect();
        let words = match self.why {
            Why::Rule | Why::NoRule => decided(direction, subject, &deciding),
            Why::NotSelected => {
                format!("no policy selects {subject} for {direction}, so the default allows")
            }
            Why::NoMatch => {
                format!("no rule for {subject} decides this, so the default allows")
            }
            Why::NotSubject => format!("no policy speaks about {subject}"),
            Why::Itself => "a pod always reaches itself".to_owned(),
            Why::OwnNode => format!("the node of {subject} always reaches it"),
        };
        text.push_str(&words);
        text.push('\n');
        let indent = " ".repeat(indent);
        for witness in passed {
            let rule = witness.rule.as_ref().map(|rule| rule_name(direction, rule));
            let (kind, policy) = (witness.policy.kind, &witness.policy);
            let _infallible = writeln!(
                text,
                "{indent}passed on by {} of {kind} {policy}{}",
                rule.unwrap_or_default(),
                place(&witness.position)
            );
        }
        for miss in &self.misses {
            let _infallible = writeln!(text, "{indent}{}", lacks(direction, miss));
        }
        if self.misses_omitted > 0 {
            let _infallible = writeln!(text, "{indent}and {} more rules", self.misses_omitted);
        }
    }
}

fn passes(witness: &Witness) -> bool {
    witness.rule.as_ref().is_some_and(|rule| rule.action == Action::Pass)
}

/// The smallest witness: the first policy that decides; others are counted.
fn decided(direction: Direction, subject: &str, deciding: &[&Witness]) -> String {
    let Some(first) = deciding.first() else { return String::new() };
    let (kind, policy, at) = (first.policy.kind, &first.policy, place(&first.position));
    let others = deciding.len() - 1;
    match &first.rule {
        Some(rule) => {
            let verb = match rule.action {
                Action::Deny => "denied by",
                Action::Accept | Action::Pass => "by",
            };
            let condition = rule.condition.as_ref();
            let condition = condition.map(|what| format!(", with {what}")).unwrap_or_default();
            let also = match others {
                0 => String::new(),
                1 => ", and by 1 other policy".to_owned(),
                more => format!(", and by {more} other policies"),
            };
            let rule = rule_name(direction, rule);
            format!("{verb} {rule} of {kind} {policy}{condition}{at}{also}")
        }
        None => {
            let also = match others {
                0 => String::new(),
                1 => " and 1 other policy isolates it".to_owned(),
                more => format!(" and {more} other policies isolate it"),
            };
            format!("{kind} {policy} isolates {subject}{at}{also}; no rule allows")
        }
    }
}

fn rule_name(direction: Direction, rule: &MatchedRule) -> String {
    match rule.name.as_str() {
        "" => format!("{direction}[{}]", rule.index),
        name => format!("{direction}[{}] `{name}`", rule.index),
    }
}

fn lacks(direction: Direction, miss: &Miss) -> String {
    let lacks = match (miss.peer_matches, miss.port_matches) {
        (false, false) => "is for other peers and other ports",
        (false, true) => "is for other peers",
        (true, false) => "is for this peer, but for other ports",
        (true, true) => "would allow",
    };
    let (policy, rule, at) = (&miss.policy, miss.rule, place(&miss.position));
    format!("{policy} {direction}[{rule}] {lacks}{at}")
}

fn verdict(allowed: bool, color: bool) -> String {
    let (word, paint) = if allowed { ("allowed", GREEN) } else { ("denied", RED) };
    if color { format!("{paint}{word}{RESET}") } else { word.to_owned() }
}

/// A set of ports, in few words.
fn shown_of(set: &PortSet, asked: &PortSet) -> String {
    match (set == asked, asked.is_all()) {
        (true, true) => "everything".to_owned(),
        (true, false) | (false, _) => set.to_string(),
    }
}

/// The protocol and port if there is only one.
pub(super) fn single(set: &PortSet) -> Option<(Protocol, u16)> {
    let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let mut found = all.into_iter().flat_map(|protocol| {
        set.ranges(protocol).into_iter().map(move |(first, last)| (protocol, first, last))
    });
    match (found.next(), found.next()) {
        (Some((protocol, first, last)), None) if first == last => Some((protocol, first)),
        _several => None,
    }
}

/// `file:line` as far as it is known.
fn place(position: &Position) -> String {
    match (position.file.as_str(), position.line) {
        ("", 0) => String::new(),
        ("", line) => format!(" (line {line})"),
        (file, 0) => format!(" ({file})"),
        (file, line) => format!(" ({file}:{line})"),
    }
}
