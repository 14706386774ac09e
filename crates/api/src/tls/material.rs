//! The three files of one end of a TLS connection, read anew whenever they changed.
//!
//! They are PEM: the authority's certificates, our certificate (with intermediate ones), our key:
//! `ca.crt`, `tls.crt` and `tls.key` of a Kubernetes Secret. A key that everybody on the machine may
//! read is refused: it is no secret.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sekisho_model::Timestamp;

use super::identity::{Identity, IdentityError, places, validity};
use super::senders::SenderFiles;

/// Largest file that is read, bytes: a bundle of a hundred authorities fits.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// A certificate is called old when less than this part of its life remains.
const OLD_PART: u64 = 5;
/// ... or less than this, if the part is longer: two weeks, seconds.
const OLD_S_MAX: u64 = 14 * 86_400;
/// What is spoken on a connection (RFC 7301, IANA's names).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// Our own API.
    Http1,
    /// gRPC, which is HTTP/2.
    Grpc,
}

impl Speech {
    fn names(self) -> Vec<Vec<u8>> {
        let name: &[u8] = match self {
            Self::Http1 => b"http/1.1",
            Self::Grpc => b"h2",
        };
        vec![name.to_vec()]
    }
}

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authority that signed the other end's certificate.
    pub ca: PathBuf,
    /// Our certificate, then intermediate ones.
    pub certificate: PathBuf,
    /// Our key.
    pub key: PathBuf,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// From then.
    pub not_before: Timestamp,
    /// Until then.
    pub not_after: Timestamp,
}

/// The files can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A file can't be read.
    #[error("read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Everybody may read the key.
    #[error(
        "key `{path}` may be read by everybody on this machine: `chmod 600 {path}`, and renew it"
    )]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// A file is not what it must be.
    #[error("`{path}`: {text}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        text: String,
    },
    /// Our own certificate names nobody.
    #[error("`{path}`")]
    Identity {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: IdentityError,
    },
}

/// What the files held.
#[derive(Debug)]
pub(crate) struct Material {
    files: TlsFiles,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// Bytes of the three files, to see a change.
    raw: [Vec<u8>; 3],
    pub(crate) lifetime: Lifetime,
}

impl Lifetime {
    /// Whether it is time to renew at `now`: less than a fifth of the certificate's life remains,
    /// and less than two weeks.
    #[must_use]
    pub fn is_old(&self, now: Timestamp) -> bool {
        let life_s = self.not_after.seconds_since(self.not_before);
        self.not_after.seconds_since(now) < (life_s / OLD_PART).min(OLD_S_MAX)
    }
}

impl TlsFiles {
    /// When our certificate is valid.
    ///
    /// # Errors
    /// [`MaterialError`] if it can't be read.
    pub fn lifetime(&self) -> Result<Lifetime, MaterialError> {
        let bytes = read(&self.certificate)?;
        lifetime_of(&self.certificate, &certificates(&self.certificate, &bytes)?)
    }
}

impl TlsFiles {
    /// Who our certificate is of, and the DNS names and addresses in it.
    ///
    /// # Errors
    /// [`MaterialError`] if it can't be read or names nobody.
    pub fn subject(&self) -> Result<(Identity, Vec<String>), MaterialError> {
        let bytes = read(&self.certificate)?;
        let chain = certificates(&self.certificate, &bytes)?;
        let first = chain.first().map_or([].as_slice(), AsRef::as_ref);
        let unnamed = |cause| MaterialError::Identity { path: self.certificate.clone(), cause };
        let identity = Identity::of_certificate(first).map_err(unnamed)?;
        Ok((identity, places(first).map_err(unnamed)?))
    }
}

impl Material {
    /// Reads the files.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, MaterialError> {
        let raw = raw(files)?;
        let [ca, certificate, key] = &raw;
        let mut roots = RootCertStore::empty();
        for root in certificates(&files.ca, ca)? {
            roots.add(root).map_err(|error| content(&files.ca, &error))?;
        }
        let chain = certificates(&files.certificate, certificate)?;
        let lifetime = lifetime_of(&files.certificate, &chain)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_cause| content(&files.key, &"no private key in PEM form in it"))?;
        Ok(Self { files: files.clone(), roots: Arc::new(roots), chain, key, raw, lifetime })
    }

    /// Where they are.
    pub(crate) fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Whether the files hold something else now.
    pub(crate) fn has_changed(&self) -> Result<bool, MaterialError> {
        Ok(raw(&self.files)? != self.raw)
    }

    /// Who our own certificate says we are.
    pub(crate) fn identity(&self) -> Result<Identity, MaterialError> {
        let first = self.chain.first().map_or([].as_slice(), AsRef::as_ref);
        Identity::of_certificate(first).map_err(|cause| MaterialError::Identity {
            path: self.files.certificate.clone(),
            cause,
        })
    }

    /// The same, with another certificate and key.
    pub(crate) fn with(
        self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        Self { chain, key, ..self }
    }

    /// What a server needs that also believes the certificates under `root`. Sessions can't be
    /// resumed: every connection proves itself anew, so that an authority that was taken away opens
    /// nothing.
    pub(crate) fn server(
        &self,
        root: &CertificateDer<'static>,
        speech: Speech,
    ) -> Result<ServerConfig, MaterialError> {
        let provider = provider();
        let mut roots = RootCertStore::clone(&self.roots);
        roots.add(root.clone()).map_err(|error| content(&self.files.ca, &error))?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| content(&self.files.ca, &error))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| content(&self.files.certificate, &error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|error| content(&self.files.certificate, &mismatch(&error)))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = speech.names();
        Ok(config)
    }

    /// What a client needs.
    pub(crate) fn client(&self, speech: Speech) -> Result<ClientConfig, MaterialError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| content(&self.files.certificate, &error))?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|error| content(&self.files.certificate, &mismatch(&error)))?;
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = speech.names();
        Ok(config)
    }
}

/// What a server needs that shows browsers a certificate, and asks them for none.
pub(crate) fn server_of_people(
    certificate: &Path,
    key: &Path,
) -> Result<Arc<ServerConfig>, MaterialError> {
    let key_bytes = key_bytes(key)?;
    let chain = certificates(certificate, &read(certificate)?)?;
    let secret = PrivateKeyDer::from_pem_slice(&key_bytes)
        .map_err(|_cause| content(key, &"no private key in PEM form in it"))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| content(certificate, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| content(certificate, &mismatch(&error)))?;
    config.alpn_protocols = Speech::Http1.names();
    Ok(Arc::new(config))
}

/// What a server needs for senders of others' protocols; they prove who they are only if an authority
/// of theirs is named.
pub(super) fn server_of_senders(files: &SenderFiles) -> Result<Arc<ServerConfig>, MaterialError> {
    let SenderFiles { certificate, key, clients } = files;
    let secret = PrivateKeyDer::from_pem_slice(&key_bytes(key)?)
        .map_err(|_cause| content(key, &"no private key in PEM form in it"))?;
    let chain = certificates(certificate, &read(certificate)?)?;
    let builder = ServerConfig::builder_with_provider(provider())
        // RFC 5425 is older than 1.3, and so are most devices.
        .with_safe_default_protocol_versions()
        .map_err(|error| content(certificate, &error))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(clients, &read(clients)?)? {
                roots.add(root).map_err(|error| content(clients, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .map_err(|error| content(clients, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, secret)
        .map_err(|error| content(certificate, &mismatch(&error)))?;
    // Every connection proves itself anew; and who only sends never reads a ticket.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a client needs that proves nothing: who it asks lets anybody ask.
pub(crate) fn nameless_client(ca: &Path, speech: Speech) -> Result<ClientConfig, MaterialError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(ca, &read(ca)?)? {
        roots.add(root).map_err(|error| content(ca, &error))?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| content(ca, &error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = speech.names();
    Ok(config)
}

/// What a client needs that believes the authorities in a file, and shows nobody a certificate.
pub(crate) fn client_of_strangers(authorities: &Path) -> Result<ClientConfig, MaterialError> {
    let mut roots = RootCertStore::empty();
    // A machine's bundle may hold some that we can't read; one that we can is needed.
    let (added, _ignored) =
        roots.add_parsable_certificates(certificates(authorities, &read(authorities)?)?);
    if added == 0 {
        return Err(content(authorities, &"no authority in it can be read"));
    }
    let builder = ClientConfig::builder_with_provider(provider())
        // Collectors of others may speak no more than 1.2.
        .with_safe_default_protocol_versions()
        .map_err(|error| content(authorities, &error))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Half of a renewal looks so: say what to do.
fn mismatch(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            "the key is not that of this certificate: replace both".to_owned()
        }
        other => other.to_string(),
    }
}

fn raw(files: &TlsFiles) -> Result<[Vec<u8>; 3], MaterialError> {
    let key = key_bytes(&files.key)?;
    Ok([read(&files.ca)?, read(&files.certificate)?, key])
}

/// The bytes of a key, if not everybody may read it.
fn key_bytes(path: &Path) -> Result<Vec<u8>, MaterialError> {
    let failed = |cause| MaterialError::Read { path: path.to_owned(), cause };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(MaterialError::Open { path: path.to_owned() });
    }
    read(path)
}

fn read(path: &Path) -> Result<Vec<u8>, MaterialError> {
    let failed = |cause| MaterialError::Read { path: path.to_owned(), cause };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, FILE_BYTES_MAX + 1), &mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(content(path, &format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = read.map_err(|error| content(path, &error))?;
    if found.is_empty() {
        return Err(content(path, &"no certificate in PEM form in it"));
    }
    Ok(found)
}

fn lifetime_of(path: &Path, chain: &[CertificateDer<'_>]) -> Result<Lifetime, MaterialError> {
    let first = chain.first().map_or([].as_slice(), AsRef::as_ref);
    let (not_before, not_after) = validity(first)
        .map_err(|cause| MaterialError::Identity { path: path.to_owned(), cause })?;
    Ok(Lifetime { not_before, not_after })
}

fn content(path: &Path, what: &dyn std::fmt::Display) -> MaterialError {
    MaterialError::Content { path: path.to_owned(), text: what.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_old_in_its_last_fifth_or_fortnight() {
        let days = |count: u64| Timestamp::from_seconds(count * 86_400);
        let year = Lifetime { not_before: days(0), not_after: days(365) };
        assert!(!year.is_old(days(350)) && year.is_old(days(352)) && year.is_old(days(400)));
        let day = Lifetime { not_before: days(10), not_after: days(11) };
        assert!(!day.is_old(days(10)));
        assert!(day.is_old(days(11).minus_seconds(3_600)));
    }
}
