//! The real `hubble` command against our server: what its users type must work.
//!
//! `cargo xtask test` builds it from its Go module (testing/hubble) and runs this. By hand:
//! `SEKISHO_TEST_HUBBLE=/path/to/hubble cargo test -p sekisho --test hubble`.

// Always so here; clippy allows `unwrap` in test code where it sees the attribute.
#[cfg(test)]
mod command;
// The server, and the agents that the tests of the roles play.
#[cfg(test)]
#[path = "../it/roles/halves.rs"]
mod halves;
#[cfg(test)]
#[expect(dead_code, reason = "shared with the other tests, which use all of it")]
#[path = "../it/run.rs"]
mod run;
#[cfg(test)]
#[expect(dead_code, reason = "shared with the tests of the roles, which use all of it")]
#[path = "../it/roles/served.rs"]
mod served;
