//! Lists of a few workloads instead of all.

use sekisho_model::{Direction, Protocol};

use super::End;
use crate::PortSet;

/// What to list. The default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Focus {
    /// Only connections of these workloads, as `name` or `namespace/name`; empty = of all.
    pub workloads: Vec<String>,
    /// Of these only connections with these workloads; empty = with all. Without meaning if
    /// `workloads` is empty.
    pub peers: Vec<String>,
    /// Only connections into the workloads, or only those out of them.
    pub direction: FocusDirection,
    /// Only pairs that may use this protocol and port.
    pub connection: Option<(Protocol, u16)>,
}

/// Which directions, seen from the workloads in focus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FocusDirection {
    /// Both.
    #[default]
    Both,
    /// One.
    Only(Direction),
}

impl Focus {
    /// Whether connections between these ends are listed.
    #[must_use]
    pub fn includes(&self, source: &End, destination: &End) -> bool {
        if self.workloads.is_empty() {
            return true;
        }
        let is_peer = |end: &End| self.peers.is_empty() || is_any(end, &self.peers);
        let outward = is_any(source, &self.workloads) && is_peer(destination);
        let inward = is_any(destination, &self.workloads) && is_peer(source);
        match self.direction {
            FocusDirection::Both => outward || inward,
            FocusDirection::Only(Direction::Egress) => outward,
            FocusDirection::Only(Direction::Ingress) => inward,
        }
    }

    /// Whether a pair that may use these ports is listed.
    #[must_use]
    pub fn includes_ports(&self, ports: &PortSet) -> bool {
        self.connection.is_none_or(|(protocol, port)| ports.contains(protocol, port))
    }

    /// The names that mean none of `ends`.
    pub fn unknown<'a>(&'a self, ends: &'a [End]) -> impl Iterator<Item = &'a str> {
        let names = self.workloads.iter().chain(&self.peers);
        names.map(String::as_str).filter(|name| !ends.iter().any(|end| end.is_called(name)))
    }
}

fn is_any(end: &End, names: &[String]) -> bool {
    names.iter().any(|name| end.is_called(name))
}
