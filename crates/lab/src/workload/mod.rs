//! `sekisho workload`: a small server and client from which scenarios are made.
//!
//! ```text
//! sekisho workload [LISTENERS] [--call URL@RATE]... [--scrape SECONDS]   serve and call
//! sekisho workload once --call URL...                                   each call once
//! sekisho workload dns [--bind ADDRESS] [--wildcard DOMAIN=ADDRESS]...  DNS server
//! sekisho workload get URL | scan RANGES PORTS [MIN] | exfil HOST:PORT BYTES
//! sekisho workload dnstunnel RESOLVER DOMAIN TEXT
//! ```
//! Listeners: `--http PORT`, `--tcp PORT`, `--udp PORT`, `--redis PORT`, `--postgres PORT`,
//! `--metrics PORT`, all on `--bind ADDRESS` (default: all addresses of both families).
//! A URL is `http://`, `tcp://`, `udp://`, `redis://` or `postgres://` host:port; `keep+` before it
//! keeps one connection; `@5/s`, `@10/m` after it is the rate (default once a second).

mod args;
mod call;
mod dispatch;
mod dns;
mod dns_wire;
mod metrics;
mod once;
mod scrape;
mod serve;
mod tools;
mod url;

use dispatch::say;
pub use dispatch::workload_main;
