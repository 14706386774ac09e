//! Follows one kind: lists it, watches it, tells what changed, and begins anew when it must.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::Api;
use kube::core::{ApiResource, PartialObjectMeta};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use kube::{Client, Resource};
use sekisho_base::Clock;
use sekisho_manifest::{Meta, Object, OtherObject};
use sekisho_model::Timestamp;
use sekisho_system::SystemClock;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use super::delta::Delta;
use super::fault::{Fault, REFUSED_PAUSE};
use super::kinds::Served;
use super::raw::{Arrived, Raw};
use super::status::{Board, KindState};
use super::trim;
use crate::Change;

/// Objects of one page of a list: what is decoded at once.
const PAGE_OBJECTS: u32 = 200;
/// A list that gives nothing for so long is given up.
const LIST_STALL: Duration = Duration::from_secs(60);

/// Namespace and name.
type Key = (String, String);

/// What a follower is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Follow; another number means: begin with a list again.
    Follow(u64),
    /// The kind is not served any more: its objects are gone.
    End,
}

/// Why following stopped.
enum Stop {
    /// Nobody listens any more.
    Closed,
    /// There is another order.
    Ordered,
    /// To be tried again after a pause.
    Retry(Duration),
}

/// Nobody listens any more.
struct Closed;

/// Follows one kind.
pub(crate) struct Follower {
    served: Served,
    client: Client,
    board: Arc<Board>,
    deltas: mpsc::Sender<Delta>,
    orders: watch::Receiver<Order>,
    /// resourceVersion of each object that is there.
    known: BTreeMap<Key, Box<str>>,
    /// Those of them that could not be read, and why.
    unreadable: BTreeMap<Key, String>,
    /// What the list that is under way has told; None = no list is under way.
    seen: Option<BTreeSet<Key>>,
    listed: bool,
    backoff: DefaultBackoff,
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_nanos(SystemClock.now())
}

impl Follower {
    pub(crate) fn new(
        served: Served,
        client: Client,
        board: Arc<Board>,
        deltas: mpsc::Sender<Delta>,
        orders: watch::Receiver<Order>,
    ) -> Self {
        board.add(&served, now());
        Self {
            served,
            client,
            board,
            deltas,
            orders,
            known: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            seen: None,
            listed: false,
            backoff: DefaultBackoff::default(),
        }
    }

    /// Follows until there is nobody to tell, or the kind is gone.
    pub(crate) async fn run(mut self) {
        loop {
            if *self.orders.borrow_and_update() == Order::End {
                // Whether somebody still listens does not matter: this is the end.
                self.leave().await.ok();
                return;
            }
            let (client, resource) = (self.client.clone(), self.served.resource.clone());
            let stop = if self.served.form.is_metadata() {
                self.follow(Api::<PartialObjectMeta<Raw>>::all_with(client, &resource)).await
            } else {
                self.follow(Api::<Raw>::all_with(client, &resource)).await
            };
            match stop {
                Stop::Closed => return,
                Stop::Ordered => {}
                Stop::Retry(pause) => {
                    tokio::select! {
                        changed = self.orders.changed() => if changed.is_err() { return },
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    async fn follow<K>(&mut self, api: Api<K>) -> Stop
    where
        K: Resource<DynamicType = ApiResource> + Arrived,
        K: Clone + Debug + DeserializeOwned + 'static,
    {
        self.seen = None;
        let mut config = watcher::Config::default().page_size(PAGE_OBJECTS);
        if let Some(labels) = self.served.form.labels() {
            config = config.labels(labels);
        }
        let mut events = pin!(watcher(api, config));
        loop {
            let stall = if self.seen.is_some() { LIST_STALL } else { Duration::MAX };
            let event = tokio::select! {
                changed = self.orders.changed() => {
                    return if changed.is_err() { Stop::Closed } else { Stop::Ordered };
                }
                event = tokio::time::timeout(stall, events.next()) => event,
            };
            let taken = match event {
                Ok(Some(Ok(event))) => self.take(event).await,
                Ok(Some(Err(error))) => match self.fail(&Fault::of(&error)) {
                    Some(pause) => return Stop::Retry(pause),
                    None => {
                        let pause = self.backoff.next().unwrap_or(REFUSED_PAUSE);
                        // After a long outage the pause is long, and an order ends it.
                        tokio::select! {
                            changed = self.orders.changed() => {
                                return if changed.is_err() { Stop::Closed } else { Stop::Ordered };
                            }
                            () = tokio::time::sleep(pause) => Ok(()),
                        }
                    }
                },
                Ok(None) => return Stop::Retry(REFUSED_PAUSE),
                Err(_elapsed) => {
                    let text = format!("no answer within {} s", LIST_STALL.as_secs());
                    let fault = Fault { verb: "list", code: None, text, anew: true };
                    self.fail(&fault);
                    return Stop::Retry(self.backoff.next().unwrap_or(REFUSED_PAUSE));
                }
            };
            if taken.is_err() {
                return Stop::Closed;
            }
        }
    }

    /// Notes a failure; gives the pause before beginning anew, None to go on as it is.
    fn fail(&mut self, fault: &Fault) -> Option<Duration> {
        let state = if fault.is_denied() {
            KindState::Denied { verb: fault.verb.to_owned() }
        } else {
            KindState::Failing
        };
        let resource = &self.served.resource.plural;
        tracing::warn!(resource, verb = fault.verb, error = fault.text, "kind can't be followed");
        self.board.kind(&self.served, |kind| {
            kind.errors += 1;
            kind.error.clone_from(&fault.text);
            // 410 Gone is how an API server says that a list is due: nothing is wrong.
            if fault.code != Some(410) {
                kind.enter(state, now());
            }
        });
        if fault.is_denied() || fault.is_absent() {
            return Some(REFUSED_PAUSE);
        }
        fault.anew.then(|| self.backoff.next().unwrap_or(REFUSED_PAUSE))
    }

    async fn take<K: Resource + Arrived>(&mut self, event: Event<K>) -> Result<(), Closed> {
        match event {
            Event::Init => {
                self.seen = Some(BTreeSet::new());
                self.board.kind(&self.served, |kind| kind.lists += 1);
                Ok(())
            }
            Event::InitApply(object) => self.there(object.into_raw()).await,
            Event::InitDone => self.end_list().await,
            Event::Apply(object) => {
                self.there(object.into_raw()).await?;
                self.count_event();
                Ok(())
            }
            Event::Delete(object) => {
                let key = key(&object.into_raw());
                self.gone(key).await?;
                self.count_event();
                Ok(())
            }
        }
    }

    fn count_event(&self) {
        let objects = self.known.len();
        self.board.kind(&self.served, |kind| {
            kind.events += 1;
            kind.objects = objects;
            kind.set_unreadable(self.unreadable.iter());
            kind.enter(KindState::Following, now());
        });
    }

    /// An object is there, as it is told.
    async fn there(&mut self, raw: Raw) -> Result<(), Closed> {
        let key = key(&raw);
        let version = raw.metadata.resource_version.clone().unwrap_or_default();
        if let Some(seen) = &mut self.seen {
            seen.insert(key.clone());
        }
        let known = self.known.get(&key);
        if known.is_some_and(|known| **known == *version) {
            return Ok(());
        }
        let change = if known.is_some() { Change::Modified } else { Change::Added };
        let outcome = trim::object(&self.served, raw);
        self.known.insert(key.clone(), version.into_boxed_str());
        match outcome {
            Ok(object) => {
                self.unreadable.remove(&key);
                self.tell(Delta::Change { time: now(), change, object: Box::new(object) }).await
            }
            Err(reason) => {
                let ((namespace, name), resource) = (&key, &self.served.resource.plural);
                tracing::warn!(resource, namespace, name, reason, "object can't be read");
                self.unreadable.insert(key, reason);
                Ok(())
            }
        }
    }

    async fn gone(&mut self, key: Key) -> Result<(), Closed> {
        self.known.remove(&key);
        self.unreadable.remove(&key);
        let (namespace, name) = key;
        let object = Object::Other(OtherObject {
            api_version: self.served.resource.api_version.clone(),
            kind: self.served.kind(),
            meta: Meta { namespace, name, ..Meta::default() },
        });
        let change = Change::Deleted;
        self.tell(Delta::Change { time: now(), change, object: Box::new(object) }).await
    }

    /// What was known and is not in the list has gone while nobody looked.
    async fn end_list(&mut self) -> Result<(), Closed> {
        let seen = self.seen.take().unwrap_or_default();
        let missing: Vec<Key> =
            self.known.keys().filter(|key| !seen.contains(*key)).cloned().collect();
        for key in missing {
            self.gone(key).await?;
        }
        if !self.listed {
            self.listed = true;
            let unreadable = self.unreadable.keys().cloned().collect();
            let kind = self.served.kind();
            self.tell(Delta::Listed { time: now(), kind, unreadable }).await?;
        }
        self.backoff.reset();
        let objects = self.known.len();
        self.board.kind(&self.served, |kind| {
            kind.objects = objects;
            kind.listed = true;
            kind.set_unreadable(self.unreadable.iter());
            kind.enter(KindState::Following, now());
        });
        Ok(())
    }

    async fn leave(&mut self) -> Result<(), Closed> {
        let known: Vec<Key> = self.known.keys().cloned().collect();
        for key in known {
            self.gone(key).await?;
        }
        Ok(())
    }

    /// Waits while the channel is full: the API server then waits for us, and nothing is dropped.
    async fn tell(&self, delta: Delta) -> Result<(), Closed> {
        self.deltas.send(delta).await.map_err(|_nobody| Closed)
    }
}

fn key(raw: &Raw) -> Key {
    let meta = &raw.metadata;
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
