//! What of a history an account may see.

use sekisho_api::{Account, Refusal, SnapshotQuery};
use sekisho_manifest::Object;
use sekisho_model::{ClusterName, TimeRange};

use crate::pipeline::History;
use crate::server::fleet::Fleet;

impl Fleet {
    /// The history of one cluster, as far as `account` may see it.
    pub(crate) fn seen(
        &self,
        account: &Account,
        cluster: Option<&ClusterName>,
        range: TimeRange,
    ) -> Result<History, Refusal> {
        self.seen_of(account, cluster, &SnapshotQuery::of(range))
    }

    /// The same of what `query` asks for.
    pub(crate) fn seen_of(
        &self,
        account: &Account,
        cluster: Option<&ClusterName>,
        query: &SnapshotQuery,
    ) -> Result<History, Refusal> {
        let snapshot = self.pick(cluster)?.snapshot(query)?;
        Ok(cut(account, History::of(snapshot)))
    }

    /// The histories of all clusters, or of the named one, to look at.
    pub(crate) fn seen_all(
        &self,
        account: &Account,
        cluster: Option<&ClusterName>,
        range: TimeRange,
    ) -> Result<History, Refusal> {
        if cluster.is_some() {
            return self.seen(account, cluster, range);
        }
        let snapshots: Result<Vec<_>, Refusal> =
            self.members().map(|member| member.snapshot(&SnapshotQuery::of(range))).collect();
        Ok(cut(account, History::of_all(snapshots?)))
    }

    /// What `query` asks for of all clusters, or of the named one, as far as `account` may see it.
    pub(crate) fn looked_up(
        &self,
        account: &Account,
        query: &SnapshotQuery,
    ) -> Result<History, Refusal> {
        let snapshots = match &query.cluster {
            Some(_) => vec![self.pick(query.cluster.as_ref())?.snapshot(query)?],
            None => {
                self.members().map(|member| member.snapshot(query)).collect::<Result<_, _>>()?
            }
        };
        Ok(cut(account, History::of_all(snapshots)))
    }
}

fn cut(account: &Account, mut history: History) -> History {
    if account.namespaces.is_some() {
        history.rows.retain(|row| account.sees(&row.key));
    }
    history
}

/// Refuses what is about the whole server or cluster to who has some namespaces only.
pub(crate) fn whole(account: &Account, what: &str) -> Result<(), Refusal> {
    match &account.namespaces {
        None => Ok(()),
        Some(own) => {
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            Err(Refusal::Denied(format!(
                "{what} is about all namespaces, and `{}` has {} only",
                account.name,
                own.join(", ")
            )))
        }
    }
}

/// Refuses objects that are not in the account's namespaces.
pub(crate) fn owns(account: &Account, objects: &[Object]) -> Result<(), Refusal> {
    let foreign = objects.iter().find(|object| !account.has(&object.meta().namespace));
    match foreign {
        None => Ok(()),
        Some(object) => {
            let meta = object.meta();
            let place = match meta.namespace.as_str() {
                "" => "in no namespace".to_owned(),
                namespace => format!("in the namespace {namespace}"),
            };
            Err(Refusal::Denied(format!(
                "`{}` is {place}, which is none of those of `{}`",
                meta.name, account.name
            )))
        }
    }
}
