//! Changes of labels: rules, tables, and values that people give by hand.

use sekisho_api::{
    Account, DimensionView, HandQuestion, ImportQuestion, ImportReport, ImportView, LabelChange,
    LabelChanges, NewRules, Outcome, Refusal, RulesView, UnmatchedRow,
};
use sekisho_base::error_chain;
use sekisho_labels::{
    Asset, ByHand, Dimension, Import, LabelState, Table, read_rules, read_table, unmatched,
};
use sekisho_model::{TimeRange, Timestamp};

use super::audit::Call;
use super::inventory::{known, may_see};
use super::scope::whole;
use crate::labelling::{self, Told};
use crate::server::fleet::Fleet;
use crate::server::service::now;

/// History whose externals and workloads take part in a preview, seconds: what `GET /inventory` tells
/// if nothing is said.
const WINDOW_S: u64 = 86_400;
/// Values that change which are told one by one.
const EXAMPLES_MAX: usize = 50;

impl Fleet {
    /// The rules and tables.
    pub(super) fn label_rules(&self, account: &Account) -> Result<RulesView, Refusal> {
        whole(account, "what was told about labels")?;
        let told = self.labels().told();
        let dimension = |dimension: &Dimension| DimensionView {
            name: dimension.name.clone(),
            keys: dimension.keys.clone(),
            labelled: 0,
            conflicting: 0,
        };
        let import = |import: &Import| ImportView {
            name: import.name.clone(),
            cluster: import.cluster.clone(),
            by: import.by.clone(),
            time: import.time,
            rows: import.rows.len(),
        };
        Ok(RulesView {
            revision: told.state.revision,
            rules: told.state.rules.clone(),
            dimensions: told.rules.dimensions.iter().map(dimension).collect(),
            layers: told.rules.layers.clone(),
            imports: told.state.imports.iter().rev().map(import).collect(),
            by_hand: told.state.by_hand.len(),
        })
    }

    /// What other rules would change.
    pub(super) fn try_rules(
        &self,
        account: &Account,
        rules: &str,
    ) -> Result<LabelChanges, Refusal> {
        whole(account, "what rules change")?;
        if let Err(errors) = read_rules(rules, self.labels().environment()) {
            return Ok(LabelChanges { errors, ..LabelChanges::default() });
        }
        let before = self.labels().told();
        let state = LabelState { rules: rules.to_owned(), ..before.state.clone() };
        let assets = self.labelled_assets(account)?;
        Ok(changes(account, &assets, &before, &self.read(state)?))
    }

    /// Replaces the rules.
    pub(super) fn set_rules(
        &self,
        account: &Account,
        wanted: &NewRules,
    ) -> Result<LabelChanges, Refusal> {
        whole(account, "rules of labels")?;
        let assets = self.labelled_assets(account)?;
        let detail = format!("{} bytes", wanted.rules.len());
        self.change(account, ("set_label_rules", "rules", &detail), &assets, |state| {
            if wanted.revision.is_some_and(|revision| revision != state.revision) {
                let text =
                    "labels were changed meanwhile: look at what they are now, and try again";
                return Err(Refusal::Invalid(text.to_owned()));
            }
            state.rules.clone_from(&wanted.rules);
            Ok(())
        })
    }

    /// Imports a table, or tells what that would do.
    pub(super) fn import_labels(
        &self,
        account: &Account,
        of: &ImportQuestion,
    ) -> Result<ImportReport, Refusal> {
        whole(account, "a table of labels")?;
        if of.cluster.is_some() {
            self.pick(of.cluster.as_ref())?;
        }
        let before = self.labels().told();
        if let Some(name) = of.form.columns.keys().find(|name| known(&before.rules, name).is_err())
        {
            known(&before.rules, name)?;
        }
        let table = read_table(&of.text, &of.form, &before.rules.names())
            .map_err(|cause| Refusal::Invalid(format!("table `{}`: {cause}", of.name)))?;
        let assets = self.labelled_assets(account)?;
        let import = Import {
            name: of.name.clone(),
            cluster: of.cluster.clone(),
            by: account.name.clone(),
            time: now(),
            rows: table.rows.clone(),
        };
        let mut report = report(&assets, &table, &import);
        report.replaces = before.state.imports.iter().any(|known| known.name == of.name);
        let replace = |state: &mut LabelState| {
            state.imports.retain(|known| known.name != import.name);
            state.imports.push(import.clone());
            Ok(())
        };
        let is_whole = table.rejected_total == 0;
        if of.dry_run || table.rows.is_empty() || !(is_whole || of.partial) {
            let mut state = before.state.clone();
            replace(&mut state)?;
            report.changes = changes(account, &assets, &before, &self.read(state)?);
            return Ok(report);
        }
        let detail = format!("{} values, {} rejected", table.rows.len(), table.rejected_total);
        let what = ("import_labels", of.name.as_str(), detail.as_str());
        report.changes = self.change(account, what, &assets, replace)?;
        report.kept = true;
        Ok(report)
    }

    /// Drops a table.
    pub(super) fn drop_import(
        &self,
        account: &Account,
        name: &str,
    ) -> Result<LabelChanges, Refusal> {
        whole(account, "a table of labels")?;
        let assets = self.labelled_assets(account)?;
        self.change(account, ("drop_label_import", name, ""), &assets, |state| {
            let count = state.imports.len();
            state.imports.retain(|import| import.name != name);
            match state.imports.len() < count {
                true => Ok(()),
                false => Err(Refusal::Unknown(format!("there is no table `{name}`"))),
            }
        })
    }

    /// Says by hand what an asset is called.
    pub(super) fn label_asset(
        &self,
        account: &Account,
        of: &HandQuestion,
    ) -> Result<LabelChanges, Refusal> {
        let told = self.labels().told();
        known(&told.rules, &of.dimension)?;
        let cluster = self.pick(of.cluster.as_ref())?.name().clone();
        let assets = self.labelled_assets(account)?;
        let is_it = |asset: &&Asset| asset.cluster == cluster && asset.id() == of.id;
        // What is in no namespace is everybody's, also who talks to it.
        let may_change = |asset: &&Asset| account.has(&asset.workload.namespace);
        let is_there = assets.iter().filter(may_change).any(|asset| is_it(&asset));
        // What is gone can be forgotten still, by who has all namespaces.
        if !is_there && (of.value.is_some() || account.namespaces.is_some()) {
            let text = format!("there is no asset `{}` that you may label", of.id);
            return Err(Refusal::Unknown(text));
        }
        let detail = match &of.value {
            Some(value) => format!("{}={value}", of.dimension),
            None => format!("{} by hand no more", of.dimension),
        };
        self.change(account, ("label_asset", &of.id, &detail), &assets, |state| {
            state.by_hand.retain(|one| {
                (&one.cluster, &one.id, &one.dimension) != (&cluster, &of.id, &of.dimension)
            });
            if let Some(value) = &of.value {
                state.by_hand.push(ByHand {
                    cluster: cluster.clone(),
                    id: of.id.clone(),
                    dimension: of.dimension.clone(),
                    value: value.clone(),
                    by: account.name.clone(),
                    time: now(),
                });
                state.by_hand.sort();
            }
            Ok(())
        })
    }

    /// The assets that a change is about.
    fn labelled_assets(&self, account: &Account) -> Result<Vec<Asset>, Refusal> {
        let range = TimeRange { from: now().minus_seconds(WINDOW_S), to: Timestamp::MAX };
        Ok(labelling::assets(&self.seen_all(account, None, range)?))
    }

    fn read(&self, state: LabelState) -> Result<Told, Refusal> {
        let told = Told::of(state, self.labels().environment());
        told.map_err(|error| Refusal::Invalid(error_chain(error.as_ref())))
    }

    /// Makes a change, between its two entries in the audit log.
    fn change(
        &self,
        account: &Account,
        (action, target, detail): (&str, &str, &str),
        assets: &[Asset],
        change: impl FnOnce(&mut LabelState) -> Result<(), Refusal>,
    ) -> Result<LabelChanges, Refusal> {
        let call = Call { who: &account.name, action, target };
        let work = || {
            let before = self.labels().told();
            let after = self.labels().change(change)?;
            Ok(changes(account, assets, &before, &after))
        };
        let done = |changes: &LabelChanges| {
            (Outcome::Done, format!("{} assets are called otherwise", changes.changed))
        };
        self.audit().around((&call, detail), work, done)
    }
}

/// What a table does, before it is kept.
fn report(assets: &[Asset], table: &Table, import: &Import) -> ImportReport {
    let found = unmatched(assets, import);
    let unmatched = found.told.into_iter().map(|(row, reason)| UnmatchedRow {
        line: row.line,
        asset: row.asset,
        reason,
    });
    ImportReport {
        name: import.name.clone(),
        kept: false,
        replaces: false,
        rows: table.rows.len(),
        matched: found.matched,
        unknown: found.unknown,
        ambiguous: found.ambiguous,
        unmatched: unmatched.collect(),
        rejected: table.rejected.clone(),
        rejected_total: table.rejected_total,
        ignored_columns: table.ignored.clone(),
        changes: LabelChanges::default(),
    }
}

/// What assets are called otherwise, of those that `account` sees.
fn changes(account: &Account, assets: &[Asset], before: &Told, after: &Told) -> LabelChanges {
    let (old, new) = (before.labelling(assets), after.labelling(assets));
    let mut names = before.rules.names();
    names.extend(after.rules.names());
    names.sort();
    names.dedup();
    let mut changes = LabelChanges::default();
    for asset in assets.iter().filter(|asset| may_see(account, asset)) {
        let (mut is_changed, mut is_conflict) = (false, false);
        for name in &names {
            let (was, is) = (old.settled(asset, name), new.settled(asset, name));
            is_conflict |= is.as_ref().is_some_and(|settled| settled.conflict);
            let value = |settled: Option<sekisho_labels::Settled>| {
                settled.map(|settled| settled.value().to_owned())
            };
            let (was, is) = (value(was), value(is));
            if was == is {
                continue;
            }
            is_changed = true;
            if changes.examples.len() < EXAMPLES_MAX {
                changes.examples.push(LabelChange {
                    cluster: asset.cluster.clone(),
                    id: asset.id(),
                    dimension: name.clone(),
                    before: was,
                    after: is,
                });
            }
        }
        changes.assets += 1;
        changes.changed += usize::from(is_changed);
        changes.conflicting += usize::from(is_conflict);
    }
    changes
}
