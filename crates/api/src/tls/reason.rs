//! Why TLS failed, in words that say what to do.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};
use sekisho_base::harmless;

/// What one end learnt of a failed TLS connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cause {
    /// The other end's certificate is not good for us.
    Theirs(CertificateError),
    /// The other end says that ours is not good, or missing.
    Ours(AlertDescription),
    /// Anything else of TLS.
    Other(String),
}

impl Cause {
    /// Finds it in the chain of an error of the network, if TLS is the cause.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            let inner = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            if let Some(found) = error.downcast_ref::<rustls::Error>().or(inner) {
                return Some(Self::from(found));
            }
            next = error.source();
        }
        None
    }
}

impl From<&rustls::Error> for Cause {
    fn from(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(cause) => Self::Theirs(cause.clone()),
            rustls::Error::AlertReceived(alert) => Self::Ours(*alert),
            other => Self::Other(other.to_string()),
        }
    }
}

/// What a client says to its user: `server` is the address, `ca` and `certificate` its files.
pub(crate) fn explained(cause: &Cause, server: &str, ca: &str, certificate: &str) -> String {
    match cause {
        // A bad signature: another authority of the same name, such as that of an earlier install.
        Cause::Theirs(CertificateError::UnknownIssuer | CertificateError::BadSignature) => format!(
            "the certificate of the server at `{server}` is not of the authority in `{ca}`: give \
             the authority that signed it with --tls-ca, or check that this is the right server"
        ),
        Cause::Theirs(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            format!(
                "the certificate of the server at `{server}` has expired: renew it on the server \
                 (`sekisho certificates`), and check this machine's clock"
            )
        }
        Cause::Theirs(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => {
            format!(
                "the certificate of the server at `{server}` is not valid yet: check both clocks"
            )
        }
        Cause::Theirs(CertificateError::NotValidForNameContext { expected, presented }) => {
            let known = presented.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ");
            format!(
                "the certificate of the server at `{server}` is for {known}, and not for `{}`: use \
                 one of these names in --server, or say which with --tls-server-name",
                expected.to_str()
            )
        }
        Cause::Theirs(other) => {
            format!("the certificate of the server at `{server}` is not good: {other}")
        }
        Cause::Ours(AlertDescription::CertificateRequired) => format!(
            "the server at `{server}` asks for a certificate: give one with --tls-cert and --tls-key"
        ),
        Cause::Ours(AlertDescription::CertificateExpired) => format!(
            "the server at `{server}` says that the certificate `{certificate}` has expired: renew \
             it (`sekisho certificates`), and check both clocks"
        ),
        Cause::Ours(AlertDescription::UnknownCA | AlertDescription::DecryptError) => format!(
            "the server at `{server}` does not know the authority that signed `{certificate}`: \
             use a certificate of the server's own authority (--tls-cert, --tls-key)"
        ),
        Cause::Ours(alert) => format!(
            "the server at `{server}` refuses the certificate `{certificate}` ({alert:?}): is it one \
             for clients, of the server's authority?"
        ),
        Cause::Other(text) => {
            format!("no TLS with `{server}`: {text}; is a sekisho server there?")
        }
    }
}

/// `DnsName("a")` and the like as rustls presents names: only the name.
fn shown(presented: &str) -> String {
    let inner = presented.split_once('(').and_then(|(_kind, rest)| rest.strip_suffix(')'));
    let name = inner.unwrap_or(presented).trim_matches('"');
    format!("`{}`", harmless(name))
}
