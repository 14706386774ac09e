//! One source, imported piece by piece.

use std::path::Path;

use sekisho_exchange::{Format, Import, Tally};
use sekisho_model::{Flow, Timestamp};

use super::progress::Progress;
use crate::commands::history;
use crate::flow_file::FlowFile;
use crate::server::{ImportFolder, Mark};

/// One source, imported.
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) format: Format,
    pub(super) tally: Tally,
    /// Lines that an earlier import sealed; None = all.
    pub(super) before: Option<u64>,
}

/// Something to import, its format known.
pub(super) struct Source(FlowFile);

impl Source {
    pub(super) fn open(path: &Path, format: Option<Format>) -> anyhow::Result<Self> {
        FlowFile::open(path, &path.display().to_string(), format).map(Self)
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// Imports it; what was read lasts after each `commit` lines.
    pub(super) fn import(self, folder: &mut ImportFolder, commit: u64) -> anyhow::Result<Outcome> {
        let Self(mut file) = self;
        let now = history::now();
        let before = file.digest.as_ref().map_or(Some(0), |digest| folder.sealed(digest));
        let mut import = Import::new(file.format, now);
        let Some(sealed) = before else {
            let (name, format) = (file.name, file.format);
            return Ok(Outcome { name, format, tally: import.tally(), before });
        };
        let mut flows = Vec::new();
        let mut progress = Progress::new(&file.name, file.bytes);
        let mut piece = Vec::new();
        let mut committed = sealed;
        while file.next_piece(&mut piece)? {
            import.feed(&piece, &folder.directory(), &mut flows);
            take(&mut import, sealed, &mut flows, folder);
            progress.show(import.lines());
            let fresh = import.lines().saturating_sub(committed);
            if fresh > 0 && (folder.is_full() || fresh >= commit) {
                committed = import.lines();
                let mark = mark(&file, &import, now, false);
                folder.seal(import.take_losses(), mark)?;
            }
        }
        // What the end completes no earlier import recorded: it did not come this far.
        import.end(&folder.directory(), &mut flows);
        folder.record(&mut flows);
        let mark = mark(&file, &import, now, true);
        folder.seal(import.take_losses(), mark)?;
        progress.clear();
        Ok(Outcome { name: file.name, format: file.format, tally: import.tally(), before })
    }
}

/// Records what was read, unless an earlier import did.
fn take(import: &mut Import, sealed: u64, flows: &mut Vec<Flow>, folder: &mut ImportFolder) {
    if import.lines() > sealed {
        folder.record(flows);
    } else {
        import.take_losses();
    }
    flows.clear();
}

fn mark(file: &FlowFile, import: &Import, at: Timestamp, whole: bool) -> Mark {
    Mark {
        digest: file.digest.clone().unwrap_or_default(),
        name: file.name.clone(),
        format: file.format.to_string(),
        lines: import.lines(),
        whole,
        at,
    }
}
