//! The tokens of a server: a file of names, rights and digests; the secrets are kept nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sekisho_model::Timestamp;
use sekisho_system::replace_file;
use serde::{Deserialize, Serialize};

use super::question::NewToken;
use super::secret::NoRandomness;
use super::{Access, Account, Secret};

/// Most tokens of a server.
const TOKENS_MAX: usize = 1_024;
/// Longest name, bytes.
const NAME_MAX: usize = 64;

/// What is told of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Unique.
    pub name: String,
    /// What it opens.
    pub role: Access,
    /// Of which namespaces; null = of all.
    pub namespaces: Option<BTreeSet<String>>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created: Timestamp,
    /// When it ends; null = never.
    pub expires: Option<Timestamp>,
}

/// A new token, with its secret: the only time that it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedToken {
    /// What it is.
    #[serde(flatten)]
    pub info: TokenInfo,
    /// The secret.
    pub token: Secret,
}

/// One line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    info: TokenInfo,
    /// SHA-256 of the secret, hexadecimal.
    digest: String,
}

/// A token can't be made, or the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is one of this name.
    #[error("there is a token `{0}` already: revoke it, or choose another name")]
    Exists(String),
    /// There is none of this name.
    #[error("there is no token `{0}`")]
    Unknown(String),
    /// The name is none.
    #[error("`{0}` is no name of a token: 1 to 64 letters, digits, `-`, `_`, `.` or `@`")]
    Name(String),
    /// It would be over before it begins.
    #[error("a token that expires at {0} would be over already")]
    Over(Timestamp),
    /// It would open nothing.
    #[error("a token of no namespace opens nothing: leave `namespaces` out for all")]
    Nothing,
    /// There are too many.
    #[error("there are {TOKENS_MAX} tokens: revoke some")]
    TooMany,
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// The file can't be read or written.
    #[error("tokens in `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// The tokens of a server.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    all: Mutex<BTreeMap<String, Kept>>,
}

impl Tokens {
    /// Reads the file; one that is not there holds none.
    ///
    /// # Errors
    /// [`TokenError::File`].
    pub fn open(path: &Path) -> Result<Self, TokenError> {
        let failed = |cause| TokenError::File { path: path.to_owned(), cause };
        let kept: Vec<Kept> = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|cause| failed(cause.into()))?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(cause) => return Err(failed(cause)),
        };
        let all = kept.into_iter().map(|one| (one.info.name.clone(), one)).collect();
        Ok(Self { path: path.to_owned(), all: Mutex::new(all) })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, by name; their secrets are known to nobody here.
    #[must_use]
    pub fn list(&self) -> Vec<TokenInfo> {
        self.all().values().map(|kept| kept.info.clone()).collect()
    }

    /// Makes one. The secret is given once, and kept nowhere.
    ///
    /// # Errors
    /// [`TokenError`]; nothing is made then.
    pub fn create(
        &self,
        wanted: NewToken,
        created_by: &str,
        now: Timestamp,
    ) -> Result<(TokenInfo, Secret), TokenError> {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.@".contains(letter);
        let name = wanted.name;
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(is_letter) {
            return Err(TokenError::Name(name));
        }
        if let Some(expires) = wanted.expires.filter(|expires| *expires <= now) {
            return Err(TokenError::Over(expires));
        }
        if wanted.namespaces.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(TokenError::Nothing);
        }
        let secret = Secret::make()?;
        let info = TokenInfo {
            name: name.clone(),
            role: wanted.role,
            namespaces: wanted.namespaces,
            created_by: created_by.to_owned(),
            created: now,
            expires: wanted.expires,
        };
        let mut all = self.all();
        // Those that are over make room.
        let mut changed = all.clone();
        changed.retain(|_, kept| kept.info.expires.is_none_or(|expires| expires > now));
        if changed.contains_key(&name) {
            return Err(TokenError::Exists(name));
        }
        if changed.len() >= TOKENS_MAX {
            return Err(TokenError::TooMany);
        }
        changed.insert(name, Kept { info: info.clone(), digest: secret.digest() });
        self.write(&changed)?;
        *all = changed;
        Ok((info, secret))
    }

    /// Ends one; sessions that were had for it end too.
    ///
    /// # Errors
    /// [`TokenError`]; it stays good then.
    pub fn revoke(&self, name: &str) -> Result<(), TokenError> {
        let mut all = self.all();
        let mut changed = all.clone();
        if changed.remove(name).is_none() {
            return Err(TokenError::Unknown(name.to_owned()));
        }
        self.write(&changed)?;
        *all = changed;
        Ok(())
    }

    /// Whose secret this is, if it is good at `now`.
    #[must_use]
    pub fn account(&self, secret: &Secret, now: Timestamp) -> Option<Account> {
        self.account_of(&secret.digest(), now)
    }

    /// Whose secret has this digest. Comparing digests tells nobody how much of a secret was right.
    pub(crate) fn account_of(&self, digest: &str, now: Timestamp) -> Option<Account> {
        let all = self.all();
        let kept = all.values().find(|kept| kept.digest == digest)?;
        let info = &kept.info;
        info.expires.is_none_or(|expires| expires > now).then(|| Account {
            name: info.name.clone(),
            role: info.role,
            namespaces: info.namespaces.clone(),
            expires: info.expires,
        })
    }

    /// Replaces the file, durably.
    fn write(&self, all: &BTreeMap<String, Kept>) -> Result<(), TokenError> {
        let failed = |cause| TokenError::File { path: self.path.clone(), cause };
        let kept: Vec<&Kept> = all.values().collect();
        let text = serde_json::to_vec_pretty(&kept).map_err(|cause| failed(cause.into()))?;
        replace_file(&self.path, &text).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str) -> NewToken {
        NewToken { name: name.to_owned(), ..NewToken::default() }
    }

    const NOW: u64 = 1_000;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    #[test]
    fn a_token_opens_until_it_is_revoked_and_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let tokens = Tokens::open(&path).unwrap();
        let (info, secret) = tokens.create(wanted("ci"), "root", at(NOW)).unwrap();
        assert_eq!((info.role, info.created_by.as_str()), (Access::Viewer, "root"));
        let again = Tokens::open(&path).unwrap();
        for tokens in [&tokens, &again] {
            assert_eq!(tokens.account(&secret, at(NOW)).unwrap().name, "ci");
            assert!(tokens.account(&Secret::shown("skt_00"), at(NOW)).is_none());
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(secret.reveal()), "the secret is kept nowhere");
        again.revoke("ci").unwrap();
        assert!(again.account(&secret, at(NOW)).is_none());
        assert!(matches!(again.revoke("ci"), Err(TokenError::Unknown(_))));
    }

    #[test]
    fn a_token_that_is_over_opens_nothing_and_gives_its_name_back() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(&folder.path().join("tokens.json")).unwrap();
        let until = NewToken { expires: Some(at(NOW + 10)), ..wanted("ci") };
        let (_, secret) = tokens.create(until.clone(), "root", at(NOW)).unwrap();
        assert!(tokens.account(&secret, at(NOW + 9)).is_some());
        assert!(tokens.account(&secret, at(NOW + 10)).is_none());
        let again = tokens.create(until.clone(), "root", at(NOW + 5));
        assert!(matches!(again, Err(TokenError::Exists(_))));
        let over = tokens.create(until, "root", at(NOW + 11));
        assert!(matches!(over, Err(TokenError::Over(_))));
        tokens.create(wanted("ci"), "root", at(NOW + 11)).unwrap();
    }

    #[test]
    fn names_that_could_be_taken_for_something_else_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(&folder.path().join("tokens.json")).unwrap();
        for name in ["", "a b", "a/b", "é", &"a".repeat(65)] {
            let made = tokens.create(wanted(name), "root", at(NOW));
            assert!(matches!(made, Err(TokenError::Name(_))), "{name}");
        }
        let none = NewToken { namespaces: Some(BTreeSet::new()), ..wanted("a") };
        assert!(matches!(tokens.create(none, "root", at(NOW)), Err(TokenError::Nothing)));
        tokens.create(wanted("ci@team.example"), "root", at(NOW)).unwrap();
    }

    #[test]
    fn a_file_that_is_no_file_of_tokens_is_an_error_and_not_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        std::fs::write(&path, "[{\"name\":1}]").unwrap();
        assert!(matches!(Tokens::open(&path), Err(TokenError::File { .. })));
    }
}
