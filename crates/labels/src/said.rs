//! What is said of an asset in a dimension, and what holds.

use serde::{Deserialize, Serialize};

use crate::Layer;

/// A value, and who says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Said {
    /// The layer.
    pub layer: Layer,
    /// The value.
    pub value: String,
    /// Who in the layer: a person, an import with the line, a rule, the key of a label.
    pub source: String,
}

/// What holds for an asset in a dimension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// All that is said, never nothing; the first holds.
    pub said: Vec<Said>,
    /// Others say otherwise, and nobody decided it by hand.
    pub conflict: bool,
}

impl Settled {
    /// What holds of what is `said`, the first layer first; None if nothing is said.
    #[must_use]
    pub fn of(said: Vec<Said>) -> Option<Self> {
        let first = said.first()?;
        let differs = said.iter().any(|one| one.value != first.value);
        let conflict = differs && first.layer != Layer::Manual;
        Some(Self { said, conflict })
    }

    /// The value that holds.
    #[must_use]
    pub fn value(&self) -> &str {
        self.said.first().map_or("", |said| &said.value)
    }
}
