//! Whether an ID token is what it says: OpenID Connect Core 1.0, section 3.1.3.7.

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use sekisho_model::Timestamp;
use serde_json::{Map, Value};

use super::claims::Claims;
use crate::web::Secret;

/// By how much the provider's clock may differ from ours, seconds.
const SKEW_S: u64 = 60;

/// The provider's keys (RFC 7517): those of them that can sign.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Jwk>);

/// What must stand in the token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a Secret,
    pub(super) now: Timestamp,
}

/// The token is not to be believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdTokenError {
    /// It is signed with a key that the provider does not show, or no longer.
    #[error("it is signed with a key that the provider does not show")]
    NoKey,
    /// It is signed in a way that is not taken: not at all, or with a shared secret.
    #[error("it is signed by {0:?}, and only public keys are taken")]
    Algorithm(Algorithm),
    /// It is no token, the signature is wrong, or it is of another issuer or for another client.
    #[error(transparent)]
    Wrong(#[from] jsonwebtoken::errors::Error),
    /// It was for another sign-in.
    #[error("its `nonce` is not that of this sign-in")]
    Nonce,
    /// It was for another client, that we are told besides.
    #[error("its `azp` is another client's")]
    Party,
    /// It is over, or not good yet.
    #[error("it is over, or is not good yet: compare the clocks of the provider and this machine")]
    Time,
}

impl Keys {
    /// Reads a set of keys; what we can't use, a provider may have for others.
    pub(super) fn read(set: &Value) -> Self {
        let all = set.get("keys").and_then(Value::as_array).into_iter().flatten();
        let known = all.filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
        let signs =
            |key: &Jwk| !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
        Self(known.filter(signs).collect())
    }

    /// The key named so, or the only one that fits where none is named.
    fn pick(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Jwk> {
        let fits = |key: &&Jwk| {
            let own = key.common.key_algorithm.and_then(algorithm_of);
            own.is_none_or(|own| own == algorithm)
        };
        match kid {
            Some(kid) => {
                let named = |key: &&Jwk| key.common.key_id.as_deref() == Some(kid);
                self.0.iter().filter(fits).find(named)
            }
            None => {
                let mut fitting = self.0.iter().filter(fits);
                let only = fitting.next()?;
                fitting.next().is_none().then_some(only)
            }
        }
    }

    /// What `token` says, if all of it is right.
    pub(super) fn claims(
        &self,
        token: &str,
        expected: &Expected<'_>,
    ) -> Result<Claims, IdTokenError> {
        let header = jsonwebtoken::decode_header(token)?;
        if matches!(header.alg, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) {
            return Err(IdTokenError::Algorithm(header.alg));
        }
        let key = self.pick(header.kid.as_deref(), header.alg).ok_or(IdTokenError::NoKey)?;
        let mut rules = Validation::new(header.alg);
        rules.set_audience(&[expected.client_id]);
        rules.set_issuer(&[expected.issuer]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By our clock, below.
        rules.validate_exp = false;
        let key = DecodingKey::from_jwk(key)?;
        let claims: Map<String, Value> = jsonwebtoken::decode(token, &key, &rules)?.claims;
        let claims = Claims(claims);
        if claims.text("nonce") != Some(expected.nonce.reveal()) {
            return Err(IdTokenError::Nonce);
        }
        let is_for_several =
            claims.0.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
        match claims.text("azp") {
            Some(party) if party != expected.client_id => return Err(IdTokenError::Party),
            None if is_for_several => return Err(IdTokenError::Party),
            Some(_) | None => {}
        }
        let at = |name| seconds(claims.0.get(name)?);
        let now = expected.now.nanos() / 1_000_000_000;

        let is_over = at("exp").is_none_or(|end| end.saturating_add(SKEW_S) <= now);
        let is_early =
            ["nbf", "iat"].iter().any(|name| at(name).is_some_and(|at| at > now + SKEW_S));
        if is_over || is_early {
            return Err(IdTokenError::Time);
        }
        Ok(claims)
    }
}

/// A time in a token: whole seconds, or seconds with a fraction (RFC 7519, section 2, NumericDate).
fn seconds(value: &Value) -> Option<u64> {
    let whole = |text: &str| text.split('.').next()?.parse().ok();
    value.as_u64().or_else(|| value.as_number().and_then(|number| whole(&number.to_string())))
}

/// The algorithm that a key is meant for.
fn algorithm_of(key: KeyAlgorithm) -> Option<Algorithm> {
    key.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_000_000;

    struct Issuer {
        pair: KeyPair,
        kid: &'static str,
    }

    impl Issuer {
        fn new(kid: &'static str) -> Self {
            Self { pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), kid }
        }

        fn jwk(&self) -> Value {
            let point = self.pair.der_bytes();
            let (x, y) = point[1..].split_at(32);
            let text = |bytes: &[u8]| super::super::provider::base64url(bytes);
            json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
                   "x": text(x), "y": text(y)})
        }

        fn sign(&self, claims: &Value) -> String {
            let mut header = Header::new(Algorithm::ES256);
            header.kid = Some(self.kid.to_owned());
            let key = EncodingKey::from_ec_der(&self.pair.serialize_der());
            encode(&header, claims, &key).unwrap()
        }
    }

    fn right() -> Value {
        json!({"iss": "https://id.example", "aud": "sekisho", "sub": "7", "nonce": "n",
               "exp": NOW + 300, "iat": NOW})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = right();
        claims[name] = value;
        claims
    }

    fn read(keys: &Keys, token: &str) -> Result<Claims, IdTokenError> {
        let expected = Expected {
            issuer: "https://id.example",
            client_id: "sekisho",
            nonce: &Secret::shown("n"),
            now: Timestamp::from_seconds(NOW),
        };
        keys.claims(token, &expected)
    }

    #[test]
    fn a_right_token_is_read_and_whatever_is_wrong_in_it_is_not() {
        let issuer = Issuer::new("a");
        let keys = Keys::read(&json!({"keys": [issuer.jwk()]}));
        assert_eq!(read(&keys, &issuer.sign(&right())).unwrap().name("email"), "oidc:7");
        let several = with("aud", json!(["other", "sekisho"]));
        for (claims, is_right) in [
            (with("iss", json!("https://other.example")), false),
            (with("iss", json!("https://id.example/")), false),
            (with("aud", json!("other")), false),
            (with("aud", json!(["sekisho"])), true),
            (several.clone(), false),
            (
                {
                    let mut all = several;
                    all["azp"] = json!("sekisho");
                    all
                },
                true,
            ),
            (with("azp", json!("other")), false),
            (with("azp", json!("sekisho")), true),
            (with("nonce", json!("m")), false),
            (with("nonce", Value::Null), false),
            (with("exp", json!(NOW - 61)), false),
            (with("exp", json!(NOW - 59)), true),
            (with("exp", json!("soon")), false),
            (with("exp", Value::Null), false),
            (with("nbf", json!(NOW + 61)), false),
            (with("nbf", json!(NOW + 59)), true),
            (with("iat", json!(NOW + 61)), false),
            (with("sub", Value::Null), false),
        ] {
            assert_eq!(read(&keys, &issuer.sign(&claims)).is_ok(), is_right, "{claims}");
        }
    }

    #[test]
    fn only_the_providers_own_keys_sign() {
        let (issuer, other) = (Issuer::new("a"), Issuer::new("a"));
        let keys = Keys::read(&json!({"keys": [issuer.jwk()]}));
        assert!(matches!(read(&keys, &other.sign(&right())), Err(IdTokenError::Wrong(_))));
        let newer = Issuer::new("b");
        assert!(matches!(read(&keys, &newer.sign(&right())), Err(IdTokenError::NoKey)));
        let both = Keys::read(&json!({"keys": [{"kty": "new"}, issuer.jwk(), newer.jwk()]}));
        assert!(read(&both, &newer.sign(&right())).is_ok(), "an unknown key spoils no other");
        let mut sealing = newer.jwk();
        sealing["use"] = json!("enc");
        let keys = Keys::read(&json!({"keys": [sealing]}));
        assert!(matches!(read(&keys, &newer.sign(&right())), Err(IdTokenError::NoKey)));
    }

    #[test]
    fn a_token_that_is_not_signed_by_a_public_key_is_none() {
        let issuer = Issuer::new("a");
        let keys = Keys::read(&json!({"keys": [issuer.jwk()]}));
        // RFC 8725, section 3.1: the public key as the secret of an HMAC, and no signature at all.
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("a".to_owned());
        let secret = EncodingKey::from_secret(issuer.pair.der_bytes());
        let shared = encode(&header, &right(), &secret).unwrap();
        assert!(matches!(read(&keys, &shared), Err(IdTokenError::Algorithm(_))));
        let part = |value: &Value| super::super::provider::base64url(value.to_string().as_bytes());
        let bare = format!("{}.{}.", part(&json!({"alg": "none"})), part(&right()));
        assert!(matches!(read(&keys, &bare), Err(IdTokenError::Wrong(_))));
        let signed = issuer.sign(&right());
        let (head, signature) = signed.rsplit_once('.').unwrap();
        let (head, _) = head.rsplit_once('.').unwrap();
        let forged = format!("{head}.{}.{signature}", part(&with("sub", json!("1"))));
        assert!(matches!(read(&keys, &forged), Err(IdTokenError::Wrong(_))));
        for text in ["", "a", "a.b", "a.b.c", "....", &"x".repeat(100_000)] {
            assert!(read(&keys, text).is_err(), "{text:.10}");
        }
    }
}
