//! Label layers: what each asset is called in each dimension, who says so, and who says otherwise.
//!
//! An [`Asset`] is what connects: a workload, a host, a node, an external. It has a value in each
//! [`Dimension`] (application, environment, role, location, or whatever the rules name), said by
//! [`Layer`]s of which the first in order wins: a person, an import, a derivation rule, Kubernetes.
//! [`read_rules`] reads rules and [`read_table`] a CSV, both with the line and field of each mistake;
//! [`assign`] gives each asset what people, imports and rules say of it; a [`Labelling`] tells values.
//!
//! Policies never see any of this: they select by labels of Kubernetes, which nothing here changes.

mod asset;
mod assign;
mod csv;
mod dimension;
mod key;
mod labelling;
mod layer;
mod read;
mod rules;
mod said;
mod state;
mod table;

pub use asset::{ADDRESSES_MAX, Asset};
pub use assign::{Assigned, Unmatched, assign, unmatched};
pub use dimension::{Dimension, DimensionName, NameError, ValueError, value};
pub use key::{AssetKey, KeyError};
pub use labelling::Labelling;
pub use layer::{Layer, LayerError};
pub use read::{RULES_BYTES_MAX, RulesError, read_rules};
pub use rules::{Pattern, PatternError, Rule, Rules};
pub use said::{Said, Settled};
pub use state::{ByHand, Import, LabelState};
pub use table::{ROWS_MAX, Rejected, Table, TableError, TableForm, TableRow, read_table};
