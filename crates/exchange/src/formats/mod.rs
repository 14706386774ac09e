//! One file for each format: what its fields are called and what they mean.

pub(crate) mod aws_vpc;
pub(crate) mod azure;
pub(crate) mod calico;
pub(crate) mod conntrack;
pub(crate) mod envoy;
pub(crate) mod gcp;
pub(crate) mod hubble;
pub(crate) mod netflow;
pub(crate) mod netobserv;
pub(crate) mod pcap;
#[cfg(test)]
mod samples;
pub(crate) mod text;
pub(crate) mod zeek;
