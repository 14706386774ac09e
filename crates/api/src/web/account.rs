//! Who asks, and what they may.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use sekisho_model::{EdgeKey, Timestamp};
use serde::{Deserialize, Serialize};

/// What somebody may do; each includes those before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Look.
    #[default]
    Viewer,
    /// Write policies: recommend, ask what-if, stage.
    Author,
    /// Put policies in force and take them back, make tokens, read the audit log.
    Operator,
}

/// A text names no access.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not one of viewer, author, operator")]
pub struct AccessError(String);

impl Access {
    /// The word used in JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Author => "author",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Access {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "author" => Ok(Self::Author),
            "operator" => Ok(Self::Operator),
            _ => Err(AccessError(text.to_owned())),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Name of the token.
    pub name: String,
    /// What it may do.
    pub role: Access,
    /// Of which namespaces it may see and change things; None = of all, and of the cluster itself.
    pub namespaces: Option<BTreeSet<String>>,
    /// Until when; None = until it is revoked.
    pub expires: Option<Timestamp>,
}

impl Account {
    /// Whether it may see this edge: an end is in one of its namespaces.
    #[must_use]
    pub fn sees(&self, key: &EdgeKey) -> bool {
        self.namespaces.as_ref().is_none_or(|own| {
            let ends = [&key.source, &key.destination];
            ends.into_iter().any(|party| own.contains(&party.workload.namespace))
        })
    }

    /// Whether it may see and change what is in `namespace`; empty = what is in none.
    #[must_use]
    pub fn has(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|own| own.contains(namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_access_includes_those_before_it() {
        assert!(Access::Viewer < Access::Author && Access::Author < Access::Operator);
        for access in [Access::Viewer, Access::Author, Access::Operator] {
            assert_eq!(access.as_str().parse(), Ok(access));
        }
        assert!("root".parse::<Access>().is_err());
    }

    #[test]
    fn an_account_of_namespaces_has_these_and_nothing_of_the_cluster() {
        let all =
            Account { name: "a".to_owned(), role: Access::Viewer, namespaces: None, expires: None };
        let some = Account { namespaces: Some(["shop".to_owned()].into()), ..all.clone() };
        assert!(all.has("shop") && all.has("bank") && all.has(""));
        assert!(some.has("shop") && !some.has("bank") && !some.has(""));
    }
}
