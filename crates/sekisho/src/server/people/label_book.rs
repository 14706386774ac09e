//! What people told about labels: rules, tables, values of single assets; one file, replaced as a
//! whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use sekisho_api::Refusal;
use sekisho_base::error_chain;
use sekisho_labels::LabelState;
use sekisho_system::replace_file;

use crate::labelling::{Told, path_in};

/// Tables that are kept, and values by hand.
const IMPORTS_MAX: usize = 32;
const BY_HAND_MAX: usize = 10_000;
/// Values of all tables together: each is looked at for a map.
const ROWS_MAX: usize = 200_000;

/// What people told.
#[derive(Debug)]
pub(crate) struct LabelBook {
    path: PathBuf,
    /// Key of the label that tells environments.
    environment: String,
    told: Mutex<Arc<Told>>,
}

impl LabelBook {
    /// Reads the file in `folder`; one that is not there holds nothing.
    pub(crate) fn open(folder: &Path, environment: &str) -> anyhow::Result<Self> {
        let told = Mutex::new(Arc::new(Told::open(folder, environment)?));
        Ok(Self { path: path_in(folder), environment: environment.to_owned(), told })
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told until now.
    pub(crate) fn told(&self) -> Arc<Told> {
        Arc::clone(&self.lock())
    }

    /// Key of the label that tells environments.
    pub(crate) fn environment(&self) -> &str {
        &self.environment
    }

    /// Changes it, durably; what is known stays if that fails or is too much.
    pub(crate) fn change(
        &self,
        change: impl FnOnce(&mut LabelState) -> Result<(), Refusal>,
    ) -> Result<Arc<Told>, Refusal> {
        let mut told = self.lock();
        let mut state = told.state.clone();
        change(&mut state)?;
        let rows: usize = state.imports.iter().map(|import| import.rows.len()).sum();
        if state.imports.len() > IMPORTS_MAX || rows > ROWS_MAX {
            let text = format!(
                "more than {IMPORTS_MAX} tables, or {ROWS_MAX} values of all of them: drop some first"
            );
            return Err(Refusal::Invalid(text));
        }
        if state.by_hand.len() > BY_HAND_MAX {
            let text = format!("more than {BY_HAND_MAX} values by hand: import a table instead");
            return Err(Refusal::Invalid(text));
        }
        state.revision += 1;
        let read = Told::of(state, &self.environment);
        let changed = read.map_err(|error| Refusal::Invalid(format!("{error:#}")))?;
        let text = serde_json::to_vec_pretty(&changed.state).map_err(io::Error::from);
        let kept = text.and_then(|text| replace_file(&self.path, &text));
        kept.with_context(|| format!("write `{}`", self.path.display())).map_err(|error| {
            Refusal::Unavailable(format!("not kept: {}", error_chain(error.as_ref())))
        })?;
        *told = Arc::new(changed);
        Ok(Arc::clone(&told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_after_a_restart_and_a_change_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let book = LabelBook::open(folder.path(), "environment").unwrap();
        let rules = |text: &str| {
            let text = text.to_owned();
            book.change(|state| {
                state.rules = text;
                Ok(())
            })
        };
        let kept = rules("dimensions: {team: [team]}").unwrap();
        assert_eq!((kept.state.revision, kept.rules.dimensions.len()), (1, 1));
        let error = rules("dimension: {}").unwrap_err().to_string();
        assert!(error.contains("1:1: dimension: there is no such field"), "{error}");
        assert!(book.change(|_| Err(Refusal::Invalid("no".to_owned()))).is_err());
        let again = LabelBook::open(folder.path(), "environment").unwrap().told();
        assert_eq!(again.state, kept.state);
        assert_eq!(book.told().state, kept.state);
        std::fs::write(path_in(folder.path()), "[]").unwrap();
        assert!(LabelBook::open(folder.path(), "environment").is_err());
    }
}
