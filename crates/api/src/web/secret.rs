//! Secrets that nobody can guess, and what is kept of them.

use std::fmt;

use rustls::crypto::ring;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Random bytes of a secret.
const BYTES: usize = 32;
/// What a token begins with, so that scanners of repositories know one when they see it.
const PREFIX: &str = "skt_";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A secret text. Never printed by `Debug`, so that it gets into no log by mistake.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The machine gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this machine gives no random bytes")]
pub struct NoRandomness;

impl Secret {
    /// Makes a token: 256 random bits in hexadecimal after a prefix.
    ///
    /// # Errors
    /// [`NoRandomness`] if the machine gives none.
    pub(crate) fn make() -> Result<Self, NoRandomness> {
        let mut bytes = [0; BYTES];
        let random = ring::default_provider().secure_random;
        random.fill(&mut bytes).map_err(|_cause| NoRandomness)?;
        Ok(Self(format!("{PREFIX}{}", hex(&bytes))))
    }

    /// Takes what somebody showed.
    #[must_use]
    pub fn shown(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text itself, to give it to whom it is for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it. Nobody can go back from it: the secret has 256 random bits, so a slow hash
    /// would make nothing harder.
    #[must_use]
    pub(crate) fn digest(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| HEX.get(usize::from(digit))).map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_secrets_are_alike_and_none_is_printed() {
        let (one, other) = (Secret::make().unwrap(), Secret::make().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.reveal().len(), PREFIX.len() + 2 * BYTES);
        assert_ne!(one.digest(), other.digest());
        assert_eq!(one.digest(), Secret::shown(one.reveal()).digest());
        assert!(!format!("{one:?}").contains(one.reveal()));
    }

    #[test]
    fn bytes_are_written_as_hexadecimal() {
        assert_eq!(hex(&[0, 1, 0xab, 0xff]), "0001abff");
    }
}
