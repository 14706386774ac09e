//! What compilation prints and refuses. Needs neither root nor a kernel.

use sekisho_enforce::{CompileError, Mode, Scope, compile};

use crate::policies;
use crate::topology;

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
