//! Server and agent as a service manager runs them: killed, stopped, starved of disk, fed garbage.

mod agent;
mod clusters;
mod durable;
mod faults;
mod halves;
mod input;
mod metrics;
mod served;
mod tls;
