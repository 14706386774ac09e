//! The server's state and the only way flows get into it: log first, then join, then record.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use sekisho_base::Clock;
use sekisho_inventory::Inventory;
use sekisho_inventory::watch::Watch;
use sekisho_manifest::Object;
use sekisho_model::{Batch, ClusterName, DropRecord, Flow, Half, Timestamp};
use sekisho_policy::Cluster;
use sekisho_store::{FlowSink, LocalStore, StoreLimits};

use super::agents::Arrival;
use super::cluster_feed::ClusterFeed;
use super::damage::{self, Damaged};
use super::derive::{Derivation, Derived};
use super::entry::{self, Told};
use super::problems::{Duty, Troubles};
use super::recent::Recent;
use super::revisions::Revisions;
use super::sources::Resume;

/// Flows kept for `observe`.
const RECENT_FLOWS_MAX: usize = 65_536;
/// Records of dropped packets kept for `observe`.
const RECENT_DROPS_MAX: usize = 16_384;
/// Flows kept until they are judged by native policies.
const FRESH_FLOWS_MAX: usize = 16_384;
/// The time is logged so often if nothing else is and something waits for it, seconds.
const PASS_S: u64 = 1;
/// A failed rotation leaves one more log behind, so it is not tried again before, seconds.
const ROTATION_RETRY_S: u64 = 60;
/// Rotations forced by size are at least so far apart, seconds.
const ROTATION_PAUSE_S: u64 = 1;

/// Making the cluster of the nodes takes at most one part in so many of the time.
const REFRESH_SHARE: u32 = 10;

/// Everything the server knows of one cluster.
pub(crate) struct Core {
    pub(crate) name: ClusterName,
    pub(crate) store: LocalStore,
    pub(crate) derivation: Derivation,
    pub(crate) inventory: Inventory,
    pub(crate) feed: ClusterFeed,
    pub(crate) recent: Recent<Flow>,
    /// What kernels dropped, with the node's name. In memory only: not a part of history.
    pub(crate) drops: Recent<(String, DropRecord)>,
    /// Flows to be judged by native policies; None: agents enforce, so nothing is to be judged.
    pub(crate) fresh: Option<Vec<Flow>>,
    pub(crate) revisions: Revisions,
    pub(crate) started: Timestamp,
    /// The cluster as last given to the nodes, and the generation it was given as.
    pub(crate) cluster: Cluster,
    pub(crate) generation: u64,
    /// Generation since which the policies are what they are.
    pub(crate) policy_generation: u64,
    /// Objects known at the last change.
    pub(crate) objects: usize,
    pub(crate) troubles: Troubles,
    /// Parts of logs that could not be read at the start.
    pub(crate) log_damage: Vec<String>,
    pub(crate) damaged: Vec<Damaged>,
    pub(crate) counts: IngestCounts,
    /// How far live sources came.
    pub(crate) resume: Resume,
    /// Batches of flows of the past that came.
    pub(crate) past: u64,
    data_dir: PathBuf,
    inventory_generation: u64,
    /// The cluster is not made anew before.
    refresh_after: Timestamp,
    rotated: Timestamp,
}

/// What became of batches since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IngestCounts {
    /// Made durable and taken.
    pub(crate) taken: u64,
    /// Taken before: acknowledged again, nothing more.
    pub(crate) repeated: u64,
    /// Not acknowledged.
    pub(crate) refused: u64,
}

impl Core {
    /// Opens `data_dir` and replays what was logged but not sealed.
    pub(crate) fn open(
        name: ClusterName,
        data_dir: &Path,
        journal: Option<&Path>,
        clock: &dyn Clock,
    ) -> anyhow::Result<Self> {
        let now = Timestamp::from_nanos(clock.now());
        let (store, logs) = LocalStore::open(data_dir, StoreLimits::default())
            .with_context(|| format!("open history in `{}`", data_dir.display()))?;
        let revisions = Revisions::open(&data_dir.join("revisions"))?;
        let mut inventory = Inventory::default();
        let feed = ClusterFeed::open(data_dir, journal, &mut inventory)?;
        // Later than any generation of an earlier run, so that nodes take it.
        let generation = now.nanos() / 1_000_000;
        let mut core = Self {
            store,
            derivation: Derivation::new(name.clone()),
            name,
            inventory,
            feed,
            recent: Recent::new(RECENT_FLOWS_MAX),
            drops: Recent::new(RECENT_DROPS_MAX),
            fresh: None,
            revisions,
            started: now,
            cluster: Cluster::default(),
            generation,
            policy_generation: generation,
            objects: 0,
            troubles: Troubles::default(),
            log_damage: Vec::new(),
            damaged: damage::set_aside(data_dir),
            counts: IngestCounts::default(),
            resume: Resume::open(data_dir)?,
            past: 0,
            data_dir: data_dir.to_owned(),
            inventory_generation: u64::MAX,
            refresh_after: Timestamp::EPOCH,
            rotated: now,
        };
        core.log_damage = core.derivation.replay(&logs, &core.inventory, &mut core.store)?;
        for (source, position) in core.derivation.take_positions() {
            core.resume.note(&source, position);
        }
        core.refresh_cluster(now);
        Ok(core)
    }

    /// Makes a batch durable, then takes it. A batch that was taken before is durable already.
    pub(crate) fn ingest(
        &mut self,
        batch: Batch,
        frame: &[u8],
        received: Timestamp,
    ) -> anyhow::Result<()> {
        if self.derivation.agents.arrival(&batch) == Arrival::Taken {
            self.counts.repeated += 1;
            self.derivation.agents.note(received, &batch);
            return Ok(());
        }
        let durable = self.append(&entry::encode(received, frame));
        if durable.is_err() {
            self.counts.refused += 1;
            return durable;
        }
        self.counts.taken += 1;
        let dropped = batch.halves.iter().filter_map(|half| match half {
            Half::Dropped(record) => Some((batch.node.clone(), record.clone())),
            Half::Flow(_) | Half::Denied(_) => None,
        });
        self.drops.extend(dropped);
        let derived = self.derivation.take(received, batch, &self.inventory);
        self.record(&derived);
        Ok(())
    }

    /// Makes durable what a live source told, then takes it; gives it back if that fails.
    pub(crate) fn take_told(
        &mut self,
        told: Told,
        received: Timestamp,
    ) -> Result<(), (Told, anyhow::Error)> {
        let told = self.log(told, received)?;
        self.record(&Derived { flows: told.flows, losses: told.losses });
        Ok(())
    }

    /// As [`Self::take_told`], of flows that came long ago: they are history, and no news to anybody.
    pub(crate) fn take_past(
        &mut self,
        told: Told,
        received: Timestamp,
    ) -> Result<(), (Told, anyhow::Error)> {
        let told = self.log(told, received)?;
        self.store.record(&told.flows, &told.losses);
        self.past += 1;
        Ok(())
    }

    /// Makes durable what was told, with how far its source came.
    fn log(&mut self, told: Told, received: Timestamp) -> Result<Told, (Told, anyhow::Error)> {
        let durable = entry::encode_told(received, &told).and_then(|frame| self.append(&frame));
        if let Err(error) = durable {
            return Err((told, error));
        }
        if let Some(position) = told.position {
            self.resume.note(&told.source, position);
        }
        Ok(told)
    }

    fn append(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        let appended = self.store.append(&[frame]).map_err(anyhow::Error::from);
        self.troubles.note(Duty::Append, &appended);
        appended
    }

    fn record(&mut self, derived: &Derived) {
        self.store.record(&derived.flows, &derived.losses);
        self.recent.extend(derived.flows.iter().cloned());
        if let Some(fresh) = &mut self.fresh {
            // Beyond that only a part is judged; what lasts is seen again.
            let room = FRESH_FLOWS_MAX.saturating_sub(fresh.len());
            fresh.extend(derived.flows.iter().take(room).cloned());
        }
    }

    /// The flows that came since the last call.
    pub(crate) fn take_fresh(&mut self) -> Vec<Flow> {
        self.fresh.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Reads what the cluster did since, lets waiting halves go, and rotates the log when its time
    /// has come.
    pub(crate) fn tick(&mut self, now: Timestamp, rotate_s: u64) {
        let followed = self.feed.read(&mut self.inventory, now);
        self.troubles.note(Duty::Follow, &followed);
        self.refresh_cluster(now);
        // Time is logged like a batch: what it releases, a replay releases at the same place. After
        // a failed write it is also how the server learns that the disk works again.
        let wanted = self.derivation.wants_time(now, PASS_S);
        if (wanted || self.troubles.has(Duty::Append))
            && self.append(&entry::encode(now, &[])).is_ok()
        {
            let derived = self.derivation.pass(now, &self.inventory);
            self.record(&derived);
        }
        if self.is_rotation_due(now, rotate_s) {
            self.rotated = now;
            self.rotate();
        }
    }

    fn is_rotation_due(&self, now: Timestamp, rotate_s: u64) -> bool {
        let since_s = now.seconds_since(self.rotated);
        if self.troubles.has(Duty::Seal) {
            return since_s >= ROTATION_RETRY_S;
        }
        since_s >= rotate_s || (since_s >= ROTATION_PAUSE_S && self.store.wants_rotation())
    }

    /// Seals what is in memory. On failure everything stays where it is and the next one retries.
    pub(crate) fn rotate(&mut self) {
        // Positions first: the log that has them goes with the rotation.
        let kept = self.resume.keep();
        let checkpoint = kept.and_then(|()| self.derivation.checkpoint());
        let sealed = checkpoint.and_then(|bytes| Ok(self.store.rotate(&bytes)?));
        self.troubles.note(Duty::Seal, &sealed);
    }

    /// Gives the nodes a new cluster if policy could tell the difference.
    fn refresh_cluster(&mut self, now: Timestamp) {
        // Half a cluster would close what the other half needs.
        if self.feed.is_listing() {
            return;
        }
        let is_known = self.inventory.generation() == self.inventory_generation;
        if is_known || now < self.refresh_after {
            return;
        }
        self.inventory_generation = self.inventory.generation();
        let started = Instant::now();
        let objects = self.inventory.shared_now();
        self.objects = objects.len();
        let objects: Vec<&Object> = objects.iter().map(AsRef::as_ref).collect();
        let cluster = Cluster::from_shared(&objects);
        // A large cluster that changes all the time must not keep the server from its other work.
        let pause = started.elapsed().saturating_mul(REFRESH_SHARE);
        let nanos = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        self.refresh_after = Timestamp::from_nanos(now.nanos().saturating_add(nanos));
        if cluster != self.cluster {
            self.cluster = cluster;
            self.generation += 1;
        }
    }

    /// Follows a live cluster from now on; what is older than `age_s` is forgotten first.
    pub(crate) fn attach(&mut self, watch: Watch, now: Timestamp, age_s: u64) {
        self.inventory.forget_before(now.minus_seconds(age_s));
        self.feed.attach(watch, &self.inventory, now);
    }

    /// Learns that a node carried out an order numbered `generation`. If that is later than any of
    /// ours, our clock was set back since: go on from there, else the node would wait for ever.
    pub(crate) fn keep_ahead_of(&mut self, generation: u64) {
        if generation > self.generation {
            self.generation = generation.saturating_add(1);
            self.policy_generation = self.generation;
        }
    }

    /// Drops history beyond the given age and size, and names and agents that no history needs any
    /// more.
    pub(crate) fn retain(&mut self, now: Timestamp, (age_s, named_s): (u64, u64), bytes_max: u64) {
        let horizon = now.minus_seconds(named_s);
        let retained =
            self.store.apply_retention(now, age_s, bytes_max).map_err(anyhow::Error::from);
        self.troubles.note(Duty::Retain, &retained);
        self.inventory.forget_before(horizon);
        self.derivation.agents.forget_before(horizon);
        self.damaged = damage::set_aside(&self.data_dir);
    }
}

#[cfg(test)]
mod tests {
    use sekisho_system::SystemClock;

    use super::*;

    #[test]
    fn what_the_cluster_did_a_moment_ahead_of_our_clock_is_in_the_next_order() {
        let folder = tempfile::TempDir::new().unwrap();
        let journal = folder.path().join("journal.jsonl");
        let line = |time: &str, labels: &str| {
            format!(
                r#"{{"time":"{time}","type":"MODIFIED","object":{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"shop","labels":{{{labels}}}}}}}}}"#
            ) + "\n"
        };
        let lines = line("2026-11-23T10:00:00Z", "") + &line("2026-11-23T10:00:05Z", r#""a":"b""#);
        std::fs::write(&journal, lines).unwrap();
        let data = folder.path().join("data");
        let name = ClusterName::default();
        let mut core = Core::open(name, &data, Some(&journal), &SystemClock).unwrap();
        core.tick("2026-11-23T10:00:04Z".parse().unwrap(), 300);
        assert_eq!(core.cluster.namespaces["shop"]["a"], "b");
    }
}
