//! What a client asks about assets and labels.

use bytes::Bytes;
use sekisho_labels::LabelState;
use sekisho_model::ClusterName;
use serde_json::Value;

use crate::client::{json, json_answer};
use crate::client_words::{encoded, word};
use crate::{CallError, Client, ImportReport, InventoryPage, LabelChanges, RulesView};

impl Client {
    /// A page of assets; `query` has the parameters of `GET /inventory`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn inventory(&self, query: &[(&str, String)]) -> Result<InventoryPage, CallError> {
        let mut path = "/v1/inventory?operator=".to_owned();
        for (name, value) in query {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
        json_answer(&self.call("GET", &path, Bytes::new()).await?)
    }

    /// Rules of labels, and the tables that were imported.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn label_rules(&self) -> Result<RulesView, CallError> {
        json_answer(&self.call("GET", "/v1/labels/rules", Bytes::new()).await?)
    }

    /// All that was told about labels, as the server keeps it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn label_state(&self) -> Result<LabelState, CallError> {
        json_answer(&self.call("GET", "/v1/labels/state", Bytes::new()).await?)
    }

    /// What other rules would change.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn try_label_rules(&self, rules: &str) -> Result<LabelChanges, CallError> {
        let body = json(&serde_json::json!({ "rules": rules }))?;
        json_answer(&self.call("POST", "/v1/labels/preview", body).await?)
    }

    /// Replaces the rules.
    ///
    /// # Errors
    /// [`CallError`]; with mistakes in the rules nothing changes.
    pub async fn set_label_rules(
        &self,
        rules: &str,
        operator: &str,
    ) -> Result<LabelChanges, CallError> {
        let body = json(&serde_json::json!({ "rules": rules }))?;
        let path = format!("/v1/labels/rules?operator={}", word(operator));
        json_answer(&self.call("PUT", &path, body).await?)
    }

    /// Imports a table, as `POST /labels/import` takes it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn import_labels(
        &self,
        table: &Value,
        operator: &str,
    ) -> Result<ImportReport, CallError> {
        let path = format!("/v1/labels/import?operator={}", word(operator));
        json_answer(&self.call("POST", &path, json(table)?).await?)
    }

    /// Drops a table.
    ///
    /// # Errors
    /// [`CallError`] if there is none of this name.
    pub async fn drop_label_import(
        &self,
        name: &str,
        operator: &str,
    ) -> Result<LabelChanges, CallError> {
        let path = format!("/v1/labels/imports/{}?operator={}", encoded(name), word(operator));
        json_answer(&self.call("DELETE", &path, Bytes::new()).await?)
    }

    /// Says by hand what an asset is called; None takes it back.
    ///
    /// # Errors
    /// [`CallError`] if there is no such asset or dimension.
    pub async fn label_asset(
        &self,
        (cluster, id): (Option<&ClusterName>, &str),
        (dimension, value): (&str, Option<&str>),
        operator: &str,
    ) -> Result<LabelChanges, CallError> {
        let body = json(&serde_json::json!({ "id": id, "dimension": dimension, "value": value }))?;
        let of = cluster.map(|cluster| format!("&cluster={cluster}")).unwrap_or_default();
        let path = format!("/v1/labels/asset?operator={}{of}", word(operator));
        json_answer(&self.call("PUT", &path, body).await?)
    }
}
