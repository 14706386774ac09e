//! The ports that rules name: what a record that lacks ports must be tried with.

use std::collections::BTreeSet;

use sekisho_model::Direction;
use sekisho_policy::ir::{Action, PortMatch, Rule, Rulebook};

/// Ports in the rules of some policies.
#[derive(Debug)]
pub(crate) struct RulePorts {
    /// Names.
    pub(crate) names: BTreeSet<String>,
    /// Whether a rule with a name does anything but allow, or excludes the name.
    pub(crate) names_deny: bool,
    /// One port of each set of ports that rules can tell apart: the first of every numeric range,
    /// the first after it, and 0, which only whole protocols have.
    pub(crate) numbers: BTreeSet<u16>,
}

impl RulePorts {
    pub(crate) fn of<'b>(books: impl IntoIterator<Item = &'b Rulebook>) -> Self {
        let numbers = BTreeSet::from([0]);
        let mut ports = Self { names: BTreeSet::new(), names_deny: false, numbers };
        for rule in books.into_iter().flat_map(rules) {
            for port in rule.ports.include.iter().flatten() {
                ports.add(port, rule.action != Action::Accept);
            }
            for port in &rule.ports.exclude {
                ports.add(port, true);
            }
        }
        ports
    }

    fn add(&mut self, port: &PortMatch, denies: bool) {
        match port {
            PortMatch::Named { name, .. } => {
                self.names.insert(name.clone());
                self.names_deny |= denies;
            }
            PortMatch::Range { first, last, .. } => {
                self.numbers.insert(*first);
                self.numbers.extend(last.checked_add(1));
            }
            PortMatch::Icmp { .. } | PortMatch::OtherProtocols => {}
        }
    }
}

fn rules(book: &Rulebook) -> impl Iterator<Item = &Rule> {
    let policies = book.tiers.iter().flat_map(|tier| &tier.policies);
    let sides = policies.flat_map(|policy| {
        [Direction::Ingress, Direction::Egress].into_iter().filter_map(|side| policy.side(side))
    });
    sides.flat_map(|side| &side.rules)
}
