//! Decides which kinds are followed: looks again and again at what the API server serves, at once
//! when a CustomResourceDefinition of ours changes.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::Client;
use kube::api::Api;
use kube::core::{ApiResource, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use sekisho_base::error_chain;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::connect::{self, Cluster, ConnectError};
use super::delta::Delta;
use super::discovery::{self, AskError, Discovery, Found};
use super::fault::{REFUSED_PAUSE, text};
use super::follow::{Follower, Order, now};
use super::kinds::{FAMILIES, Served};
use super::raw::Raw;
use super::status::{Board, StatusHandle};

/// Deltas that wait to be taken; when there are more, the followers wait.
pub const DELTAS_MAX: usize = 4_096;
/// Between two looks at what is served.
const LOOK_PAUSE: Duration = Duration::from_secs(30);
/// The same while the API server is away.
const AWAY_PAUSE: Duration = Duration::from_secs(3);
/// After a definition changed: it takes the API server a moment to serve it.
const SOON: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// A running watch of a cluster. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    deltas: mpsc::Receiver<Delta>,
    status: StatusHandle,
    _tasks: JoinSet<()>,
}

impl Watch {
    /// Starts to watch, inside a tokio runtime. The API server need not answer yet.
    ///
    /// # Errors
    /// [`ConnectError`] if nobody can tell where the API server is.
    pub async fn start(cluster: &Cluster) -> Result<Self, ConnectError> {
        let (client, server) = connect::client(cluster).await?;
        let board = Arc::new(Board::default());
        board.head(|head| head.server = server);
        let (sender, deltas) = mpsc::channel(DELTAS_MAX);
        let definitions = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_definitions(client.clone(), Arc::clone(&definitions)));
        let director = Director {
            client,
            board: Arc::clone(&board),
            deltas: sender,
            definitions,
            discovery: Discovery::default(),
            running: BTreeMap::new(),
            round: 0,
            looked: false,
        };
        tasks.spawn(director.run());
        Ok(Self { deltas, status: StatusHandle(board), _tasks: tasks })
    }

    /// The next delta, if there is one now.
    pub fn try_next(&mut self) -> Option<Delta> {
        self.deltas.try_recv().ok()
    }

    /// The next delta; None when the watch has ended.
    pub async fn next(&mut self) -> Option<Delta> {
        self.deltas.recv().await
    }

    /// Deltas that wait to be taken, at most [`DELTAS_MAX`].
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.deltas.len()
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> &StatusHandle {
        &self.status
    }
}

/// A kind that is followed.
struct Running {
    served: Served,
    orders: watch::Sender<Order>,
    task: JoinSet<()>,
}

struct Director {
    client: Client,
    board: Arc<Board>,
    deltas: mpsc::Sender<Delta>,
    definitions: Arc<Notify>,
    discovery: Discovery,
    /// By group and kind.
    running: BTreeMap<(String, String), Running>,
    /// Grows when followers have to begin anew.
    round: u64,
    /// Whether one look succeeded.
    looked: bool,
}

impl Director {
    async fn run(mut self) {
        let mut soon: &[Duration] = &[];
        let mut is_away = false;
        loop {
            match self.discovery.look(&self.client).await {
                Ok(found) => {
                    if std::mem::take(&mut is_away) {
                        self.come_back();
                    }
                    self.arrange(found).await;
                    self.ask_clock().await;
                }
                Err(error) => {
                    is_away = true;
                    self.discovery.forget();
                    self.note_away(&error);
                }
            }
            let pause = match soon.split_first() {
                Some((pause, rest)) => {
                    soon = rest;
                    *pause
                }
                None if is_away => AWAY_PAUSE,
                None => LOOK_PAUSE,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.definitions.notified() => soon = &SOON,
            }
        }
    }

    fn note_away(&self, error: &AskError) {
        let why = match error {
            AskError::Refused(cause) => text(cause),
            AskError::Late { .. } => error_chain(error),
        };
        self.board.head(|head| {
            if head.away_since.is_none() {
                tracing::warn!(server = head.server, error = why, "the API server does not answer");
                head.away_since = Some(now());
            }
            head.away = why;
        });
    }

    /// Watches that hang on a connection which nobody answers any more would notice in minutes.
    fn come_back(&mut self) {
        self.round += 1;
        for running in self.running.values() {
            running.orders.send_replace(Order::Follow(self.round));
        }
        self.board.head(|head| {
            tracing::info!(server = head.server, "the API server answers again");
            head.away_since = None;
            head.away.clear();
            head.version.clear();
        });
    }

    /// Starts and ends followers so that they are those of what is served.
    async fn arrange(&mut self, found: Found) {
        let served: BTreeMap<(String, String), Served> = found
            .served
            .into_iter()
            .map(|one| ((one.resource.group.clone(), one.resource.kind.clone()), one))
            .collect();
        let over: Vec<_> = self
            .running
            .iter()
            .filter(|(key, running)| {
                !found.silent.contains(&key.0) && served.get(*key) != Some(&running.served)
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            let Some(mut running) = self.running.remove(&key) else { continue };
            tracing::info!(group = key.0, kind = key.1, "kind is not served any more");
            running.orders.send_replace(Order::End);
            // What it still tells must not come after what its successor tells.
            while running.task.join_next().await.is_some() {}
            self.board.remove(&running.served);
        }
        let kinds: BTreeSet<String> = served.values().map(Served::kind).collect();
        for (key, one) in served {
            self.running.entry(key).or_insert_with(|| {
                let (orders, receiver) = watch::channel(Order::Follow(self.round));
                let (board, deltas) = (Arc::clone(&self.board), self.deltas.clone());
                let follower =
                    Follower::new(one.clone(), self.client.clone(), board, deltas, receiver);
                let mut task = JoinSet::new();
                task.spawn(follower.run());
                Running { served: one, orders, task }
            });
        }
        if !std::mem::replace(&mut self.looked, true) {
            self.board.discovered();
            self.tell_absent(&kinds, &found.silent).await;
        }
    }

    /// Of kinds that are not served nothing is there, whatever an earlier run knew.
    async fn tell_absent(&self, kinds: &BTreeSet<String>, silent: &BTreeSet<String>) {
        let mut absent = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        for family in FAMILIES {
            for (kind, form) in family.kinds {
                let resource = ApiResource {
                    group: family.group.to_owned(),
                    version: String::new(),
                    api_version: String::new(),
                    kind: (*kind).to_owned(),
                    plural: String::new(),
                };
                let kind = Served { resource, form: *form }.kind();
                let set = if silent.contains(family.group) { &mut unknown } else { &mut absent };
                set.insert(kind);
            }
        }
        for kind in absent.difference(&unknown).filter(|kind| !kinds.contains(*kind)) {
            let delta = Delta::Listed { time: now(), kind: kind.clone(), unreadable: Vec::new() };
            if self.deltas.send(delta).await.is_err() {
                return;
            }
        }
    }

    /// Compares clocks; the API server tells whole seconds.
    async fn ask_clock(&self) {
        let before = now();
        let Ok(Some(seconds)) = discovery::clock(&self.client).await else { return };
        let middle_ms = (before.nanos() / 2 + now().nanos() / 2) / 1_000_000;
        let theirs_ms = seconds.saturating_mul(1_000).saturating_add(500);
        let ahead_ms = theirs_ms.saturating_sub(i64::try_from(middle_ms).unwrap_or(i64::MAX));
        let mut wanted = false;
        self.board.head(|head| {
            head.ahead_ms = ahead_ms;
            wanted = head.version.is_empty();
        });
        if wanted && let Ok(version) = discovery::version(&self.client).await {
            self.board.head(|head| head.version = version);
        }
    }
}

/// Tells when a definition of one of our groups changes. Whoever may not watch definitions hears of
/// it with the next look.
async fn watch_definitions(client: Client, changed: Arc<Notify>) {
    let resource = ApiResource {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
    };
    let api = Api::<PartialObjectMeta<Raw>>::all_with(client, &resource);
    let mut events = pin!(watcher(api, watcher::Config::default().page_size(500)));
    loop {
        match events.next().await {
            Some(Ok(Event::Apply(one) | Event::Delete(one))) => {
                let name = one.metadata.name.unwrap_or_default();
                let group = name.split_once('.').map_or("", |(_, group)| group);
                if FAMILIES.iter().any(|family| family.group == group) {
                    changed.notify_one();
                }
            }
            Some(Ok(Event::InitDone)) => changed.notify_one(),
            Some(Ok(Event::Init | Event::InitApply(_))) => {}
            Some(Err(error)) => {
                tracing::debug!(%error, "definitions can't be watched");
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
            None => return,
        }
    }
}
