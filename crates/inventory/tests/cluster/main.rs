//! The watch against a real API server. Asked for by name, as a plain `cargo test` needs no cluster:
//!
//! ```sh
//! cargo xtask cluster up --control-plane --state DIR
//! SEKISHO_TEST_CLUSTER=DIR cargo test -p sekisho-inventory --test cluster -- --test-threads=1
//! ```

mod faults;
mod live;
mod proxy;
mod world;
