//! Assets: what each is called, and who says so.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_api::{
    Account, AssetValue, AssetView, DimensionView, InventoryPage, InventoryQuestion, Refusal,
    Unlabelled,
};
use sekisho_labels::{Asset, DimensionName, Labelling, Rules};

use crate::labelling;
use crate::server::fleet::Fleet;

/// Addresses and ports of one asset that are told.
const TOLD_MAX: usize = 16;

/// An asset with what it is called.
struct Called {
    asset: Asset,
    values: BTreeMap<DimensionName, AssetValue>,
    /// In some dimension it has no value.
    lacks_any: bool,
}

impl Fleet {
    /// The assets that are asked for.
    pub(super) fn inventory(
        &self,
        account: &Account,
        of: &InventoryQuestion,
    ) -> Result<InventoryPage, Refusal> {
        let told = self.labels().told();
        if let Some(Unlabelled::In(name)) = &of.unlabelled {
            known(&told.rules, name)?;
        }
        let history = self.seen_all(account, of.cluster.as_ref(), of.range)?;
        let window = history.window;
        let assets = labelling::assets(&history);
        let labelling = told.labelling(&assets);
        let all: Vec<Called> = assets
            .into_iter()
            .filter(|asset| may_see(account, asset))
            .map(|asset| called(asset, &labelling))
            .collect();
        let matching: Vec<&Called> = all.iter().filter(|one| one.is_asked_for(of)).collect();
        let after =
            |one: &&&Called| of.after.as_ref().is_none_or(|after| place(&one.asset) > *after);
        let mut page: Vec<&&Called> = matching.iter().filter(after).collect();
        let more = page.len() > of.limit;
        page.truncate(of.limit);
        let next = page.last().filter(|_| more).map(|last| place(&last.asset));
        Ok(InventoryPage {
            window,
            revision: told.state.revision,
            dimensions: dimensions(&told.rules, &all),
            layers: told.rules.layers.clone(),
            total: all.len(),
            unlabelled: all.iter().filter(|one| one.values.is_empty()).count(),
            conflicting: all.iter().filter(|one| one.has_conflict()).count(),
            matching: matching.len(),
            kinds: all.iter().map(|one| one.asset.workload.kind.clone()).collect(),
            namespaces: namespaces(&all),
            assets: page.into_iter().map(|one| view(one)).collect(),
            next,
        })
    }
}

/// Refuses a dimension that there is not.
pub(super) fn known(rules: &Rules, name: &DimensionName) -> Result<(), Refusal> {
    let names = rules.names();
    if names.contains(name) {
        return Ok(());
    }
    let all: Vec<&str> = names.iter().map(DimensionName::as_str).collect();
    Err(Refusal::Invalid(format!("there is no dimension `{name}`, but {}", all.join(", "))))
}

/// Whether `account` sees it: what is in its namespaces, and what these talk to that is in none.
pub(super) fn may_see(account: &Account, asset: &Asset) -> bool {
    let namespace = asset.workload.namespace.as_str();
    account.has(namespace) || (namespace.is_empty() && asset.seen)
}

/// The figures of each dimension.
fn dimensions(rules: &Rules, all: &[Called]) -> Vec<DimensionView> {
    let view = |dimension: &sekisho_labels::Dimension| {
        let values = || all.iter().filter_map(|one| one.values.get(&dimension.name));
        DimensionView {
            name: dimension.name.clone(),
            keys: dimension.keys.clone(),
            labelled: values().count(),
            conflicting: values().filter(|value| value.conflict).count(),
        }
    };
    rules.dimensions.iter().map(view).collect()
}

fn namespaces(all: &[Called]) -> BTreeSet<String> {
    let names = all.iter().map(|one| &one.asset.workload.namespace);
    names.filter(|name| !name.is_empty()).cloned().collect()
}

fn called(asset: Asset, labelling: &Labelling) -> Called {
    let value = |name: &DimensionName| {
        let settled = labelling.settled(&asset, name)?;
        let value = settled.value().to_owned();
        let value = AssetValue { value, conflict: settled.conflict, said: settled.said };
        Some((name.clone(), value))
    };
    let values: BTreeMap<_, _> = labelling.dimensions().filter_map(value).collect();
    let lacks_any = values.len() < labelling.dimensions().count();
    Called { asset, values, lacks_any }
}

/// Where an asset stands in the order of all.
fn place(asset: &Asset) -> String {
    let workload = &asset.workload;
    let words = [asset.cluster.as_str(), &workload.namespace, &workload.name, &workload.kind];
    // Assets are in this order: a character before all others keeps names apart.
    words.join("\t")
}

impl Called {
    fn has_conflict(&self) -> bool {
        self.values.values().any(|value| value.conflict)
    }

    fn is_asked_for(&self, of: &InventoryQuestion) -> bool {
        let workload = &self.asset.workload;
        let is_one =
            |wanted: &BTreeSet<String>, own: &String| wanted.is_empty() || wanted.contains(own);
        let lacks = match &of.unlabelled {
            None => true,
            Some(Unlabelled::All) => self.values.is_empty(),
            Some(Unlabelled::In(name)) => !self.values.contains_key(name),
            Some(Unlabelled::Any) => self.lacks_any,
        };
        is_one(&of.namespaces, &workload.namespace)
            && is_one(&of.kinds, &workload.kind)
            && of.id.as_ref().is_none_or(|id| *id == self.asset.id())
            && (!of.conflicting || self.has_conflict())
            && lacks
            && of.text.as_ref().is_none_or(|text| self.has_text(text))
    }

    /// Whether `text`, which is in lower case, is in its name, a label, an address or a value.
    fn has_text(&self, text: &str) -> bool {
        let holds = |word: &str| word.to_lowercase().contains(text);
        holds(&self.asset.id())
            || self.asset.labels.iter().any(|(key, value)| holds(&format!("{key}={value}")))
            || self.asset.addresses.iter().any(|address| holds(&address.to_string()))
            || self.values.values().any(|value| holds(&value.value))
    }
}

fn view(one: &Called) -> AssetView {
    let Called { asset, values, .. } = one;
    let workload = &asset.workload;
    AssetView {
        id: asset.id(),
        cluster: asset.cluster.clone(),
        party: asset.kind,
        kind: workload.kind.clone(),
        namespace: workload.namespace.clone(),
        name: workload.name.clone(),
        present: asset.present,
        labels: sekisho_map::stable_labels(&asset.labels),
        addresses: asset.addresses.iter().take(TOLD_MAX).copied().collect(),
        ports: asset.ports.iter().take(TOLD_MAX).copied().collect(),
        values: values.clone(),
    }
}
