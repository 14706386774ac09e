//! Who a certificate says its holder is: one SPIFFE-like URI among its alternative names.
//!
//! | name | may |
//! |---|---|
//! | `spiffe://CLUSTER/agent/NODE` | send batches and reports of NODE, ask for its orders |
//! | `spiffe://CLUSTER/agent` | the same for every node: what a DaemonSet's one Secret can hold |
//! | `spiffe://CLUSTER/operator/NAME` | everything that people do; NAME is written into revisions |
//! | `spiffe://CLUSTER/viewer/NAME` | look at flows with Hubble's clients |
//! | `spiffe://CLUSTER/monitor` | read the metrics |
//! | `spiffe://CLUSTER/server` | be the server; opens nothing |
//!
//! The form is that of a SPIFFE ID (SPIFFE-ID §2), and there must be exactly one URI
//! (X509-SVID §2), so that cert-manager or SPIRE can make the certificates as well. Where there is no
//! URI, the common name may be it: Helm can make no others.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sekisho_model::Timestamp;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Longest URI that is read, bytes (SPIFFE-ID §2.3).
const URI_BYTES_MAX: usize = 2_048;
/// Longest trust domain, bytes (SPIFFE-ID §2.1).
const CLUSTER_BYTES_MAX: usize = 255;
/// Longest name of a node or operator, bytes: a DNS name's length.
const NAME_BYTES_MAX: usize = 253;
const SCHEME: &str = "spiffe://";

/// What the holder of a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// An agent; with a name, only that of this node.
    Agent(Option<String>),
    /// A person or program that asks and orders, by name.
    Operator(String),
    /// A person or program that looks at flows, by name.
    Viewer(String),
    /// Reads the metrics.
    Monitor,
    /// The server itself.
    Server,
}

/// Who a certificate says its holder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster, as the certificates name it: lower-case letters, digits, `.`, `-`, `_`.
    pub cluster: String,
    /// What it is there.
    pub role: Role,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody who may open our Unix socket: the administrator of this machine, and agents on it.
    Local,
    /// The holder of a certificate of our authority.
    Certified {
        /// Who that is.
        identity: Identity,
        /// Name of the cluster in the server's own certificate.
        home: String,
    },
    /// A certificate of our authority that names nobody we know, and why.
    Nameless(String),
}

/// A name is none of those.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not readable as X.509.
    #[error("the certificate can't be read: {0}")]
    Unreadable(String),
    /// No URI, or more than one.
    #[error("the certificate has {0} URI names, and must have one: spiffe://CLUSTER/ROLE")]
    Uris(usize),
    /// The URI is none of ours.
    #[error(
        "`{0}` is none of spiffe://CLUSTER/agent[/NODE], /operator/NAME, /viewer/NAME, /monitor and /server"
    )]
    Form(String),
}

impl Identity {
    /// Reads the identity of an end-entity certificate in DER.
    ///
    /// # Errors
    /// [`IdentityError`]; the signature is not looked at, TLS has done that.
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let certificate = parsed(der)?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|error| IdentityError::Unreadable(error.to_string()))?;
        let names = names.iter().flat_map(|extension| &extension.value.general_names);
        let uris: Vec<&str> = names
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        match uris.as_slice() {
            [uri] => uri.parse(),
            // Helm's functions make certificates that can't have a URI, so there it is the common
            // name. Our authority signed it in either place.
            [] => common_name(&certificate).ok_or(IdentityError::Uris(0))?.parse(),
            _ => Err(IdentityError::Uris(uris.len())),
        }
    }
}

/// The one common name, if it is a URI of ours.
fn common_name<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    let mut names = certificate.subject().iter_common_name();
    let (only, more) = (names.next()?.as_str().ok()?, names.next());
    (more.is_none() && only.starts_with(SCHEME)).then_some(only)
}

/// Reads a certificate in DER.
pub(crate) fn parsed(der: &[u8]) -> Result<X509Certificate<'_>, IdentityError> {
    match X509Certificate::from_der(der) {
        Ok((_rest, certificate)) => Ok(certificate),
        Err(error) => Err(IdentityError::Unreadable(error.to_string())),
    }
}

/// First and last moment at which a certificate in DER is valid; times before 1970 count as 1970.
pub(crate) fn validity(der: &[u8]) -> Result<(Timestamp, Timestamp), IdentityError> {
    let certificate = parsed(der)?;
    let at = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_seconds(u64::try_from(time.timestamp()).unwrap_or(0))
    };
    let validity = certificate.validity();
    Ok((at(validity.not_before), at(validity.not_after)))
}

/// DNS names and addresses in a certificate in DER.
pub(crate) fn places(der: &[u8]) -> Result<Vec<String>, IdentityError> {
    let certificate = parsed(der)?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| IdentityError::Unreadable(error.to_string()))?;
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    let place = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
                .ok()
                .map(|address| address.to_string())
        }
        _ => None,
    };
    Ok(names.filter_map(place).collect())
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        let wrong = || IdentityError::Form(sekisho_base::harmless(uri).chars().take(200).collect());
        if uri.len() > URI_BYTES_MAX {
            return Err(wrong());
        }
        let rest = uri.strip_prefix(SCHEME).ok_or_else(wrong)?;
        let (cluster, path) = rest.split_once('/').ok_or_else(wrong)?;
        let parts: Vec<&str> = path.split('/').collect();
        let role = match parts.as_slice() {
            ["agent"] => Role::Agent(None),
            ["agent", node] if is_name(node) => Role::Agent(Some((*node).to_owned())),
            ["operator", name] if is_name(name) => Role::Operator((*name).to_owned()),
            ["viewer", name] if is_name(name) => Role::Viewer((*name).to_owned()),
            ["monitor"] => Role::Monitor,
            ["server"] => Role::Server,
            _ => return Err(wrong()),
        };
        if is_cluster(cluster) {
            Ok(Self { cluster: cluster.to_owned(), role })
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}/{}", self.cluster, self.role)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(None) => formatter.write_str("agent"),
            Self::Agent(Some(node)) => write!(formatter, "agent/{node}"),
            Self::Operator(name) => write!(formatter, "operator/{name}"),
            Self::Viewer(name) => write!(formatter, "viewer/{name}"),
            Self::Monitor => formatter.write_str("monitor"),
            Self::Server => formatter.write_str("server"),
        }
    }
}

/// Letters, digits, `.`, `-`, `_` (SPIFFE-ID §2.2), and not `.` or `..`.
fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let length = (1..=NAME_BYTES_MAX).contains(&text.len());
    length && text.bytes().all(known) && text.bytes().any(|byte| byte != b'.')
}

/// Lower-case letters, digits, `.`, `-`, `_` (SPIFFE-ID §2.1).
fn is_cluster(text: &str) -> bool {
    let known =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    (1..=CLUSTER_BYTES_MAX).contains(&text.len()) && text.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_read_and_written_alike() {
        for (uri, role) in [
            ("spiffe://prod.example/agent", Role::Agent(None)),
            ("spiffe://prod/agent/node-1.zone_b", Role::Agent(Some("node-1.zone_b".to_owned()))),
            ("spiffe://a/operator/Ann", Role::Operator("Ann".to_owned())),
            ("spiffe://a/viewer/ui", Role::Viewer("ui".to_owned())),
            ("spiffe://a/monitor", Role::Monitor),
            ("spiffe://a/server", Role::Server),
        ] {
            let identity: Identity = uri.parse().unwrap();
            assert_eq!((identity.role.clone(), identity.to_string().as_str()), (role, uri));
        }
    }

    #[test]
    fn what_is_not_exactly_one_of_them_is_refused() {
        let long = format!("spiffe://a/agent/{}", "n".repeat(254));
        for uri in [
            "",
            "spiffe://",
            "spiffe://a",
            "spiffe:///agent",
            "spiffe://A/agent",
            "https://a/agent",
            "spiffe://a/agent/",
            "spiffe://a/agent/..",
            "spiffe://a/agent/x/y",
            "spiffe://a/agents",
            "spiffe://a/operator",
            "spiffe://a/operator/a b",
            "spiffe://a/viewer",
            "spiffe://a/server/x",
            "spiffe://a/Monitor",
            "spiffe://a/agent?x",
            &long,
        ] {
            assert!(uri.parse::<Identity>().is_err(), "{uri}");
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_are_an_error() {
        for bytes in [b"".as_slice(), b"\x30\x82\xff\xff", &[0xff; 64]] {
            assert!(matches!(Identity::of_certificate(bytes), Err(IdentityError::Unreadable(_))));
        }
    }
}
