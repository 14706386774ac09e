//! A map with positions: what a screen draws, laid out here so that nobody's screen differs.
//!
//! A node's place follows from its own name and from how many share its area, never from edges or
//! from what else was asked for: areas and seats keep holes, so one who comes or goes moves nobody
//! but the few that want the same seat. Only when an area outgrows its box does more of it move.
//! Clusters hold namespaces, namespaces hold nodes; what is outside stands left of its cluster, the
//! cluster's own machines above it, so that neither pushes the other when it grows. Many bare addresses
//! are one node: a port scan must not bury the map. Several clusters are islands on one ground, packed as
//! namespaces are in a cluster.

mod build;
mod fold;
mod joined;
mod lattice;
mod pack;
mod shape;

pub use build::scene;
pub use shape::{
    Area, AreaKind, Coverage, Encryption, Glyph, GlyphState, Partial, Scene, SceneEdge,
    SceneOptions, ScenePort,
};
