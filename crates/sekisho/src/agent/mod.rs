//! The agent role, one per node or host: observe, assemble, send; enforce what was verified.

mod capture;
mod datapath;
mod link;
mod run;

pub(crate) use run::{AgentOptions, run};
