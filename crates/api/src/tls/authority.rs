//! A certificate authority of our own: a key, a certificate of it, and the certificates it signs.
//!
//! Keys are ECDSA on P-256: small, and every TLS library reads them. Certificates begin an hour ago,
//! because the clocks of nodes differ.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use sekisho_model::Timestamp;
use time::OffsetDateTime;

use super::{Identity, Role};

/// Certificates are valid from so long before they were made, seconds.
const BACKDATE_S: u64 = 3_600;
const SECONDS_PER_DAY: u64 = 86_400;
/// Longest common name (RFC 5280 appendix A.1, ub-common-name).
const COMMON_NAME_CHARS_MAX: usize = 64;

/// An authority that can sign.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    key: String,
    not_after: Timestamp,
}

/// A certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key (PKCS #8): a secret.
    pub key: String,
}

/// A certificate can't be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The authority's own certificate or key can't be read.
    #[error("the authority's certificate and key: {0}")]
    Unreadable(String),
    /// The authority ends first.
    #[error("the authority itself ends at {0}: make a new one")]
    Ended(Timestamp),
    /// A name is none that a certificate can carry.
    #[error("`{0}` can't stand in a certificate: a DNS name or an address is needed")]
    Name(String),
    /// The library refuses.
    #[error("make a certificate")]
    Make(#[source] rcgen::Error),
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Authority")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Issued")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority for `cluster` that is valid for `days` from `now` on.
    ///
    /// # Errors
    /// [`AuthorityError::Make`].
    pub fn make(cluster: &str, now: Timestamp, days: u32) -> Result<Self, AuthorityError> {
        let (mut params, key) = blank(now, days)?;
        let name = format!("sekisho authority of {cluster}");
        params.distinguished_name.push(DnType::CommonName, common_name(&name));
        // It signs ends, and no other authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(AuthorityError::Make)?;
        Self::read(&certificate.pem(), &key.serialize_pem())
    }

    /// Takes an authority from its certificate and key in PEM.
    ///
    /// # Errors
    /// [`AuthorityError::Unreadable`].
    pub fn read(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let unreadable =
            |error: &dyn std::fmt::Display| AuthorityError::Unreadable(error.to_string());
        let pair = KeyPair::from_pem(key).map_err(|error| unreadable(&error))?;
        let der = rustls::pki_types::pem::PemObject::from_pem_slice(certificate.as_bytes());
        let der: rustls::pki_types::CertificateDer<'static> =
            der.map_err(|error: rustls::pki_types::pem::Error| unreadable(&error))?;
        let (_from, not_after) =
            super::identity::validity(&der).map_err(|error| unreadable(&error))?;
        let parsed = super::identity::parsed(&der).map_err(|error| unreadable(&error))?;
        if parsed.public_key().raw != rcgen::PublicKeyData::subject_public_key_info(&pair) {
            return Err(unreadable(&"the key is not that of the certificate"));
        }
        let issuer = Issuer::from_ca_cert_der(&der, pair).map_err(|error| unreadable(&error))?;
        Ok(Self { issuer, certificate: certificate.to_owned(), key: key.to_owned(), not_after })
    }

    /// Its certificate in PEM: for everybody.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its key in PEM: whoever has it is everybody.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// When it ends.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Signs a new certificate with a new key for `identity`, valid for `days` from `now` on, and
    /// not longer than the authority. `names` are the DNS names and addresses under which a server
    /// is reached; others have none.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn issue(
        &self,
        identity: &Identity,
        names: &[String],
        now: Timestamp,
        days: u32,
    ) -> Result<Issued, AuthorityError> {
        if self.not_after <= now {
            return Err(AuthorityError::Ended(self.not_after));
        }
        let (mut params, key) = blank(now, days)?;
        params.not_after = params.not_after.min(date(self.not_after));
        params.distinguished_name.push(DnType::CommonName, common_name(&identity.role.to_string()));
        let uri = identity.to_string();
        let text = uri.clone().try_into().map_err(|_cause| AuthorityError::Name(uri))?;
        params.subject_alt_names.push(SanType::URI(text));
        for name in names {
            params.subject_alt_names.push(alternative(name)?);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let usage = match identity.role {
            Role::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Agent(_) | Role::Operator(_) | Role::Monitor => {
                ExtendedKeyUsagePurpose::ClientAuth
            }
        };
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&key, &self.issuer).map_err(AuthorityError::Make)?;
        Ok(Issued { certificate: signed.pem(), key: key.serialize_pem() })
    }
}

/// A certificate without names, and a new key.
fn blank(now: Timestamp, days: u32) -> Result<(CertificateParams, KeyPair), AuthorityError> {
    let key = KeyPair::generate().map_err(AuthorityError::Make)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "sekisho");
    params.not_before = date(now.minus_seconds(BACKDATE_S));
    params.not_after = date(now.plus_seconds(u64::from(days).saturating_mul(SECONDS_PER_DAY)));
    params.serial_number = Some(serial(&key));
    Ok((params, key))
}

/// The key is new each time, so a part of it is a number that nobody used (RFC 5280 §4.1.2.2: at
/// most 20 bytes, positive).
fn serial(key: &KeyPair) -> SerialNumber {
    let point = key.public_key_raw();
    let mut bytes: Vec<u8> = point.iter().skip(1).take(16).copied().collect();
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    SerialNumber::from(bytes)
}

fn date(at: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(at.nanos() / 1_000_000_000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn alternative(name: &str) -> Result<SanType, AuthorityError> {
    let wrong = || AuthorityError::Name(sekisho_base::harmless(name));
    if let Ok(address) = name.parse() {
        return Ok(SanType::IpAddress(address));
    }
    let checked = rustls::pki_types::DnsName::try_from(name.to_owned());
    let name = checked.map_err(|_cause| wrong())?.as_ref().to_owned();
    Ok(SanType::DnsName(name.try_into().map_err(|_cause| wrong())?))
}

fn common_name(text: &str) -> String {
    text.chars().take(COMMON_NAME_CHARS_MAX).collect()
}
