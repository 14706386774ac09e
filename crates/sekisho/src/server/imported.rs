//! A data folder that takes flows of other tools: each import counts once, also across `kill -9`.
//!
//! Before a part of an import is sealed, a line of `imports.jsonl` says which segment will hold it. The
//! line is true if that segment is there: the same rename makes both so. An import that was cut off
//! goes on after its last sealed part; its rows before are read again, for what connections there
//! were, and not recorded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sekisho_inventory::{Change, Inventory};
use sekisho_manifest::Object;
use sekisho_model::{ClusterName, Flow, LossMinute, Timestamp};
use sekisho_store::{FlowStore, LocalStore, StoreLimits, StoreStatus};
use serde::{Deserialize, Serialize};

use super::cluster_copy::JournalCopy;
use super::cluster_feed;
use super::derive::Derivation;

/// What was imported, one part a line.
const DONE_NAME: &str = "imports.jsonl";
/// Longest line of it that is believed, bytes.
const LINE_BYTES_MAX: usize = 16 << 10;

/// A folder that is open for imports; nobody else writes to it meanwhile.
pub(crate) struct ImportFolder {
    folder: PathBuf,
    store: LocalStore,
    derivation: Derivation,
    inventory: Inventory,
    /// Lines sealed of each source, by its digest; None = all.
    done: BTreeMap<String, Option<u64>>,
}

/// How far an import came when a part of it was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// SHA-256 of the whole source, hexadecimal.
    pub(crate) digest: String,
    /// What the source is called.
    pub(crate) name: String,
    /// Its format.
    pub(crate) format: String,
    /// Lines read when the part was sealed.
    pub(crate) lines: u64,
    /// Whether these are all.
    pub(crate) whole: bool,
    /// When.
    pub(crate) at: Timestamp,
    /// The segment that holds the part.
    #[serde(default)]
    pub(crate) segment: String,
}

impl ImportFolder {
    /// Opens `folder`, which is made if it is not there.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let (mut store, logs) = LocalStore::open(folder, StoreLimits::default())
            .with_context(|| format!("open history in `{}`", folder.display()))?;
        let mut inventory = Inventory::default();
        cluster_feed::read_copy(&folder.join(cluster_feed::COPY_NAME), &mut inventory)?;
        let mut derivation = Derivation::new(ClusterName::default());
        derivation.replay(&logs, &inventory, &mut store)?;
        let done = read_marks(&folder.join(DONE_NAME), &store)?;
        Ok(Self { folder: folder.to_owned(), store, derivation, inventory, done })
    }

    /// Adds objects of the cluster, which held always as far as is known, and keeps them.
    pub(crate) fn add_objects(&mut self, objects: &[Object]) -> anyhow::Result<()> {
        for object in objects {
            self.inventory.apply(Timestamp::EPOCH, Change::Added, object);
        }
        JournalCopy::open(&self.folder.join(cluster_feed::COPY_NAME))?.rewrite(&self.inventory)
    }

    /// Who is who.
    pub(crate) fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// How many lines of a source are in history; None = all.
    pub(crate) fn sealed(&self, digest: &str) -> Option<u64> {
        self.done.get(digest).copied().unwrap_or(Some(0))
    }

    /// Records flows; they last from the next [`Self::seal`] on.
    pub(crate) fn record(&mut self, flows: &[Flow]) {
        self.store.record(flows, &[]);
    }

    /// Whether a part should be sealed before more is recorded.
    pub(crate) fn is_full(&self) -> bool {
        self.store.wants_rotation()
    }

    /// Makes what was recorded last, and `mark` true.
    pub(crate) fn seal(&mut self, losses: &[LossMinute], mut mark: Mark) -> anyhow::Result<()> {
        self.store.record(&[], losses);
        mark.segment = self.store.next_segment();
        append_mark(&self.folder.join(DONE_NAME), &mark)?;
        self.store.rotate(&self.derivation.checkpoint()?).context("seal the import")?;
        if !self.store.has_segment(&mark.segment) && mark.lines > 0 && !mark.whole {
            bail!("segment {} was not made", mark.segment);
        }
        let sealed = if mark.whole { None } else { Some(mark.lines) };
        self.done.insert(mark.digest, sealed);
        Ok(())
    }

    /// How the store is.
    pub(crate) fn status(&self) -> StoreStatus {
        self.store.status()
    }
}

/// Reads the marks whose segments are there.
fn read_marks(path: &Path, store: &LocalStore) -> anyhow::Result<BTreeMap<String, Option<u64>>> {
    let mut done = BTreeMap::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(done),
        Err(error) => return Err(error).with_context(|| format!("read `{}`", path.display())),
    };
    for (line, number) in BufReader::new(file).split(b'\n').zip(1_u64..) {
        let line = line.with_context(|| format!("read `{}`", path.display()))?;
        // The last line may be cut off by a crash; then its segment is not there either.
        let mark =
            (line.len() <= LINE_BYTES_MAX).then(|| serde_json::from_slice::<Mark>(&line).ok());
        let Some(mark) = mark.flatten() else {
            if !line.is_empty() {
                tracing::warn!(path = %path.display(), number, "line of imports not understood");
            }
            continue;
        };
        if store.has_segment(&mark.segment) {
            done.insert(mark.digest, if mark.whole { None } else { Some(mark.lines) });
        }
    }
    Ok(done)
}

fn append_mark(path: &Path, mark: &Mark) -> anyhow::Result<()> {
    let text = || format!("write `{}`", path.display());
    let mut line = serde_json::to_vec(mark).context("encode the import's mark")?;
    line.push(b'\n');
    let mut file =
        File::options().create(true).read(true).append(true).open(path).with_context(text)?;
    // A line that a crash cut off must not swallow this one.
    let length = file.metadata().with_context(text)?.len();
    if length > 0 && !ends_with_newline(path).with_context(text)? {
        line.insert(0, b'\n');
    }
    file.write_all(&line).and_then(|()| file.sync_data()).with_context(text)?;
    let folder = path.parent().unwrap_or(path);
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(text)
}

fn ends_with_newline(path: &Path) -> std::io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0_u8];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
