//! Sessions of browsers: a cookie stands for a token, so that a page never keeps the token itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use sekisho_model::Timestamp;

use super::Secret;
use super::secret::NoRandomness;

/// Name of the cookie.
pub(crate) const COOKIE: &str = "sekisho_session";
/// How long a session lasts, seconds: a working day.
pub(crate) const LIFE_S: u64 = 12 * 3_600;
/// Sessions at one time; beyond that the oldest end.
const SESSIONS_MAX: usize = 1_024;

/// All sessions, by the digest of their cookie. They end with the server.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<String, Session>>);

#[derive(Clone, Debug)]
struct Session {
    /// Digest of the token it was had for: a session is good as long as that is.
    token: String,
    began: Timestamp,
}

impl Sessions {
    /// Begins one for a token that was found good; gives the cookie.
    pub(crate) fn begin(&self, token: &Secret, now: Timestamp) -> Result<Secret, NoRandomness> {
        let cookie = Secret::make()?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, session| now.seconds_since(session.began) < LIFE_S);
        if all.len() >= SESSIONS_MAX {
            let oldest = all.iter().min_by_key(|(_, one)| one.began).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                all.remove(&oldest);
            }
        }
        all.insert(cookie.digest(), Session { token: token.digest(), began: now });
        Ok(cookie)
    }

    /// The digest of the token that this cookie stands for.
    pub(crate) fn token(&self, cookie: &Secret, now: Timestamp) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = all.get(&cookie.digest())?;
        (now.seconds_since(session.began) < LIFE_S).then(|| session.token.clone())
    }

    /// Ends one.
    pub(crate) fn end(&self, cookie: &Secret) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&cookie.digest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_stands_for_its_token_until_it_ends() {
        let sessions = Sessions::default();
        let at = Timestamp::from_seconds;
        let token = Secret::shown("skt_1");
        let cookie = sessions.begin(&token, at(0)).unwrap();
        assert_eq!(sessions.token(&cookie, at(LIFE_S - 1)), Some(token.digest()));
        assert_eq!(sessions.token(&cookie, at(LIFE_S)), None);
        assert_eq!(sessions.token(&token, at(1)), None, "the token is no cookie");
        sessions.end(&cookie);
        assert_eq!(sessions.token(&cookie, at(1)), None);
    }

    #[test]
    fn there_are_never_too_many() {
        let sessions = Sessions::default();
        let token = Secret::shown("skt_1");
        let first = sessions.begin(&token, Timestamp::from_seconds(0)).unwrap();
        for _ in 0..SESSIONS_MAX {
            sessions.begin(&token, Timestamp::from_seconds(1)).unwrap();
        }
        assert_eq!(sessions.0.lock().unwrap().len(), SESSIONS_MAX);
        assert_eq!(sessions.token(&first, Timestamp::from_seconds(1)), None);
    }
}
