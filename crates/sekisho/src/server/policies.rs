//! Verify, put in force, go back.

use std::collections::BTreeMap;

use sekisho_api::{
    ApplyRequest, ApplyResponse, DatapathMode, Enforcement, EstablishedReport, PolicyFile, Refusal,
    Revision, RollbackRequest, WorkloadImages,
};
use sekisho_manifest::Object;
use sekisho_model::Timestamp;
use sekisho_policy::RuleSet;
use sekisho_verify::{Limits, UNCHANGED_ALL, VerifiedPolicy, WhatIf};

use super::core::Core;
use crate::commands::input::sentence;
use crate::pipeline::{self, History};

/// Reads the objects of `files`.
pub(crate) fn read_objects(files: &[PolicyFile]) -> Result<Vec<Object>, Refusal> {
    let mut all = Vec::new();
    let mut wrong = Vec::new();
    for file in files {
        match sekisho_manifest::parse(&file.name, &file.text) {
            Ok(objects) => all.extend(objects),
            Err(errors) => wrong.extend(errors.iter().map(sentence)),
        }
    }
    if wrong.is_empty() { Ok(all) } else { Err(Refusal::Invalid(wrong.join("\n"))) }
}

/// The rules that no node could enforce as they are written, in words.
fn unenforced(verified: &VerifiedPolicy) -> Vec<String> {
    sekisho_enforce::unenforced(verified.rules()).iter().map(ToString::to_string).collect()
}

/// What is in force before an apply.
pub(crate) struct Basis {
    /// What is enforced now: the replay compares with it.
    pub(crate) current: RuleSet,
    /// What the proposal is added to.
    pub(crate) base: RuleSet,
    /// What the proposal is added to if what is not in it ends.
    pub(crate) stays: RuleSet,
    /// The number that the new revision will have.
    pub(crate) number: u64,
}

impl Basis {
    /// Replays history against the proposal.
    pub(crate) fn what_if(
        &self,
        request: &ApplyRequest,
        objects: Vec<Object>,
        history: &History,
    ) -> Result<WhatIf, Refusal> {
        if RuleSet::from_objects(&objects, self.base.dialect()).is_empty() && !request.prune {
            let text = "no policy in the given files: nothing to do".to_owned();
            return Err(Refusal::Invalid(text));
        }
        if request.cut && request.mode == DatapathMode::Audit {
            let text = "staging stops nothing, so it can't end established connections".to_owned();
            return Err(Refusal::Invalid(text));
        }
        let kept = if request.prune { &self.stays } else { &self.base };
        let proposed = pipeline::proposed(history, kept, objects);
        // Staging stops nothing, and shows what would be: it may be as strict as it likes.
        let limits = match request.mode {
            DatapathMode::Enforce => {
                Limits { would_block: request.would_block_max, uncertain: request.uncertain_max }
            }
            DatapathMode::Audit => Limits::ANY,
        };
        let rules = (&self.current, &proposed);
        Ok(pipeline::what_if(history, rules, &request.accepted, limits, UNCHANGED_ALL))
    }
}

impl Core {
    /// What `request` starts from.
    pub(crate) fn basis(&self, request: &ApplyRequest) -> Basis {
        Basis {
            current: self.revisions.rules(DatapathMode::Enforce),
            base: self.revisions.rules(request.mode),
            stays: RuleSet::default(),
            number: self.revisions.next_number(),
        }
    }

    /// Stores what was verified as a revision, unless another one came first.
    pub(crate) fn enact(
        &mut self,
        request: &ApplyRequest,
        basis: &Basis,
        (answer, images): (WhatIf, Vec<WorkloadImages>),
        now: Timestamp,
    ) -> Result<ApplyResponse, Refusal> {
        let unenforced: Vec<String> = answer.verified.iter().flat_map(unenforced).collect();
        let response = |revision| ApplyResponse {
            report: Some(answer.report.clone()),
            revision,
            unenforced: unenforced.clone(),
            nodes: Vec::new(),
            pending: Vec::new(),
            established: BTreeMap::new(),
            enforcement: Enforcement::Datapath,
            native: None,
        };
        let Some(verified) = &answer.verified else { return Ok(response(None)) };
        if !unenforced.is_empty() && !request.allow_partial {
            return Ok(response(None));
        }
        if basis.number != self.revisions.next_number() {
            let text = "another revision was stored during the replay: nothing changed, try again";
            return Err(Refusal::Unavailable(text.to_owned()));
        }
        self.put_in_force(Revision {
            cluster: self.name.clone(),
            revision: basis.number,
            time: now,
            mode: request.mode,
            operator: request.operator.clone(),
            restores: None,
            cut: request.cut,
            enforcement: Enforcement::Datapath,
            foreign: Vec::new(),
            images,
            record: Some(verified.record().clone()),
        })?;
        // Enforcing what was staged ends the staging.
        if request.mode == DatapathMode::Enforce && self.staged() != 0 {
            self.end_staging(&request.operator, now)?;
        }
        Ok(response(Some(basis.number)))
    }

    /// Makes a new revision of what an earlier one held.
    pub(crate) fn rollback(
        &mut self,
        request: &RollbackRequest,
        now: Timestamp,
    ) -> Result<ApplyResponse, Refusal> {
        let wanted = match request.revision {
            Some(number) => number,
            None => self.revision_before_current()?,
        };
        let found = self.enforced_revision(wanted)?;
        let images = found.as_ref().map(|revision| revision.images.clone()).unwrap_or_default();
        let record = found.and_then(|revision| revision.record);
        let number = self.revisions.next_number();
        self.put_in_force(Revision {
            cluster: self.name.clone(),
            revision: number,
            time: now,
            mode: DatapathMode::Enforce,
            operator: request.operator.clone(),
            restores: Some(wanted),
            cut: false,
            enforcement: Enforcement::Datapath,
            foreign: Vec::new(),
            images,
            record,
        })?;
        Ok(ApplyResponse {
            report: None,
            revision: Some(number),
            unenforced: Vec::new(),
            nodes: Vec::new(),
            pending: Vec::new(),
            established: BTreeMap::new(),
            enforcement: Enforcement::Datapath,
            native: None,
        })
    }

    /// The enforced revision numbered `wanted`; None for 0, which stands for no policies.
    pub(crate) fn enforced_revision(&self, wanted: u64) -> Result<Option<Revision>, Refusal> {
        if wanted == 0 {
            return Ok(None);
        }
        let found = self.revisions.find(wanted);
        match found.filter(|revision| revision.mode == DatapathMode::Enforce) {
            Some(revision) => Ok(Some(revision.clone())),
            None => Err(Refusal::Unknown(format!(
                "there is no enforced revision {wanted}: see `sekisho rollback --list`"
            ))),
        }
    }

    /// Stores what is in the cluster by now, and ends the staging.
    pub(crate) fn store_native(&mut self, revision: Revision) -> Result<(), Refusal> {
        let (operator, time) = (revision.operator.clone(), revision.time);
        self.put_in_force(revision)?;
        if self.staged() != 0 {
            self.end_staging(&operator, time)?;
        }
        Ok(())
    }

    pub(crate) fn revision_before_current(&self) -> Result<u64, Refusal> {
        let Some(current) = self.revisions.newest(DatapathMode::Enforce) else {
            return Err(Refusal::Unknown("nothing was ever applied".to_owned()));
        };
        // A chain of rollbacks goes ever further back instead of to and fro.
        let effective = current.restores.unwrap_or(current.revision);
        let before = self.revisions.all();
        let applied = before.iter().rev().find(|revision| {
            revision.mode == DatapathMode::Enforce
                && revision.restores.is_none()
                && revision.revision < effective
        });
        Ok(applied.map_or(0, |revision| revision.revision))
    }

    fn end_staging(&mut self, operator: &str, now: Timestamp) -> Result<(), Refusal> {
        let revision = Revision {
            cluster: self.name.clone(),
            revision: self.revisions.next_number(),
            time: now,
            mode: DatapathMode::Audit,
            operator: operator.to_owned(),
            restores: Some(0),
            cut: false,
            enforcement: Enforcement::Datapath,
            foreign: Vec::new(),
            images: Vec::new(),
            record: None,
        };
        self.put_in_force(revision)
    }

    fn put_in_force(&mut self, revision: Revision) -> Result<(), Refusal> {
        let failed = |error| Refusal::Unavailable(format!("revision not stored: {error:#}"));
        self.revisions.add(revision).map_err(failed)?;
        self.generation += 1;
        self.policy_generation = self.generation;
        Ok(())
    }

    /// Number of the revision enforced; 0 = none.
    pub(crate) fn enforced(&self) -> u64 {
        self.number_in_force(DatapathMode::Enforce)
    }

    /// Number of the revision audited; 0 = none.
    pub(crate) fn staged(&self) -> u64 {
        self.number_in_force(DatapathMode::Audit)
    }

    fn number_in_force(&self, mode: DatapathMode) -> u64 {
        let newest = self.revisions.newest(mode).filter(|revision| revision.record.is_some());
        newest.map_or(0, |revision| revision.revision)
    }

    /// Which nodes have the current policies in force, and why the others do not. A change of the
    /// cluster since does not count: where pods come and go all the time there is always one.
    pub(crate) fn rollout(&self) -> (Vec<String>, Vec<String>) {
        let mut states = BTreeMap::new();
        for agent in self.derivation.agents.iter() {
            let state = if !agent.report.error.is_empty() {
                Some(agent.report.error.clone())
            } else if agent.report.generation < self.policy_generation {
                Some("has not answered yet".to_owned())
            } else {
                None
            };
            states.insert(agent.node.clone(), state);
        }
        let done = states.iter().filter(|(_, state)| state.is_none());
        let nodes = done.map(|(name, _)| name.clone()).collect();
        let left = states.iter().filter_map(|(name, state)| Some((name, state.as_ref()?)));
        let pending = left.map(|(name, why)| format!("{name}: {why}")).collect();
        (nodes, pending)
    }

    /// What nodes found among their established connections when `revision` came into force there.
    pub(crate) fn established(&self, revision: u64) -> BTreeMap<String, EstablishedReport> {
        let agents = self.derivation.agents.iter();
        let found = agents.filter_map(|agent| {
            let established = agent.report.established.as_ref()?;
            (established.revision == revision).then(|| (agent.node.clone(), established.clone()))
        });
        found.collect()
    }
}
