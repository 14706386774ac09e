//! Native enforcement: verified policies become objects of the cluster, and its own network plugin
//! enforces them.
//!
//! What others put into the cluster counts: it is part of what is replayed, and recorded with the
//! revision as foreign, so that it is never applied as ours. Order of an apply: everything is tried
//! with a dry run, then done, then the revision is stored. If that last step fails, what was done
//! is taken back; if the server dies before it, the objects carry a revision that it does not know,
//! and drift says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use sekisho_api::{
    ApplyRequest, ApplyResponse, DatapathMode, Enforcement, NativeReport, NativeStatus, NativeStep,
    ObjectName, Refusal, Revision, RollbackRequest,
};
use sekisho_enforce::native::{
    Access, ApiServer, Force, Installation, LiveState, ObjectKey, Plan, Stamp, Step, TransactError,
    Undoable, desired, is_native, plan,
};
use sekisho_enforce::{Gap, unenforced};
use sekisho_manifest::Object;
use sekisho_model::{ClusterName, Timestamp};
use sekisho_policy::{Dialect, RuleSet};
use sekisho_verify::{VerifiedPolicy, VerifiedRecord};

use super::drift::Watched;
use super::not_enforced::{Contradictions, Proof};
use super::policies::{Basis, read_objects};
use super::service::{ClusterServer, now};
use crate::config::{ClusterConfig, Kubernetes, ServerConfig};

/// The cluster whose plugin enforces.
pub(crate) struct Native {
    pub(crate) api: ApiServer,
    /// Put right what somebody changed in our objects, without being asked.
    pub(crate) repair: bool,
    /// One change at a time.
    turn: Mutex<()>,
    watched: Mutex<Watched>,
    judges: Mutex<Judges>,
    /// Seconds that a plugin has to bring policies into force.
    grace_s: u64,
}

/// What flows say about policies.
struct Judges {
    not_enforced: Contradictions,
    would_deny: Contradictions,
}

impl Native {
    /// Reads the credentials, if the server enforces natively. Talks to nobody yet: the server
    /// starts also while the API server is away.
    pub(crate) fn open(
        name: &ClusterName,
        source: &ClusterConfig,
        config: &ServerConfig,
    ) -> anyhow::Result<Option<Self>> {
        if source.enforcement.unwrap_or(config.enforcement) == Enforcement::Datapath {
            return Ok(None);
        }
        let kubeconfig = match &source.kubernetes {
            Kubernetes::Kubeconfig(path) => Some(path.clone()),
            Kubernetes::On(true) => None,
            Kubernetes::On(false) => anyhow::bail!(
                "`enforcement` is `native`, and the cluster `{name}` has no API server: set its \
                 `kubernetes` to true or to the path of a kubeconfig, or its own `enforcement` to \
                 `datapath`"
            ),
        };
        let installation = Installation::new(&config.installation).context("`installation`")?;
        let access = Access { kubeconfig, context: None, installation };
        let api = ApiServer::connect(&access)
            .with_context(|| format!("native enforcement in the cluster `{name}`"))?;
        tracing::info!(api = api.address(), repair = config.repair, "native enforcement");
        Ok(Some(Self {
            api,
            repair: config.repair,
            turn: Mutex::new(()),
            watched: Mutex::new(Watched::default()),
            judges: Mutex::new(Judges {
                not_enforced: Contradictions::new(Proof::BothEnds),
                would_deny: Contradictions::new(Proof::OneEnd),
            }),
            grace_s: config.enforce_grace_s,
        }))
    }

    /// What our objects of a revision carry.
    pub(crate) fn stamp(&self, revision: u64) -> Stamp {
        Stamp { revision, installation: self.api.installation().clone() }
    }

    /// Waits for the turn to change the cluster.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn, if nobody has it.
    pub(crate) fn try_turn(&self) -> Option<MutexGuard<'_, ()>> {
        match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(std::sync::TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    /// What was seen of the cluster.
    pub(crate) fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for `sekisho status`.
    pub(crate) fn status(&self) -> NativeStatus {
        let mut status = self.watched().status.clone();
        self.api.address().clone_into(&mut status.server);
        let judges = self.judges();
        status.not_enforced = judges.not_enforced.found();
        status.not_enforced_total = judges.not_enforced.total;
        status.would_deny = judges.would_deny.found();
        status.unjudged = judges.not_enforced.unjudged.saturating_add(judges.would_deny.unjudged);
        status
    }

    fn judges(&self) -> MutexGuard<'_, Judges> {
        self.judges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> Result<LiveState, Refusal> {
        self.api.live().map_err(|refusal| Refusal::Unavailable(refusal.to_string()))
    }
}

/// The keys of policies that others made, as a revision records them.
pub(crate) fn foreign_keys(revision: &Revision) -> BTreeSet<ObjectKey> {
    let key = |name: &ObjectName| ObjectKey {
        kind: name.kind.clone(),
        namespace: name.namespace.clone(),
        name: name.name.clone(),
    };
    revision.foreign.iter().map(key).collect()
}

/// The objects of a record: ours, and those of others.
pub(crate) fn split(
    record: &VerifiedRecord,
    foreign: &BTreeSet<ObjectKey>,
) -> (Vec<Object>, Vec<Object>) {
    let policies = record.policies.iter().cloned().map(Object::NetworkPolicy);
    let all = policies.chain(record.others.iter().cloned());
    all.partition(|object| !foreign.contains(&ObjectKey::of(object)))
}

impl ClusterServer {
    /// Judges the flows that came since by the policies in the cluster and by those staged.
    pub(crate) fn judge_flows(&self, native: &Native, time: Timestamp) {
        let flows = self.core().take_fresh();
        let mut judges = native.judges();
        judges.not_enforced.take(&flows);
        judges.would_deny.take(&flows);
        let due = [judges.not_enforced.is_due(time), judges.would_deny.is_due(time)];
        if due == [false, false] {
            return;
        }
        let (cluster, generation, enforced, staged) = {
            let core = self.core();
            let since = |mode| {
                let newest = core.revisions.newest(mode)?;
                newest.record.as_ref().map(|_| newest.time)
            };
            let staged = since(DatapathMode::Audit)
                .map(|from| (core.revisions.rules(DatapathMode::Audit), from));
            let enforced = since(DatapathMode::Enforce);
            (core.cluster.clone(), core.generation, enforced, staged)
        };
        match (enforced, native.watched().rules()) {
            (Some(from), Some((rules, seen))) => {
                let from = from.max(seen).plus_seconds(native.grace_s);
                judges.not_enforced.judge((&rules, from), (&cluster, generation), time);
            }
            (None, _) => judges.not_enforced.clear(),
            // Not yet looked at the cluster.
            (Some(_), None) => {}
        }
        match staged {
            Some((rules, from)) => {
                judges.would_deny.judge((&rules, from), (&cluster, generation), time);
            }
            None => judges.would_deny.clear(),
        }
    }

    /// Verifies with what others have in the cluster, and applies.
    pub(crate) fn apply_native(
        &self,
        native: &Native,
        request: &ApplyRequest,
    ) -> Result<ApplyResponse, Refusal> {
        if request.cut {
            let text = "the cluster's plugin enforces, and established connections are its \
                        business: apply without --cut";
            return Err(Refusal::Invalid(text.to_owned()));
        }
        let objects = read_objects(&request.files)?;
        let given: BTreeSet<ObjectKey> = objects.iter().map(ObjectKey::of).collect();
        let history = self.history(request.range)?;
        let _turn = native.turn();
        let live = native.live()?;
        let foreign: Vec<Object> = live
            .foreign()
            .filter(|(key, _)| !given.contains(*key))
            .map(|(_, object)| object.clone())
            .collect();
        let basis = self.native_basis(request, &live, &foreign);
        let answer = basis.what_if(request, objects, &history)?;
        let respond = |revision, report| ApplyResponse {
            report: Some(answer.report.clone()),
            revision,
            unenforced: Vec::new(),
            nodes: Vec::new(),
            pending: Vec::new(),
            established: BTreeMap::new(),
            enforcement: Enforcement::Native,
            native: report,
        };
        let Some(verified) = &answer.verified else { return Ok(respond(None, None)) };
        let lost = incomplete(verified);
        if !lost.is_empty() {
            return Ok(ApplyResponse { unenforced: lost, ..respond(None, None) });
        }
        let names: Vec<ObjectKey> = foreign.iter().map(ObjectKey::of).collect();
        let revision = Revision {
            cluster: self.name().clone(),
            revision: basis.number,
            time: now(),
            mode: DatapathMode::Enforce,
            operator: request.operator.clone(),
            restores: None,
            cut: false,
            enforcement: Enforcement::Native,
            foreign: names.iter().map(object_name).collect(),
            images: self.core().images(&history, verified.rules()),
            record: Some(verified.record().clone()),
        };
        let (number, report) =
            self.carry_out(native, (&live, Some(verified)), revision, Force::Never)?;
        Ok(respond(number, Some(report)))
    }

    /// Goes back to an earlier revision, or puts the one in force right.
    pub(crate) fn rollback_native(
        &self,
        native: &Native,
        request: &RollbackRequest,
    ) -> Result<ApplyResponse, Refusal> {
        let _turn = native.turn();
        let wanted = match (request.repair, request.revision) {
            (false, Some(number)) => number,
            (false, None) => self.core().revision_before_current()?,
            (true, None) => self.core().enforced(),
            (true, Some(_)) => {
                let text = "--repair puts the revision in force right: name no other one";
                return Err(Refusal::Invalid(text.to_owned()));
            }
        };
        let found = self.core().enforced_revision(wanted)?;
        let record = found.as_ref().and_then(|revision| revision.record.clone());
        let verified = record.clone().map(VerifiedPolicy::restore).transpose();
        let verified = verified.map_err(|error| Refusal::Invalid(error.to_string()))?;
        let live = native.live()?;
        let revision = Revision {
            cluster: self.name().clone(),
            revision: self.core().revisions.next_number(),
            time: now(),
            mode: DatapathMode::Enforce,
            operator: request.operator.clone(),
            restores: Some(wanted),
            cut: false,
            enforcement: Enforcement::Native,
            images: found.as_ref().map(|of| of.images.clone()).unwrap_or_default(),
            foreign: found.map(|revision| revision.foreign).unwrap_or_default(),
            record,
        };
        let force = if request.repair { Force::OwnObjects } else { Force::Never };
        let (revision, report) =
            self.carry_out(native, (&live, verified.as_ref()), revision, force)?;
        Ok(ApplyResponse {
            report: None,
            revision,
            unenforced: Vec::new(),
            nodes: Vec::new(),
            pending: Vec::new(),
            established: BTreeMap::new(),
            enforcement: Enforcement::Native,
            native: Some(report),
        })
    }

    /// Brings the objects of `revision` into the cluster and stores it. The number, or None with a
    /// report of why not.
    fn carry_out(
        &self,
        native: &Native,
        (live, verified): (&LiveState, Option<&VerifiedPolicy>),
        mut revision: Revision,
        force: Force,
    ) -> Result<(Option<u64>, NativeReport), Refusal> {
        let stamp = native.stamp(revision.revision);
        let foreign = foreign_keys(&revision);
        let wanted = verified.map(|of| desired(of, &foreign, &stamp)).unwrap_or_default();
        let plan = plan(wanted, live);
        let mut report = report(native, &plan, live);
        let done = match native.api.transact(&plan, force) {
            Ok(done) => done,
            Err(error) => {
                tell(&mut report, error);
                return Ok((None, report));
            }
        };
        // The time from which the policies are in force, not that of the question.
        revision.time = now();
        let number = revision.revision;
        let stored = self.core().store_native(revision);
        if let Err(refusal) = stored {
            take_back(native, done, &mut report);
            report.errors.insert(0, refusal.to_string());
            return Ok((None, report));
        }
        native.watched().forget();
        tracing::info!(
            revision = number,
            changes = plan.changes().count(),
            "policies in the cluster"
        );
        Ok((Some(number), report))
    }

    /// What an apply starts from: the cluster as it is.
    fn native_basis(&self, request: &ApplyRequest, live: &LiveState, foreign: &[Object]) -> Basis {
        let core = self.core();
        let newest = core.revisions.newest(DatapathMode::Enforce);
        let dialect = newest.and_then(|revision| revision.record.as_ref());
        let dialect = dialect.map_or_else(Dialect::default, |record| record.dialect);
        let ours = newest
            .and_then(|revision| Some(split(revision.record.as_ref()?, &foreign_keys(revision)).0));
        let ours = ours.unwrap_or_default().into_iter().filter(is_native);
        let all: Vec<Object> =
            live.objects.values().filter_map(|found| found.object.clone()).collect();
        let stays = RuleSet::from_objects(foreign, dialect);
        Basis {
            current: RuleSet::from_objects(&all, dialect),
            base: if request.prune { stays.clone() } else { stays.with(ours) },
            stays,
            number: core.revisions.next_number(),
        }
    }
}

/// Rules with a part that our reader does not keep (HTTP and its kin): writing them would write
/// something else than what was given.
fn incomplete(verified: &VerifiedPolicy) -> Vec<String> {
    let all = unenforced(verified.rules());
    let lost = all.iter().filter(|rule| match rule.gap {
        Gap::Condition(_) => true,
        Gap::DomainNames { .. } => false,
    });
    lost.map(ToString::to_string).collect()
}

fn object_name(key: &ObjectKey) -> ObjectName {
    ObjectName { kind: key.kind.clone(), namespace: key.namespace.clone(), name: key.name.clone() }
}

fn report(native: &Native, plan: &Plan, live: &LiveState) -> NativeReport {
    let steps = plan.steps.iter().map(|planned| NativeStep {
        object: planned.key.to_string(),
        step: planned.step.as_str().to_owned(),
        detail: match &planned.step {
            Step::Update(fields) if fields.is_empty() => "labels or annotations".to_owned(),
            Step::Update(fields) => fields.join(", "),
            Step::Conflict(managers) => format!("made by {}", managers.join(", ")),
            Step::Create | Step::Unchanged | Step::Prune | Step::Foreign => String::new(),
        },
    });
    let unreadable = live.unreadable.iter().map(|one| format!("{}: {}", one.what, one.why));
    NativeReport {
        server: native.api.address().to_owned(),
        steps: steps.collect(),
        unreadable: unreadable.collect(),
        ..NativeReport::default()
    }
}

/// Says in `report` what a failed transaction left behind.
fn tell(report: &mut NativeReport, error: TransactError) {
    let text = error.to_string();
    tracing::error!(error = text, "policies not applied");
    match error {
        TransactError::Refused(refusals) => {
            report.errors = refusals.iter().map(ToString::to_string).collect();
        }
        TransactError::Undone { cause, undone } => {
            report.errors = vec![cause.to_string()];
            report.undone = undone as u64;
        }
        TransactError::HalfApplied { cause, undone, left } => {
            report.errors = vec![cause.to_string()];
            report.undone = undone as u64;
            report.half_applied =
                left.iter().map(|one| format!("{}: {}", one.key, one.why)).collect();
        }
    }
}

fn take_back(native: &Native, done: Undoable, report: &mut NativeReport) {
    let count = done.len();
    let left = native.api.undo(done);
    report.undone = count.saturating_sub(left.len()) as u64;
    report.half_applied = left.iter().map(|one| format!("{}: {}", one.key, one.why)).collect();
}
