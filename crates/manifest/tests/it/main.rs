//! Tests of reading and printing manifests, at the crate's verbs.

#[cfg(test)]
mod calico;
#[cfg(test)]
mod cilium;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod exposure;
#[cfg(test)]
mod mutants;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod print;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod strategy;
#[cfg(test)]
mod strategy_tier;
#[cfg(test)]
mod text;
#[cfg(test)]
mod tiers;
