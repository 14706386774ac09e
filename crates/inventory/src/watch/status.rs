//! How the watch is doing, by kind: for `sekisho status` and metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sekisho_model::Timestamp;

use super::kinds::{BUILT_IN, Served};

/// Unreadable objects of a kind that are named; more are only counted.
const UNREADABLE_NAMED_MAX: usize = 8;

/// What a kind's watch is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KindState {
    /// It is being listed for the first time.
    #[default]
    Listing,
    /// It is known, and followed.
    Following,
    /// The API server refuses: a right is missing (HTTP 403). Tried again twice a minute.
    Denied {
        /// `list` or `watch`.
        verb: String,
    },
    /// It can't be listed or followed for another reason; the last state stays. Tried again.
    Failing,
}

/// The watch of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindStatus {
    /// Kind, as [`sekisho_manifest::Object::kind`] spells it.
    pub kind: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Resource, as RBAC spells it: `pods`.
    pub resource: String,
    /// What it is doing.
    pub state: KindState,
    /// Since when it is doing that.
    pub since: Timestamp,
    /// Whether it was listed completely at least once.
    pub listed: bool,
    /// Objects that are there now.
    pub objects: usize,
    /// Changes told by the watch since the start, lists not counted.
    pub events: u64,
    /// Lists since the start; the first is one.
    pub lists: u64,
    /// Objects that are there now and could not be read.
    pub unreadable: usize,
    /// The first of them: namespace/name, field, reason.
    pub unreadable_named: Vec<String>,
    /// Failures of lists and watches since the start.
    pub errors: u64,
    /// The last of them.
    pub error: String,
}

impl KindStatus {
    /// What is wrong and what to do; None if nothing is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let what = if self.group.is_empty() {
            self.resource.clone()
        } else {
            format!("{}.{}", self.resource, self.group)
        };
        match &self.state {
            KindState::Denied { verb } => Some(format!(
                "{what} can't be watched: grant verb `{verb}` on resource `{}` of apiGroup \"{}\"; \
                 what was known until {} stays",
                self.resource, self.group, self.since
            )),
            KindState::Failing => Some(format!(
                "{what} can't be watched since {}: {}; what was known stays",
                self.since, self.error
            )),
            KindState::Listing | KindState::Following => None,
        }
    }
}

/// The whole watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchStatus {
    /// Address of the API server.
    pub server: String,
    /// Its version; empty = not heard yet.
    pub version: String,
    /// Since when it does not answer.
    pub away_since: Option<Timestamp>,
    /// Why.
    pub away: String,
    /// How much its clock is ahead of ours, milliseconds, to about half a second.
    pub ahead_ms: i64,
    /// Whether all kinds that we may list are in; stays true from then on.
    pub synced: bool,
    /// Kinds, by group and resource.
    pub kinds: Vec<KindStatus>,
}

/// How much the API server's clock may be off before we care, milliseconds: its own answers tell
/// whole seconds.
pub const CLOCK_SLACK_MS: i64 = 2_000;

impl WatchStatus {
    /// What is wrong, each with what to do.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(since) = self.away_since {
            problems.push(format!(
                "the API server {} does not answer since {since}: {}; what was known until then stays \
                 and goes on naming flows, pods that come meanwhile are not known",
                self.server, self.away
            ));
        }
        if self.ahead_ms.abs() > CLOCK_SLACK_MS {
            let (by, how) =
                (self.ahead_ms.abs(), if self.ahead_ms > 0 { "ahead" } else { "behind" });
            problems.push(format!(
                "the API server's clock is {by} ms {how} of ours: flows of the first seconds of a \
                 pod may be named wrong; run a time service (NTP) on both"
            ));
        }
        problems.extend(self.kinds.iter().filter_map(KindStatus::problem));
        for kind in self.kinds.iter().filter(|kind| kind.unreadable > 0) {
            problems.push(format!(
                "{} {} can't be read and are not known: {}",
                kind.unreadable,
                kind.resource,
                kind.unreadable_named.join("; ")
            ));
        }
        problems
    }
}

/// What followers write and [`StatusHandle::read`] shows.
#[derive(Debug, Default)]
pub(crate) struct Board {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    head: WatchStatus,
    kinds: BTreeMap<(String, String), KindStatus>,
    discovered: bool,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is said of the API server.
    pub(crate) fn head(&self, change: impl FnOnce(&mut WatchStatus)) {
        change(&mut self.lock().head);
    }

    /// Adds a kind.
    pub(crate) fn add(&self, served: &Served, now: Timestamp) {
        let resource = &served.resource;
        let kind = KindStatus {
            kind: served.kind(),
            group: resource.group.clone(),
            version: resource.version.clone(),
            resource: resource.plural.clone(),
            since: now,
            ..KindStatus::default()
        };
        self.lock().kinds.insert(key(served), kind);
    }

    /// Removes a kind that the cluster does not serve any more.
    pub(crate) fn remove(&self, served: &Served) {
        self.lock().kinds.remove(&key(served));
    }

    /// Says that the first look at what is served is done.
    pub(crate) fn discovered(&self) {
        self.lock().discovered = true;
    }

    /// Changes what is said of a kind.
    pub(crate) fn kind(&self, served: &Served, change: impl FnOnce(&mut KindStatus)) {
        let mut state = self.lock();
        if let Some(kind) = state.kinds.get_mut(&key(served)) {
            change(kind);
        }
        // Nobody waits for a kind that we may not list, nor for one of a custom group that fails;
        // pods and the like are waited for as long as it takes.
        let settled = |kind: &KindStatus| match kind.state {
            KindState::Listing | KindState::Following => kind.listed,
            KindState::Denied { .. } => true,
            KindState::Failing => kind.listed || !BUILT_IN.contains(&kind.group.as_str()),
        };
        state.head.synced |= state.discovered && state.kinds.values().all(settled);
    }
}

fn key(served: &Served) -> (String, String) {
    (served.resource.group.clone(), served.resource.plural.clone())
}

impl KindStatus {
    pub(crate) fn enter(&mut self, state: KindState, now: Timestamp) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
    }

    pub(crate) fn set_unreadable<'a>(
        &mut self,
        all: impl ExactSizeIterator<Item = (&'a (String, String), &'a String)>,
    ) {
        self.unreadable = all.len();
        let named = all.take(UNREADABLE_NAMED_MAX).map(|((namespace, name), why)| {
            let slash = if namespace.is_empty() { "" } else { "/" };
            format!("{namespace}{slash}{name}: {why}")
        });
        self.unreadable_named = named.collect();
    }
}

/// Reads the status of a running watch.
#[derive(Clone, Debug)]
pub struct StatusHandle(pub(crate) Arc<Board>);

impl StatusHandle {
    /// The status now.
    #[must_use]
    pub fn read(&self) -> WatchStatus {
        let state = self.0.lock();
        WatchStatus { kinds: state.kinds.values().cloned().collect(), ..state.head.clone() }
    }

    /// How much the API server's clock is ahead of ours, milliseconds.
    #[must_use]
    pub fn ahead_ms(&self) -> i64 {
        self.0.lock().head.ahead_ms
    }

    /// Whether all kinds that we may list are in.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.0.lock().head.synced
    }
}
