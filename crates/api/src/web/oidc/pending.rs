//! Sign-ins that a browser was sent away for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use sekisho_model::Timestamp;

use crate::web::{NoRandomness, Secret};

/// How long somebody may take at the provider, seconds.
pub(super) const LIFE_S: u64 = 600;
/// At one time; beyond that the oldest are forgotten.
const PENDING_MAX: usize = 4_096;

/// What must be the same when a browser comes back.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    /// In the ID token (`nonce`), so that no token of another sign-in is taken.
    pub(super) nonce: Secret,
    /// What the code is redeemed with (RFC 7636, `code_verifier`): 68 unreserved characters.
    pub(super) verifier: Secret,
    /// Where the browser goes in the end: a path of ours.
    pub(super) next: String,
    /// Digest of the cookie of the browser that began.
    cookie: String,
    began: Timestamp,
}

/// A sign-in as the browser carries it.
#[derive(Debug)]
pub(super) struct Carried {
    /// In the address (`state`).
    pub(super) state: Secret,
    /// In a cookie: whoever has the address alone has nothing.
    pub(super) cookie: Secret,
    pub(super) begun: Begun,
}

/// All of them, by the digest of `state`. They end with the server.
#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<BTreeMap<String, Begun>>);

impl Pending {
    /// Begins one.
    pub(super) fn begin(&self, next: String, now: Timestamp) -> Result<Carried, NoRandomness> {
        let (state, cookie) = (Secret::make()?, Secret::make()?);
        let (nonce, verifier) = (Secret::make()?, Secret::make()?);
        let begun = Begun { nonce, verifier, next, cookie: cookie.digest(), began: now };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, one| now.seconds_since(one.began) < LIFE_S);
        if all.len() >= PENDING_MAX {
            let oldest = all.iter().min_by_key(|(_, one)| one.began).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                all.remove(&oldest);
            }
        }
        all.insert(state.digest(), begun.clone());
        Ok(Carried { state, cookie, begun })
    }

    /// Ends one: each is good once, in time, and in the browser that began it.
    pub(super) fn end(&self, state: &Secret, cookie: &Secret, now: Timestamp) -> Option<Begun> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = all.get(&state.digest())?;
        // Another browser's try does not end it: who overhears an address could stop anybody.
        if begun.cookie != cookie.digest() {
            return None;
        }
        let begun = all.remove(&state.digest())?;
        (now.seconds_since(begun.began) < LIFE_S).then_some(begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    #[test]
    fn a_sign_in_is_good_once_in_time_and_in_its_own_browser() {
        let pending = Pending::default();
        let one = pending.begin("/map".to_owned(), at(0)).unwrap();
        let other = pending.begin("/".to_owned(), at(0)).unwrap();
        assert!(pending.end(&one.state, &other.cookie, at(1)).is_none(), "another browser");
        let begun = pending.end(&one.state, &one.cookie, at(1)).unwrap();
        assert_eq!((begun.next.as_str(), begun.nonce), ("/map", one.begun.nonce));
        assert!(pending.end(&one.state, &one.cookie, at(1)).is_none(), "once");
        assert!(pending.end(&other.state, &other.cookie, at(LIFE_S)).is_none(), "in time");
        assert!((43..=128).contains(&begun.verifier.reveal().len()), "RFC 7636, section 4.1");
    }

    #[test]
    fn there_are_never_too_many() {
        let pending = Pending::default();
        for _ in 0..PENDING_MAX + 5 {
            pending.begin("/".to_owned(), at(0)).unwrap();
        }
        assert_eq!(pending.0.lock().unwrap().len(), PENDING_MAX);
    }
}
