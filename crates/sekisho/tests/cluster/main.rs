//! The product in a real Kubernetes cluster, which `cargo xtask test` brings up and takes down
//! (testing/cluster/README.md).
//!
//! By hand: `cargo xtask cluster up --state DIR`, then
//! `SEKISHO_TEST_CLUSTER=DIR cargo test -p sekisho --test cluster -- --test-threads=1`; what brings up
//! control planes of its own also needs `SEKISHO_TEST_XTASK=target/debug/xtask`.
//! `SEKISHO_TEST_CLUSTER=DIR cargo test -p sekisho --test cluster -- --test-threads=1`. The bad days
//! also need `SEKISHO_TEST_XTASK=target/debug/xtask`, absolute: it kills parts of the cluster for
//! them. `SEKISHO_TEST_PODS` and `SEKISHO_TEST_OUTAGE_S` make them worse.

// Always so here; clippy allows `unwrap` in test code where it sees the attribute.
#[cfg(test)]
mod bad_applies;
#[cfg(test)]
mod bad_days;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod clusters;
#[cfg(test)]
mod console;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod gate;
// The agents that the tests of the roles play.
#[cfg(test)]
#[path = "../it/roles/halves.rs"]
mod halves;
#[cfg(test)]
mod images;
#[cfg(test)]
mod install;
#[cfg(test)]
mod native;
#[cfg(test)]
mod native_server;
#[cfg(test)]
mod nodes;
// One poker for the lab and for the cluster.
#[cfg(test)]
#[path = "../../../enforce/tests/it/poke.rs"]
mod poke;
#[cfg(test)]
mod product;
#[cfg(test)]
#[path = "../../../enforce/tests/it/sctp.rs"]
mod sctp;
#[cfg(test)]
mod server;
#[cfg(test)]
mod shop;
#[cfg(test)]
mod story;
#[cfg(test)]
mod truth;
#[cfg(test)]
mod truth_table;
#[cfg(test)]
mod webhooks;
