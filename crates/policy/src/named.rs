//! What rules name outside of the cluster: address ranges and DNS names.

use ipnet::IpNet;

use crate::ir::{PeerMatch, Peers, Policy, Rulebook};

/// The address ranges, exceptions included, and the DNS names of some rules: each once, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    pub(crate) networks: Vec<IpNet>,
    pub(crate) domains: Vec<String>,
}

impl Named {
    pub(crate) fn in_book(book: &Rulebook) -> Self {
        Self::in_policies(book.tiers.iter().flat_map(|tier| &tier.policies))
    }

    pub(crate) fn in_policies<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> Self {
        let mut all = Self::default();
        let sides = |policy: &'p Policy| [&policy.ingress, &policy.egress].into_iter().flatten();
        for rule in policies.into_iter().flat_map(sides).flat_map(|side| &side.rules) {
            if let Peers::List(list) = &rule.peers {
                list.iter().for_each(|peer| all.add(peer));
            }
        }
        all.networks.sort_unstable();
        all.networks.dedup();
        all.domains.sort_unstable();
        all.domains.dedup();
        all
    }

    fn add(&mut self, peer: &PeerMatch) {
        match peer {
            PeerMatch::Networks { nets, except, .. } => {
                self.networks.extend(nets.iter().chain(except).map(IpNet::trunc));
            }
            PeerMatch::Domain(name) | PeerMatch::DomainPattern(name) => {
                self.domains.push(name.clone());
            }
            PeerMatch::All(all) => all.iter().for_each(|one| self.add(one)),
            PeerMatch::Not(inner) => self.add(inner),
            PeerMatch::Endpoints(_) | PeerMatch::Nodes(_) | PeerMatch::Entity(_) => {}
        }
    }
}
