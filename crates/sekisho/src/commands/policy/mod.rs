//! `sekisho policy`: questions about policies: on files alone, no root, no server, but for `hits`, which
//! asks a server or a folder of history.

pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod decide;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod hits;
mod input;
pub(crate) mod lint;
pub(crate) mod list;
mod run;

pub(crate) use run::run;
