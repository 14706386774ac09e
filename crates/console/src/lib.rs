//! The web console's files, built from console/ and held in the binary.
//!
//! Without them, where nobody ran `cargo xtask console`, there is one page that says so: the API and
//! the command line work all the same.

mod files;

pub use files::{File, file, is_built};
