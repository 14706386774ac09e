//! Placeholder while the crate is brought up.
fn main() {}
