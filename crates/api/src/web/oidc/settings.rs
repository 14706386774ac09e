//! What the configuration says of sign-in by OpenID Connect.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::web::Access;
use crate::{Destination, Transport};

/// Length of a session, seconds: from five minutes to a day.
const SESSION_S: (u64, u64) = (300, 86_400);
/// Most grants.
const GRANTS_MAX: usize = 256;
/// Where the provider sends a browser back to, after the public address.
const CALLBACK: &str = "/api/v1/session/oidc/callback";

/// `[server.oidc]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OidcSettings {
    /// The provider, as its ID tokens name it (`iss`); empty = nobody signs in so.
    pub issuer: String,
    /// What the sign-in page calls it; empty = the host of `issuer`.
    pub name: String,
    /// Who we are to the provider.
    pub client_id: String,
    /// File with the secret that proves it; absent = a public client, by PKCE alone.
    pub client_secret_file: Option<PathBuf>,
    /// Address of the console as browsers reach it, without a path: `https://sekisho.example`.
    pub public_url: String,
    /// PEM of the authorities that the provider is believed by; absent = the machine's.
    pub ca: Option<PathBuf>,
    /// What is asked of the provider.
    pub scopes: Vec<String>,
    /// The claim that names people in the audit log; `sub` where it is absent or an address that is
    /// not verified.
    pub name_claim: String,
    /// The claim that holds a person's groups: a text or a list of texts.
    pub groups_claim: String,
    /// Length of a session, seconds: 300 to 86,400.
    pub session_s: u64,
    /// Who may do what; nobody else gets in.
    pub grants: Vec<OidcGrant>,
}

/// `[[server.oidc.grants]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcGrant {
    /// The group; `*` = everybody whom the provider vouches for.
    pub group: String,
    /// What its members may do.
    pub role: Access,
    /// Of which namespaces; empty = of all.
    #[serde(default)]
    pub namespaces: Vec<String>,
}

/// The settings can't be worked with; names the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`server.oidc.{key}` {why}")]
pub struct OidcSettingsError {
    key: &'static str,
    why: String,
}

impl Default for OidcSettings {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            name: String::new(),
            client_id: String::new(),
            client_secret_file: None,
            public_url: String::new(),
            ca: None,
            scopes: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            name_claim: "email".to_owned(),
            groups_claim: "groups".to_owned(),
            session_s: 28_800,
            grants: Vec::new(),
        }
    }
}

impl OidcSettings {
    /// Checks them; those without an issuer are of nobody's concern.
    ///
    /// # Errors
    /// [`OidcSettingsError`].
    pub fn check(&self) -> Result<(), OidcSettingsError> {
        let wrong = |key, why: &str| Err(OidcSettingsError { key, why: why.to_owned() });
        if self.issuer.is_empty() {
            return match *self == Self::default() {
                true => Ok(()),
                false => wrong("issuer", "is not set, and other keys of [server.oidc] are"),
            };
        }
        let is_web = |place: &Destination| {
            matches!(place.transport, Transport::Http | Transport::Https) && place.is_private()
        };
        if !self.issuer.parse().is_ok_and(|place| is_web(&place))
            || self.issuer.contains(['?', '#'])
        {
            return wrong("issuer", "must be https://HOST[:PORT][/PATH] (http on loopback only)");
        }
        let public = self.public_url.trim_end_matches('/');
        let has_path = public.splitn(4, '/').count() > 3;
        if has_path || !public.parse().is_ok_and(|place| is_web(&place)) {
            return wrong(
                "public_url",
                "must be the console's address as browsers reach it, https://HOST[:PORT] (http on \
                 loopback only)",
            );
        }
        if self.client_id.is_empty() {
            return wrong("client_id", "is not set: register a client with the provider");
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            return wrong("scopes", "must have `openid` among them");
        }
        let (least, most) = SESSION_S;
        if !(least..=most).contains(&self.session_s) {
            return wrong("session_s", &format!("must be {least} to {most} seconds"));
        }
        if self.grants.is_empty() {
            return wrong("grants", "are none, so nobody could sign in");
        }
        if self.grants.len() > GRANTS_MAX {
            return wrong("grants", &format!("are more than {GRANTS_MAX}"));
        }
        if self.grants.iter().any(|grant| grant.group.is_empty()) {
            return wrong("grants.group", "is empty: name a group, or `*` for everybody");
        }
        Ok(())
    }

    /// Whether anybody signs in so.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.issuer.is_empty()
    }

    /// What the sign-in page calls the provider.
    pub(crate) fn shown_name(&self) -> String {
        let host = |place: Destination| place.host().to_owned();
        match self.name.as_str() {
            "" => self.issuer.parse().map(host).unwrap_or_default(),
            name => name.to_owned(),
        }
    }

    /// Where the provider sends browsers back to; it must be registered there.
    pub(crate) fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK}", self.public_url.trim_end_matches('/'))
    }

    /// Whether browsers reach us over TLS, be it through a proxy.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.public_url.starts_with("https:")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Settings that are right, with these grants: group, role, namespaces.
    pub(in crate::web::oidc) fn good(grants: &[(&str, Access, &[&str])]) -> OidcSettings {
        let grants = grants.iter().map(|(group, role, namespaces)| OidcGrant {
            group: (*group).to_owned(),
            role: *role,
            namespaces: namespaces.iter().map(|one| (*one).to_owned()).collect(),
        });
        OidcSettings {
            issuer: "https://id.example/realm".to_owned(),
            client_id: "sekisho".to_owned(),
            public_url: "https://sekisho.example/".to_owned(),
            grants: grants.collect(),
            ..OidcSettings::default()
        }
    }

    #[test]
    fn nothing_said_is_right_and_so_is_all_that_is_needed() {
        assert_eq!(OidcSettings::default().check(), Ok(()));
        let settings = good(&[("*", Access::Viewer, &[])]);
        assert_eq!(settings.check(), Ok(()));
        assert_eq!(settings.shown_name(), "id.example");
        let back = "https://sekisho.example/api/v1/session/oidc/callback";
        assert_eq!(settings.redirect_uri(), back);
    }

    #[test]
    fn what_could_not_work_or_would_not_be_safe_is_refused_by_its_key() {
        type Spoil = fn(&mut OidcSettings);
        let spoiled: [(&str, Spoil); 9] = [
            ("issuer", |one| one.issuer.clear()),
            ("issuer", |one| one.issuer = "http://id.example".to_owned()),
            ("issuer", |one| one.issuer = "https://id.example/?a=b".to_owned()),
            ("public_url", |one| one.public_url = "http://sekisho.example".to_owned()),
            ("public_url", |one| one.public_url = "https://sekisho.example/console".to_owned()),
            ("client_id", |one| one.client_id.clear()),
            ("scopes", |one| one.scopes = vec!["email".to_owned()]),
            ("session_s", |one| one.session_s = 10),
            ("grants", |one| one.grants.clear()),
        ];
        for (key, spoil) in spoiled {
            let mut settings = good(&[("*", Access::Viewer, &[])]);
            spoil(&mut settings);
            assert_eq!(settings.check().unwrap_err().key, key);
        }
        let mut local = good(&[("*", Access::Viewer, &[])]);
        local.issuer = "http://127.0.0.1:5556/dex".to_owned();
        local.public_url = "http://localhost:8484".to_owned();
        assert_eq!(local.check(), Ok(()));
    }
}
