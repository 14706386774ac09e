//! Tests of the replay at the crate's verbs: `what_if` and `VerifiedPolicy::restore`.

#[cfg(test)]
mod accepted;
#[cfg(test)]
mod classes;
#[cfg(test)]
mod hits;
#[cfg(test)]
mod property;
#[cfg(test)]
mod world;
