//! Which Sekisho an object belongs to, where several share a cluster.

use std::sync::Arc;

/// Our name as a manager of fields (Kubernetes v1.34, ManagedFieldsEntry.manager), and the name of
/// an installation that was given none.
const NAME: &str = "sekisho";
/// Longest name of an installation, bytes; that of a manager is 128 (Kubernetes v1.34,
/// FieldManagerMaxLength).
const LENGTH_MAX: usize = 100;

/// One Sekisho among several in a cluster. Objects of another one are others' to it: the API server
/// itself keeps them apart, because each applies under its own field manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation(Arc<str>);

/// A name that no installation can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no name of an installation: 1 to {LENGTH_MAX} letters, digits, `-`, `_`, `.`, `/`"
)]
pub struct InstallationError(String);

impl Default for Installation {
    fn default() -> Self {
        Self(NAME.into())
    }
}

impl Installation {
    /// The installation called `name`.
    ///
    /// # Errors
    /// [`InstallationError`] if the name is empty, too long, or holds other characters than ASCII
    /// letters, digits and `-_./`.
    pub fn new(name: &str) -> Result<Self, InstallationError> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if name.is_empty() || name.len() > LENGTH_MAX || !name.bytes().all(is_good) {
            return Err(InstallationError(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The field manager that it applies as.
    #[must_use]
    pub fn manager(&self) -> String {
        match self.name() {
            NAME => NAME.to_owned(),
            name => format!("{NAME}:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_manager_of_its_own() {
        let blue = Installation::new("team-a/blue").unwrap();
        assert_eq!(blue.manager(), "sekisho:team-a/blue");
        assert_eq!(Installation::default().manager(), "sekisho");
        assert_eq!(Installation::new("sekisho"), Ok(Installation::default()));
    }

    #[test]
    fn a_name_that_a_manager_could_not_have_is_refused() {
        for name in ["", "a b", "é", &"x".repeat(101)] {
            assert!(Installation::new(name).is_err(), "{name}");
        }
    }
}
