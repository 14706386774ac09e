//! Files of flows that people hand in while the server runs: `bytes -> spool -> pieces -> history`.
//!
//! A file is whole and durable in the spool before it is read ([`Spooling`]). What is read stands in the
//! log with how far the reading came ([`work`]), so that each of its flows counts once, also across
//! `kill -9`. The [`Desk`] of a cluster knows all of them; the same bytes are taken once.

mod desk;
mod spool;
mod work;

pub(crate) use desk::Desk;
pub(crate) use spool::Spooling;
pub(crate) use work::run;
