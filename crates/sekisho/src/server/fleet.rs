//! The server behind the API: its clusters, each with a history, an inventory, a joiner, policies and
//! orders of its own. Nothing is shared between two of them but the process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context;
use sekisho_api::{
    Ack, AgentReport, ApplyRequest, ApplyResponse, DropPage, FlowPage, Health, ListenerFigures,
    Order, Refusal, Revision, RollbackRequest, Service, Snapshot, SnapshotQuery, Status, Tokens,
};
use sekisho_model::{Batch, ClusterName, Timestamp};

use super::agents::is_node_name;
use super::people::{AuditLog, KeptBook, LabelBook};
use super::service::{ClusterServer, now};
use super::sinks::SinkStates;
use super::{metrics, problems};
use crate::config::ServerConfig;

/// Folder in the data folder that holds the clusters with a name of their own.
const CLUSTERS: &str = "clusters";
/// How long `status` tells of an agent of a cluster that is none of ours, seconds.
const STRANGER_TOLD_S: u64 = 900;
/// Clusters of that kind that are told one by one.
const STRANGERS_MAX: usize = 16;

/// All clusters of one server.
pub(crate) struct Fleet {
    /// Never empty.
    members: BTreeMap<ClusterName, Arc<ClusterServer>>,
    /// The listener on the network, once there is one.
    listener: OnceLock<Arc<ListenerFigures>>,
    data_dir: PathBuf,
    /// How the sinks do.
    sinks: SinkStates,
    /// Where the console is, if it is served.
    web: OnceLock<String>,
    tokens: Tokens,
    audit: AuditLog,
    kept: KeptBook,
    labels: LabelBook,
    /// Clusters that are none of ours, with the last of their agents that came.
    strangers: Mutex<BTreeMap<ClusterName, Stranger>>,
}

/// An agent that is of none of our clusters.
#[derive(Clone, Debug)]
struct Stranger {
    node: String,
    at: Timestamp,
}

/// The folder of a cluster in the data folder. That of `default` is the data folder itself, as it
/// was before clusters had names.
pub(crate) fn folder_of(data_dir: &Path, cluster: &ClusterName) -> PathBuf {
    match cluster.is_default() {
        true => data_dir.to_owned(),
        false => data_dir.join(CLUSTERS).join(cluster.as_str()),
    }
}

/// The clusters with a history in the data folder, by name.
pub(crate) fn recorded(data_dir: &Path) -> Vec<ClusterName> {
    let entries = std::fs::read_dir(data_dir.join(CLUSTERS)).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all = named.chain([ClusterName::default()]);
    let has_history = |name: &ClusterName| folder_of(data_dir, name).join("VERSION").exists();
    let mut names: Vec<ClusterName> = all.filter(has_history).collect();
    names.sort();
    names.dedup();
    names
}

/// Picks the cluster that is asked for; where there is one only, it need not be named.
pub(crate) fn pick<'a, T>(
    members: &'a BTreeMap<ClusterName, T>,
    wanted: Option<&ClusterName>,
) -> Result<&'a T, Refusal> {
    match wanted {
        Some(name) => members.get(name).ok_or_else(|| {
            let known = names(members.keys());
            Refusal::Unknown(format!("there is no cluster `{name}` here, but {known}"))
        }),
        None => match members.first_key_value() {
            Some((_, only)) if members.len() == 1 => Ok(only),
            Some(_) | None => Err(Refusal::Invalid(format!(
                "there are several clusters, {}: name one with --cluster",
                names(members.keys())
            ))),
        },
    }
}

fn names<'a>(clusters: impl Iterator<Item = &'a ClusterName>) -> String {
    clusters.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Fleet {
    /// Opens the data folders of all clusters and replays their logs.
    pub(crate) fn open(config: &ServerConfig) -> anyhow::Result<Self> {
        let mut members = BTreeMap::new();
        for (name, source) in config.clusters()? {
            let folder = folder_of(&config.data_dir, &name);
            let server = ClusterServer::open(name.clone(), &folder, &source, config)
                .with_context(|| format!("cluster `{name}`"))?;
            members.insert(name, Arc::new(server));
        }
        let (listener, strangers) = (OnceLock::new(), Mutex::default());
        let data_dir = config.data_dir.clone();
        let tokens = Tokens::open(&data_dir.join("tokens.json"))?;
        let audit = AuditLog::open(&data_dir)?;
        let kept = KeptBook::open(&data_dir)?;
        let (web, sinks) = (OnceLock::new(), SinkStates::default());
        let labels = LabelBook::open(&data_dir, config.environment_label.as_str())?;
        Ok(Self { members, listener, data_dir, sinks, web, tokens, audit, kept, labels, strangers })
    }

    /// All clusters, by name.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<ClusterServer>> {
        self.members.values()
    }

    /// The state of the sinks, which these tell of.
    pub(crate) fn sinks(&self) -> &SinkStates {
        &self.sinks
    }

    /// Learns where the console is.
    pub(crate) fn shows(&self, url: String) {
        // There is one at most, and it is told once.
        self.web.set(url).ok();
    }

    /// The tokens of people and programs.
    pub(crate) fn all_tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// What people keep.
    pub(crate) fn kept(&self) -> &KeptBook {
        &self.kept
    }

    /// What people told about labels.
    pub(crate) fn labels(&self) -> &LabelBook {
        &self.labels
    }

    /// The audit log.
    pub(crate) fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// Learns of the listener on the network.
    pub(crate) fn listens(&self, figures: Arc<ListenerFigures>) {
        // There is one at most, and it is told once.
        self.listener.set(figures).ok();
    }

    /// Seals all histories before the end.
    pub(crate) fn close(&self) {
        self.members().for_each(|member| member.close());
    }

    /// The cluster that is asked for, or the only one.
    pub(crate) fn pick(&self, wanted: Option<&ClusterName>) -> Result<&ClusterServer, Refusal> {
        self.shared(wanted).map(AsRef::as_ref)
    }

    /// As [`Self::pick`], for work that goes on after the answer.
    pub(crate) fn shared(
        &self,
        wanted: Option<&ClusterName>,
    ) -> Result<&Arc<ClusterServer>, Refusal> {
        pick(&self.members, wanted)
    }

    /// Notes an agent that can't be taken in; says what to do about it.
    fn refuse(&self, cluster: &ClusterName, node: &str) -> Refusal {
        let node = if is_node_name(node) { node } else { "a node without a name" };
        let stranger = Stranger { node: node.to_owned(), at: now() };
        let words = stranger.words(cluster);
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.retain(|_, last| stranger.at.seconds_since(last.at) < STRANGER_TOLD_S);
        if strangers.len() < STRANGERS_MAX || strangers.contains_key(cluster) {
            // Told once: its agents come again twice a second.
            if strangers.insert(cluster.clone(), stranger).is_none() {
                tracing::warn!("{words}");
            }
        }
        drop(strangers);
        // Not for good: it keeps what it sees until the server knows its cluster.
        let known = names(self.members.keys());
        Refusal::Unavailable(format!("{words}; this server has {known}"))
    }

    /// What is wrong with the server as a whole.
    fn problems(&self, time: Timestamp) -> Vec<String> {
        let listener = self.listener.get().map(|figures| figures.status());
        let mut all: Vec<String> = listener.iter().flat_map(problems::of_listener).collect();
        let strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let late =
            strangers.iter().filter(|(_, last)| time.seconds_since(last.at) < STRANGER_TOLD_S);
        all.extend(late.map(|(cluster, stranger)| stranger.words(cluster)));
        let recorded = recorded(&self.data_dir);
        let unserved = recorded.iter().filter(|name| !self.members.contains_key(*name));
        all.extend(unserved.map(|name| {
            let folder = folder_of(&self.data_dir, name);
            format!(
                "the history of the cluster `{name}` in `{}` is not served, nor shortened: start the \
                 server with --cluster {name}, or remove it",
                folder.display()
            )
        }));
        all
    }
}

impl Stranger {
    fn words(&self, cluster: &ClusterName) -> String {
        let node = &self.node;
        format!(
            "the agent on {node} is of the cluster `{cluster}`, which is none of this server's: start \
             the server with --cluster {cluster} (or --kubernetes={cluster}=KUBECONFIG), or the agent \
             with another --cluster"
        )
    }
}

/// Alive as long as all clusters tick; ready when what agents send can be stored.
impl Health for Fleet {
    fn is_alive(&self) -> bool {
        self.members().all(|member| member.is_alive())
    }

    fn is_ready(&self) -> bool {
        self.members().all(|member| member.is_ready())
    }
}

impl Service for Fleet {
    fn clusters(&self) -> Vec<ClusterName> {
        self.members.keys().cloned().collect()
    }

    fn proves_nodes(&self, cluster: &ClusterName) -> bool {
        self.members.get(cluster).is_some_and(|member| member.witness().is_some())
    }

    fn attest(&self, cluster: &ClusterName, node: &str, token: &str) -> Result<(), Refusal> {
        match self.members.get(cluster).and_then(|member| member.witness()) {
            Some(witness) => witness.attest(node, token),
            None => Err(Refusal::Unknown(format!("nobody tells of nodes of `{cluster}`"))),
        }
    }

    fn ingest(&self, cluster: &ClusterName, batch: Batch, frame: &[u8]) -> Result<Ack, Refusal> {
        match self.members.get(cluster) {
            Some(member) => member.ingest(batch, frame),
            None => Err(self.refuse(cluster, &batch.node)),
        }
    }

    fn order(&self, cluster: &ClusterName, node: &str, after: u64) -> Option<Order> {
        self.members.get(cluster)?.order(node, after)
    }

    fn report(&self, cluster: &ClusterName, node: &str, report: AgentReport) {
        if let Some(member) = self.members.get(cluster) {
            member.report(node, report);
        }
    }

    fn status(&self) -> Status {
        let mut all = self.members().map(|member| member.status()).collect::<Vec<_>>();
        if all.len() > 1 {
            for status in &mut all {
                let name = &status.cluster_name;
                let named = |problem: &String| format!("cluster {name}: {problem}");
                status.problems = status.problems.iter().map(named).collect();
            }
        }
        let mut status = all.remove(0);
        status.problems.extend(self.problems(status.time));
        status.sinks = self.sinks.all();
        status.problems.extend(super::sinks::problems(&status.sinks));
        status.console = self.web.get().cloned();
        status.listener = self.listener.get().map(|figures| figures.status());
        status.others = all;
        status
    }

    fn snapshot(&self, query: SnapshotQuery) -> Result<Snapshot, Refusal> {
        self.pick(query.cluster.as_ref())?.snapshot(&query)
    }

    fn flows(
        &self,
        cluster: Option<&ClusterName>,
        cursor: u64,
        count: usize,
    ) -> Result<FlowPage, Refusal> {
        Ok(self.pick(cluster)?.flows(cursor, count))
    }

    fn drops(
        &self,
        cluster: Option<&ClusterName>,
        cursor: u64,
        count: usize,
    ) -> Result<DropPage, Refusal> {
        Ok(self.pick(cluster)?.drops(cursor, count))
    }

    fn nodes_of(&self, cluster: &ClusterName, pods: &[(&str, &str)]) -> Vec<Option<String>> {
        match self.members.get(cluster) {
            Some(member) => member.nodes_of(pods),
            None => vec![None; pods.len()],
        }
    }

    fn apply(&self, request: ApplyRequest) -> Result<ApplyResponse, Refusal> {
        self.audited_apply(request)
    }

    fn rollback(&self, request: RollbackRequest) -> Result<ApplyResponse, Refusal> {
        self.audited_rollback(request)
    }

    fn revisions(&self, cluster: Option<&ClusterName>) -> Result<Vec<Revision>, Refusal> {
        Ok(self.pick(cluster)?.revisions())
    }

    fn metrics(&self) -> String {
        metrics::exposition(&self.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(names: &[&str]) -> BTreeMap<ClusterName, String> {
        names.iter().map(|name| (name.parse().unwrap(), (*name).to_owned())).collect()
    }

    #[test]
    fn the_only_cluster_need_not_be_named_and_one_of_several_must_be() {
        let (one, two) = (members(&["east"]), members(&["east", "west"]));
        let west = "west".parse().unwrap();
        assert_eq!(pick(&one, None).unwrap(), "east");
        assert_eq!(pick(&two, Some(&west)).unwrap(), "west");
        let asked = pick(&two, None).unwrap_err().to_string();
        assert!(asked.contains("`east`, `west`") && asked.contains("--cluster"), "{asked}");
        let unknown = pick(&one, Some(&west)).unwrap_err().to_string();
        assert!(unknown.contains("`west`") && unknown.contains("`east`"), "{unknown}");
    }

    #[test]
    fn histories_are_found_by_name_and_the_data_folder_is_that_of_the_default_cluster() {
        let folder = tempfile::tempdir().unwrap();
        for place in ["", "clusters/east", "clusters/Not A Name"] {
            std::fs::create_dir_all(folder.path().join(place)).unwrap();
            std::fs::write(folder.path().join(place).join("VERSION"), "x").unwrap();
        }
        std::fs::create_dir_all(folder.path().join("clusters/empty")).unwrap();
        let names: Vec<String> = recorded(folder.path()).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["default", "east"]);
    }
}
