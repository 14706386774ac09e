//! What the policies of workloads would let pods do that do not exist yet.

use std::collections::BTreeSet;

use sekisho_model::{Direction, Protocol};

use super::hypothetical::{Hypothetical, Imagined, Names, imagine};
use crate::ir::{Entity, Expr, PeerMatch, Peers, Rulebook};
use crate::list::units::units;
use crate::list::{End, Focus, FocusDirection};
use crate::matching::{Facts, is_ordinary};
use crate::{Cluster, Endpoint, Party, PortSet, Reach, RuleSet};

/// Most rows.
const ROWS_MAX: usize = 1_000_000;

/// What pods that do not exist yet could reach or be reached by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// By workload, direction (egress first) and peer.
    pub rows: Vec<ExposureRow>,
    /// Whether selectors or rows were left out: there are more than 2,000, or 1,000,000.
    pub is_partial: bool,
}

/// What one workload's policies let some pods do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExposureRow {
    /// The workload.
    pub workload: End,
    /// Egress: to these pods. Ingress: from them.
    pub direction: Direction,
    /// Which pods; None = any pod that no selector singles out.
    pub peer: Option<PotentialPeer>,
    /// Whether a policy isolates the workload in this direction, or rules speak about it. If not,
    /// everything is open.
    pub is_protected: bool,
    /// What is open by number; may be nothing where a selector takes pods out of what is open to
    /// any pod.
    pub ports: PortSet,
    /// Ports that are open by a name that only the pod can resolve: protocol and name.
    pub names: BTreeSet<(Protocol, String)>,
}

/// Pods that a selector of some rule takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PotentialPeer {
    /// Which, in words: `app=web in namespaces with team=a`.
    pub words: String,
    /// How many pods that exist already it takes.
    pub existing: usize,
}

/// Ports by number and by name.
type Open = (PortSet, BTreeSet<(Protocol, String)>);

impl Exposure {
    /// Analyses the policies of all workloads in focus. A pod is imagined for each selector of a
    /// rule, and the workload's own policies are asked about it; policies that would select the
    /// imagined pod itself are not.
    #[must_use]
    pub fn new(rules: &RuleSet, cluster: &Cluster, focus: &Focus) -> Self {
        let book = rules.rulebook();
        let Imagined { cluster: imagined, hypothetical, names, is_partial } =
            imagine(book, cluster);
        let special = Reach::of_book(book, &imagined);
        let general = Reach::of_book(&only_general(book), &imagined);
        let analysis =
            Analysis { rules, cluster: &imagined, special, general, hypothetical, names };
        let mut rows = Vec::new();
        for direction in [Direction::Egress, Direction::Ingress] {
            let wanted = match focus.direction {
                FocusDirection::Both => true,
                FocusDirection::Only(only) => only == direction,
            };
            if wanted {
                analysis.add(direction, focus, cluster.endpoints.len(), &mut rows);
            }
        }
        rows.sort_by_cached_key(|row| {
            let is_ingress = row.direction == Direction::Ingress;
            (row.workload.to_string(), is_ingress, row.peer.clone())
        });
        let is_partial = is_partial || rows.len() > ROWS_MAX;
        rows.truncate(ROWS_MAX);
        Self { rows, is_partial }
    }
}

struct Analysis<'a> {
    rules: &'a RuleSet,
    cluster: &'a Cluster,
    special: Reach,
    general: Reach,
    hypothetical: Vec<Hypothetical>,
    names: Names,
}

impl Analysis<'_> {
    fn add(&self, direction: Direction, focus: &Focus, known: usize, rows: &mut Vec<ExposureRow>) {
        let parties = |reach: &Reach| -> Vec<Option<usize>> {
            let mut of = vec![None; self.cluster.endpoints.len()];
            for (party, ends) in reach.parties().iter().enumerate() {
                let Party::Endpoints(list) = ends else { continue };
                for endpoint in list {
                    if let Some(slot) = of.get_mut(*endpoint) {
                        *slot = Some(party);
                    }
                }
            }
            of
        };
        let (special, general) = (parties(&self.special), parties(&self.general));
        let real: BTreeSet<(&str, &str)> = self
            .cluster
            .endpoints
            .iter()
            .take(known)
            .map(|one| (one.namespace.as_str(), one.name.as_str()))
            .collect();
        let is_imagined =
            |one: &Endpoint| !real.contains(&(one.namespace.as_str(), one.name.as_str()));
        for unit in units(&self.special, self.cluster, false, is_imagined) {
            if rows.len() > ROWS_MAX {
                return;
            }
            let named = |name: &String| unit.end.is_called(name);
            if !focus.workloads.is_empty() && !focus.workloads.iter().any(named) {
                continue;
            }
            let mut seen = BTreeSet::new();
            for member in &unit.members {
                let own = self.special.parties().get(member.party);
                let Some(Party::Endpoints(list)) = own else { continue };
                let Some(first) = list.iter().copied().find(|index| *index < known) else {
                    continue;
                };
                let class = Class { first, special: &special, general: &general };
                let some = self.rows_of(direction, &class, focus);
                let end = if unit.members.len() > 1 { &member.end } else { &unit.end };
                // Pods of a workload that are exposed alike have rows together.
                if seen.insert(some.clone()) {
                    let end = if seen.len() == 1 { unit.end.clone() } else { end.clone() };
                    rows.extend(some.into_iter().map(|row| row.of(end.clone(), direction)));
                }
            }
        }
    }

    fn rows_of(&self, direction: Direction, class: &Class<'_>, focus: &Focus) -> Vec<Found> {
        let asked = |open: &Open| match focus.connection {
            Some((protocol, port)) => open.0.contains(protocol, port),
            None => !open.0.is_empty() || !open.1.is_empty(),
        };
        let Some(any) = self.hypothetical.first() else { return Vec::new() };
        let everywhere = self.open((&self.general, class.general), direction, class.first, any);
        let is_protected = self.is_protected(direction, class.first);
        let mut found = Vec::new();
        if asked(&everywhere) {
            found.push(Found { peer: None, is_protected, open: everywhere.clone() });
        }
        for one in self.hypothetical.iter().skip(1) {
            let open = self.open((&self.special, class.special), direction, class.first, one);
            let same = match focus.connection {
                Some(_) => asked(&open) == asked(&everywhere),
                None => open == everywhere,
            };
            if !same {
                let peer = PotentialPeer { words: one.words.clone(), existing: one.existing };
                found.push(Found { peer: Some(peer), is_protected, open });
            }
        }
        found
    }

    fn open(
        &self,
        (reach, parties): (&Reach, &[Option<usize>]),
        direction: Direction,
        own: usize,
        far: &Hypothetical,
    ) -> Open {
        let party = |index: usize| parties.get(index).copied().flatten();
        let (Some(own), Some(far)) = (party(own), party(far.endpoint)) else {
            return (PortSet::none(), BTreeSet::new());
        };
        match direction {
            Direction::Egress => self.named(reach.one_direction(own, far, direction)),
            Direction::Ingress => (reach.one_direction(far, own, direction), BTreeSet::new()),
        }
    }

    /// Takes numbers out that stand for names.
    fn named(&self, mut ports: PortSet) -> Open {
        let mut found = BTreeSet::new();
        for (number, name) in &self.names {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                let beside = [number.saturating_sub(1), number.saturating_add(1)];
                let alone = !beside.iter().any(|port| ports.contains(protocol, *port));
                if alone && ports.contains(protocol, *number) {
                    found.insert((protocol, name.clone()));
                    ports = ports.minus(&PortSet::range(protocol, *number, *number));
                }
            }
        }
        (ports, found)
    }

    /// Whether a policy selects the endpoint in this direction.
    fn is_protected(&self, direction: Direction, endpoint: usize) -> bool {
        let Some(endpoint) = self.cluster.endpoints.get(endpoint) else { return false };
        let facts = Facts::of(self.cluster, endpoint);
        let mut policies = self.rules.rulebook().tiers.iter().flat_map(|tier| &tier.policies);
        let is_subject = is_ordinary(self.rules.dialect(), endpoint);
        policies.any(|policy| {
            is_subject
                && policy.side(direction).is_some()
                && policy.subject.matches(&facts.subject())
        })
    }
}

/// Pods that policies do not tell apart.
struct Class<'a> {
    /// One of them.
    first: usize,
    /// Endpoint -> party.
    special: &'a [Option<usize>],
    general: &'a [Option<usize>],
}

/// A row in the making.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    peer: Option<PotentialPeer>,
    is_protected: bool,
    open: Open,
}

impl Found {
    fn of(self, workload: End, direction: Direction) -> ExposureRow {
        let (ports, names) = self.open;
        let Self { peer, is_protected, .. } = self;
        ExposureRow { workload, direction, peer, is_protected, ports, names }
    }
}

/// The policies without what they say of some pods only.
fn only_general(book: &Rulebook) -> Rulebook {
    let mut book = book.clone();
    for policy in book.tiers.iter_mut().flat_map(|tier| &mut tier.policies) {
        let sides = policy.ingress.iter_mut().chain(&mut policy.egress);
        for rule in sides.flat_map(|side| &mut side.rules) {
            if let Peers::List(list) = &mut rule.peers {
                *list = list.iter().map(general).collect();
            }
        }
    }
    book
}

/// What remains of a peer if it must take every pod.
fn general(peer: &PeerMatch) -> PeerMatch {
    let nothing = PeerMatch::Endpoints(Expr::None);
    match peer {
        PeerMatch::Endpoints(Expr::All) | PeerMatch::Entity(Entity::Cluster) => peer.clone(),
        PeerMatch::All(all) => PeerMatch::All(all.iter().map(general).collect()),
        PeerMatch::Not(inner) if !takes_pods(inner) => peer.clone(),
        PeerMatch::Endpoints(_)
        | PeerMatch::Networks { .. }
        | PeerMatch::Nodes(_)
        | PeerMatch::Domain(_)
        | PeerMatch::DomainPattern(_)
        | PeerMatch::Entity(_)
        | PeerMatch::Not(_) => nothing,
    }
}

/// Whether a peer may take a pod that does not exist, of which no address is known.
fn takes_pods(peer: &PeerMatch) -> bool {
    match peer {
        PeerMatch::Endpoints(expr) => *expr != Expr::None,
        PeerMatch::Entity(entity) => *entity == Entity::Cluster,
        PeerMatch::All(all) => all.iter().all(takes_pods),
        PeerMatch::Not(_) => true,
        PeerMatch::Networks { .. }
        | PeerMatch::Nodes(_)
        | PeerMatch::Domain(_)
        | PeerMatch::DomainPattern(_) => false,
    }
}
