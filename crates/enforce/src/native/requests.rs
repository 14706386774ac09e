//! Single requests to the API server.

use std::time::Duration;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::core::params::ValidationDirective;
use serde_json::Value;

use super::installation::Installation;
use super::kinds::{NativeKind, ObjectKey};
use super::refusal::RequestError;

/// Objects in one page of a list.
const PAGE_OBJECTS: u32 = 500;
/// Pages read of one kind: more objects than this are no policies but an accident.
const PAGES_MAX: usize = 200;
/// How long one request may take in all, retries of the client included.
const REQUEST_WAIT: Duration = Duration::from_secs(40);

/// Whether something is only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dry {
    /// All checks, nothing stored (`dryRun=All`).
    Run,
    /// For real.
    No,
}

async fn within<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, RequestError> {
    match tokio::time::timeout(REQUEST_WAIT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_elapsed) => Err(RequestError::Silence(format!("waited {} s", REQUEST_WAIT.as_secs()))),
    }
}

fn api(client: &Client, kind: &NativeKind, namespace: &str) -> Api<DynamicObject> {
    let resource = kind.api();
    match (kind.namespaced, namespace) {
        (false, _) | (true, "") => Api::all_with(client.clone(), &resource),
        (true, namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

fn value(object: DynamicObject) -> Result<Value, RequestError> {
    serde_json::to_value(object).map_err(|error| RequestError::Silence(error.to_string()))
}

/// All objects of a kind, in all namespaces.
pub(crate) async fn list(client: &Client, kind: &NativeKind) -> Result<Vec<Value>, RequestError> {
    let api = api(client, kind, "");
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE_OBJECTS);
    for _page in 0..PAGES_MAX {
        let page = within(api.list(&params)).await?;
        for object in page.items {
            all.push(value(object)?);
        }
        match page.metadata.continue_ {
            Some(next) if !next.is_empty() => params = params.continue_token(&next),
            Some(_) | None => return Ok(all),
        }
    }
    Err(RequestError::Silence(format!(
        "more than {} objects",
        PAGES_MAX.saturating_mul(PAGE_OBJECTS as usize)
    )))
}

/// The object `key`.
pub(crate) async fn get(
    client: &Client,
    (key, kind): (&ObjectKey, &NativeKind),
) -> Result<Value, RequestError> {
    value(within(api(client, kind, &key.namespace).get(&key.name)).await?)
}

/// Applies `body` as our manager; the object as it is then.
pub(crate) async fn apply(
    (client, us): (&Client, &Installation),
    (key, kind): (&ObjectKey, &NativeKind),
    body: &Value,
    (dry, force): (Dry, bool),
) -> Result<Value, RequestError> {
    let params = PatchParams {
        dry_run: dry == Dry::Run,
        force,
        field_manager: Some(us.manager()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let api = api(client, kind, &key.namespace);
    value(within(api.patch(&key.name, &params, &Patch::Apply(body))).await?)
}

/// Deletes the object `key` if it is the one with `uid`.
pub(crate) async fn delete(
    client: &Client,
    (key, kind): (&ObjectKey, &NativeKind),
    uid: &str,
    dry: Dry,
) -> Result<(), RequestError> {
    let params = DeleteParams {
        dry_run: dry == Dry::Run,
        preconditions: Some(Preconditions { resource_version: None, uid: Some(uid.to_owned()) }),
        ..DeleteParams::default()
    };
    let api = api(client, kind, &key.namespace);
    within(api.delete(&key.name, &params)).await.map(|_deleted| ())
}
