//! Tests of evaluation at the crate's verbs.
//!
//! The traps of NetworkPolicy semantics, numbered 1 to 47 in our notes, are tests in the modules
//! `selectors` (1-10), `rules` (11-20), `ports` (21-27), `addresses` (28-35) and `pods` (36-47);
//! the number stands above each test. Those of policies in tiers (48-60) are in `tiers`. These do
//! not apply to an evaluator that is asked about one connection in one state of a cluster:
//! - 34 SNAT: it judges the addresses it is given; who rewrote them, the flow stages know.
//! - 39 loopback inside a pod: such flows never leave it, so nobody asks.
//! - 41 CNIs that enforce nothing: a finding about the cluster, not a decision.
//! - 42 established connections: every question is about a new connection.
//! - 46 pods seldom seen: a matter of confidence in recommendations.
//! - 47 several networks: only addresses of the primary network are known here.

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod calico;
#[cfg(test)]
mod cilium;
#[cfg(test)]
mod cnp_conformance;
#[cfg(test)]
mod compare;
#[cfg(test)]
mod cyclonus;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod exposure;
#[cfg(test)]
mod lines;
#[cfg(test)]
mod lint;
#[cfg(test)]
mod list;
#[cfg(test)]
mod np_e2e;
#[cfg(test)]
mod npguard_words;
#[cfg(test)]
mod owners;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod pokes;
#[cfg(test)]
mod ports;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod selectors;
#[cfg(test)]
mod shadow;
#[cfg(test)]
mod tier_oracle;
#[cfg(test)]
mod tier_properties;
#[cfg(test)]
mod tiers;
#[cfg(test)]
mod vendor_oracle;
#[cfg(test)]
mod vendor_properties;
#[cfg(test)]
mod world;
