//! Compares the cluster with the native revision in force, says what a difference means for
//! connections, and puts our objects right if that is configured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sekisho_api::{DatapathMode, DriftReport, Enforcement, NativeStatus};
use sekisho_enforce::native::{
    Drift, Force, LiveState, ObjectKey, Stamp, Step, desired, drift, plan,
};
use sekisho_manifest::Object;
use sekisho_model::Timestamp;
use sekisho_policy::list::{Listing, PolicyDiff, Scope};
use sekisho_policy::{Cluster, RuleSet};
use sekisho_verify::VerifiedPolicy;

use super::native::{Native, foreign_keys, split};
use super::service::{ClusterServer, now};

/// Differences told one by one; the rest is counted.
const DRIFT_MAX: usize = 64;
/// Differences whose meaning is worked out: each compares all pairs.
const EXPLAINED_MAX: usize = 8;
/// Connections named of one difference.
const CONNECTIONS_MAX: usize = 10;
/// Repairs of one object in [`FIGHT_S`] after which somebody else clearly wants it otherwise.
const REPAIRS_MAX: usize = 5;
const FIGHT_S: u64 = 600;

/// What was seen of the cluster the last time.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// For `sekisho status`; the judgements of flows are added there.
    pub(crate) status: NativeStatus,
    /// The differences behind it, and the generation of the cluster that they were explained with.
    known: Option<(u64, u64, Vec<Drift>)>,
    /// What all policies in the cluster say together, to notice a change.
    rules: Option<Arc<RuleSet>>,
    /// When that last changed.
    since: Timestamp,
    /// Repairs of late, by object.
    repairs: BTreeMap<ObjectKey, Vec<Timestamp>>,
}

impl Watched {
    /// Makes the next look explain everything anew: people decided what is to be.
    pub(crate) fn forget(&mut self) {
        self.known = None;
        self.repairs.clear();
    }

    /// The rules that all policies in the cluster make, and since when; None before the first look.
    pub(crate) fn rules(&self) -> Option<(Arc<RuleSet>, Timestamp)> {
        self.rules.as_ref().map(|rules| (Arc::clone(rules), self.since))
    }

    fn take_rules(&mut self, rules: RuleSet) {
        if self.rules.as_deref() != Some(&rules) {
            self.since = now();
            self.rules = Some(Arc::new(rules));
        }
    }

    /// Until when an object is left to people; None if it may be repaired.
    fn left_until(&self, key: &ObjectKey) -> Option<Timestamp> {
        let late = self.repairs.get(key).filter(|late| late.len() >= REPAIRS_MAX)?;
        late.first().map(|oldest| oldest.plus_seconds(FIGHT_S))
    }

    /// Notes that objects were repaired.
    fn note_repairs(&mut self, keys: &[ObjectKey], time: Timestamp) {
        for key in keys {
            self.repairs.entry(key.clone()).or_default().push(time);
        }
        self.status.repaired = self.status.repaired.saturating_add(keys.len() as u64);
    }

    /// Forgets repairs of long ago, and tells which of the differences `found` are left to people.
    fn note_contested(&mut self, found: &[Drift], time: Timestamp) {
        self.repairs.retain(|_, late| {
            late.retain(|then| time.seconds_since(*then) < FIGHT_S);
            !late.is_empty()
        });
        let contested = found.iter().filter_map(|one| {
            let until = self.left_until(&one.key).filter(|_| one.kind.is_ours())?;
            let by = one.by.as_ref().map(|by| format!(" by {}", by.manager)).unwrap_or_default();
            Some(format!(
                "{}: put right {REPAIRS_MAX} times within {} minutes and changed again each \
                 time{by}; left as it is until {until}",
                one.key,
                FIGHT_S / 60
            ))
        });
        let contested: Vec<String> = contested.collect();
        for one in contested.iter().filter(|one| !self.status.contested.contains(one)) {
            tracing::warn!(object = one, "others change it back again and again");
        }
        self.status.contested = contested;
    }
}

/// The revision in force, as far as drift needs it.
struct InForce {
    number: u64,
    verified: Option<VerifiedPolicy>,
    foreign: BTreeSet<ObjectKey>,
}

impl ClusterServer {
    /// Looks at the cluster once. Does nothing while somebody changes it.
    pub(crate) fn look(&self, native: &Native) {
        let Some(_turn) = native.try_turn() else { return };
        let Some(in_force) = self.native_in_force() else { return };
        let live = match native.api.live() {
            Ok(live) => live,
            Err(refusal) => {
                let mut watched = native.watched();
                let text = refusal.to_string();
                if watched.status.error != text {
                    tracing::error!(error = text, "the cluster can't be compared");
                }
                watched.status.error = text;
                return;
            }
        };
        let found = differences(&in_force, &live);
        self.note(native, &in_force, &live, &found);
        if native.repair && found.iter().any(|one| one.kind.is_ours()) {
            repair(native, &in_force, &live, &found);
        }
    }

    /// The newest enforced revision, if it is native; with no policies it is empty.
    fn native_in_force(&self) -> Option<InForce> {
        let core = self.core();
        let newest = core.revisions.newest(DatapathMode::Enforce)?;
        if newest.enforcement == Enforcement::Datapath {
            return None;
        }
        let record = newest.record.clone();
        let verified = match record.map(VerifiedPolicy::restore).transpose() {
            Ok(verified) => verified,
            Err(error) => {
                tracing::error!(%error, revision = newest.revision, "can't be compared");
                return None;
            }
        };
        Some(InForce { number: newest.revision, verified, foreign: foreign_keys(newest) })
    }

    /// Brings what was found into the status.
    fn note(&self, native: &Native, in_force: &InForce, live: &LiveState, found: &[Drift]) {
        let (cluster, generation) = {
            let core = self.core();
            (core.cluster.clone(), core.generation)
        };
        let dialect = in_force.verified.as_ref().map(|of| of.rules().dialect()).unwrap_or_default();
        let all: Vec<Object> = live.objects.values().filter_map(|one| one.object.clone()).collect();
        let state = (in_force.number, generation, found.to_vec());
        let known = native.watched().known.as_ref() == Some(&state);
        // Outside of the lock: comparing all pairs of a large cluster takes seconds.
        let reports = (!known).then(|| reports(in_force, found, &cluster));
        let mut watched = native.watched();
        watched.take_rules(RuleSet::from_objects(&all, dialect));
        if let Some(reports) = reports {
            log_new(&watched.status.drift, &reports);
            watched.status.drift_more = found.len().saturating_sub(reports.len()) as u64;
            watched.status.drift = reports;
            watched.known = Some(state);
        }
        let status = &mut watched.status;
        native.api.address().clone_into(&mut status.server);
        status.checked = Some(now());
        status.error = String::new();
        status.objects = live.objects.values().filter(|one| one.ours).count() as u64;
        status.foreign = live.objects.values().filter(|one| !one.ours).count() as u64;
        let unreadable = live.unreadable.iter().map(|one| format!("{}: {}", one.what, one.why));
        status.unreadable = unreadable.collect();
        watched.note_contested(found, now());
    }
}

fn differences(in_force: &InForce, live: &LiveState) -> Vec<Drift> {
    // Only what objects mean is compared, so that no stamp matters.
    let stamp = Stamp { revision: in_force.number, ..Stamp::default() };
    let verified = in_force.verified.as_ref();
    let wanted = verified.map(|of| desired(of, &in_force.foreign, &stamp)).unwrap_or_default();
    let foreign = verified.map(|of| split(of.record(), &in_force.foreign).1).unwrap_or_default();
    drift(&wanted, &foreign, live)
}

/// Tells the log of what was not there the last time.
fn log_new(before: &[DriftReport], now: &[DriftReport]) {
    for one in now.iter().filter(|one| !before.contains(one)) {
        tracing::warn!(
            object = one.object,
            drift = one.kind,
            by = one.manager,
            opens = one.opens.len(),
            closes = one.closes.len(),
            "the cluster differs from the revision in force"
        );
    }
}

/// Words for each difference, with what it opens and closes.
fn reports(in_force: &InForce, found: &[Drift], cluster: &Cluster) -> Vec<DriftReport> {
    let none = RuleSet::default();
    let rules = in_force.verified.as_ref().map_or(&none, VerifiedPolicy::rules);
    let before = Listing::new(rules, cluster, &Scope::default()).ok();
    let told = found.iter().take(DRIFT_MAX).enumerate();
    told.map(|(index, one)| {
        let before = before.as_ref().filter(|_| index < EXPLAINED_MAX);
        let meaning = before.and_then(|before| meaning(before, rules, one, cluster));
        let (opens, closes, more) = meaning.unwrap_or_default();
        let by = one.by.as_ref();
        DriftReport {
            object: one.key.to_string(),
            kind: one.kind.as_str().to_owned(),
            fields: one.fields.clone(),
            manager: by.map(|by| by.manager.clone()).unwrap_or_default(),
            time: by.and_then(|by| by.time),
            opens,
            closes,
            more,
        }
    })
    .collect()
}

/// What changes if `one` happens to `rules`: connections opened, closed, and how many more.
fn meaning(
    before: &Listing,
    rules: &RuleSet,
    one: &Drift,
    cluster: &Cluster,
) -> Option<(Vec<String>, Vec<String>, u64)> {
    let policies = rules.policies().iter().cloned().map(Object::NetworkPolicy);
    let all = policies.chain(rules.others().iter().cloned());
    let mut changed: Vec<Object> = all.filter(|of| ObjectKey::of(of) != one.key).collect();
    changed.extend(one.now.clone());
    let changed = RuleSet::from_objects(&changed, rules.dialect());
    let after = Listing::new(&changed, cluster, &Scope::default()).ok()?;
    let diff = PolicyDiff::new(before, &after);
    let (mut opens, mut closes) = (Vec::new(), Vec::new());
    for pair in &diff.changes {
        for (list, ports) in [
            (&mut opens, pair.after.minus(&pair.before)),
            (&mut closes, pair.before.minus(&pair.after)),
        ] {
            if !ports.is_empty() {
                list.push(format!("{} -> {}: {}", pair.source, pair.destination, ports));
            }
        }
    }
    let more = [&opens, &closes].map(|list| list.len().saturating_sub(CONNECTIONS_MAX));
    opens.truncate(CONNECTIONS_MAX);
    closes.truncate(CONNECTIONS_MAX);
    Some((opens, closes, more.iter().sum::<usize>() as u64))
}

/// Puts our objects right. What others made stays, and an object that somebody changes again and
/// again is left to people.
fn repair(native: &Native, in_force: &InForce, live: &LiveState, found: &[Drift]) {
    let watched = native.watched();
    let ours = found.iter().filter(|one| one.kind.is_ours()).map(|one| &one.key);
    let allowed: Vec<&ObjectKey> = ours.filter(|key| watched.left_until(key).is_none()).collect();
    drop(watched);
    let stamp = native.stamp(in_force.number);
    let verified = in_force.verified.as_ref();
    let all = verified.map(|of| desired(of, &in_force.foreign, &stamp)).unwrap_or_default();
    let mut plan = plan(all, live);
    plan.steps.retain(|planned| match planned.step {
        Step::Create | Step::Update(_) | Step::Prune => allowed.contains(&&planned.key),
        // A conflict would refuse the rest: it is told as drift.
        Step::Conflict(_) => false,
        Step::Unchanged | Step::Foreign => true,
    });
    if plan.is_empty() {
        return;
    }
    match native.api.transact(&plan, Force::OwnObjects) {
        Ok(done) => {
            tracing::warn!(objects = done.len(), "put right what somebody changed");
            let keys: Vec<ObjectKey> = plan.changes().map(|planned| planned.key.clone()).collect();
            native.watched().note_repairs(&keys, now());
        }
        Err(error) => tracing::error!(%error, "could not put right what somebody changed"),
    }
}
