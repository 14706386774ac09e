//! What compilation prints and refuses. Needs neither root nor a kernel.

use sekisho_enforce::{CompileError, Mode, Scope, compile, unenforced};
use sekisho_policy::{Dialect, RuleSet};

use crate::topology;
use crate::{policies, tiers};

fn script(scope: &Scope, mode: Mode) -> String {
    let cluster = topology::cluster();
    let verified = policies::verified(&policies::shop(), &cluster);
    compile(&verified, &cluster, scope, mode).unwrap().script
}

#[test]
fn a_nodes_table_reads_like_this() {
    insta::assert_snapshot!(script(&topology::node_scope(7), Mode::Enforce));
}

#[test]
fn a_hosts_staged_table_reads_like_this() {
    insta::assert_snapshot!(script(&topology::host_scope(7), Mode::Audit));
}

#[test]
fn the_same_input_gives_the_same_script() {
    let scope = topology::node_scope(7);
    assert_eq!(script(&scope, Mode::Enforce), script(&scope, Mode::Enforce));
}

#[test]
fn a_place_that_is_not_in_the_cluster_is_refused() {
    let cluster = topology::cluster();
    let verified = policies::verified(&policies::shop(), &cluster);
    let refuse = |mut scope: Scope| {
        scope.node = "nowhere".to_owned();
        compile(&verified, &cluster, &scope, Mode::Enforce).unwrap_err().to_string()
    };
    insta::assert_snapshot!(refuse(topology::node_scope(1)), @"node `nowhere` is not in the cluster");
    insta::assert_snapshot!(
        refuse(topology::host_scope(1)), @"0 hosts are called `nowhere`, expected one"
    );
}

const BY_NAME: &str = "
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: names}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress:
  - action: Accept
    to: [{domainNames: [api.example.com, '*.example.org']}]
  - action: Deny
    to: [{networks: [198.51.100.0/24]}]
";

#[test]
fn what_packets_cannot_tell_is_listed_by_rule() {
    let objects = sekisho_manifest::parse("names.yaml", BY_NAME).unwrap();
    let rules = RuleSet::from_objects(&objects, Dialect::default());
    let listed: Vec<String> = unenforced(&rules).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(
        listed.join("\n"),
        @"ClusterNetworkPolicy names egress[0] (names.yaml:10): api.example.com, *.example.org: not opened, names of DNS are not followed"
    );
    let cluster = topology::cluster();
    let verified = policies::verified(&rules, &cluster);
    let tables = compile(&verified, &cluster, &topology::node_scope(1), Mode::Enforce).unwrap();
    assert_eq!(tables.unenforced, unenforced(&rules));
    assert!(unenforced(&policies::shop()).is_empty());
}

#[test]
fn a_rule_that_denies_has_its_own_counter_and_log_id() {
    let cluster = topology::cluster();
    let verified = policies::verified(&tiers::shop(), &cluster);
    let tables = compile(&verified, &cluster, &topology::node_scope(1), Mode::Enforce).unwrap();
    let deny = |id: &u32| tables.script.contains(&format!("counter d_{id:08x} {{"));
    let denying: Vec<String> =
        tables.decisions.iter().filter(|(id, _)| deny(id)).map(|(_, by)| by.to_string()).collect();
    for rule in ["first ingress[1]", "second egress[1]", "default ingress[0]"] {
        assert!(denying.iter().any(|by| by == rule), "{rule} is not in {denying:?}");
    }
    assert!(!denying.iter().any(|by| by == "second egress[0]"));
}

#[test]
fn a_dialect_without_a_host_network_is_refused() {
    let cluster = topology::cluster();
    let verified = policies::verified(&policies::shop().in_dialect(Dialect::NpGuard), &cluster);
    let error = compile(&verified, &cluster, &topology::node_scope(1), Mode::Enforce).unwrap_err();
    assert!(matches!(error, CompileError::Dialect { .. }));
}

#[test]
fn an_address_of_two_pods_is_refused_and_both_are_named() {
    let mut cluster = topology::cluster();
    let taken = cluster.endpoints.iter().find(|one| one.name == "db").unwrap().addresses[0];
    let far = cluster.endpoints.iter_mut().find(|one| one.name == "far").unwrap();
    far.addresses.push(taken);
    let verified = policies::verified(&policies::shop(), &cluster);
    let error = compile(&verified, &cluster, &topology::node_scope(1), Mode::Enforce).unwrap_err();
    assert!(matches!(error, CompileError::AddressShared { .. }));
    insta::assert_snapshot!(
        error, @"address 10.77.0.12 belongs to both `shop/db` and `shop/far`"
    );
}

#[test]
fn a_host_network_pod_may_share_its_nodes_address() {
    let cluster = topology::cluster();
    assert!(cluster.endpoints.iter().any(|one| one.host_network));
    let verified = policies::verified(&policies::shop(), &cluster);
    compile(&verified, &cluster, &topology::node_scope(1), Mode::Enforce).unwrap();
}
