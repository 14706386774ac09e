//! The agent role, one per node or host: observe, assemble, send; enforce what was verified.

mod capture;
mod datapath;
mod deny;
mod link;
mod run;
mod state;

pub(crate) use run::{AgentOptions, run};
