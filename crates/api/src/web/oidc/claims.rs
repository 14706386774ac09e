//! What a provider says of a person.

use serde_json::{Map, Value};

/// Longest name that is taken, characters: it stands in every entry of the audit log.
const NAME_MAX: usize = 128;
/// Before each name, so that it is that of no token: those have no colon.
const PREFIX: &str = "oidc:";

/// Claims of an ID token, or of the UserInfo endpoint (OpenID Connect Core 1.0, section 5.1).
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// The name of their person: that of `claim`, but never an address that nobody verified, else
    /// the subject, which the provider gives to no other.
    pub(super) fn name(&self, claim: &str) -> String {
        let unverified =
            claim == "email" && self.0.get("email_verified") == Some(&Value::Bool(false));
        let said = self.text(claim).filter(|text| !text.is_empty() && !unverified);
        let name = said.or_else(|| self.text("sub")).unwrap_or_default();
        let name: String = name.chars().take(NAME_MAX).collect();
        format!("{PREFIX}{}", sekisho_base::harmless(&name))
    }

    /// The groups that `claim` holds; None = it is absent.
    pub(super) fn groups(&self, claim: &str) -> Option<Vec<&str>> {
        match self.0.get(claim)? {
            Value::String(one) => Some(vec![one]),
            Value::Array(all) => Some(all.iter().filter_map(Value::as_str).collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Some(Vec::new()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in crate::web::oidc) fn claims(value: &Value) -> Claims {
        Claims(value.as_object().unwrap().clone())
    }

    #[test]
    fn a_person_is_named_by_what_was_verified_and_never_like_a_token() {
        let name = |value: &Value| claims(value).name("email");
        assert_eq!(name(&json!({"sub": "7", "email": "a@b"})), "oidc:a@b");
        let verified = json!({"sub": "7", "email": "a@b", "email_verified": true});
        assert_eq!(name(&verified), "oidc:a@b");
        let unverified = json!({"sub": "7", "email": "a@b", "email_verified": false});
        assert_eq!(name(&unverified), "oidc:7");
        assert_eq!(name(&json!({"sub": "7"})), "oidc:7");
        let hostile = json!({"sub": format!("\u{202e}\n{}", "x".repeat(4_096))});
        assert_eq!(name(&hostile).chars().count(), PREFIX.len() + NAME_MAX);
        assert!(!name(&hostile).contains(['\n', '\u{202e}']));
    }

    #[test]
    fn groups_are_a_text_or_a_list_of_texts() {
        let all = claims(&json!({"one": "a", "many": ["a", 1, "b"], "none": 3}));
        assert_eq!(all.groups("one"), Some(vec!["a"]));
        assert_eq!(all.groups("many"), Some(vec!["a", "b"]));
        assert_eq!(all.groups("none"), Some(vec![]));
        assert_eq!(all.groups("absent"), None);
    }
}
