//! Where a server is: a Unix socket on this machine, or `https://HOST[:PORT]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// Port of a server where the address names none.
const PORT: u16 = 7_443;
const SCHEME: &str = "https://";

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ServerAddress {
    /// A Unix socket.
    Socket(PathBuf),
    /// A TLS listener.
    Tls {
        /// DNS name or address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
}

/// Not the address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another scheme.
    #[error(
        "`{0}` is neither the path of a socket nor https://HOST[:PORT]; nothing else is served"
    )]
    Scheme(String),
    /// No host, a port that is none, or more than host and port.
    #[error("`{0}` is not of the form https://HOST[:PORT]")]
    Form(String),
    /// Nothing at all.
    #[error("the server's address is empty: give the path of its socket, or https://HOST[:PORT]")]
    Empty,
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return match text.contains("://") {
                true => Err(AddressError::Scheme(text.to_owned())),
                false => Ok(Self::Socket(PathBuf::from(text))),
            };
        };
        let form = || AddressError::Form(text.to_owned());
        let place = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match place.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']').ok_or_else(form)?;
                (host, after.strip_prefix(':').or(if after.is_empty() { None } else { Some("") }))
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(form)?,
            None => PORT,
        };
        let name = rustls::pki_types::ServerName::try_from(host);
        name.map_err(|_cause| form())?;
        Ok(Self::Tls { host: host.to_owned(), port })
    }
}

impl TryFrom<String> for ServerAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl Serialize for ServerAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(formatter, "{}", path.display()),
            Self::Tls { host, port } if host.contains(':') => {
                write!(formatter, "{SCHEME}[{host}]:{port}")
            }
            Self::Tls { host, port } => write!(formatter, "{SCHEME}{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_https_are_read_and_nothing_else() {
        let tls = |host: &str, port| Ok(ServerAddress::Tls { host: host.to_owned(), port });
        for (text, expected) in [
            ("/run/x.sock", Ok(ServerAddress::Socket(PathBuf::from("/run/x.sock")))),
            ("x.sock", Ok(ServerAddress::Socket(PathBuf::from("x.sock")))),
            ("https://sekisho.example", tls("sekisho.example", 7_443)),
            ("https://sekisho.example:443/", tls("sekisho.example", 443)),
            ("https://127.0.0.1:1", tls("127.0.0.1", 1)),
            ("https://[::1]:1", tls("::1", 1)),
            ("https://[::1]", tls("::1", 7_443)),
            ("", Err(AddressError::Empty)),
            ("http://a:1", Err(AddressError::Scheme("http://a:1".to_owned()))),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in [
            "https://",
            "https://:7443",
            "https://a:0",
            "https://a:x",
            "https://a:70000",
            "https://a/b",
            "https://[::1",
            "https://[::1]1",
            "https://a b",
            "https://::1",
        ] {
            assert!(matches!(text.parse::<ServerAddress>(), Err(AddressError::Form(_))), "{text}");
        }
    }

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["https://a:1", "https://[::1]:7443", "/run/x.sock"] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), text);
        }
    }
}
