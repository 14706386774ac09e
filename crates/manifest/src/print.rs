//! Prints a NetworkPolicy as the YAML a person would write.
//!
//! Strings stand without quotes only where no YAML reader can take them for anything else.

use std::fmt::Write as _;

use sekisho_model::Labels;

use crate::{LabelSelector, NetworkPolicy, Operator, PolicyPeer, PolicyPort, PolicyRule, PortRef};

/// Spaces per level.
const INDENT: usize = 2;

/// Prints a policy as one YAML document without `---`, ending with a newline.
///
/// Name, namespace, labels and annotations of the metadata are printed, and rule comments as
/// `# ...` lines. [`crate::parse`] reads an equal policy back (positions, comments and other
/// metadata aside). A policy that isolates no direction cannot be expressed in Kubernetes and is
/// read back as isolating ingress.
#[must_use]
pub fn print_policy(policy: &NetworkPolicy) -> String {
    let mut out = Printer::default();
    out.line(0, "apiVersion: networking.k8s.io/v1");
    out.line(0, "kind: NetworkPolicy");
    out.line(0, "metadata:");
    out.line(1, &format!("name: {}", scalar(&policy.meta.name)));
    if !policy.meta.namespace.is_empty() {
        out.line(1, &format!("namespace: {}", scalar(&policy.meta.namespace)));
    }
    out.labels(1, "labels", &policy.meta.labels);
    out.labels(1, "annotations", &policy.meta.annotations);
    out.line(0, "spec:");
    out.selector(1, "", "podSelector", &policy.pod_selector);
    out.line(1, "policyTypes:");
    for (isolates, name) in
        [(policy.isolates_ingress, "Ingress"), (policy.isolates_egress, "Egress")]
    {
        if isolates {
            out.line(2, &format!("- {name}"));
        }
    }
    out.rules("ingress", "from", &policy.ingress);
    out.rules("egress", "to", &policy.egress);
    out.text
}

/// Text in the making, by lines.
#[derive(Default)]
pub(crate) struct Printer {
    pub(crate) text: String,
}

impl Printer {
    pub(crate) fn line(&mut self, level: usize, line: &str) {
        // Writing to a String cannot fail.
        let _ignored = writeln!(self.text, "{:1$}{line}", "", level * INDENT);
    }

    pub(crate) fn labels(&mut self, level: usize, name: &str, labels: &Labels) {
        if labels.is_empty() {
            return;
        }
        self.line(level, &format!("{name}:"));
        for (key, value) in labels {
            self.line(level + 1, &format!("{}: {}", scalar(key), scalar(value)));
        }
    }

    /// Prints a selector below `name`; `dash` is "- " for the first field of a list item.
    fn selector(&mut self, level: usize, dash: &str, name: &str, selector: &LabelSelector) {
        if selector.is_empty() {
            return self.line(level, &format!("{dash}{name}: {{}}"));
        }
        self.line(level, &format!("{dash}{name}:"));
        let level = level + 1 + dash.len() / INDENT;
        self.labels(level, "matchLabels", &selector.match_labels);
        if selector.match_expressions.is_empty() {
            return;
        }
        self.line(level, "matchExpressions:");
        for requirement in &selector.match_expressions {
            let operator = match requirement.operator {
                Operator::In => "In",
                Operator::NotIn => "NotIn",
                Operator::Exists => "Exists",
                Operator::DoesNotExist => "DoesNotExist",
            };
            self.line(level + 1, &format!("- key: {}", scalar(&requirement.key)));
            self.line(level + 2, &format!("operator: {operator}"));
            if !requirement.values.is_empty() {
                let values: Vec<_> = requirement.values.iter().map(|value| scalar(value)).collect();
                self.line(level + 2, &format!("values: [{}]", values.join(", ")));
            }
        }
    }

    fn rules(&mut self, name: &str, peers: &str, rules: &[PolicyRule]) {
        if rules.is_empty() {
            return;
        }
        self.line(1, &format!("{name}:"));
        for rule in rules {
            for line in rule.comment.iter().flat_map(|comment| comment.lines()) {
                self.line(2, comment_line(line).trim_end());
            }
            self.rule(peers, rule);
        }
    }

    fn rule(&mut self, peers: &str, rule: &PolicyRule) {
        if rule.peers.is_empty() && rule.ports.is_empty() {
            return self.line(2, "- {}");
        }
        if !rule.peers.is_empty() {
            self.line(2, &format!("- {peers}:"));
            rule.peers.iter().for_each(|peer| self.peer(peer));
        }
        if !rule.ports.is_empty() {
            if rule.peers.is_empty() {
                self.line(2, "- ports:");
            } else {
                self.line(3, "ports:");
            }
            rule.ports.iter().for_each(|port| self.port(port));
        }
    }

    fn peer(&mut self, peer: &PolicyPeer) {
        match peer {
            PolicyPeer::Pods { namespaces, pods } => {
                if let Some(namespaces) = namespaces {
                    self.selector(4, "- ", "namespaceSelector", namespaces);
                }
                match (namespaces, pods) {
                    (None, None) => self.line(4, "- podSelector: {}"),
                    (None, Some(pods)) => self.selector(4, "- ", "podSelector", pods),
                    (Some(_), Some(pods)) => self.selector(5, "", "podSelector", pods),
                    (Some(_), None) => {}
                }
            }
            PolicyPeer::IpBlock { cidr, except } => {
                self.line(4, "- ipBlock:");
                self.line(6, &format!("cidr: {}", scalar(&cidr.to_string())));
                if !except.is_empty() {
                    self.line(6, "except:");
                    for except in except {
                        self.line(7, &format!("- {}", scalar(&except.to_string())));
                    }
                }
            }
        }
    }

    fn port(&mut self, port: &PolicyPort) {
        self.line(4, &format!("- protocol: {}", port.protocol));
        match &port.port {
            None => {}
            Some(PortRef::Number(number)) => self.line(5, &format!("port: {number}")),
            Some(PortRef::Name(name)) => self.line(5, &format!("port: {}", scalar(name))),
        }
        if let Some(end) = port.end_port {
            self.line(5, &format!("endPort: {end}"));
        }
    }
}

/// A line of comment; what YAML does not allow in one is replaced.
fn comment_line(line: &str) -> String {
    let printable = |c: char| if is_printable(c) { c } else { '?' };
    let text: String = line.chars().map(printable).collect();
    format!("# {text}")
}

/// Characters that stand for themselves in YAML (YAML 1.2 §5.1) and break no line.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A string, without quotes where that is safe.
pub(crate) fn scalar(text: &str) -> String {
    if is_safe_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Whether `text` is a string for every YAML reader: starts with a letter, or is an IPv4 range,
/// and is no word for a boolean, null or number.
fn is_safe_plain(text: &str) -> bool {
    let safe = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'/' | b'-');
    let range = text.parse::<ipnet::Ipv4Net>().is_ok();
    let letter = text.bytes().next().is_some_and(|c| c.is_ascii_alphabetic());
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];
    (letter || range)
        && text.bytes().all(safe)
        && !words.contains(&text.to_ascii_lowercase().as_str())
}

/// A double-quoted string (YAML 1.2 §7.3.1).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c => {
                let _ignored = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}
