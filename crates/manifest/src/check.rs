//! Rules for names, labels, ports and addresses (Kubernetes v1.34, apimachinery validation).
//!
//! Each function says what is wrong, or nothing.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const DNS_LABEL_CHARS_MAX: usize = 63;
const DNS_SUBDOMAIN_CHARS_MAX: usize = 253;
const LABEL_CHARS_MAX: usize = 63;
const PORT_NAME_CHARS_MAX: usize = 15;
/// Leading bits of an IPv6 address that maps an IPv4 one (RFC 4291 §2.5.5.2).
const MAPPED_PREFIX_BITS: u8 = 96;

/// Names of namespaces, services, containers (RFC 1123 label).
pub(crate) fn dns_label(text: &str) -> Option<String> {
    let fits = text.len() <= DNS_LABEL_CHARS_MAX && is_dns_label(text);
    (!fits).then(|| {
        format!(
            "must be 1 to {DNS_LABEL_CHARS_MAX} lower-case letters, digits or `-`, starting and \
             ending with a letter or digit"
        )
    })
}

/// Names of most objects (RFC 1123 subdomain).
pub(crate) fn dns_subdomain(text: &str) -> Option<String> {
    let fits = text.len() <= DNS_SUBDOMAIN_CHARS_MAX && text.split('.').all(is_dns_label);
    (!fits).then(|| {
        format!(
            "must be 1 to {DNS_SUBDOMAIN_CHARS_MAX} lower-case letters, digits, `-` or `.`, each \
             part starting and ending with a letter or digit"
        )
    })
}

fn is_dns_label(text: &str) -> bool {
    is_framed(text, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), |c| c == b'-')
}

/// Whether all bytes are `outer` or `inner`, and the first and last are `outer`.
fn is_framed(text: &str, outer: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|c| outer(*c))
        && bytes.last().is_some_and(|c| outer(*c))
        && bytes.iter().all(|c| outer(*c) || inner(*c))
}

fn is_qualified_name(text: &str) -> bool {
    text.len() <= LABEL_CHARS_MAX
        && is_framed(text, |c| c.is_ascii_alphanumeric(), |c| matches!(c, b'-' | b'_' | b'.'))
}

/// Keys of labels: `[prefix/]name`.
pub(crate) fn label_key(text: &str) -> Option<String> {
    let fits = match text.split_once('/') {
        Some((prefix, name)) => dns_subdomain(prefix).is_none() && is_qualified_name(name),
        None => is_qualified_name(text),
    };
    (!fits).then(|| {
        format!(
            "a label key is an optional DNS name and `/`, then 1 to {LABEL_CHARS_MAX} letters, \
             digits, `-`, `_` or `.`, starting and ending with a letter or digit"
        )
    })
}

/// Keys of annotations: as of labels, but in any case.
pub(crate) fn annotation_key(text: &str) -> Option<String> {
    label_key(&text.to_ascii_lowercase())
}

/// Values of labels: empty, or as the name part of a key.
pub(crate) fn label_value(text: &str) -> Option<String> {
    let fits = text.is_empty() || is_qualified_name(text);
    (!fits).then(|| {
        format!(
            "a label value is empty or at most {LABEL_CHARS_MAX} letters, digits, `-`, `_` or \
             `.`, starting and ending with a letter or digit"
        )
    })
}

/// Names of ports (IANA service name, RFC 6335 §5.1).
pub(crate) fn port_name(text: &str) -> Option<String> {
    let fits = text.len() <= PORT_NAME_CHARS_MAX
        && is_dns_label(text)
        && !text.contains("--")
        && text.bytes().any(|c| c.is_ascii_lowercase());
    (!fits).then(|| {
        format!(
            "a port name is at most {PORT_NAME_CHARS_MAX} lower-case letters, digits or `-`, with \
             at least one letter, no `--`, and no `-` at either end"
        )
    })
}

/// Reads an address range; host bits are masked off, and an IPv4-mapped IPv6 range becomes IPv4.
pub(crate) fn cidr(text: &str) -> Option<IpNet> {
    // Not ipnet's own parser: it reads `010.0.0.0/8`, which others take for octal.
    let (address, bits) = text.split_once('/')?;
    if !bits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let net = IpNet::new(address.parse().ok()?, bits.parse().ok()?).ok()?;
    let net = match net {
        IpNet::V4(_) => net,
        IpNet::V6(v6) => unmap(v6).map_or(net, IpNet::V4),
    };
    Some(net.trunc())
}

fn unmap(net: Ipv6Net) -> Option<Ipv4Net> {
    let address: Ipv6Addr = net.addr();
    let prefix = net.prefix_len().checked_sub(MAPPED_PREFIX_BITS)?;
    Ipv4Net::new(address.to_ipv4_mapped()?, prefix).ok()
}

/// Reads an address; an IPv4-mapped IPv6 one becomes IPv4.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_accepted_and_refused_as_kubernetes_does() {
        for good in ["a", "a-b", "0a", "a.b-c.d"] {
            assert_eq!(dns_subdomain(good), None, "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a..b", "a_b", &"a".repeat(254)] {
            assert!(dns_subdomain(bad).is_some(), "{bad}");
        }
        assert_eq!(dns_label(&"a".repeat(63)), None);
        assert!(dns_label(&"a".repeat(64)).is_some());
        assert!(dns_label("a.b").is_some());
        for good in ["app", "app.kubernetes.io/name", "A_b.c-d", "example.com/X"] {
            assert_eq!(label_key(good), None, "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "-a", "a b", "Example.com/x", &"a".repeat(64)] {
            assert!(label_key(bad).is_some(), "{bad}");
        }
        assert_eq!(annotation_key("Example.com/x"), None);
        assert_eq!(label_value(""), None);
        assert!(label_value("a b").is_some());
        for good in ["http", "a1", "1a", "fifteen-chars-x"] {
            assert_eq!(port_name(good), None, "{good}");
        }
        for bad in ["", "80", "sixteen-chars-xx", "a--b", "-a", "a-", "A"] {
            assert!(port_name(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn ranges_are_masked_and_mapped_ones_become_ipv4() {
        assert_eq!(cidr("10.0.0.5/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(cidr("::ffff:10.0.0.0/104").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(cidr("2001:db8::1/32").unwrap().to_string(), "2001:db8::/32");
        assert_eq!(cidr("::/0").unwrap().to_string(), "::/0");
        for bad in ["10.0.0.0", "10.0.0.0/33", "010.0.0.0/8", "x/8", "10.0.0.0/-1"] {
            assert_eq!(cidr(bad), None, "{bad}");
        }
    }
}
