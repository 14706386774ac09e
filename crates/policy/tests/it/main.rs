//! Tests of evaluation at the crate's verbs.

#[cfg(test)]
mod cyclonus;
