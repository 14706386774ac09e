//! What is answered about labels.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sekisho_labels::{DimensionName, Layer, Rejected, RulesError, Said};
use sekisho_model::{ClusterName, Labels, PartyKind, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};

/// A page of assets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryPage {
    /// Window of history that was asked for.
    pub window: TimeRange,
    /// Grows with every change of rules, tables and values.
    pub revision: u64,
    /// The dimensions, in order, with figures of all assets.
    pub dimensions: Vec<DimensionView>,
    /// The layers, the first wins.
    pub layers: Vec<Layer>,
    /// Assets that the asker sees.
    pub total: usize,
    /// Those with no value in any dimension.
    pub unlabelled: usize,
    /// Those that layers say different values of.
    pub conflicting: usize,
    /// Those that were asked for, over all pages.
    pub matching: usize,
    /// Kinds of all assets.
    pub kinds: BTreeSet<String>,
    /// Namespaces of all assets.
    pub namespaces: BTreeSet<String>,
    /// The page.
    pub assets: Vec<AssetView>,
    /// Ask with `after=` this for the next page; None = this is the last.
    pub next: Option<String>,
}

/// A dimension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DimensionView {
    /// Its name.
    pub name: DimensionName,
    /// Keys of Kubernetes labels that tell it.
    pub keys: Vec<String>,
    /// Assets with a value.
    pub labelled: usize,
    /// Assets that layers say different values of.
    pub conflicting: usize,
}

/// An asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetView {
    /// Its id, as on a map by workload.
    pub id: String,
    /// Where it is.
    pub cluster: ClusterName,
    /// What it is to policies.
    pub party: PartyKind,
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty if it is in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// It is there now; else history alone knows it.
    pub present: bool,
    /// Its labels in Kubernetes, without what controllers generate.
    pub labels: Labels,
    /// Its addresses, the first 16.
    pub addresses: Vec<IpAddr>,
    /// Ports that it listens on, the first 16.
    pub ports: Vec<u16>,
    /// What it is called, by dimension.
    pub values: BTreeMap<DimensionName, AssetValue>,
}

/// What an asset is called in a dimension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetValue {
    /// The value that holds.
    pub value: String,
    /// Others say otherwise, and nobody decided it by hand.
    pub conflict: bool,
    /// All that is said; the first holds.
    pub said: Vec<Said>,
}

/// The rules, and the tables that were imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesView {
    /// Grows with every change.
    pub revision: u64,
    /// The rules, as they were written.
    pub rules: String,
    /// Dimensions by name, with the keys that tell them.
    pub dimensions: Vec<DimensionView>,
    /// The layers, the first wins.
    pub layers: Vec<Layer>,
    /// Tables, the newest first.
    pub imports: Vec<ImportView>,
    /// Values that people gave by hand.
    pub by_hand: usize,
}

/// A table that was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportView {
    /// Its name.
    pub name: String,
    /// Of which cluster it speaks; None = of all.
    pub cluster: Option<ClusterName>,
    /// Who brought it.
    pub by: String,
    /// When.
    pub time: Timestamp,
    /// Its values.
    pub rows: usize,
}

/// What a change of rules, of a table or of a value does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelChanges {
    /// Mistakes in the rules; with any, nothing else is told.
    pub errors: Vec<RulesError>,
    /// Assets that there are.
    pub assets: usize,
    /// Assets that are called otherwise.
    pub changed: usize,
    /// Assets that layers would say different values of.
    pub conflicting: usize,
    /// The first 50 values that change.
    pub examples: Vec<LabelChange>,
}

/// A value that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelChange {
    /// Where the asset is.
    pub cluster: ClusterName,
    /// The asset.
    pub id: String,
    /// The dimension.
    pub dimension: DimensionName,
    /// What it is called; None = nothing.
    pub before: Option<String>,
    /// What it will be called; None = nothing.
    pub after: Option<String>,
}

/// What an import did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// What the table is called.
    pub name: String,
    /// It is kept. Without it nothing changed.
    pub kept: bool,
    /// It takes the place of one of this name.
    pub replaces: bool,
    /// Values that were read.
    pub rows: usize,
    /// Values whose asset is known.
    pub matched: usize,
    /// Values whose asset nobody knows; they hold as soon as it comes.
    pub unknown: usize,
    /// Values with a bare name that several assets have; they hold for none.
    pub ambiguous: usize,
    /// The first 200 of both.
    pub unmatched: Vec<UnmatchedRow>,
    /// Lines that can't be read, the first 200.
    pub rejected: Vec<Rejected>,
    /// How many can't.
    pub rejected_total: usize,
    /// Columns that nothing was taken of.
    pub ignored_columns: Vec<String>,
    /// What it changes.
    pub changes: LabelChanges,
}

/// A value of a table that holds for nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmatchedRow {
    /// Line, from 1.
    pub line: u32,
    /// The asset, as the table names it.
    pub asset: String,
    /// Why.
    pub reason: String,
}
