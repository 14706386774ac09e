//! Tests of evaluation at the crate's verbs.

mod cyclonus;
