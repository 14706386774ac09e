//! The words of the model as they are written into columns. Changing one is a new layout version.

use sekisho_model::{Direction, PartyKind, Protocol, Verdict};

pub(crate) fn party_kind(kind: PartyKind) -> &'static str {
    match kind {
        PartyKind::Pod => "pod",
        PartyKind::Service => "service",
        PartyKind::Host => "host",
        PartyKind::Node => "node",
        PartyKind::External => "external",
        PartyKind::Unknown => "unknown",
    }
}

pub(crate) fn party_kind_of(text: &str) -> Option<PartyKind> {
    use PartyKind::{External, Host, Node, Pod, Service, Unknown};
    [Pod, Service, Host, Node, External, Unknown].into_iter().find(|kind| party_kind(*kind) == text)
}

pub(crate) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
        Protocol::Icmp => "ICMP",
    }
}

pub(crate) fn protocol_of(text: &str) -> Option<Protocol> {
    use Protocol::{Icmp, Sctp, Tcp, Udp};
    [Tcp, Udp, Sctp, Icmp].into_iter().find(|word| protocol(*word) == text)
}

pub(crate) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "allowed",
        Verdict::Denied => "denied",
        Verdict::WouldDeny => "would_deny",
        Verdict::Unknown => "unknown",
    }
}

pub(crate) fn verdict_of(text: &str) -> Option<Verdict> {
    use Verdict::{Allowed, Denied, Unknown, WouldDeny};
    [Allowed, Denied, WouldDeny, Unknown].into_iter().find(|word| verdict(*word) == text)
}

pub(crate) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

pub(crate) fn direction_of(text: &str) -> Option<Direction> {
    [Direction::Ingress, Direction::Egress].into_iter().find(|word| direction(*word) == text)
}
