//! Tests of reading and printing manifests, at the crate's verbs.

#[cfg(test)]
mod corpus;
