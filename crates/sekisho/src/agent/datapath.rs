//! Orders to rules: what the server verified comes into force here, or stays as it was.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sekisho_api::{AgentReport, Client, Order};
use sekisho_base::error_chain;
use sekisho_enforce::{DenyLog, Mode, Scope, ScopeKind};
use sekisho_model::{DecidedBy, Event, HookCounters};
use sekisho_policy::Cluster;
use sekisho_verify::{VerifiedPolicy, VerifiedRecord};

use super::run::AgentOptions;

/// NFLOG group of our denials; any number that nobody else uses in the namespace.
const LOG_GROUP: u16 = 1_807;
const RETRY: Duration = Duration::from_secs(2);
const REPORT_PERIOD: Duration = Duration::from_secs(1);
/// Ids of decisions remembered: those of old revisions stay, for log lines that come late.
const DECISIONS_MAX: usize = 65_536;

type Decisions = Arc<Mutex<BTreeMap<u32, DecidedBy>>>;

/// The datapath of one node or host.
pub(crate) struct Datapath {
    node: String,
    kind: ScopeKind,
    netns: PathBuf,
    rules: Mutex<sekisho_enforce::Datapath>,
    decisions: Decisions,
    report: Mutex<AgentReport>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Datapath {
    /// Makes the datapath; what an earlier agent put in force stays in force.
    pub(crate) fn open(options: &AgentOptions, tiers: Vec<String>) -> Self {
        let kind = if options.config.host { ScopeKind::Host } else { ScopeKind::Node };
        let mut rules = sekisho_enforce::Datapath::new(&options.netns);
        // Connections from before the first policy survive it only if they were tracked.
        if let Err(error) = rules.prepare() {
            tracing::warn!(error = %error_chain(&error), "connection tracking not prepared");
        }
        let report = AgentReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: kernel_release(),
            tiers,
            ..AgentReport::default()
        };
        Self {
            node: options.node.clone(),
            kind,
            netns: options.netns.clone(),
            rules: Mutex::new(rules),
            decisions: Decisions::default(),
            report: Mutex::new(report),
        }
    }

    /// A reader of the denials that this datapath logs.
    pub(crate) fn deny_reader(&self) -> DenyReader {
        let log = DenyLog::open(&self.netns, LOG_GROUP);
        if let Err(error) = &log {
            tracing::warn!(error = %error_chain(error), "denied connections will not be named");
        }
        DenyReader { log: log.ok(), decisions: Arc::clone(&self.decisions) }
    }

    /// Asks for orders and carries them out, for ever; cancel by dropping.
    pub(crate) async fn follow_orders(self: Arc<Self>, client: &Client) {
        let mut done = 0;
        loop {
            match client.order(&self.node, done).await {
                Ok(Some(order)) => {
                    let (path, generation) = (Arc::clone(&self), order.generation);
                    let carried = tokio::task::spawn_blocking(move || path.carry_out(&order)).await;
                    let error = match carried {
                        Ok(Ok(())) => String::new(),
                        Ok(Err(error)) => error,
                        Err(_panicked) => "the datapath panicked".to_owned(),
                    };
                    let failed = !error.is_empty();
                    if failed {
                        tracing::error!(error, "order not carried out; former rules in force");
                    } else {
                        done = generation;
                    }
                    {
                        let mut report = locked(&self.report);
                        report.generation = done;
                        report.error = error;
                    }
                    self.tell(client).await;
                    if failed {
                        tokio::time::sleep(RETRY).await;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(error = %error_chain(&error), "no order");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn carry_out(&self, order: &Order) -> Result<(), String> {
        self.bring(order.enforce.as_ref(), Mode::Enforce, order)?;
        self.bring(order.audit.as_ref(), Mode::Audit, order)
    }

    fn bring(
        &self,
        record: Option<&VerifiedRecord>,
        mode: Mode,
        order: &Order,
    ) -> Result<(), String> {
        let mut datapath = locked(&self.rules);
        let Some(record) = record else {
            return datapath.remove(mode).map_err(|error| error_chain(&error));
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
        let cluster: &Cluster = &order.cluster;
        let applied = datapath
            .apply(&verified, cluster, &scope, mode)
            .map_err(|error| error_chain(&error))?;
        let mut decisions = locked(&self.decisions);
        decisions.extend(applied.decisions);
        while decisions.len() > DECISIONS_MAX {
            decisions.pop_first();
        }
        Ok(())
    }

    /// Tells the server of itself, for ever; cancel by dropping.
    pub(crate) async fn report(self: Arc<Self>, client: &Client) {
        loop {
            tokio::time::sleep(REPORT_PERIOD).await;
            let path = Arc::clone(&self);
            // A panic there is told by the next order.
            tokio::task::spawn_blocking(move || path.measure()).await.ok();
            self.tell(client).await;
        }
    }

    fn measure(&self) {
        let decisions = locked(&self.decisions).clone();
        let counted = if decisions.is_empty() {
            None
        } else {
            locked(&self.rules).counters(Mode::Enforce, &decisions).ok()
        };
        let mut report = locked(&self.report);
        report.memory_bytes = crate::memory::resident_bytes();
        if let Some(counters) = counted {
            let rows = counters.rules.into_iter();
            report.rules =
                rows.map(|(decided, (packets, bytes))| (decided, packets, bytes)).collect();
        }
    }

    async fn tell(&self, client: &Client) {
        let report = locked(&self.report).clone();
        if let Err(error) = client.report(&self.node, &report).await {
            tracing::debug!(error = %error_chain(&error), "report not delivered");
        }
    }
}

/// Reads the denials, for the capture loop.
pub(crate) struct DenyReader {
    log: Option<DenyLog>,
    decisions: Decisions,
}

impl DenyReader {
    /// Appends what was denied since; never waits.
    pub(crate) fn poll(&mut self, events: &mut Vec<Event>) {
        let Some(log) = &mut self.log else { return };
        let mut records = Vec::new();
        let polled = log.poll(Duration::ZERO, &locked(&self.decisions), &mut records);
        if let Err(error) = polled {
            tracing::warn!(error = %error_chain(&error), "deny log unreadable");
        }
        events.extend(records.into_iter().map(Event::Denied));
    }

    /// Its counters, as hook `deny`.
    pub(crate) fn counters(&self) -> Option<HookCounters> {
        self.log.as_ref().map(DenyLog::counters)
    }
}

fn kernel_release() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}
