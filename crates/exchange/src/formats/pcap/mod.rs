//! Captures of packets: pcap and pcapng, as tcpdump, Wireshark, dumpcap and cloud mirrors write them.
//!
//! `file -> packet -> segment -> connection`: [`capture`] knows the files, [`packet`] the headers,
//! [`table`] puts segments together to connections, [`names`] reads the names that were asked for.

pub(crate) mod capture;
mod conn;
pub(crate) mod names;
pub(crate) mod packet;
pub(crate) mod table;

pub(crate) use capture::{Capture, looks_like};
