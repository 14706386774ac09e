//! A certificate authority of our own: a key, a certificate of it, and the certificates it signs.
//!
//! Keys are ECDSA on P-256: small, and every TLS library reads them. Certificates begin an hour ago,
//! because the clocks of nodes differ.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
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
    /// A request for a certificate is none that is answered.
    #[error("the request for a certificate: {0}")]
    Request(String),
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
        Self::named(&format!("sekisho authority of {cluster}"), now, days)
    }

    /// As [`Self::make`], under another name: two authorities that one end trusts are told apart by
    /// their names (RFC 5280 §6.1).
    pub(super) fn named(name: &str, now: Timestamp, days: u32) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Make)?;
        let mut params = blank(&key, now, u64::from(days).saturating_mul(SECONDS_PER_DAY));
        params.distinguished_name.push(DnType::CommonName, common_name(name));
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
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|error| unreadable(&error))?;
        let (_from, not_after) =
            super::identity::validity(&der).map_err(|error| unreadable(&error))?;
        let parsed = super::identity::parsed(&der).map_err(|error| unreadable(&error))?;
        if parsed.public_key().raw != pair.subject_public_key_info() {
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
        let key = KeyPair::generate().map_err(AuthorityError::Make)?;
        let life_s = u64::from(days).saturating_mul(SECONDS_PER_DAY);
        let mut params = self.params(identity, &key, now, life_s)?;
        for name in names {
            params.subject_alt_names.push(alternative(name)?);
        }
        let signed = params.signed_by(&key, &self.issuer).map_err(AuthorityError::Make)?;
        Ok(Issued { certificate: signed.pem(), key: key.serialize_pem() })
    }

    /// Signs a certificate for `identity` and the key of `request` (PKCS #10 in PEM), valid for
    /// `life_s` seconds from `now` on. Of the request nothing is taken but the key; it must be signed
    /// with it, and name that identity and nothing else, so that a request which somebody made for
    /// one holder is of no use to another.
    pub(super) fn sign(
        &self,
        identity: &Identity,
        request: &str,
        now: Timestamp,
        life_s: u64,
    ) -> Result<String, AuthorityError> {
        let asked = CertificateSigningRequestParams::from_pem(request)
            .map_err(|error| AuthorityError::Request(error.to_string()))?;
        let wanted = [uri(identity)?];
        if asked.params.subject_alt_names != wanted {
            let text = format!("it must be for `{identity}`, by one URI name");
            return Err(AuthorityError::Request(text));
        }
        if asked.public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(AuthorityError::Request("its key must be of ECDSA P-256".to_owned()));
        }
        let params = self.params(identity, &asked.public_key, now, life_s)?;
        let signed = params.signed_by(&asked.public_key, &self.issuer);
        Ok(signed.map_err(AuthorityError::Make)?.pem())
    }

    /// What a certificate of `identity` says, but for the names under which a server is reached.
    fn params(
        &self,
        identity: &Identity,
        key: &impl PublicKeyData,
        now: Timestamp,
        life_s: u64,
    ) -> Result<CertificateParams, AuthorityError> {
        if self.not_after <= now {
            return Err(AuthorityError::Ended(self.not_after));
        }
        let mut params = blank(key, now, life_s);
        params.not_after = params.not_after.min(date(self.not_after));
        params.distinguished_name.push(DnType::CommonName, common_name(&identity.role.to_string()));
        params.subject_alt_names.push(uri(identity)?);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let usage = match identity.role {
            Role::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Agent(_) | Role::Operator(_) | Role::Viewer(_) | Role::Monitor => {
                ExtendedKeyUsagePurpose::ClientAuth
            }
        };
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}

/// Makes a key, and a request to certify it for `identity`, in PEM.
pub(crate) fn request(identity: &Identity) -> Result<(KeyPair, String), AuthorityError> {
    let key = KeyPair::generate().map_err(AuthorityError::Make)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![uri(identity)?];
    let request = params.serialize_request(&key).and_then(|request| request.pem());
    Ok((key, request.map_err(AuthorityError::Make)?))
}

fn uri(identity: &Identity) -> Result<SanType, AuthorityError> {
    let uri = identity.to_string();
    Ok(SanType::URI(uri.clone().try_into().map_err(|_cause| AuthorityError::Name(uri))?))
}

/// A certificate without names, valid for `life_s` seconds from `now` on.
fn blank(key: &impl PublicKeyData, now: Timestamp, life_s: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "sekisho");
    params.not_before = date(now.minus_seconds(BACKDATE_S));
    params.not_after = date(now.plus_seconds(life_s));
    params.serial_number = Some(serial(key, now));
    params
}

/// A number that nobody used (RFC 5280 §4.1.2.2: at most 20 bytes, positive): the time, and a part of
/// the key.
fn serial(key: &impl PublicKeyData, now: Timestamp) -> SerialNumber {
    // The first byte of a point says its form.
    let point = key.der_bytes().iter().skip(1).take(8);
    let mut bytes: Vec<u8> = point.copied().chain(now.nanos().to_be_bytes()).collect();
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
