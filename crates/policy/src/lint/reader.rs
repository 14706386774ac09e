//! Finds the parts of a rule in its text, and tells what they match.

use ipnet::IpNet;
use sekisho_manifest::{LabelSelector, Outline, PortRef, Service};
use sekisho_model::{Direction, Labels};

use super::context::{Class, Context, Place, object_name};
use super::finding::Edit;
use super::source::Document;
use crate::Endpoint;
use crate::ir::{Entity, PeerMatch, Peers, Policy, Rule};
use crate::matching::Facts;

/// Edits that make one word of another and still count as a slip.
const SLIPS_MAX: usize = 2;
/// Shortest word that may hold two slips.
const LONG_WORD_CHARS: usize = 5;

impl Context<'_> {
    /// Path of the list of peers of a rule, if its items are the peers one by one.
    pub(crate) fn peer_list(&self, policy: &Policy, rule: &Rule) -> Option<String> {
        let Peers::List(peers) = &rule.peers else { return None };
        self.part_list(policy, rule, &["from", "to"], peers.len())
    }

    /// Path of the list of ports of a rule, if its items are the ports one by one.
    pub(crate) fn port_list(&self, policy: &Policy, rule: &Rule) -> Option<String> {
        let ports = rule.ports.include.as_deref()?;
        self.part_list(policy, rule, &["ports", "protocols"], ports.len())
    }

    fn part_list(
        &self,
        policy: &Policy,
        rule: &Rule,
        names: &[&str],
        len: usize,
    ) -> Option<String> {
        let document = self.document(&policy.position)?;
        let spot = document.at(&rule.position)?;
        let name = names
            .iter()
            .find(|name| spot.node.get(name).is_some_and(|list| list.items().len() == len))?;
        Some(format!("{}.{name}", spot.field))
    }

    /// Where the peer `index` of a rule stands, the rule itself if that is not known.
    pub(crate) fn peer_place(&self, policy: &Policy, rule: &Rule, index: usize) -> Place {
        self.part_place(policy, rule, self.peer_list(policy, rule), index)
    }

    /// The same for a port.
    pub(crate) fn port_place(&self, policy: &Policy, rule: &Rule, index: usize) -> Place {
        self.part_place(policy, rule, self.port_list(policy, rule), index)
    }

    fn part_place(
        &self,
        policy: &Policy,
        rule: &Rule,
        list: Option<String>,
        index: usize,
    ) -> Place {
        match list {
            Some(list) => {
                self.place(object_name(&policy.name), &policy.position, &format!("{list}[{index}]"))
            }
            None => self.rule_place(policy, rule),
        }
    }

    /// Removes a rule from its list; None where the list would be empty, which means something
    /// else, or where the text is not that plain.
    pub(crate) fn rule_removal(&self, policy: &Policy, rule: &Rule) -> Option<Edit> {
        let document = self.document(&policy.position)?;
        let field = document.at(&rule.position)?.field;
        remove_at(&document, &field)
    }

    /// Whether a peer of a rule can be this endpoint.
    pub(crate) fn peer_is(&self, peer: &PeerMatch, endpoint: &Endpoint) -> bool {
        match peer {
            PeerMatch::Endpoints(expr) => {
                expr.matches(&Facts::of(&self.cluster, endpoint).subject())
            }
            PeerMatch::Networks { nets, except, extent } => {
                *extent == crate::ir::Extent::Anything
                    && endpoint.addresses.iter().any(|address| {
                        let held = |net: &IpNet| net.contains(&address.to_canonical());
                        nets.iter().any(held) && !except.iter().any(held)
                    })
            }
            PeerMatch::Entity(Entity::Cluster) => true,
            PeerMatch::Entity(Entity::World | Entity::Host | Entity::RemoteNode)
            | PeerMatch::Nodes(_)
            | PeerMatch::Domain(_)
            | PeerMatch::DomainPattern(_) => false,
            PeerMatch::All(all) => all.iter().all(|one| self.peer_is(one, endpoint)),
            PeerMatch::Not(inner) => !self.peer_is(inner, endpoint),
        }
    }

    /// The classes whose ports a rule speaks about: those it selects for ingress, those it matches
    /// for egress.
    pub(crate) fn destinations<'c>(
        &'c self,
        policy: &'c Policy,
        direction: Direction,
        rule: &'c Rule,
    ) -> Vec<(&'c Class, &'c Endpoint)> {
        match direction {
            Direction::Ingress => self.selected(policy).collect(),
            Direction::Egress => self
                .ordinary()
                .filter(|(_, endpoint)| match &rule.peers {
                    Peers::Any => true,
                    Peers::List(peers) => peers.iter().any(|peer| self.peer_is(peer, endpoint)),
                })
                .collect(),
        }
    }

    /// The Services that send to an endpoint.
    pub(crate) fn services_of<'c>(
        &'c self,
        endpoint: &'c Endpoint,
    ) -> impl Iterator<Item = &'c Service> {
        self.cluster.services.iter().filter(move |service| serves(service, endpoint))
    }
}

/// Whether a Service sends to an endpoint.
pub(crate) fn serves(service: &Service, endpoint: &Endpoint) -> bool {
    !service.selector.is_empty()
        && service.meta.namespace == endpoint.namespace
        && service.selector.iter().all(|(key, value)| endpoint.labels.get(key) == Some(value))
}

/// The number that a port of a Service has on an endpoint; None if it has no such name.
pub(crate) fn target_port(
    service: &sekisho_manifest::ServicePort,
    endpoint: &Endpoint,
) -> Option<u16> {
    match &service.target_port {
        PortRef::Number(number) => Some(*number),
        PortRef::Name(name) => endpoint
            .ports
            .iter()
            .find(|port| port.name == *name && port.protocol == service.protocol)
            .map(|port| port.port),
    }
}

/// Removes the item at a path such as `spec.ingress[1]`.
pub(crate) fn remove_at(document: &Document<'_>, field: &str) -> Option<Edit> {
    let (list, index) = field.strip_suffix(']')?.rsplit_once('[')?;
    document.remove_item(document.field(list)?, index.parse().ok()?)
}

/// The selector with one value exchanged so that it matches one of `known`: what was written, what
/// was meant, and the edit.
pub(crate) fn slip(
    document: &Document<'_>,
    node: &Outline,
    selector: &LabelSelector,
    known: &[&Labels],
) -> Option<(String, String, Edit)> {
    for (key, value) in &selector.match_labels {
        let meant = known.iter().filter_map(|labels| labels.get(key)).find(|meant| {
            let mut mended = selector.clone();
            mended.match_labels.insert(key.clone(), (*meant).clone());
            is_slip(value, meant) && known.iter().any(|labels| mended.matches(labels))
        });
        let Some(meant) = meant else { continue };
        let written = node.get("matchLabels").and_then(|labels| labels.get(key))?;
        let edit = document.replace(written, &quoted_like(written, meant));
        return Some((format!("{key}={value}"), format!("{key}={meant}"), edit));
    }
    None
}

/// A value as YAML, in quotes unless it is plainly a word.
pub(crate) fn quoted_like(node: &Outline, text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'/'))
        && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
            .contains(&text.to_ascii_lowercase().as_str());
    if is_word && !node.flow { text.to_owned() } else { format!("\"{text}\"") }
}

/// Whether `written` may be a slip of the pen for `meant`.
pub(crate) fn is_slip(written: &str, meant: &str) -> bool {
    if written == meant {
        return false;
    }
    if written.eq_ignore_ascii_case(meant) {
        return true;
    }
    let shorter = written.chars().count().min(meant.chars().count());
    let most = if shorter >= LONG_WORD_CHARS { SLIPS_MAX } else { 1 };
    shorter > 2 && distance(written, meant) <= most
}

/// Letters to add, drop or exchange (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, c) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        let mut next = vec![left];
        for (above, o) in row.iter().skip(1).zip(&other) {
            let changed = diagonal + usize::from(c != *o);
            left = changed.min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_not_equal() {
        assert!(is_slip("fronted", "frontend") && is_slip("Web", "web") && is_slip("wbe1", "wbe"));
        assert!(!is_slip("web", "web") && !is_slip("web", "api") && !is_slip("db", "dc"));
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
