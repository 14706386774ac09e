//! `cargo xtask tidy`: the rules of CONTRIBUTING.md that neither rustc, clippy nor rustfmt checks.
//!
//! A check is a function from the [`Tree`] (the text of every file) to findings; each has a test
//! that it can fail and one that it lets the good case pass.

mod bpf;
mod finding;
mod licences;
mod manifests;
mod purity;
mod records;
mod sources;
mod tree;
mod verb;

pub(crate) use tree::Tree;
pub(crate) use verb::run;
