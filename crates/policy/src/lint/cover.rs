//! Whether one rule says all that another says, whatever pods there are.
//!
//! Sound and not complete: what is told to be covered is, and some that is covered is not told.

use ipnet::IpNet;
use sekisho_manifest::{Operator, Requirement};

use crate::Cluster;
use crate::ir::{Expr, PeerMatch, Peers, PortMatch, Ports, Rule, Scope, Test};
use crate::matching::resolve;

/// Whether everything that `inner` matches is matched by `outer`.
pub(crate) fn rule_covers(cluster: &Cluster, outer: &Rule, inner: &Rule) -> bool {
    outer.condition.is_none()
        && peers_cover(cluster, &outer.peers, &inner.peers)
        && ports_cover(&outer.ports, &inner.ports)
}

fn peers_cover(cluster: &Cluster, outer: &Peers, inner: &Peers) -> bool {
    match (outer, inner) {
        (Peers::Any, _) => true,
        (Peers::List(_), Peers::Any) => false,
        (Peers::List(outer), Peers::List(inner)) => {
            inner.iter().all(|one| outer.iter().any(|wide| peer_covers(cluster, wide, one)))
        }
    }
}

/// Whether every end that `inner` matches is matched by `outer`.
pub(crate) fn peer_covers(cluster: &Cluster, outer: &PeerMatch, inner: &PeerMatch) -> bool {
    match (outer, inner) {
        (outer, inner) if outer == inner => true,
        (PeerMatch::Endpoints(wide), PeerMatch::Endpoints(narrow)) => {
            implies(cluster, narrow, wide)
        }
        (
            PeerMatch::Networks { nets, except, extent },
            PeerMatch::Networks { nets: inside, except: without, extent: own },
        ) => {
            extent == own
                && inside.iter().all(|net| {
                    nets.iter().any(|wide| wide.contains(net))
                        && except.iter().all(|hole| {
                            !overlap(hole, net) || without.iter().any(|own| own.contains(hole))
                        })
                })
        }
        (outer, PeerMatch::All(all)) => all.iter().any(|one| peer_covers(cluster, outer, one)),
        (
            PeerMatch::Endpoints(_)
            | PeerMatch::Networks { .. }
            | PeerMatch::Nodes(_)
            | PeerMatch::Domain(_)
            | PeerMatch::DomainPattern(_)
            | PeerMatch::Entity(_)
            | PeerMatch::All(_)
            | PeerMatch::Not(_),
            _,
        ) => false,
    }
}

pub(crate) fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// Whether every port of `inner` is one of `outer`; names are the same only as names.
pub(crate) fn ports_cover(outer: &Ports, inner: &Ports) -> bool {
    if outer == &Ports::ALL || outer == inner {
        return true;
    }
    if outer.exclude.iter().chain(&inner.exclude).any(is_named) {
        return false;
    }
    let nobody = || std::iter::empty();
    let (wide, narrow) = (resolve(outer, nobody), resolve(inner, nobody));
    let names_known = inner.include.iter().flatten().filter(|one| is_named(one)).all(|one| {
        let PortMatch::Named { protocol, .. } = one else { return true };
        let include = outer.include.as_deref().unwrap_or_default();
        let all_ports = |protocol: &sekisho_model::Protocol| {
            crate::PortSet::protocol(*protocol).is_subset(&wide)
        };
        include.contains(one) || protocol.as_ref().is_some_and(all_ports)
    });
    names_known && narrow.is_subset(&wide)
}

fn is_named(port: &PortMatch) -> bool {
    matches!(port, PortMatch::Named { .. })
}

/// Whether everything that `narrow` selects is selected by `wide`.
pub(crate) fn implies(cluster: &Cluster, narrow: &Expr, wide: &Expr) -> bool {
    if narrow == wide {
        return true;
    }
    match (narrow, wide) {
        (_, Expr::All) | (Expr::None, _) => true,
        (_, Expr::And(all)) => all.iter().all(|one| implies(cluster, narrow, one)),
        (Expr::Or(any), _) => any.iter().all(|one| implies(cluster, one, wide)),
        (_, Expr::Or(any)) => any.iter().any(|one| implies(cluster, narrow, one)),
        (Expr::And(all), _) => all.iter().any(|one| implies(cluster, one, wide)),
        (Expr::Test(narrow), Expr::Test(wide)) => test_implies(cluster, narrow, wide),
        (Expr::All | Expr::Not(_) | Expr::Test(_), Expr::None | Expr::Not(_) | Expr::Test(_)) => {
            false
        }
    }
}

fn test_implies(cluster: &Cluster, narrow: &Test, wide: &Test) -> bool {
    match (narrow, wide) {
        (Test::Label(scope, own), Test::Label(other, wanted)) => {
            scope == other && requirement_implies(own, wanted)
        }
        (Test::Namespace(name), Test::Label(Scope::Namespace, wanted)) => {
            wanted.matches(&cluster.namespace_labels(name))
        }
        (Test::Label(Scope::Namespace, own), Test::Namespace(name)) => {
            own.key == "kubernetes.io/metadata.name"
                && own.operator == Operator::In
                && own.values.iter().all(|value| value == name)
        }
        (
            Test::Namespace(_) | Test::ServiceAccount(_) | Test::Label(..) | Test::Text(..),
            Test::Namespace(_) | Test::ServiceAccount(_) | Test::Label(..) | Test::Text(..),
        ) => narrow == wide,
    }
}

fn requirement_implies(own: &Requirement, wanted: &Requirement) -> bool {
    let has = |list: &[String], value: &String| list.contains(value);
    own.key == wanted.key
        && match (own.operator, wanted.operator) {
            (Operator::In, Operator::In) => {
                own.values.iter().all(|value| has(&wanted.values, value))
            }
            (Operator::In, Operator::NotIn) => {
                own.values.iter().all(|value| !has(&wanted.values, value))
            }
            (Operator::NotIn, Operator::NotIn) => {
                wanted.values.iter().all(|value| has(&own.values, value))
            }
            (Operator::In | Operator::Exists, Operator::Exists)
            | (Operator::DoesNotExist, Operator::DoesNotExist | Operator::NotIn) => true,
            (
                Operator::In | Operator::NotIn | Operator::Exists | Operator::DoesNotExist,
                Operator::In | Operator::NotIn | Operator::Exists | Operator::DoesNotExist,
            ) => false,
        }
}
