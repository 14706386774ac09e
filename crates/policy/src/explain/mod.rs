//! Why connections are allowed or denied, in plain words.

mod answer;
pub mod npguard;

pub use answer::{DirectionExplanation, Explanation, Miss, explain};
