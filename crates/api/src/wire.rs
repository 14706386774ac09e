//! What travels.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    Enforcement, ImageReview, NativeReport, NativeStatus, ObjectName, VerifiedImages,
    WorkloadImages,
};
use sekisho_flow::FlowFilter;
use sekisho_manifest::Object;
use sekisho_model::{
    ClusterName, Dropped, EdgeDay, Flow, HookCounters, LossMinute, TimeRange, Timestamp,
};
use sekisho_policy::{Cluster, RuleSet};
use sekisho_verify::{VerifiedRecord, WhatIfReport};
use serde::{Deserialize, Serialize};

/// Answer to a batch: it and all before it in its epoch are durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Sequence of the batch.
    pub sequence: u64,
}

/// What a datapath does with connections that its policies deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatapathMode {
    /// Drops and logs.
    Enforce,
    /// Forwards and logs (staged).
    Audit,
}

/// What the server wants in force on a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Ascends with every change of policy or cluster.
    pub generation: u64,
    /// Policies to enforce; None = remove what is in force.
    pub enforce: Option<VerifiedRecord>,
    /// Policies to audit beside them; None = none.
    pub audit: Option<VerifiedRecord>,
    /// Revision number that `enforce` carries; 0 = none.
    pub revision: u64,
    /// What an agent does, when `revision` is new to it, with the established connections that the
    /// revision denies; true: ends them, false: counts them.
    pub cut: bool,
    /// The cluster as the server knows it.
    pub cluster: Cluster,
}

/// What an agent found among its established connections when a revision came into force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EstablishedReport {
    /// The revision.
    pub revision: u64,
    /// Connections that it denies and that could still carry data.
    pub denied: u64,
    /// Those of them that were ended.
    pub cut: u64,
    /// Connections that were not judged because there were too many.
    pub skipped: u64,
    /// Why this is not the whole truth; empty = it is.
    pub error: String,
}

/// What an agent says of itself, once a second or so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentReport {
    /// Version of the program.
    pub version: String,
    /// Its kernel's release.
    pub kernel: String,
    /// Generation of the last order that is in force.
    pub generation: u64,
    /// Why the last order is not in force; empty = it is.
    pub error: String,
    /// Established connections when the revision in force came; None = there was none, or it came
    /// before this agent.
    pub established: Option<EstablishedReport>,
    /// Rules that decided, with packets and bytes since they are in force.
    pub rules: Vec<(sekisho_model::DecidedBy, u64, u64)>,
    /// Tiers in use, `area: used`.
    pub tiers: Vec<String>,
    /// What the assembler holds and let go since its start, name and value.
    pub assembler: Vec<(String, u64)>,
    /// Packets that its kernel dropped since its start, by the kernel's name of the reason; those
    /// that policies denied are not among them.
    pub drops: Vec<(String, u64)>,
    /// How often somebody else changed its rules, and it put them back.
    pub tampered: u64,
    /// When that was last.
    pub tampered_last: Timestamp,
    /// Resident memory, bytes.
    pub memory_bytes: u64,
    /// End of its certificate; None = it has none, or can't read it.
    pub certificate_until: Option<Timestamp>,
    /// Whether it is time to renew that.
    pub certificate_old: bool,
}

/// An agent that was silent for so long is called lost, seconds.
pub const AGENT_SILENT_S: u64 = 15;

/// An agent as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Node or host.
    pub node: String,
    /// First batch ever.
    pub first_heard: Timestamp,
    /// Last batch.
    pub last_heard: Timestamp,
    /// When this agent process started.
    pub epoch: Timestamp,
    /// Last acknowledged batch.
    pub sequence: u64,
    /// Reports the agent shed because its queue was full.
    pub shed: u64,
    /// Hooks.
    pub hooks: Vec<HookCounters>,
    /// Its last own words.
    pub report: AgentReport,
}

/// The store's figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreFigures {
    /// Bytes on disk, log included.
    pub bytes: u64,
    /// Sealed segments.
    pub segments: u64,
    /// Rows in memory.
    pub hot_rows: u64,
    /// Why it is degraded; empty = healthy.
    pub degraded: String,
    /// How shipping to ClickHouse goes; None = nothing is shipped.
    #[serde(default)]
    pub archive: Option<ArchiveFigures>,
}

/// How shipping of history to ClickHouse goes. Rows are pairs of edge and minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFigures {
    /// Segments that it has.
    pub segments: u64,
    /// Rows in these.
    pub rows: u64,
    /// Sealed segments that wait on the server's disk.
    pub waiting_segments: u64,
    /// Rows in these.
    pub waiting_rows: u64,
    /// Seconds since the last minute of the oldest of these; 0 if none waits.
    pub waiting_s: u64,
    /// Segments that retention deleted before they were shipped.
    pub lost_segments: u64,
    /// Rows in these.
    pub lost_rows: u64,
    /// End of the time of which only ClickHouse has all; None = the folder has all, or it was never
    /// asked.
    pub only_there_until: Option<Timestamp>,
    /// Why the last turn failed; empty = it went well.
    pub error: String,
    /// Since when turns fail.
    pub failing_since: Option<Timestamp>,
}

/// How a sink does: where flows go while they come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// Where to, without path: that may hold a secret.
    pub destination: String,
    /// Records that the other end took since the start.
    pub sent: u64,
    /// Records that wait on disk.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Records that went for want of room, and flows that fell out of memory before they were taken.
    pub lost: u64,
    /// When the other end last took something; None = not since the start.
    pub last: Option<Timestamp>,
    /// Why it took nothing the last time; empty = it did.
    pub error: String,
}

/// What became of batches since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestFigures {
    /// Made durable and taken.
    pub taken: u64,
    /// Sent again although they were durable: acknowledged, not counted twice.
    pub repeated: u64,
    /// Not acknowledged.
    pub refused: u64,
}

/// Answer to `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The cluster that this is about; version, times, memory and listener are the server's.
    #[serde(default)]
    pub cluster_name: ClusterName,
    /// Version of the server.
    pub version: String,
    /// Server time.
    pub time: Timestamp,
    /// When the server started.
    pub started: Timestamp,
    /// Agents, by node.
    pub agents: Vec<AgentStatus>,
    /// Completeness of the last 15 minutes, 0 to 1.
    pub completeness: f64,
    /// Why it is below 1.
    pub gaps: Vec<String>,
    /// Flows recorded since the start.
    pub flows: u64,
    /// Flows in memory, for `observe` and for Hubble's clients.
    #[serde(default)]
    pub flows_held: u64,
    /// Flows that are held there at most.
    #[serde(default)]
    pub flows_held_max: u64,
    /// Revision enforced; 0 = none.
    pub revision: u64,
    /// Revision audited; 0 = none.
    pub staged: u64,
    /// Objects known.
    pub objects: u64,
    /// The store.
    pub store: StoreFigures,
    /// Server's resident memory, bytes.
    pub memory_bytes: u64,
    /// Joiner's counters, name and value.
    pub joiner: Vec<(String, u64)>,
    /// What the joiner holds now, name and value.
    pub joiner_held: Vec<(String, u64)>,
    /// Batches.
    pub ingest: IngestFigures,
    /// Generation of the newest order.
    pub generation: u64,
    /// The live cluster; None if none is watched.
    #[serde(default)]
    pub cluster: Option<ClusterStatus>,
    /// Live sources besides the agents, by name.
    #[serde(default)]
    pub sources: Vec<SourceStatus>,
    /// What is wrong now, each with what to do.
    pub problems: Vec<String>,
    /// The listener that leaves the machine; None = there is none.
    #[serde(default)]
    pub listener: Option<crate::ListenerStatus>,
    /// Address of the console and the HTTP API; None = they are not served.
    #[serde(default)]
    pub console: Option<String>,
    /// Who enforces what is applied.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// The state of native enforcement; None if agents enforce.
    #[serde(default)]
    pub native: Option<NativeStatus>,
    /// Workloads whose images changed since the policies in force were verified; None if nothing is
    /// in force, or it was not looked at yet.
    #[serde(default)]
    pub images: Option<ImageReview>,
    /// Where flows go while they come, of all clusters.
    #[serde(default)]
    pub sinks: Vec<SinkStatus>,
    /// The server's other clusters, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Status>,
}

impl Status {
    /// One for each cluster of the server, by name.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }
}

/// A live source: flows of another tool, read as they come. Counts are since the server started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Where flows come from.
    pub from: String,
    /// `starting`, `following`, `listening` or `waiting`.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// Why it waits; empty = it does not.
    pub problem: String,
    /// Time of its latest flow.
    pub last: Option<Timestamp>,
    /// Units read: lines, messages, records.
    pub units: u64,
    /// Flows that they gave.
    pub records: u64,
    /// Connections that began.
    pub connections: u64,
    /// Understood and left out.
    pub skipped: u64,
    /// Not understood.
    pub rejected: u64,
    /// The most frequent reasons.
    pub reasons: Vec<RejectFigures>,
    /// Records that the source says, or its numbers show, were lost.
    pub lost: u64,
    /// Datagrams and connections of senders that may not send, or were too many.
    pub refused: u64,
    /// Connections made again; files that were rotated or cut off.
    pub restarts: u64,
}

/// Units that were not understood for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectFigures {
    /// Why.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// Beginning of the first.
    pub sample: String,
}

/// How a live cluster is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Address of the API server.
    pub server: String,
    /// Its version; empty = not heard yet.
    pub version: String,
    /// Whether all kinds that may be listed were listed once.
    pub synced: bool,
    /// Since when it does not answer; None = it does.
    pub away_since: Option<Timestamp>,
    /// How much its clock is ahead of the server's, milliseconds, to about half a second.
    pub ahead_ms: i64,
    /// Changes that wait to be taken.
    pub waiting: u64,
    /// How long a change of the last second waited in the server, milliseconds.
    pub lag_ms: u64,
    /// Bytes of the journal that names old flows after a restart.
    pub copy_bytes: u64,
    /// Kinds, by group and resource.
    pub kinds: Vec<KindFigures>,
}

/// How one kind of object is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindFigures {
    /// Kind.
    pub kind: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Resource, as RBAC spells it.
    pub resource: String,
    /// `listing`, `following`, `denied` or `failing`.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether it was listed completely once.
    pub synced: bool,
    /// Objects that are there.
    pub objects: u64,
    /// Changes told by the watch since the start.
    pub events: u64,
    /// Lists since the start; the first is one.
    pub lists: u64,
    /// Objects that are there and can't be read.
    pub unreadable: u64,
    /// Failures of lists and watches since the start.
    pub errors: u64,
    /// The last of them.
    pub error: String,
    /// Why it is not followed, and what to do; empty = it is.
    pub reason: String,
}

/// Which history to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotQuery {
    /// Of which cluster; None = of the only one.
    pub cluster: Option<ClusterName>,
    /// Window.
    pub range: TimeRange,
    /// What one row sums.
    pub step: Step,
    /// Which edges.
    pub filter: FlowFilter,
    /// Of rows by minute only so many of the newest, and those seen when the last of them was; None
    /// = all.
    pub newest: Option<usize>,
    /// Whether objects of the cluster are told, too: who only looks needs none.
    pub objects: bool,
}

impl SnapshotQuery {
    /// All of a window by day, with the objects, of the only cluster.
    #[must_use]
    pub fn of(range: TimeRange) -> Self {
        let filter = FlowFilter::default();
        Self { cluster: None, range, step: Step::Day, filter, newest: None, objects: true }
    }
}

/// What one row of history sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// A day, or the part of it that was asked for.
    #[default]
    Day,
    /// A minute; the server refuses windows with too many of them.
    Minute,
}

/// History and the state of the cluster: all that map, recommend and verify need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The cluster.
    pub cluster: ClusterName,
    /// Window as asked, cut to what exists.
    pub window: TimeRange,
    /// History.
    pub rows: Vec<EdgeDay>,
    /// Losses.
    pub losses: Vec<LossMinute>,
    /// Nodes that should have reported, with the first and the last time heard.
    pub nodes: Vec<(String, Timestamp, Timestamp)>,
    /// Live objects at the window's end; those of a server are its own, shared.
    pub objects: Vec<Arc<Object>>,
    /// Policies enforced.
    pub current: RuleSet,
    /// The images that ran when the policies in force were verified; None = none are.
    #[serde(default)]
    pub verified: Option<VerifiedImages>,
}

/// Flows after a cursor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowPage {
    /// Ask with this next time.
    pub cursor: u64,
    /// Flows that fell out of memory between the asked cursor and the first given.
    pub missed: u64,
    /// Flows, oldest first.
    pub flows: Vec<Flow>,
}

/// Packets dropped by kernels, after a cursor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DropPage {
    /// Ask with this next time.
    pub cursor: u64,
    /// Records that fell out of memory between the asked cursor and the first given.
    pub missed: u64,
    /// Oldest first.
    pub drops: Vec<Dropped>,
}

/// A file of policies as the user gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFile {
    /// Name for messages.
    pub name: String,
    /// YAML or JSON.
    pub text: String,
}

/// Asks the server to verify policies and, if they hold, to put them in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// In which cluster; None = in the only one.
    #[serde(default)]
    pub cluster: Option<ClusterName>,
    /// Policies to add or replace.
    pub files: Vec<PolicyFile>,
    /// True: policies that are not in `files` end.
    pub prune: bool,
    /// Enforce or only audit.
    pub mode: DatapathMode,
    /// True: established connections that the policies deny end. Only with
    /// [`DatapathMode::Enforce`].
    pub cut: bool,
    /// History to verify against.
    pub range: TimeRange,
    /// Edges accepted by name.
    pub accepted: Vec<String>,
    /// Edges that may be blocked without being accepted by name.
    pub would_block_max: u64,
    /// Edges that work, and of which nobody knows whether they would be blocked, that may be so
    /// without being accepted by name.
    #[serde(default)]
    pub uncertain_max: u64,
    /// True: policies come into force although some of their rules can't be enforced as they are
    /// written ([`ApplyResponse::unenforced`]).
    #[serde(default)]
    pub allow_partial: bool,
    /// Who asks, for the record.
    pub operator: String,
}

/// Answer to apply and rollback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApplyResponse {
    /// What the replay said; None for a rollback.
    pub report: Option<WhatIfReport>,
    /// The new revision; None = refused, nothing changed.
    pub revision: Option<u64>,
    /// Rules that can't be enforced as they are written, each with why, in the order of policies.
    #[serde(default)]
    pub unenforced: Vec<String>,
    /// Nodes where it is in force.
    pub nodes: Vec<String>,
    /// Nodes where it is not (yet), with the reason.
    pub pending: Vec<String>,
    /// What nodes found among their established connections; a node that the revision reached
    /// twice, such as after a restart of its agent, is not in it.
    pub established: BTreeMap<String, EstablishedReport>,
    /// Who enforces it.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// What was done in the cluster; None unless the enforcement is native.
    #[serde(default)]
    pub native: Option<NativeReport>,
}

/// Asks to go back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackRequest {
    /// In which cluster; None = in the only one.
    #[serde(default)]
    pub cluster: Option<ClusterName>,
    /// Revision to go back to; None = the one before the current; 0 = no policies.
    pub revision: Option<u64>,
    /// True: the revision in force is put back where somebody changed it, fields of our objects
    /// that others set included; `revision` is then None. Only with [`Enforcement::Native`].
    #[serde(default)]
    pub repair: bool,
    /// Who asks, for the record.
    pub operator: String,
}

/// A stored revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// The cluster that it is for; revisions that do not say it are older than clusters with names.
    #[serde(default)]
    pub cluster: ClusterName,
    /// Number in its cluster, from 1, ascending.
    pub revision: u64,
    /// When it was made.
    pub time: Timestamp,
    /// Enforce or audit.
    pub mode: DatapathMode,
    /// Who asked.
    pub operator: String,
    /// For a rollback: the revision whose policies these are; 0 = none at all.
    pub restores: Option<u64>,
    /// Established connections that it denies are ended where it comes into force.
    #[serde(default)]
    pub cut: bool,
    /// Who enforces it.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// Policies of the record that others made in the cluster: verified with ours, never applied.
    #[serde(default)]
    pub foreign: Vec<ObjectName>,
    /// Images of the workloads that the policies select, when these were verified; a rollback has
    /// those of the revision it restores.
    #[serde(default)]
    pub images: Vec<WorkloadImages>,
    /// The policies; None = none.
    pub record: Option<VerifiedRecord>,
}
