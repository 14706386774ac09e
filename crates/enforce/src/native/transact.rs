//! Carries out a plan as a whole: all of it, or nothing.
//!
//! The API server knows no transaction over several objects. So everything is tried first with a
//! dry run, which runs validation, quotas and admission; then it is done object by object, and if
//! one fails after all, what was done is taken back in reverse order. What could not even be taken
//! back is named.

use std::time::{Duration, Instant};

use kube::Client;
use serde_json::{Value, json};

use super::connect::ApiServer;
use super::content::differences;
use super::desired::Desired;
use super::installation::Installation;
use super::kinds::{NativeKind, ObjectKey};
use super::live::Live;
use super::plan::{Plan, PlannedStep, Step};
use super::refusal::{Refusal, RequestError};
use super::requests::{self, Dry};

/// How long all steps together are tried to be taken back, and the pause before each further try:
/// an API server that was killed is back within that. Each step is tried at least once.
const UNDO_LIMIT: Duration = Duration::from_secs(45);
const UNDO_PAUSE: Duration = Duration::from_secs(2);

/// Whether fields of our own objects are taken back from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// A conflict refuses the whole plan.
    Never,
    /// Fields of objects that are ours are set although somebody else set them since: for repairs
    /// that somebody asked for.
    OwnObjects,
}

/// A plan that was carried out, and how to take it back.
#[derive(Debug, Default)]
pub struct Undoable {
    done: Vec<(ObjectKey, &'static NativeKind, Undo)>,
}

/// How one step is taken back.
#[derive(Clone, Debug)]
enum Undo {
    /// The object that we made, by uid.
    Remove(String),
    /// The fields as they were.
    PutBack(Value),
    /// Somebody else made the object at the same moment: only our fields go.
    LetGo,
}

/// What is in force for an object that could not be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InForce {
    /// What was applied now.
    New,
    /// Nobody knows: the API server did not answer.
    Unknown,
}

/// An object that is not as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub key: ObjectKey,
    /// What is in force for it.
    pub in_force: InForce,
    /// Why it could not be taken back.
    pub why: Refusal,
}

/// A plan was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum TransactError {
    /// Nothing was changed.
    #[error("nothing was changed: {}", refusals(.0))]
    Refused(Vec<Refusal>),
    /// Some of it was done, and taken back: what was in force before is in force.
    #[error("{cause}; changes taken back: {undone}; what was in force still is")]
    Undone {
        /// What failed.
        cause: Box<Refusal>,
        /// Changes that were taken back, the one that failed among them if it may have been made.
        undone: usize,
    },
    /// Some of it was done, and could not be taken back.
    #[error("{cause}; HALF APPLIED: {}", left_words(.left))]
    HalfApplied {
        /// What failed.
        cause: Box<Refusal>,
        /// Changes that were taken back.
        undone: usize,
        /// What is not as it was.
        left: Vec<Left>,
    },
}

fn refusals(all: &[Refusal]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn left_words(all: &[Left]) -> String {
    let words = |left: &Left| {
        let state = match left.in_force {
            InForce::New => "holds the new version",
            InForce::Unknown => "is in a state that nobody knows",
        };
        format!("{} {state} ({})", left.key, left.why)
    };
    all.iter().map(words).collect::<Vec<_>>().join("; ")
}

impl ApiServer {
    /// Tries the plan, then carries it out.
    ///
    /// # Errors
    /// [`TransactError`], which says what is in force.
    pub fn transact(&self, plan: &Plan, force: Force) -> Result<Undoable, TransactError> {
        self.rehearse(plan, force)?;
        self.carry_out(plan, force)
    }

    /// Tries every change of the plan with a dry run, and tells all that would fail.
    ///
    /// # Errors
    /// [`TransactError::Refused`].
    pub fn rehearse(&self, plan: &Plan, force: Force) -> Result<(), TransactError> {
        let mut wrong: Vec<Refusal> = plan
            .conflicts()
            .map(|(key, managers)| {
                let by = match managers {
                    [] => String::new(),
                    some => format!(" by {}", some.join(", ")),
                };
                let message = format!("an object of this name was made{by} and is not ours");
                let advice = "nothing is forced: rename our policy, or have that object removed";
                Refusal::found("create", key, message, advice)
            })
            .collect();
        for planned in plan.changes() {
            if let Err(failed) = self.runtime.block_on(self.step(planned, Dry::Run, force)) {
                wrong.push(failed.refusal);
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(TransactError::Refused(wrong)) }
    }

    /// Carries out a plan that was tried before.
    ///
    /// # Errors
    /// [`TransactError`] if a step fails all the same; what was done before is then taken back.
    pub fn carry_out(&self, plan: &Plan, force: Force) -> Result<Undoable, TransactError> {
        let mut done = Undoable::default();
        if let Some((key, managers)) = plan.conflicts().next() {
            let message = format!("an object of this name was made by {}", managers.join(", "));
            let refusal = Refusal::found("create", key, message, "it is not ours");
            return Err(TransactError::Refused(vec![refusal]));
        }
        for planned in plan.changes() {
            match self.runtime.block_on(self.step(planned, Dry::No, force)) {
                Ok(undo) => done.push(planned, undo),
                Err(failed) => {
                    if let Some(undo) = failed.undo {
                        done.push(planned, undo);
                    }
                    return Err(self.give_up(failed.refusal, done));
                }
            }
        }
        Ok(done)
    }

    /// Takes back what was done, the last first. What could not be taken back is returned.
    #[must_use]
    pub fn undo(&self, done: Undoable) -> Vec<Left> {
        let until = Instant::now() + UNDO_LIMIT;
        let undo = |(key, kind, undo): (ObjectKey, &'static NativeKind, Undo)| {
            let result = self.runtime.block_on(self.take_back((&key, kind), &undo, until));
            result.err().map(|why| Left { in_force: in_force(&why), key, why })
        };
        done.done.into_iter().rev().filter_map(undo).collect()
    }

    fn give_up(&self, cause: Refusal, done: Undoable) -> TransactError {
        let count = done.done.len();
        let cause = Box::new(cause);
        let left = self.undo(done);
        let undone = count.saturating_sub(left.len());
        match (count, left.is_empty()) {
            (0, _) => TransactError::Refused(vec![*cause]),
            (_, true) => TransactError::Undone { cause, undone },
            (_, false) => TransactError::HalfApplied { cause, undone, left },
        }
    }

    fn us(&self) -> (&Client, &Installation) {
        (&self.client, &self.installation)
    }

    async fn step(&self, planned: &PlannedStep, dry: Dry, force: Force) -> Result<Undo, Failed> {
        match (&planned.desired, &planned.live) {
            (Some(desired), live) => self.put(desired, live.as_ref(), dry, force).await,
            (None, Some(live)) if planned.step == Step::Prune => self.prune(live, dry).await,
            // A plan holds nothing else that changes something.
            (None, _) => Ok(Undo::LetGo),
        }
    }

    async fn put(
        &self,
        desired: &Desired,
        live: Option<&Live>,
        dry: Dry,
        force: Force,
    ) -> Result<Undo, Failed> {
        let place = (&desired.key, desired.kind);
        let mut body = desired.body.clone();
        let (action, undo) = match live {
            // With the uid an object of the same name that was made since is refused.
            Some(live) => {
                if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.insert("uid".to_owned(), json!(live.uid));
                }
                ("update", Undo::PutBack(live.restore.clone()))
            }
            None => ("create", Undo::LetGo),
        };
        let forced = force == Force::OwnObjects && live.is_some_and(|live| live.ours);
        let answer = requests::apply(self.us(), place, &body, (dry, forced)).await;
        let value = match answer {
            Ok(value) => value,
            Err(error) => {
                let refusal = Refusal::of_object(action, place, &error);
                if error.is_certain() {
                    return Err(Failed { refusal, undo: None });
                }
                let undo = match live {
                    Some(_) => Some(undo),
                    None => self.made_by_us(place, &body).await,
                };
                return Err(Failed { refusal, undo });
            }
        };
        let now = Live::of(desired.kind, value, &self.installation);
        let others = now.others();
        let undo = match live {
            Some(_) => undo,
            None if others.is_empty() => Undo::Remove(now.uid.clone()),
            None => Undo::LetGo,
        };
        if live.is_none() && !others.is_empty() {
            let message = format!("{} made one of the same name meanwhile", others.join(", "));
            let refusal = Refusal::found(action, &desired.key, message, "it is not ours");
            return Err(Failed { refusal, undo: Some(undo) });
        }
        let changed = differences(&desired.content, &now.content);
        if !changed.is_empty() {
            let message = format!(
                "the API server would store something else than was verified, at {}",
                changed.join(", ")
            );
            let advice = "a mutating webhook changes it: exempt our policies from it";
            let refusal = Refusal::found(action, &desired.key, message, advice);
            return Err(Failed { refusal, undo: Some(undo) });
        }
        Ok(undo)
    }

    /// After a creation without an answer: whether the object is there, and as we wanted it.
    async fn made_by_us(&self, place: (&ObjectKey, &NativeKind), body: &Value) -> Option<Undo> {
        let (key, _) = place;
        let kind = key.native()?;
        match requests::get(&self.client, place).await {
            Ok(value) => {
                let now = Live::of(kind, value, &self.installation);
                let wanted = body.pointer("/metadata/annotations");
                let ours = now.ours && now.restore.pointer("/metadata/annotations") == wanted;
                ours.then_some(Undo::Remove(now.uid))
            }
            Err(error) if error.is_not_found() => None,
            // Not known: letting go of our fields is right in both cases.
            Err(_unknown) => Some(Undo::LetGo),
        }
    }

    async fn prune(&self, live: &Live, dry: Dry) -> Result<Undo, Failed> {
        let place = (&live.key, live.kind);
        let undo = Undo::PutBack(live.restore.clone());
        match requests::delete(&self.client, place, &live.uid, dry).await {
            Ok(()) => Ok(undo),
            // Somebody else was faster: it is as we want it.
            Err(error) if error.is_not_found() => Ok(undo),
            Err(error) => {
                let refusal = Refusal::of_object("delete", place, &error);
                let undo = (!error.is_certain()).then_some(undo);
                Err(Failed { refusal, undo })
            }
        }
    }

    async fn take_back(
        &self,
        place: (&ObjectKey, &'static NativeKind),
        undo: &Undo,
        until: Instant,
    ) -> Result<(), Refusal> {
        loop {
            match self.take_back_once(place, undo).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_certain() || Instant::now() >= until => {
                    return Err(Refusal::of_object("take back", place, &error));
                }
                Err(_try_again) => tokio::time::sleep(UNDO_PAUSE).await,
            }
        }
    }

    async fn take_back_once(
        &self,
        place: (&ObjectKey, &'static NativeKind),
        undo: &Undo,
    ) -> Result<(), RequestError> {
        let done = match undo {
            Undo::Remove(uid) => requests::delete(&self.client, place, uid, Dry::No).await,
            Undo::PutBack(body) => {
                requests::apply(self.us(), place, body, (Dry::No, false)).await.map(|_now| ())
            }
            Undo::LetGo => self.let_go(place).await,
        };
        match done {
            // What we would remove is not there.
            Err(error) if error.is_not_found() && !matches!(undo, Undo::PutBack(_)) => Ok(()),
            other => other,
        }
    }

    /// Gives up all our fields of an object that is not ours alone.
    async fn let_go(&self, place: (&ObjectKey, &'static NativeKind)) -> Result<(), RequestError> {
        let (key, kind) = place;
        let now = Live::of(kind, requests::get(&self.client, place).await?, &self.installation);
        if now.others().is_empty() && now.ours {
            return requests::delete(&self.client, place, &now.uid, Dry::No).await;
        }
        let mut metadata = json!({"name": key.name, "uid": now.uid});
        if let (true, Some(fields)) = (kind.namespaced, metadata.as_object_mut()) {
            fields.insert("namespace".to_owned(), json!(key.namespace));
        }
        let body =
            json!({"apiVersion": kind.api().api_version, "kind": kind.kind, "metadata": metadata});
        requests::apply(self.us(), place, &body, (Dry::No, false)).await.map(|_now| ())
    }
}

/// A step that failed, and how to take back what it may have done.
struct Failed {
    refusal: Refusal,
    undo: Option<Undo>,
}

impl Undoable {
    fn push(&mut self, planned: &PlannedStep, undo: Undo) {
        let of_live = planned.live.as_ref().map(|live| live.kind);
        if let Some(kind) = planned.desired.as_ref().map(|wanted| wanted.kind).or(of_live) {
            self.done.push((planned.key.clone(), kind, undo));
        }
    }

    /// The number of objects that were changed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Whether nothing was changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }
}

fn in_force(why: &Refusal) -> InForce {
    if why.code == 0 || why.code >= 500 { InForce::Unknown } else { InForce::New }
}
