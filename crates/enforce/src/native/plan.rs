//! What has to be done so that the cluster holds what we want. Pure.

use std::collections::BTreeMap;

use super::desired::Desired;
use super::kinds::ObjectKey;
use super::live::{Live, LiveState};

/// What becomes of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is none of this name: it is made.
    Create,
    /// Ours says something else: it is changed. The paths at which it differs; empty if only
    /// labels or annotations do.
    Update(Vec<String>),
    /// Ours says what we want.
    Unchanged,
    /// Somebody else made one of the same name; who manages it. Nothing is done at all.
    Conflict(Vec<String>),
    /// Ours, and no longer wanted: it is deleted.
    Prune,
    /// Not ours: left alone.
    Foreign,
}

/// One object of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedStep {
    /// Which.
    pub key: ObjectKey,
    /// What becomes of it.
    pub step: Step,
    /// What we want; None where we want nothing.
    pub(crate) desired: Option<Desired>,
    /// What is there; None where nothing is.
    pub(crate) live: Option<Live>,
}

/// What has to be done, in the order in which it is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Creations and changes first, in the order of [`super::desired()`]; then deletions, those that
    /// only isolate first; then what is left alone.
    pub steps: Vec<PlannedStep>,
}

/// Compares what is wanted with what is there.
#[must_use]
pub fn plan(desired: Vec<Desired>, live: &LiveState) -> Plan {
    let mut rest: BTreeMap<&ObjectKey, &Live> = live.objects.iter().collect();
    let mut steps: Vec<PlannedStep> = Vec::new();
    for wanted in desired {
        let live = rest.remove(&wanted.key).cloned();
        let step = match &live {
            None => Step::Create,
            Some(live) if !live.ours => {
                Step::Conflict(live.others().into_iter().map(str::to_owned).collect())
            }
            Some(live) => update(&wanted, live),
        };
        steps.push(PlannedStep { key: wanted.key.clone(), step, desired: Some(wanted), live });
    }
    let (mut ours, foreign): (Vec<&Live>, Vec<&Live>) =
        rest.into_values().partition(|live| live.ours);
    ours.sort_by_key(|live| (live.kind.referred, opens(live), live.key.clone()));
    let left = |live: &Live, step| PlannedStep {
        key: live.key.clone(),
        step,
        desired: None,
        live: Some(live.clone()),
    };
    steps.extend(ours.into_iter().map(|live| left(live, Step::Prune)));
    steps.extend(foreign.into_iter().map(|live| left(live, Step::Foreign)));
    Plan { steps }
}

/// Whether one of our objects has to be changed.
fn update(wanted: &Desired, live: &Live) -> Step {
    let differs = super::content::differences(&live.content, &wanted.content);
    let marked = wanted.marks() == live.own_marks();
    if differs.is_empty() && marked { Step::Unchanged } else { Step::Update(differs) }
}

/// Whether an object holds a rule: those that only isolate are deleted first.
fn opens(live: &Live) -> bool {
    let text = live.content.to_string();
    text.contains("\"ingress\"") || text.contains("\"egress\"")
}

impl Plan {
    /// Those of others that are in the way, with who manages them.
    pub fn conflicts(&self) -> impl Iterator<Item = (&ObjectKey, &[String])> {
        self.steps.iter().filter_map(|planned| match &planned.step {
            Step::Conflict(managers) => Some((&planned.key, managers.as_slice())),
            Step::Create | Step::Update(_) | Step::Unchanged | Step::Prune | Step::Foreign => None,
        })
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes().next().is_none()
    }

    /// What it changes, in order.
    pub fn changes(&self) -> impl Iterator<Item = &PlannedStep> {
        self.steps.iter().filter(|planned| match planned.step {
            Step::Create | Step::Update(_) | Step::Prune => true,
            Step::Unchanged | Step::Conflict(_) | Step::Foreign => false,
        })
    }
}

impl Step {
    /// One word for tables and JSON.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update(_) => "update",
            Self::Unchanged => "unchanged",
            Self::Conflict(_) => "conflict",
            Self::Prune => "prune",
            Self::Foreign => "foreign",
        }
    }
}
