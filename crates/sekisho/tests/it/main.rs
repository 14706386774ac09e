//! The binary as its users run it.

// Always so here; clippy allows `unwrap` in test code where it sees the attribute.
#[cfg(test)]
mod ci;
#[cfg(test)]
mod established;
mod examples;
#[cfg(test)]
mod export;
#[cfg(test)]
mod files;
#[cfg(test)]
mod import;
#[cfg(test)]
mod lab_features;
#[cfg(test)]
mod lab_life;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod run;
#[cfg(test)]
mod story;
#[cfg(test)]
mod web;
