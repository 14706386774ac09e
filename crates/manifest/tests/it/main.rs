//! Tests of reading and printing manifests, at the crate's verbs.

mod corpus;
