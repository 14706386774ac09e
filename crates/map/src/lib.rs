//! Flows to a dependency graph by cluster, namespace, application, label, machine, workload, pod,
//! process.
//!
//! [`build`] sums stored rows into a [`Map`]; [`completeness`] says how much of the truth it holds;
//! [`compare`] says what two of them differ in; [`table`], [`json`], [`dot`], [`mermaid`] and [`svg`]
//! print it; [`scene`] gives it the places that it has on a screen. Everything here is a pure
//! function of its input: the same rows in any order give the same bytes.

mod build;
mod compare;
mod completeness;
mod dot;
mod graph;
mod group;
mod mermaid;
mod name;
mod options;
mod place;
mod places;
mod plan;
mod scene;
mod sheet;
mod svg;
mod table;
mod text;
mod tracks;
mod within;

pub use build::{build, ends, stable_labels};
pub use compare::{Changed, MapDiff, compare, diff_json, diff_table};
pub use completeness::{ExpectedNode, completeness};
pub use dot::dot;
pub use graph::{Hidden, Map, MapEdge, MapNode, Noise, ProcessPair, json};
pub use group::{Grouping, GroupingError, LabelKey, LabelKeyError};
pub use mermaid::mermaid;
pub use name::node_id;
pub use options::{MapOptions, NoiseRule, Order, Top};
pub use places::Places;
pub use scene::{
    Area, AreaKind, Coverage, Encryption, Glyph, GlyphState, Partial, Scene, SceneEdge,
    SceneOptions, ScenePort, scene,
};
pub use svg::svg;
pub use table::table;
pub use within::{Within, WithinError};
