//! Addresses in one form, so that two ends of a connection compare equal.

use std::net::SocketAddr;

/// Unwraps IPv4-mapped IPv6 (RFC 4291 §2.5.5.2) and drops scope and flow label, which only one end
/// would know.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether a connection never leaves its network namespace's loopback (127/8, ::1).
pub(crate) fn is_loopback(local: SocketAddr, remote: SocketAddr) -> bool {
    local.ip().is_loopback() || remote.ip().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_given_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().unwrap();
        assert_eq!(canonical(mapped), "10.0.0.1:80".parse().unwrap());
        let plain: SocketAddr = "[fd00::1]:80".parse().unwrap();
        assert_eq!(canonical(plain), plain);
    }
}
