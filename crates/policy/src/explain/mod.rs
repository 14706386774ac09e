//! Why connections are allowed or denied, in plain words.
//!
//! [`Question`] is what a user asks: words for two ends. [`Explanation`] answers for one pair, with
//! the smallest witness: the policies, rules and lines that decide in each direction and tier.

mod answer;
mod json;
pub mod npguard;
mod target;
mod text;

pub use answer::{
    DirectionExplanation, Explanation, Miss, SegmentExplanation, Why, Witness, explain,
    explain_pair,
};
pub use json::ExplanationJson;
pub use target::{Answers, Question, TargetError};
