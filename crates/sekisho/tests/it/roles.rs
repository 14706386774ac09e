//! Server and agent as a service manager runs them: killed, stopped, starved of disk, fed garbage.

mod agent;
mod clickhouse;
mod clusters;
mod durable;
mod faults;
pub(crate) mod halves;
mod input;
mod metrics;
pub(crate) mod served;
mod sinks;
mod sources;
mod tls;
