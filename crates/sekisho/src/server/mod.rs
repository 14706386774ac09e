//! The server role: takes batches, keeps history, knows the cluster, gives orders.

mod agents;
mod cluster_copy;
mod cluster_feed;
mod cluster_live;
mod console;
mod core;
mod damage;
mod derive;
mod drift;
mod entry;
mod fleet;
mod images;
mod imported;
mod losses;
mod metrics;
mod metrics_cluster;
mod native;
mod native_words;
mod not_enforced;
mod offline;
mod people;
mod policies;
mod problems;
mod recent;
mod revisions;
mod run;
mod service;
mod ticked;
mod window;
mod witness;

pub(crate) use agents::is_node_name;
pub(crate) use fleet::{folder_of, pick, recorded};
pub(crate) use imported::{ImportFolder, Mark};
pub(crate) use offline::snapshot as read_offline;
pub(crate) use run::run;
