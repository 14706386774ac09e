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

/// A whole number that some writers put into quotes (64-bit numbers in the JSON of protobuf).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Number;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number, also in quotes")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Number, E> {
                u64::try_from(number).map(Number).map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A port that stands in a number.
pub(crate) fn port(field: &str, number: Option<Number>) -> Result<u16, Reject> {
    u16::try_from(number.unwrap_or_default().0)
        .map_err(|_cause| Reject::new(format!("{field}: no port is above 65535")))
}

/// An RFC 3339 time.
pub(crate) fn moment(field: &str, word: &str) -> Result<sekisho_model::Timestamp, Reject> {
    word.parse().map_err(|_cause| Reject::new(format!("{field}: no RFC 3339 time")))
}

/// Text of UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Reject> {
    std::str::from_utf8(bytes).map_err(|_cause| Reject::new("no UTF-8 text"))
}

/// Whether the first object of `head` has all of these members somewhere.
pub(crate) fn has_members(head: &[u8], names: &[&str]) -> bool {
    let text = String::from_utf8_lossy(head);
    let begins = text.trim_start().starts_with(['{', '[']);
    begins && names.iter().all(|name| text.contains(&format!("\"{name}\"")))
}

/// Why records of other protocols are left out.
pub(crate) const NOT_OURS: &str = "a protocol that policies don't speak about";
