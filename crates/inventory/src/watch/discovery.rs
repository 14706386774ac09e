//! What the API server serves now: its version, its clock, and which of our kinds it has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::Client;
use kube::client::Body;
use kube::core::ApiResource;

use super::kinds::{BUILT_IN, FAMILIES, Family, SAME_OBJECTS, Served};

/// How long one question may take.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A question was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// No answer in time.
    #[error("no answer to {what} within {} s", ANSWER_TIMEOUT.as_secs())]
    Late {
        /// What was asked for.
        what: &'static str,
    },
    /// A refusal, or no connection.
    #[error("{0}")]
    Refused(#[source] Box<kube::Error>),
}

/// Waits for an answer, but not for ever.
async fn ask<T>(
    what: &'static str,
    question: impl Future<Output = kube::Result<T>>,
) -> Result<T, AskError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(AskError::Refused(Box::new(error))),
        Err(_elapsed) => Err(AskError::Late { what }),
    }
}

/// The `Date` of an answer of the API server, Unix seconds; None if it has none. Any answer shows
/// that the API server is there, also a refusal.
pub(crate) async fn clock(client: &Client) -> Result<Option<i64>, AskError> {
    let request = http::Request::get("/version").body(Body::empty());
    let request =
        request.map_err(|cause| AskError::Refused(Box::new(kube::Error::HttpError(cause))))?;
    let answer = ask("/version", client.send(request)).await?;
    let date = answer.headers().get(http::header::DATE).and_then(|value| value.to_str().ok());
    Ok(date.and_then(seconds_of))
}

/// Reads a date of HTTP (RFC 9110 §5.6.7, IMF-fixdate), Unix seconds.
fn seconds_of(date: &str) -> Option<i64> {
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(date.as_second())
}

/// The API server's version.
pub(crate) async fn version(client: &Client) -> Result<String, AskError> {
    Ok(ask("/version", client.apiserver_version()).await?.git_version)
}

/// What was found out about kinds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Kinds that are served.
    pub(crate) served: Vec<Served>,
    /// Groups that exist but did not answer (an aggregated API that is down): of their kinds
    /// nothing is known.
    pub(crate) silent: BTreeSet<String>,
}

/// Remembers what can't change while an API server runs.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    /// Resources of groups that are built in, by apiVersion.
    built_in: BTreeMap<String, APIResourceList>,
}

impl Discovery {
    /// Asks which kinds are served. One request, and one for each version of a group that is not
    /// built in and that we know.
    pub(crate) async fn look(&mut self, client: &Client) -> Result<Found, AskError> {
        let groups = ask("/apis", client.list_api_groups()).await?;
        let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        versions.insert(String::new(), BTreeSet::from(["v1".to_owned()]));
        for group in groups.groups {
            let served = group.versions.into_iter().map(|version| version.version);
            versions.insert(group.name, served.collect());
        }
        let shadowed = shadowed(&versions);
        let mut found = Found::default();
        let mut lists: BTreeMap<String, APIResourceList> = BTreeMap::new();
        for family in FAMILIES {
            let Some(served) = versions.get(family.group) else { continue };
            if shadowed == Some(family.group) {
                continue;
            }
            for version in family.versions.iter().filter(|version| served.contains(**version)) {
                let name = api_version(family.group, version);
                if !lists.contains_key(&name) {
                    match self.resources(client, family.group, &name).await {
                        Ok(list) => lists.insert(name.clone(), list),
                        Err(AskError::Refused(_)) => {
                            found.silent.insert(family.group.to_owned());
                            continue;
                        }
                        Err(late @ AskError::Late { .. }) => return Err(late),
                    };
                }
                if let Some(list) = lists.get(&name) {
                    pick(family, version, list, &mut found.served);
                }
            }
        }
        Ok(found)
    }

    async fn resources(
        &mut self,
        client: &Client,
        group: &str,
        name: &str,
    ) -> Result<APIResourceList, AskError> {
        if let Some(list) = self.built_in.get(name) {
            return Ok(list.clone());
        }
        let list = if group.is_empty() {
            ask("/api/v1", client.list_core_api_resources(name)).await?
        } else {
            ask("/apis/GROUP/VERSION", client.list_api_group_resources(name)).await?
        };
        if BUILT_IN.contains(&group) {
            self.built_in.insert(name.to_owned(), list.clone());
        }
        Ok(list)
    }

    /// Forgets what may be different after the API server was away: it may be another release.
    pub(crate) fn forget(&mut self) {
        self.built_in.clear();
    }
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The group that is not watched because another serves the same objects.
fn shadowed(versions: &BTreeMap<String, BTreeSet<String>>) -> Option<&'static str> {
    let mut there = SAME_OBJECTS.iter().filter(|group| versions.contains_key(**group));
    there.next()?;
    there.next().copied()
}

/// Adds the kinds of `family` that `list` has and an earlier version had not.
fn pick(family: &Family, version: &str, list: &APIResourceList, served: &mut Vec<Served>) {
    for (kind, form) in family.kinds {
        let known = served
            .iter()
            .any(|known| known.resource.group == family.group && known.resource.kind == *kind);
        // `pods/status` and the like are of the same kind.
        let mut resources = list.resources.iter().filter(|one| !one.name.contains('/'));
        let Some(found) = resources.find(|one| one.kind == *kind) else { continue };
        let can = |verb: &str| found.verbs.iter().any(|known| known == verb);
        if known || !can("list") || !can("watch") {
            continue;
        }
        let resource = ApiResource {
            group: family.group.to_owned(),
            version: version.to_owned(),
            api_version: api_version(family.group, version),
            kind: (*kind).to_owned(),
            plural: found.name.clone(),
        };
        served.push(Served { resource, form: *form });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_http_is_read_and_another_text_is_not() {
        assert_eq!(seconds_of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds_of("yesterday"), None);
    }

    #[test]
    fn of_two_groups_with_the_same_objects_one_is_watched() {
        let versions = |groups: &[&str]| {
            groups.iter().map(|group| ((*group).to_owned(), BTreeSet::new())).collect()
        };
        assert_eq!(shadowed(&versions(&["crd.projectcalico.org"])), None);
        assert_eq!(
            shadowed(&versions(&["crd.projectcalico.org", "projectcalico.org"])),
            Some("crd.projectcalico.org")
        );
    }
}
