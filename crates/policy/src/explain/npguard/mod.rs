//! Explanations and exposure in the words of np-guard/netpol-analyzer.
//!
//! What that tool prints for `list --explain` and `list --exposure`, line for line, so that answers
//! can be compared. Its way to speak of peers that do not exist yet: each pair of selectors of a
//! rule stands for a representative peer; a rule speaks about such a peer if its selectors are
//! empty or ask for the same.

mod answer;
mod exposed;
mod pairs;
mod reasons;
mod selectors;
mod text;

pub use answer::{Options, json, text};
