//! What a change did, for people.

use sekisho_api::LabelChanges;

use crate::commands::output;

/// What changes, as a table.
pub(super) fn changed(changes: &LabelChanges) -> String {
    let head = ["ASSET", "DIMENSION", "WAS", "IS"].map(str::to_owned);
    let mut rows = vec![head.to_vec()];
    let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    rows.extend(changes.examples.iter().map(|one| {
        vec![one.id.clone(), one.dimension.to_string(), word(&one.before), word(&one.after)]
    }));
    let table = if rows.len() > 1 { output::columns(&rows, &[]) } else { String::new() };
    let LabelChanges { assets, changed, conflicting, .. } = changes;
    format!(
        "{table}{changed} of {assets} assets are called otherwise; {conflicting} have conflicts\n"
    )
}
