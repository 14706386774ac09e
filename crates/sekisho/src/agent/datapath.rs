//! Orders to rules: what the server verified comes into force here, or stays as it was.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sekisho_api::{Client, EstablishedReport, Order};
use sekisho_base::{Clock, error_chain};
use sekisho_enforce::{Executor, InNamespace, Mode, Scope, ScopeKind};
use sekisho_model::Timestamp;
use sekisho_system::SystemClock;
use sekisho_verify::{VerifiedPolicy, VerifiedRecord};

use super::deny::{Decisions, LOG_GROUP};
use super::run::AgentOptions;
use super::state::AgentState;

/// Pause before an order that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Pause after an order: where pods come and go all the time, the newest order is enough.
const ORDERS_APART: Duration = Duration::from_millis(200);
const REPORT_PERIOD: Duration = Duration::from_secs(1);
/// How often the kernel is asked whether our rules are still there.
const WATCH_PERIOD: Duration = Duration::from_secs(5);

/// The datapath of one node or host.
pub(crate) struct Datapath {
    node: String,
    kind: ScopeKind,
    netns: PathBuf,
    rules: Mutex<Rules>,
    decisions: Decisions,
    state: Arc<AgentState>,
}

/// What is in force, as far as we know.
struct Rules {
    datapath: sekisho_enforce::Datapath,
    /// Connections are tracked although no policy is in force.
    prepared: bool,
    /// The revision that established connections were last judged by. They are judged once by
    /// each: a pod that is relabelled later loses no connection to an old `--cut`.
    judged: Option<u64>,
    /// The last order that was carried out.
    order: Option<Order>,
    /// Our tables as the kernel printed them after that, set elements aside; None = no table.
    printed: BTreeMap<Mode, Option<String>>,
}

impl Datapath {
    /// Makes the datapath; what an earlier agent put in force stays in force.
    pub(crate) fn open(options: &AgentOptions, state: Arc<AgentState>) -> Self {
        let kind = if options.config.host { ScopeKind::Host } else { ScopeKind::Node };
        let mut datapath = sekisho_enforce::Datapath::new(&options.netns);
        // Connections from before the first policy survive it only if they were tracked.
        let prepared = datapath.prepare();
        if let Err(error) = &prepared {
            tracing::warn!(error = %error_chain(error), "connection tracking not prepared");
        }
        let judged = datapath.in_force(Mode::Enforce).ok().flatten();
        if let Some(revision) = judged {
            tracing::info!(revision, "rules of an earlier agent are in force and stay");
        }
        let rules = Rules {
            datapath,
            prepared: prepared.is_ok(),
            judged,
            order: None,
            printed: BTreeMap::new(),
        };
        Self {
            node: options.node.clone(),
            kind,
            netns: options.netns.clone(),
            rules: Mutex::new(rules),
            decisions: Decisions::default(),
            state,
        }
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the ids in the deny log stand for.
    pub(crate) fn decisions(&self) -> Decisions {
        self.decisions.clone()
    }

    /// Asks for orders and carries them out, for ever; cancel by dropping.
    pub(crate) async fn follow_orders(self: Arc<Self>, client: &Client) {
        let mut done = 0;
        loop {
            match client.order(&self.node, done).await {
                Ok(Some(order)) => {
                    let generation = order.generation;
                    let carried = self.blocking(move |path| path.carry_out(order)).await;
                    match &carried {
                        Ok(()) => done = generation,
                        Err(error) => {
                            tracing::error!(error, "order not carried out; former rules in force");
                        }
                    }
                    let pause = if carried.is_ok() { ORDERS_APART } else { RETRY };
                    self.state.note_order(done, carried.err().unwrap_or_default());
                    self.state.tell(client).await;
                    tokio::time::sleep(pause).await;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(error = %error_chain(&error), "no order");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn blocking(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<(), String> + Send + 'static,
    ) -> Result<(), String> {
        let path = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        done.unwrap_or_else(|_panic| Err("the datapath panicked".to_owned()))
    }

    fn carry_out(&self, order: Order) -> Result<(), String> {
        let mut rules = self.rules();
        // Should it fail in between, nothing is known to be as ordered.
        rules.order = None;
        self.bring(&mut rules, order.enforce.as_ref(), Mode::Enforce, &order)?;
        self.bring(&mut rules, order.audit.as_ref(), Mode::Audit, &order)?;
        rules.printed = self.print();
        rules.order = Some(order);
        Ok(())
    }

    fn bring(
        &self,
        rules: &mut Rules,
        record: Option<&VerifiedRecord>,
        mode: Mode,
        order: &Order,
    ) -> Result<(), String> {
        let Some(record) = record else {
            if mode == Mode::Enforce {
                rules.judged = None;
            }
            return rules.clear(mode).map_err(|error| error_chain(&error));
        };
        // Whatever came over the wire: only what was verified comes into force.
        let verified =
            VerifiedPolicy::restore(record.clone()).map_err(|error| error_chain(&error))?;
        let scope = Scope {
            node: self.node.clone(),
            kind: self.kind,
            revision: order.revision,
            log_group: LOG_GROUP,
        };
        let applied = rules
            .datapath
            .apply(&verified, &order.cluster, &scope, mode)
            .map_err(|error| error_chain(&error))?;
        self.decisions.learn(applied.decisions);
        if mode == Mode::Enforce && rules.judged != Some(order.revision) {
            rules.judged = Some(order.revision);
            self.state.note_established(rules.judge_established(&verified, order, &scope));
        }
        Ok(())
    }

    /// Prints our tables: rules and set definitions without counters and elements, which costs the
    /// same however many elements there are.
    fn print(&self) -> BTreeMap<Mode, Option<String>> {
        let executor = InNamespace { netns: self.netns.clone() };
        let print = |mode: Mode| {
            let listed = executor.nft(&["-s", "-t", "list", "table", "inet", mode.table()], "");
            (mode, listed.ok())
        };
        [Mode::Enforce, Mode::Audit].into_iter().map(print).collect()
    }

    /// Looks after the rules, for ever: whoever removes or edits them finds them back. Cancel by
    /// dropping.
    pub(crate) async fn watch(self: Arc<Self>, client: &Client) {
        loop {
            tokio::time::sleep(WATCH_PERIOD).await;
            if let Err(error) = self.blocking(Self::repair).await {
                tracing::error!(error, "rules were changed and could not be put back");
                self.state.note_order(0, format!("rules changed by somebody else: {error}"));
                self.state.tell(client).await;
            }
        }
    }

    fn repair(&self) -> Result<(), String> {
        let order = {
            let mut rules = self.rules();
            let Some(order) = rules.order.clone() else { return Ok(()) };
            if self.print() == rules.printed {
                return Ok(());
            }
            self.state.note_tampering(Timestamp::from_nanos(SystemClock.now()));
            tracing::error!(node = self.node, "somebody else changed our rules; putting them back");
            // One that remembers nothing makes the tables anew instead of comparing.
            rules.datapath = sekisho_enforce::Datapath::new(&self.netns);
            rules.prepared = false;
            order
        };
        let generation = order.generation;
        self.carry_out(order)?;
        self.state.note_order(generation, String::new());
        Ok(())
    }

    /// Tells the server of itself, for ever; cancel by dropping.
    pub(crate) async fn report(self: Arc<Self>, client: &Client) {
        loop {
            tokio::time::sleep(REPORT_PERIOD).await;
            let measured = self.blocking(|path| {
                path.measure();
                Ok(())
            });
            if let Err(error) = measured.await {
                tracing::error!(error, "counters of rules not read");
            }
            self.state.tell(client).await;
        }
    }

    /// Takes away what an agent leaves behind although no policy is in force: the table that tracks
    /// connections. Policies in force stay.
    pub(crate) fn leave(&self) {
        let rules = &mut self.rules().datapath;
        for mode in [Mode::Enforce, Mode::Audit] {
            let left = match rules.in_force(mode) {
                Ok(None) => rules.remove(mode),
                Ok(Some(_)) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = left {
                tracing::warn!(error = %error_chain(&error), "an empty table stays behind");
            }
        }
    }

    fn measure(&self) {
        let decisions = self.decisions.known().clone();
        if decisions.is_empty() {
            return;
        }
        if let Ok(counters) = self.rules().datapath.counters(Mode::Enforce, &decisions) {
            let rows = counters.rules.into_iter();
            self.state.note_rules(
                rows.map(|(decided, (packets, bytes))| (decided, packets, bytes)).collect(),
            );
        }
    }
}

impl Rules {
    /// Ends the established connections that `verified`, which is in force, denies, or counts them.
    fn judge_established(
        &self,
        verified: &VerifiedPolicy,
        order: &Order,
        scope: &Scope,
    ) -> EstablishedReport {
        let path = &self.datapath;
        let judged = if order.cut {
            path.cut(verified, &order.cluster, scope)
        } else {
            path.count_denied(verified, &order.cluster, scope)
        };
        let revision = order.revision;
        match judged {
            Ok(found) => {
                tracing::info!(revision, ?found, "established connections judged");
                EstablishedReport {
                    revision,
                    denied: found.denied as u64,
                    cut: found.cut as u64,
                    skipped: found.skipped as u64,
                    error: String::new(),
                }
            }
            // The rules are in force all the same.
            Err(error) => {
                let error = error_chain(&error);
                tracing::error!(revision, error, "established connections not judged");
                EstablishedReport { revision, error, ..EstablishedReport::default() }
            }
        }
    }

    /// Takes the policies of `mode` away, if there are any. Connections stay tracked, so that the
    /// next policy knows who was there before it.
    fn clear(&mut self, mode: Mode) -> Result<(), sekisho_enforce::TableError> {
        let held = self.datapath.in_force(mode)?.is_some();
        if held {
            self.datapath.remove(mode)?;
        }
        if mode == Mode::Enforce && (held || !self.prepared) {
            self.prepared = false;
            self.datapath.prepare()?;
            self.prepared = true;
        }
        Ok(())
    }
}
