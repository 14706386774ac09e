//! NetFlow 5 and 9, and IPFIX: files of messages one after the other, and captures of their datagrams.
//!
//! `message -> set -> record -> fields`: [`message`] walks messages and keeps what later ones need
//! (templates, sampling rates, sequence numbers), [`template`] reads templates and cuts records into
//! fields, [`fields`] says what the fields of one record mean.

pub(crate) mod fields;
pub(crate) mod input;
pub(crate) mod message;
pub(crate) mod template;

pub(crate) use input::{Datagrams, Netflow, looks_like};
