//! External ranges, cut at what the policies of each direction name.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use sekisho_manifest::{NetworkPolicy, Object, PolicyPeer, PolicyRule, TierPeer};

use crate::RuleSet;
use crate::list::externals::{Range, after, before, cut};

const ALL: Range = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::BROADCAST));

/// Ranges of sources (cut by ingress rules) and of destinations (by egress rules), IPv4 only.
pub(crate) fn ranges(rules: &RuleSet) -> (Vec<Range>, Vec<Range>) {
    let mut sources = Vec::new();
    let mut destinations = Vec::new();
    for policy in rules.policies() {
        let NetworkPolicy { ingress, egress, .. } = policy;
        named(ingress, &mut sources);
        named(egress, &mut destinations);
    }
    for other in rules.others() {
        let Object::TierPolicy(policy) = other else { continue };
        for peer in policy.egress.iter().flat_map(|rule| &rule.peers) {
            if let TierPeer::Networks(nets) = peer {
                destinations.extend(nets.iter().filter_map(range));
            }
        }
    }
    (cut(ALL, &sources), cut(ALL, &destinations))
}

fn named(rules: &[PolicyRule], found: &mut Vec<Range>) {
    for peer in rules.iter().flat_map(|rule| &rule.peers) {
        let PolicyPeer::IpBlock { cidr, except } = peer else { continue };
        let Some(whole) = range(cidr) else { continue };
        found.extend(minus(whole, except.iter().filter_map(range)));
    }
}

/// What is left of a range, in as few ranges as possible: where exceptions touch each other, that
/// tool cuts nothing.
fn minus(whole: Range, except: impl Iterator<Item = Range>) -> Vec<Range> {
    let mut except: Vec<Range> = except.collect();
    except.sort_unstable();
    let mut left = Vec::new();
    let mut next = Some(whole.0);
    for (first, last) in except {
        let Some(start) = next else { break };
        if start < first
            && let Some(end) = before(first)
        {
            left.push((start, end.min(whole.1)));
        }
        if last >= start {
            next = after(last);
        }
    }
    match next {
        Some(start) if start <= whole.1 => left.push((start, whole.1)),
        Some(_) | None => {}
    }
    left
}

fn range(net: &IpNet) -> Option<Range> {
    match net {
        IpNet::V4(net) => Some((net.network().into(), net.broadcast().into())),
        IpNet::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Range {
        range(&text.parse().unwrap()).unwrap()
    }

    #[test]
    fn exceptions_that_touch_are_one_hole() {
        let left = minus(of("10.0.0.0/8"), ["10.0.0.0/10", "10.64.0.0/10"].map(of).into_iter());
        assert_eq!(left, [of("10.128.0.0/9")]);
        let left = minus(of("10.0.0.0/8"), ["10.32.0.0/11", "10.96.0.0/11"].map(of).into_iter());
        assert_eq!(left, [of("10.0.0.0/11"), of("10.64.0.0/11"), of("10.128.0.0/9")]);
    }

    #[test]
    fn an_exception_may_be_the_whole_or_hold_others() {
        let all = ["0.0.0.0/0", "10.0.0.0/8"].map(of);
        assert!(minus(ALL, all.into_iter()).is_empty());
        let nested = ["128.0.0.0/1", "192.0.0.0/2"].map(of);
        assert_eq!(minus(ALL, nested.into_iter()), [of("0.0.0.0/1")]);
        assert_eq!(minus(ALL, std::iter::empty()), [ALL]);
    }
}
