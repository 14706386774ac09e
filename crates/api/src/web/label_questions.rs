//! What people ask about labels, read and checked.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_labels::{DimensionName, TableForm, value};
use sekisho_model::{ClusterName, TimeRange};
use serde::Deserialize;

use super::parameters::{Asked, wrong};
use crate::Refusal;

/// Assets in one page.
const ASSETS: (usize, usize, usize) = (1, 100, 1_000);
/// Longest name of a table, characters; longest id of an asset, bytes.
const NAME_MAX: usize = 64;
const ID_MAX: usize = 1_024;

/// Which assets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryQuestion {
    /// Of which cluster; None = of all.
    pub cluster: Option<ClusterName>,
    /// Window of history whose externals and workloads are told too.
    pub range: TimeRange,
    /// Only of these namespaces; empty = all.
    pub namespaces: BTreeSet<String>,
    /// Only of these kinds (`Deployment`, `Host`, `External`); empty = all.
    pub kinds: BTreeSet<String>,
    /// Only this one.
    pub id: Option<String>,
    /// Only what has this in its name, a label, an address or a value; in any case.
    pub text: Option<String>,
    /// Only what has no value.
    pub unlabelled: Option<Unlabelled>,
    /// Only what layers say different values of, and nobody decided it.
    pub conflicting: bool,
    /// Only what comes after this place.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// In which dimension there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlabelled {
    /// In any of them there is none.
    Any,
    /// In none of them there is one.
    All,
    /// In this one.
    In(DimensionName),
}

/// Rules to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesQuestion {
    /// The rules, YAML or JSON.
    pub rules: String,
}

/// Rules to be kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRules {
    /// The rules, YAML or JSON.
    pub rules: String,
    /// Revision that they were made from: if it is not the last any more, they are refused.
    #[serde(default)]
    pub revision: Option<u64>,
}

/// A table to be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportQuestion {
    /// What it is called; another one of this name is replaced.
    pub name: String,
    /// Of which cluster it speaks; None = of all.
    pub cluster: Option<ClusterName>,
    /// CSV.
    pub text: String,
    /// Which column is what.
    pub form: TableForm,
    /// Take what can be taken, where lines can't.
    pub partial: bool,
    /// Only tell what it would do.
    pub dry_run: bool,
}

/// What a person says of an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandQuestion {
    /// Where it is; None = in the only cluster.
    pub cluster: Option<ClusterName>,
    /// Its id.
    pub id: String,
    /// The dimension.
    pub dimension: DimensionName,
    /// The value; None = nobody says one by hand any more.
    pub value: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportBody {
    name: String,
    text: String,
    #[serde(default)]
    cluster: Option<ClusterName>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    columns: BTreeMap<DimensionName, String>,
    #[serde(default)]
    partial: bool,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandBody {
    id: String,
    dimension: DimensionName,
    #[serde(default)]
    value: Option<String>,
}

impl Asked<'_> {
    /// Which assets.
    pub(crate) fn inventory(&self) -> Result<InventoryQuestion, Refusal> {
        let own = |name| self.text(name).map(|text| text.map(str::to_owned));
        let unlabelled = match self.text("unlabelled")? {
            None => None,
            Some("any") => Some(Unlabelled::Any),
            Some("all") => Some(Unlabelled::All),
            Some(name) => {
                let name = name.parse().map_err(|cause| wrong("unlabelled", cause))?;
                Some(Unlabelled::In(name))
            }
        };
        Ok(InventoryQuestion {
            cluster: self.parsed("cluster")?,
            range: self.range()?,
            namespaces: self.each("namespace"),
            kinds: self.each("kind"),
            id: own("id")?,
            text: own("text")?.map(|text| text.to_lowercase()),
            unlabelled,
            conflicting: self.flag("conflicting")?,
            after: own("after")?,
            limit: self.number("limit", ASSETS)?,
        })
    }

    /// A table.
    pub(crate) fn import(&self) -> Result<ImportQuestion, Refusal> {
        let body: ImportBody = self.json()?;
        let ImportBody { name, text, cluster, key, columns, partial, dry_run } = body;
        let is_plain = |letter: char| letter.is_alphanumeric() || "-_. ".contains(letter);
        let name = name.trim().to_owned();
        let is_name = !name.is_empty() && name.chars().count() <= NAME_MAX;
        if !is_name || !name.chars().all(is_plain) {
            let why = format!("1 to {NAME_MAX} letters, digits, `-`, `_`, `.` or spaces");
            return Err(Refusal::Invalid(format!("field `name`: {why}")));
        }
        let key = key.filter(|key| !key.is_empty());
        let form = TableForm { key, columns };
        Ok(ImportQuestion { name, cluster, text, form, partial, dry_run })
    }

    /// What a person says.
    pub(crate) fn by_hand(&self) -> Result<HandQuestion, Refusal> {
        let HandBody { id, dimension, value: told } = self.json()?;
        if id.is_empty() || id.len() > ID_MAX {
            return Err(Refusal::Invalid(format!("field `id`: 1 to {ID_MAX} bytes")));
        }
        let read = |text: String| {
            value(&text).map_err(|cause| Refusal::Invalid(format!("field `value`: {cause}")))
        };
        let value = told.map(read).transpose()?;
        Ok(HandQuestion { cluster: self.parsed("cluster")?, id, dimension, value })
    }
}

#[cfg(test)]
mod tests {
    use sekisho_model::Timestamp;

    use super::*;

    fn asked<T>(
        body: &str,
        read: impl FnOnce(&Asked<'_>) -> Result<T, Refusal>,
    ) -> Result<T, String> {
        let now = Timestamp::from_seconds(100_000);
        let asked = Asked { now, query: &[], name: "", body: body.as_bytes() };
        read(&asked).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_table_has_a_name_and_a_value_is_text() {
        let import = |name: &str| {
            let body =
                serde_json::json!({ "name": name, "text": "", "columns": { "role": "Tier" } });
            asked(&body.to_string(), |asked| asked.import())
        };
        let read = import(" CMDB 2026 ").unwrap();
        assert_eq!((read.name.as_str(), read.form.columns.len()), ("CMDB 2026", 1));
        for wrong in ["", " ", "a/b", "a\u{7}", &"a".repeat(NAME_MAX + 1)] {
            assert!(import(wrong).unwrap_err().contains("`name`"), "{wrong:?}");
        }
        let hand = |value: serde_json::Value| {
            let body = serde_json::json!({ "id": "a/b[C]", "dimension": "role", "value": value });
            asked(&body.to_string(), |asked| asked.by_hand())
        };
        assert_eq!(hand(" web ".into()).unwrap().value.as_deref(), Some("web"));
        assert_eq!(hand(serde_json::Value::Null).unwrap().value, None);
        assert!(hand("\u{202e}".into()).unwrap_err().contains("`value`"));
        assert!(asked(r#"{"id":"","dimension":"role"}"#, |asked| asked.by_hand()).is_err());
        assert!(asked(r#"{"id":"a","dimension":"Role"}"#, |asked| asked.by_hand()).is_err());
    }
}
