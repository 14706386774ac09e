//! Sessions of browsers: a cookie stands for a token, so that a page never keeps the token itself, or
//! for a person whom an OpenID Connect provider vouched for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use sekisho_model::Timestamp;

use super::secret::NoRandomness;
use super::{Account, Secret};

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
    holder: Holder,
    began: Timestamp,
    life_s: u64,
}

/// For what a session was had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The digest of a token: a session is good as long as that is.
    Token(String),
    /// The word of a provider, until the session ends.
    Person(Account),
}

impl Session {
    fn is_good(&self, now: Timestamp) -> bool {
        now.seconds_since(self.began) < self.life_s
    }
}

impl Sessions {
    /// Begins one for a token that was found good; gives the cookie.
    pub(crate) fn begin(&self, token: &Secret, now: Timestamp) -> Result<Secret, NoRandomness> {
        let holder = Holder::Token(token.digest());
        self.add(Session { holder, began: now, life_s: LIFE_S })
    }

    /// Begins one for a person; gives the cookie.
    pub(crate) fn begin_of(
        &self,
        account: Account,
        now: Timestamp,
        life_s: u64,
    ) -> Result<Secret, NoRandomness> {
        self.add(Session { holder: Holder::Person(account), began: now, life_s })
    }

    fn add(&self, session: Session) -> Result<Secret, NoRandomness> {
        let cookie = Secret::make()?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, one| one.is_good(session.began));
        if all.len() >= SESSIONS_MAX {
            let oldest = all.iter().min_by_key(|(_, one)| one.began).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                all.remove(&oldest);
            }
        }
        all.insert(cookie.digest(), session);
        Ok(cookie)
    }

    /// For what this cookie was had, if its session is good.
    pub(crate) fn holder(&self, cookie: &Secret, now: Timestamp) -> Option<Holder> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&cookie.digest()).filter(|one| one.is_good(now)).map(|one| one.holder.clone())
    }

    /// Ends one.
    pub(crate) fn end(&self, cookie: &Secret) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&cookie.digest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::Access;

    #[test]
    fn a_cookie_stands_for_its_token_until_it_ends() {
        let sessions = Sessions::default();
        let at = Timestamp::from_seconds;
        let token = Secret::shown("skt_1");
        let cookie = sessions.begin(&token, at(0)).unwrap();
        let held = Some(Holder::Token(token.digest()));
        assert_eq!(sessions.holder(&cookie, at(LIFE_S - 1)), held);
        assert_eq!(sessions.holder(&cookie, at(LIFE_S)), None);
        assert_eq!(sessions.holder(&token, at(1)), None, "the token is no cookie");
        sessions.end(&cookie);
        assert_eq!(sessions.holder(&cookie, at(1)), None);
    }

    #[test]
    fn a_persons_session_is_as_long_as_it_was_said_to_be() {
        let sessions = Sessions::default();
        let at = Timestamp::from_seconds;
        let account = Account {
            name: "oidc:a@b".to_owned(),
            role: Access::Viewer,
            namespaces: None,
            expires: Some(at(300)),
        };
        let cookie = sessions.begin_of(account.clone(), at(0), 300).unwrap();
        // Another's begin forgets what is over, and nothing else.
        sessions.begin(&Secret::shown("skt_1"), at(299)).unwrap();
        assert_eq!(sessions.holder(&cookie, at(299)), Some(Holder::Person(account)));
        assert_eq!(sessions.holder(&cookie, at(300)), None);
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
        assert_eq!(sessions.holder(&first, Timestamp::from_seconds(1)), None);
    }
}
