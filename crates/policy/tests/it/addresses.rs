//! Traps 28-35: what ranges of addresses match.

use crate::world::{World, errors, policy};

// 28
#[test]
fn except_only_takes_away_from_its_own_range() {
    World::policy(
        "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.128/25]}}]}]}",
    )
    .allows(&["203.0.113.1 a/web 80", "203.0.113.127 a/web 80"])
    .denies(&["203.0.113.128 a/web 80", "203.0.113.255 a/web 80", "203.0.112.1 a/web 80"]);
    World::policy(
        "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.128/25]}}, {ipBlock: {cidr: 203.0.113.200/32}}]}]}",
    )
    .allows(&["203.0.113.200 a/web 80"])
    .denies(&["203.0.113.201 a/web 80"]);
}

// 28
#[test]
fn except_must_lie_strictly_inside_its_range() {
    let block =
        |block: &str| errors(&policy(&format!("{{ingress: [{{from: [{{ipBlock: {block}}}]}}]}}")));
    assert!(block("{cidr: 10.0.0.0/8, except: [10.0.0.0/8]}").contains("strict part"));
    assert!(block("{cidr: 10.0.0.0/8, except: [192.0.2.0/24]}").contains("strict part"));
    assert!(block("{cidr: 10.0.0.0/8, except: [0.0.0.0/0]}").contains("strict part"));
    assert!(block("{cidr: 10.0.0.0/8, except: ['fd00::/64']}").contains("strict part"));
}

// 29
#[test]
fn host_bits_of_a_range_are_masked_off() {
    World::policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.77/24}}]}]}")
        .allows(&["203.0.113.1 a/web 80"])
        .denies(&["203.0.114.1 a/web 80"]);
}

// 30
#[test]
fn a_range_matches_the_addresses_of_pods() {
    World::policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.0/24}}]}]}")
        .allows(&["b/web a/web 80", "b/bare a/web 80"])
        .denies(&["c/web a/web 80", "a/db a/web 80"]);
    World::policy("{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.1.1/32}}]}]}")
        .allows(&["a/web b/web 80"])
        .denies(&["a/web b/bare 80"]);
}

// 31
#[test]
fn all_of_ipv4_holds_nothing_of_ipv6() {
    World::policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}")
        .allows(&["203.0.113.1 a/web 80"])
        .denies(&["2001:db8::1 a/web@fd00::1 80"]);
    World::policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: '::/0'}}]}]}")
        .allows(&["2001:db8::1 a/web@fd00::1 80"])
        .denies(&["203.0.113.1 a/web 80"]);
}

// 32
#[test]
fn the_verdict_between_dual_stack_pods_is_that_of_the_family_used() {
    World::policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.0/24}}]}]}")
        .allows(&["b/web a/web 80", "b/web@10.0.1.1 a/web 80", "b/web a/web@10.0.0.1 80"])
        .denies(&["b/web@fd00::11 a/web 80", "b/web a/web@fd00::1 80"]);
    // Selectors do not ask for addresses, and hold in both families.
    World::policy("{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}")
        .allows(&["b/web@10.0.1.1 a/web 80", "b/web@fd00::11 a/web 80"])
        .denies(&["2001:db8::1 a/web 80"]);
}

// 32
#[test]
fn an_end_without_an_address_of_the_family_used_matches_no_range() {
    World::policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}")
        .allows(&["b/bare a/web 80"])
        .denies(&["b/bare a/web@fd00::1 80"]);
}

// 33
#[test]
fn an_ipv4_mapped_ipv6_address_counts_as_ipv4() {
    for range in ["203.0.113.0/24", "'::ffff:203.0.113.0/120'"] {
        World::policy(&format!(
            "{{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{cidr: {range}}}}}]}}]}}"
        ))
        .allows(&["::ffff:203.0.113.9 a/web 80", "203.0.113.9 a/web 80"])
        .denies(&["::ffff:198.51.100.1 a/web 80", "198.51.100.1 a/web 80"]);
    }
}

// 35
#[test]
fn a_node_is_matched_by_ranges_of_its_addresses_and_by_nothing_else() {
    World::policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.2/32}}]}]}")
        .allows(&["node:n2@192.0.2.2 a/web 80", "node:n2 a/web 80"])
        .denies(&["203.0.113.1 a/web 80"]);
    World::policy("{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}")
        .denies(&["node:n2@192.0.2.2 a/web 80", "node:n2 a/web 80"])
        .allows(&["b/bare a/web 80"]);
    World::policy("{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}")
        .allows(&["a/web node:n2@192.0.2.2 10250", "a/web node:n1 10250"])
        .denies(&["a/web node:n3 10250", "a/web 203.0.113.1 10250"]);
}
