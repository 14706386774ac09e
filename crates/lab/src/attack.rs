//! Attacks as data: a command run from a compromised pod; it succeeds if it exits with 0.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::{self, DataError};
use crate::exec::{ExecError, exec_captured};

/// An attack of the shop scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// By this it is called.
    pub name: String,
    /// What the attacker wants, one sentence.
    pub description: String,
    /// The compromised workload, `namespace/name`.
    pub from: String,
    /// Command line run inside its first pod.
    pub command: Vec<String>,
}

/// What became of an attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackOutcome {
    /// Its command exited with 0.
    pub succeeded: bool,
    /// What the command printed.
    pub output: String,
}

/// An attack could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum AttackError {
    /// There is no attack of that name.
    #[error("no attack `{name}`; there are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// The embedded list is broken.
    #[error("read the list of attacks: {message}")]
    List {
        /// Why.
        message: String,
    },
    /// The command could not be run in the pod.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// The attacks of the shop scenario.
///
/// # Errors
/// [`AttackError::List`] if the embedded file is broken (a test sees to it that it is not).
pub fn attacks() -> Result<Vec<Attack>, AttackError> {
    data::read(include_str!("../scenarios/shop/attacks.yaml")).map_err(|error: DataError| {
        AttackError::List { message: sekisho_base::error_chain(&error) }
    })
}

/// Tries an attack in the running lab.
///
/// # Errors
/// [`AttackError`]; an attack that is stopped is not an error.
pub fn run_attack(state_dir: &Path, name: &str) -> Result<AttackOutcome, AttackError> {
    let all = attacks()?;
    let Some(attack) = all.iter().find(|attack| attack.name == name) else {
        let known = all.iter().map(|attack| attack.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(AttackError::Unknown { name: name.to_owned(), known });
    };
    let output = exec_captured(state_dir, &attack.from, &attack.command)?;
    Ok(AttackOutcome { succeeded: output.code == 0, output: output.output })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_attacks_are_complete_and_come_from_workloads_of_the_shop() {
        let all = attacks().unwrap();
        assert!(all.len() >= 5);
        let shop = crate::shop().unwrap();
        for attack in all {
            let there = shop.iter().any(|object| {
                let meta = object.meta();
                format!("{}/{}", meta.namespace, meta.name) == attack.from
            });
            assert!(there && !attack.command.is_empty(), "{}", attack.name);
        }
    }
}
