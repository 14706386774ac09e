//! The layout of explanations.

use std::collections::BTreeSet;

use sekisho_model::{Direction, Protocol};

use super::pairs::{Explained, PairClass};
use super::reasons::{DEFAULT, Reasons, title};
use crate::PortSet;

const SPECIFIC: &str = "Specific connections and their reasons";
/// Hyphens between pairs.
const RULE_WIDTH: usize = 160;

/// Prints explained pairs: those that something decided with their reasons, then the others.
pub(super) fn explanation(pairs: &[Explained]) -> String {
    let is_default = |pair: &&Explained| pair.classes.iter().all(PairClass::is_default);
    let (default, specific): (Vec<_>, Vec<_>) = pairs.iter().partition(is_default);
    let mut text = String::new();
    if !specific.is_empty() {
        text.push_str(&header(SPECIFIC));
        for pair in specific {
            text.push_str(&"-".repeat(RULE_WIDTH));
            text.push('\n');
            text.push_str(&one_pair(pair));
        }
    }
    if !default.is_empty() {
        text.push_str(&header(&format!("All Connections due to {DEFAULT}")));
        for pair in default {
            text.push_str(&format!("{} => {}\n", pair.source, pair.destination));
        }
    }
    text
}

fn header(title: &str) -> String {
    let line = "#".repeat(title.len() + 4);
    format!("\n{line}\n# {title} #\n{line}\n")
}

fn one_pair(pair: &Explained) -> String {
    let mut text = format!("Connections between {} => {}:\n\n", pair.source, pair.destination);
    for (allowed, word) in [(true, "Allowed"), (false, "Denied")] {
        let classes = pair.classes.iter().filter(|class| class.allowed() == allowed);
        let mut lines: Vec<String> = classes.map(|class| one_class(class, word)).collect();
        // By protocols and ports: what comes first in the text.
        lines.sort();
        if !lines.is_empty() {
            text.push_str(&format!("{word} connections:\n{}", lines.concat()));
        }
    }
    text
}

fn one_class(class: &PairClass, word: &str) -> String {
    let head = format!("\t{word} {}", protocols(&class.ports));
    if class.is_default() {
        return format!("{head} due to {DEFAULT}\n\n");
    }
    let egress = one_direction(Direction::Egress, &class.egress);
    let ingress = one_direction(Direction::Ingress, &class.ingress);
    format!("{head} due to the following policies and rules:\n{egress}{ingress}\n")
}

fn one_direction(direction: Direction, (allowed, reasons): &(bool, Reasons)) -> String {
    let result = if *allowed { "Allowed" } else { "Denied" };
    let mut text = format!("\t\t{} ({result})", title(direction));
    if reasons.is_default() {
        return format!("{text} due to {DEFAULT}\n");
    }
    for (kind, reasons) in reasons.by_kind() {
        text.push('\n');
        text.push_str(&one_kind(kind, reasons));
    }
    text + "\n"
}

fn one_kind(kind: &str, reasons: &BTreeSet<String>) -> String {
    if reasons.len() == 1 {
        return reasons.iter().map(|reason| format!("\t\t\t{reason}")).collect();
    }
    let list: String = reasons.iter().map(|reason| format!("\t\t\t\t- {reason}\n")).collect();
    format!("\t\t\t{kind} list:\n{list}")
}

/// `TCP:[80,8080-8090], UDP`.
fn protocols(ports: &PortSet) -> String {
    let mut parts = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let ranges = ports.ranges(protocol);
        let whole = ports.contains(protocol, 0);
        let shown: Vec<String> = ranges
            .iter()
            .map(
                |(first, last)| {
                    if first == last { first.to_string() } else { format!("{first}-{last}") }
                },
            )
            .collect();
        match (ranges.is_empty(), whole) {
            (true, _) => {}
            (false, true) => parts.push(protocol.to_string()),
            (false, false) => parts.push(format!("{protocol}:[{}]", shown.join(","))),
        }
    }
    parts.join(", ")
}
