//! What people, imports, rules and nodes say of each asset.

use std::collections::BTreeMap;

use sekisho_model::{ClusterName, WorkloadRef};

use crate::key::{Found, Index};
use crate::{Asset, AssetKey, DimensionName, Import, LabelState, Layer, Rules, Said, TableRow};

/// Rows of a table that are told as naming nobody.
const UNMATCHED_MAX: usize = 200;

/// What is said of each asset but by its own labels and its namespace's, by cluster and asset.
pub type Assigned =
    BTreeMap<ClusterName, BTreeMap<WorkloadRef, BTreeMap<DimensionName, Vec<Said>>>>;

/// Gives each asset what `state` and `rules` say of it. The order of `assets` changes nothing.
#[must_use]
pub fn assign(assets: &[Asset], rules: &Rules, state: &LabelState) -> Assigned {
    let mut assigned = Assigned::new();
    let mut say = |asset: &Asset, dimension: &DimensionName, said: Said| {
        let of_cluster = assigned.entry(asset.cluster.clone()).or_default();
        let of_asset = of_cluster.entry(asset.workload.clone()).or_default();
        of_asset.entry(dimension.clone()).or_default().push(said);
    };
    let indices = indices(assets);
    for told in &state.by_hand {
        let key = AssetKey::Id(told.id.clone());
        for asset in named(&indices, assets, Some(&told.cluster), &key) {
            let (value, source) = (told.value.clone(), told.by.clone());
            say(asset, &told.dimension, Said { layer: Layer::Manual, value, source });
        }
    }
    // The newest table speaks first.
    for import in state.imports.iter().rev() {
        for (row, key) in keys(&import.rows) {
            for asset in named(&indices, assets, import.cluster.as_ref(), &key) {
                let source = format!("{}, line {}", import.name, row.line);
                let value = row.value.clone();
                say(asset, &row.dimension, Said { layer: Layer::Import, value, source });
            }
        }
    }
    for asset in assets {
        for (dimension, (value, rule)) in rules.derive(asset) {
            let source = rule.name.clone();
            say(asset, &dimension, Said { layer: Layer::Rule, value, source });
        }
        for dimension in &rules.dimensions {
            let mut keys = dimension.keys.iter();
            let found = keys.find_map(|key| Some((key, asset.node_labels.get(key)?)));
            if let Some((key, value)) = found.filter(|(_, value)| !value.is_empty()) {
                let (value, source) = (value.clone(), key.clone());
                say(asset, &dimension.name, Said { layer: Layer::Node, value, source });
            }
        }
    }
    assigned
}

type Indices<'a> = BTreeMap<&'a ClusterName, Index>;

fn indices(assets: &[Asset]) -> Indices<'_> {
    let mut indices = Indices::new();
    for (place, asset) in assets.iter().enumerate() {
        indices.entry(&asset.cluster).or_default().add(place, asset);
    }
    indices
}

/// What rows name; one that this version can't read names nobody.
fn keys(rows: &[TableRow]) -> impl Iterator<Item = (&TableRow, AssetKey)> {
    rows.iter().filter_map(|row| Some((row, row.asset.parse().ok()?)))
}

/// The assets of `cluster`, or of all, that `key` names.
fn named<'a>(
    indices: &Indices<'_>,
    assets: &'a [Asset],
    cluster: Option<&ClusterName>,
    key: &AssetKey,
) -> Vec<&'a Asset> {
    let mut found = Vec::new();
    for (name, index) in indices {
        if cluster.is_none_or(|wanted| wanted == *name)
            && let Found::These(places) = index.find(key)
        {
            found.extend(places.into_iter().filter_map(|place| assets.get(place)));
        }
    }
    found
}

/// Which rows of a table name nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// Rows that name an asset that is there.
    pub matched: usize,
    /// Rows that name none.
    pub unknown: usize,
    /// Rows with a bare name that several have.
    pub ambiguous: usize,
    /// The first 200 of both, with the reason.
    pub told: Vec<(TableRow, String)>,
}

/// Says which rows of `import` name none of `assets`.
#[must_use]
pub fn unmatched(assets: &[Asset], import: &Import) -> Unmatched {
    let indices = indices(assets);
    let mut unmatched = Unmatched::default();
    for (row, key) in keys(&import.rows) {
        let (mut these, mut several) = (0, 0);
        for (name, index) in &indices {
            if import.cluster.as_ref().is_some_and(|wanted| wanted != *name) {
                continue;
            }
            match index.find(&key) {
                Found::These(places) => these += places.len(),
                Found::Ambiguous(count) => several += count,
            }
        }
        let reason = match (these, several) {
            (0, 0) => {
                unmatched.unknown += 1;
                "no asset of this name or address is known (yet)".to_owned()
            }
            (0, several) => {
                unmatched.ambiguous += 1;
                format!("{several} assets have this name: write namespace/name")
            }
            _some => {
                unmatched.matched += 1;
                continue;
            }
        };
        if unmatched.told.len() < UNMATCHED_MAX {
            unmatched.told.push((row.clone(), reason));
        }
    }
    unmatched
}
