//! `sekisho policy`: questions about policies, on files alone; no root, no server.

pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod decide;
pub(crate) mod diff;
pub(crate) mod explain;
mod input;
pub(crate) mod lint;
pub(crate) mod list;
mod run;

pub(crate) use run::run;
