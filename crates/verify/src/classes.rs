//! Identities that no policy tells apart, told by the policy engine: one decision answers for all.
//!
//! Only identities that can be read in one way, and that policies judge without exemptions, have a
//! class; the plain evaluator judges the others one by one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sekisho_model::{Direction, Party, PartyKind, Protocol};
use sekisho_policy::{Cluster, Endpoint, Party as Ends, Place, Reach, RuleSet};

use crate::cases::{CaseBuilder, Certain};

/// All that the decisions about an identity depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    current: Cell,
    proposed: Cell,
    /// None where no policy is asked.
    service: Option<(Protocol, u16)>,
}

/// What one set of policies knows of a pair: of each end, and of the other one as its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cell {
    egress: Told,
    ingress: Told,
}

impl Cell {
    fn asks(self) -> bool {
        matches!(self.egress, Told::Of { .. }) || matches!(self.ingress, Told::Of { .. })
    }
}

/// What policies tell of one end in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    /// It is no subject of policies.
    NoSubject,
    /// No policy selects it.
    Nothing,
    /// Policies judge its class by the other end's column.
    Of { class: u32, column: u32 },
}

/// A party for one set of policies.
#[derive(Clone, Copy, Debug)]
struct Seen {
    place: Place,
    /// Whether a policy selects it: as a subject of egress, of ingress.
    selected: [bool; 2],
}

impl Seen {
    fn of(reach: &Reach, place: Place) -> Self {
        let selected = |direction, class: Option<u32>| {
            class.is_some_and(|class| reach.speaks_of(direction, class))
        };
        let egress = selected(Direction::Egress, place.egress_class);
        let ingress = selected(Direction::Ingress, place.ingress_class);
        Self { place, selected: [egress, ingress] }
    }
}

fn told(class: Option<u32>, selected: bool, column: u32) -> Told {
    match class {
        None => Told::NoSubject,
        Some(_) if !selected => Told::Nothing,
        Some(class) => Told::Of { class, column },
    }
}

/// The parties of a history as two sets of policies see them.
pub(crate) struct Classes {
    current: Vec<Option<Seen>>,
    proposed: Vec<Option<Seen>>,
    /// Number of the pod or host that each party is: one that reaches itself is exempt. None = no
    /// pod or host.
    same: Vec<Option<usize>>,
}

impl Classes {
    /// Computes the classes of `parties`.
    pub(crate) fn new(
        (current, proposed): (&RuleSet, &RuleSet),
        builder: &CaseBuilder<'_>,
        parties: &[&Party],
    ) -> Self {
        let certain: Vec<Option<Certain>> =
            parties.iter().map(|party| builder.certain(party)).collect();
        let endpoints = certain.iter().filter_map(|one| match one {
            Some(Certain::Endpoint(endpoint, _)) => Some(Endpoint::clone(endpoint)),
            Some(Certain::Address(_)) | None => None,
        });
        let then = Cluster { endpoints: endpoints.collect(), ..builder.without_endpoints() };
        Self {
            current: places(current, &then, &certain),
            proposed: places(proposed, &then, &certain),
            same: same(&certain),
        }
    }

    /// The class of an identity, its ends as numbers of parties; None = it has none.
    pub(crate) fn of(
        &self,
        (source, destination): (usize, usize),
        protocol: Protocol,
        port: u16,
    ) -> Option<Class> {
        let number = |party: usize| self.same.get(party).copied().flatten();
        if number(source).is_some() && number(source) == number(destination) {
            return None;
        }
        let cell = |places: &[Option<Seen>]| {
            let Seen { place: from, selected: [egress, _] } = places.get(source)?.as_ref()?;
            let Seen { place: to, selected: [_, ingress] } = places.get(destination)?.as_ref()?;
            let meet = (from.ipv4 && to.ipv4) || (from.ipv6 && to.ipv6);
            meet.then_some(Cell {
                egress: told(from.egress_class, *egress, to.egress_column),
                ingress: told(to.ingress_class, *ingress, from.ingress_column),
            })
        };
        let (current, proposed) = (cell(&self.current)?, cell(&self.proposed)?);
        let service = (current.asks() || proposed.asks()).then_some((protocol, port));
        Some(Class { current, proposed, service })
    }
}

/// Where each party is for a set of policies.
fn places(rules: &RuleSet, then: &Cluster, parties: &[Option<Certain>]) -> Vec<Option<Seen>> {
    let reach = Reach::new(rules, then);
    let mut of_endpoint: Vec<usize> = vec![0; then.endpoints.len()];
    let mut external: Vec<(IpAddr, IpAddr, Place)> = Vec::new();
    for place in reach.places() {
        match reach.parties().get(place.party) {
            Some(Ends::Endpoints(members)) => {
                for member in members {
                    if let Some(slot) = of_endpoint.get_mut(*member) {
                        *slot = place.party;
                    }
                }
            }
            Some(Ends::Addresses(ranges)) => {
                external.extend(ranges.iter().map(|(first, last)| (*first, *last, place)));
            }
            Some(Ends::Domain(_)) | None => {}
        }
    }
    external.sort_unstable_by_key(|(first, ..)| *first);
    let mut next = of_endpoint.into_iter();
    let mut place = |party: &Option<Certain>| match party.as_ref()? {
        Certain::Endpoint(_, address) => {
            let place = reach.place_at(next.next()?, *address)?;
            let ipv4 = address.is_ipv4();
            Some(Place { ipv4, ipv6: !ipv4, ..place })
        }
        Certain::Address(address) => {
            let after = external.partition_point(|(first, ..)| first <= address);
            let (_, last, place) = external.get(after.checked_sub(1)?)?;
            (address <= last).then_some(*place)
        }
    };
    parties.iter().map(|party| place(party).map(|place| Seen::of(&reach, place))).collect()
}

/// Numbers pods and hosts: parties that differ in labels only are one.
fn same(parties: &[Option<Certain>]) -> Vec<Option<usize>> {
    let mut numbers: BTreeMap<(PartyKind, &str, &str), usize> = BTreeMap::new();
    let mut same = Vec::with_capacity(parties.len());
    for party in parties {
        same.push(match party {
            Some(Certain::Endpoint(one, _)) => {
                let next = numbers.len();
                Some(*numbers.entry((one.kind, &one.namespace, &one.name)).or_insert(next))
            }
            Some(Certain::Address(_)) | None => None,
        });
    }
    same
}
