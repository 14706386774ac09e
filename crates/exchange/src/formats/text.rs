//! Words that many formats write alike.

use std::net::IpAddr;

use sekisho_model::Protocol;
use serde::Deserialize;

use crate::record::Reject;

/// An address; IPv4 inside IPv6 counts as IPv4 (RFC 4291, section 2.5.5.2).
pub(crate) fn address(field: &str, word: &str) -> Result<IpAddr, Reject> {
    let read: Result<IpAddr, _> = word.parse();
    read.map(|address| address.to_canonical())
        .map_err(|_cause| Reject::new(format!("{field}: no IP address")))
}

/// A whole number.
pub(crate) fn number(field: &str, word: &str) -> Result<u64, Reject> {
    word.parse().map_err(|_cause| Reject::new(format!("{field}: no whole number")))
}

/// A protocol by its number (IANA) or name; None = one that policies don't speak about.
pub(crate) fn protocol(field: &str, word: &str) -> Result<Option<Protocol>, Reject> {
    match word {
        "6" => return Ok(Some(Protocol::Tcp)),
        "17" => return Ok(Some(Protocol::Udp)),
        "132" => return Ok(Some(Protocol::Sctp)),
        "1" | "58" => return Ok(Some(Protocol::Icmp)),
        _ => {}
    }
    if word.parse::<u8>().is_ok() {
        return Ok(None);
    }
    match word.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Some(Protocol::Tcp)),
        "udp" => Ok(Some(Protocol::Udp)),
        "sctp" => Ok(Some(Protocol::Sctp)),
        "icmp" | "icmpv6" | "icmp6" | "ipv6-icmp" => Ok(Some(Protocol::Icmp)),
        "igmp" | "gre" | "esp" | "ah" | "ipip" | "ipencap" | "vrrp" | "pim" | "ospf" | "dccp"
        | "udplite" | "unknown" => Ok(None),
        _ => Err(Reject::new(format!("{field}: no protocol"))),
    }
}

/// Reads JSON; the reason of a reject names the field's error, not its place.
pub(crate) fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Reject> {
    serde_json::from_str(text).map_err(|error| {
        let reason = error.to_string();
        let text = reason.split(" at line ").next().unwrap_or_default();
        // Values differ in every line; reasons must not.
        let text = text.split('`').next().unwrap_or_default().split('"').next().unwrap_or_default();
        Reject::new(format!("JSON: {}", text.trim_end()))
    })
}
