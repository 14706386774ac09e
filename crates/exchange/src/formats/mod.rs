//! One file for each format: what its fields are called and what they mean.

pub(crate) mod aws_vpc;
pub(crate) mod conntrack;
pub(crate) mod hubble;
pub(crate) mod pcap;
#[cfg(test)]
mod samples;
pub(crate) mod text;
pub(crate) mod zeek;
