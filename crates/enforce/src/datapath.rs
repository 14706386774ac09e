//! Loads verified policies into a network namespace, reads back what is in force, takes it away.
//!
//! Fail direction: the last good state stays. A table is changed by one nft transaction; if the
//! kernel refuses it, nothing has changed. An agent that dies leaves the table where it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sekisho_model::DecidedBy;
use sekisho_policy::Cluster;
use sekisho_verify::VerifiedPolicy;
use serde::{Deserialize, Serialize};

use crate::chains::ABOUT;
use crate::compile::{CompileError, NodeTables, compile};
use crate::counters::{self, CountersError, RuleCounters};
use crate::cut::{self, CutError, Established, Fate};
use crate::executor::{Executor, InNamespace, NftError};
use crate::layout::remove_script;
use crate::scope::{Mode, Scope};
use crate::unenforced::Unenforced;

/// The nftables datapath of one network namespace.
#[derive(Debug)]
pub struct Datapath {
    netns: PathBuf,
    executor: Box<dyn Executor>,
    /// What this object loaded last and therefore knows to be in the kernel.
    loaded: BTreeMap<Mode, NodeTables>,
}

/// How a table came into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The table was made anew; counters begin at 0.
    Replaced,
    /// Only what differs was changed; counters go on.
    Updated,
    /// Nothing differed; nothing was sent to the kernel.
    Unchanged,
}

/// Rules that came into force.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Time of the transaction, the start of nft included, compiling not.
    pub took: Duration,
    /// Time to compile.
    pub compiled_in: Duration,
    /// Elements of all sets and maps.
    pub elements: usize,
    /// Endpoints that a policy selects in at least one direction.
    pub subjects: usize,
    /// Rules about them that are not enforced as they are written.
    pub unenforced: Vec<Unenforced>,
    /// How.
    pub change: Change,
    /// Ids of this revision, to be added to those of earlier ones ([`NodeTables::decisions`]).
    pub decisions: BTreeMap<u32, DecidedBy>,
}

/// Policies could not be brought into force; what was in force still is.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// They don't compile for this place.
    #[error("compile policies for `{node}`")]
    Compile {
        /// Node or host.
        node: String,
        /// Why.
        #[source]
        cause: CompileError,
    },
    /// The kernel or nft refused.
    #[error("replace table `inet {table}` in namespace `{netns}`")]
    ReplaceTable {
        /// Name of the table.
        table: &'static str,
        /// Path of the namespace.
        netns: String,
        /// Why.
        #[source]
        cause: NftError,
    },
}

/// The table could not be read or removed.
#[derive(Debug, thiserror::Error)]
#[error("{action} table `inet {table}` in namespace `{netns}`")]
pub struct TableError {
    action: &'static str,
    table: &'static str,
    netns: String,
    #[source]
    cause: NftError,
}

impl Datapath {
    /// Makes the datapath of the namespace at `netns`; `/proc/self/ns/net` is the caller's own.
    /// Touches nothing yet.
    #[must_use]
    pub fn new(netns: impl Into<PathBuf>) -> Self {
        let netns = netns.into();
        Self::with_executor(netns.clone(), Box::new(InNamespace { netns }))
    }

    /// Makes a datapath that runs nft through `executor`.
    #[must_use]
    pub fn with_executor(netns: PathBuf, executor: Box<dyn Executor>) -> Self {
        Self { netns, executor, loaded: BTreeMap::new() }
    }

    /// Path of the namespace.
    #[must_use]
    pub fn netns(&self) -> &Path {
        &self.netns
    }

    /// Makes the kernel track connections, unless policies are in force already. Connections that
    /// were open before a policy survive it only if they were tracked, so agents call this when
    /// they start.
    ///
    /// # Errors
    /// [`TableError`] if nft fails.
    pub fn prepare(&mut self) -> Result<(), TableError> {
        if self.in_force(Mode::Enforce)?.is_some() {
            return Ok(());
        }
        let table = Mode::Enforce.table();
        let script = format!(
            "{}table inet {table} {{\n\tchain forward {{\n\t\ttype filter hook forward priority filter;\n\
             \t\tct state established accept\n\t}}\n\tchain {ABOUT} {{\n\t}}\n}}\n",
            remove_script(table)
        );
        let failed = |cause| self.error("prepare", Mode::Enforce, cause);
        self.executor.nft(&["-f", "-"], &script).map_err(failed)?;
        Ok(())
    }

    /// Brings `verified` into force, at once for all packets. New connections are judged by it;
    /// established ones go on, whatever it says, until [`Self::cut`].
    ///
    /// # Errors
    /// [`ApplyError`]; the rules in force are then unchanged.
    pub fn apply(
        &mut self,
        verified: &VerifiedPolicy,
        cluster: &Cluster,
        scope: &Scope,
        mode: Mode,
    ) -> Result<Applied, ApplyError> {
        let started = Instant::now();
        let tables = compile(verified, cluster, scope, mode)
            .map_err(|cause| ApplyError::Compile { node: scope.node.clone(), cause })?;
        let compiled_in = started.elapsed();
        let started = Instant::now();
        let change = self.load(&tables, mode).map_err(|cause| ApplyError::ReplaceTable {
            table: mode.table(),
            netns: self.netns.display().to_string(),
            cause,
        })?;
        let applied = Applied {
            took: started.elapsed(),
            compiled_in,
            elements: tables.elements,
            subjects: tables.subjects,
            unenforced: tables.unenforced.clone(),
            change,
            decisions: tables.decisions.clone(),
        };
        for gap in &applied.unenforced {
            tracing::warn!(node = scope.node, "not enforced as written: {gap}");
        }
        tracing::info!(
            node = scope.node,
            revision = scope.revision,
            mode = mode.as_str(),
            elements = applied.elements,
            subjects = applied.subjects,
            took_ms = applied.took.as_secs_f64() * 1e3,
            ?change,
            "policies in force"
        );
        self.loaded.insert(mode, tables);
        Ok(applied)
    }

    /// Sends the smallest transaction that leads to `tables`.
    fn load(&mut self, tables: &NodeTables, mode: Mode) -> Result<Change, NftError> {
        // From here until success it is not certain what the kernel holds.
        let old = self.loaded.remove(&mode);
        if let Some(old) = old {
            let update = tables.layout.update_script(&old.layout);
            let known = self.holds(&old);
            match update {
                Some(script) if known && script.is_empty() => return Ok(Change::Unchanged),
                Some(script) if known => match self.executor.nft(&["-f", "-"], &script) {
                    Ok(_) => return Ok(Change::Updated),
                    // Somebody changed the table by hand: make it anew.
                    Err(cause) => tracing::warn!(%cause, "update refused, replacing the table"),
                },
                Some(_) | None => {}
            }
        }
        self.executor.nft(&["-f", "-"], &tables.script)?;
        Ok(Change::Replaced)
    }

    /// Whether the kernel still holds the table of `tables`' revision.
    fn holds(&self, tables: &NodeTables) -> bool {
        let expected = tables.layout.chains.get(ABOUT).and_then(|about| about.rules.first());
        let printed = self.executor.nft(&["list", "chain", "inet", tables.layout.table, ABOUT], "");
        match (expected, printed) {
            (Some(rule), Ok(text)) => text.lines().any(|line| line.trim() == rule),
            (_, Ok(_) | Err(_)) => false,
        }
    }

    /// Reads which revision the kernel holds in `mode`; None = none.
    ///
    /// # Errors
    /// [`TableError`] if nft can't be run.
    pub fn in_force(&self, mode: Mode) -> Result<Option<u64>, TableError> {
        let failed = |cause| self.error("read", mode, cause);
        let ours = format!("table inet {}", mode.table());
        let tables = self.executor.nft(&["list", "tables"], "").map_err(failed)?;
        if !tables.lines().any(|line| line.trim() == ours) {
            return Ok(None);
        }
        let about = ["list", "chain", "inet", mode.table(), ABOUT];
        // A table that `prepare` made has the chain, but holds no revision.
        Ok(parse_about(&self.executor.nft(&about, "").map_err(failed)?))
    }

    /// Reads the counters of all rules and denials in `mode`, which must be in force.
    ///
    /// # Errors
    /// [`CountersError`] if nft fails or prints what we can't read.
    pub fn counters(
        &self,
        mode: Mode,
        decisions: &BTreeMap<u32, DecidedBy>,
    ) -> Result<RuleCounters, CountersError> {
        counters::read(self.executor.as_ref(), mode.table(), decisions)
    }

    /// Ends the established connections of this place that `verified` denies.
    ///
    /// # Errors
    /// [`CutError`] if the connection table can't be read or changed.
    pub fn cut(
        &self,
        verified: &VerifiedPolicy,
        cluster: &Cluster,
        scope: &Scope,
    ) -> Result<Established, CutError> {
        cut::judge_all(&self.netns, verified.rules(), cluster, scope, Fate::Cut)
    }

    /// Counts the established connections of this place that `verified` denies, and lets them go on.
    ///
    /// # Errors
    /// [`CutError`] if the connection table can't be read.
    pub fn count_denied(
        &self,
        verified: &VerifiedPolicy,
        cluster: &Cluster,
        scope: &Scope,
    ) -> Result<Established, CutError> {
        cut::judge_all(&self.netns, verified.rules(), cluster, scope, Fate::Spared)
    }

    /// Removes the table of `mode`: nothing is denied (or audited) by it any more. Fine if it is
    /// not there.
    ///
    /// # Errors
    /// [`TableError`] if nft fails.
    pub fn remove(&mut self, mode: Mode) -> Result<(), TableError> {
        self.loaded.remove(&mode);
        let script = remove_script(mode.table());
        let failed = |cause| self.error("remove", mode, cause);
        self.executor.nft(&["-f", "-"], &script).map_err(failed)?;
        Ok(())
    }

    fn error(&self, action: &'static str, mode: Mode, cause: NftError) -> TableError {
        TableError { action, table: mode.table(), netns: self.netns.display().to_string(), cause }
    }
}

/// Finds `revision=..` in the comment of the about chain.
fn parse_about(listing: &str) -> Option<u64> {
    let (_, comment) = listing.split_once("comment \"revision=")?;
    comment.split([' ', '"']).next()?.parse().ok()
}
