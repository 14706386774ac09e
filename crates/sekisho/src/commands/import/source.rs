//! One source: opened, its format known, read piece by piece.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, ensure};
use flate2::bufread::MultiGzDecoder;
use sekisho_exchange::{Format, Import, Tally};
use sekisho_model::{Flow, Timestamp};
use sekisho_store::{PARQUET_MAGIC, TableText};
use sha2::{Digest, Sha256};

use super::progress::Progress;
use crate::commands::history;
use crate::server::{ImportFolder, Mark};

/// Bytes that are read at once. An import that goes on reads the same pieces again: part of what an
/// import's marks mean.
const PIECE_BYTES: usize = 256 << 10;

/// One source, imported.
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) format: Format,
    pub(super) tally: Tally,
    /// Lines that an earlier import sealed; None = all.
    pub(super) before: Option<u64>,
}

/// Something to import, its format known.
pub(super) struct Source {
    pub(super) name: String,
    format: Format,
    /// None for standard input, which can't be read twice.
    digest: Option<String>,
    bytes: u64,
    reader: Box<dyn BufRead>,
}

impl Source {
    pub(super) fn open(path: &Path, format: Option<Format>) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let failed = || format!("read `{name}`");
        let (digest, bytes, raw): (_, _, Box<dyn Read>) = if path == Path::new("-") {
            (None, 0, Box::new(io::stdin()))
        } else {
            let (digest, bytes) = digest_of(path).with_context(failed)?;
            (Some(digest), bytes, Box::new(File::open(path).with_context(failed)?))
        };
        let mut raw = BufReader::with_capacity(PIECE_BYTES, raw);
        if raw.fill_buf().with_context(failed)?.starts_with(PARQUET_MAGIC) {
            return Self::of_parquet(path, format, (digest, bytes));
        }
        let packed = raw.fill_buf().with_context(failed)?.starts_with(&[0x1f, 0x8b]);
        let mut reader: Box<dyn BufRead> = if packed {
            Box::new(BufReader::with_capacity(PIECE_BYTES, MultiGzDecoder::new(raw)))
        } else {
            Box::new(raw)
        };
        let head = reader.fill_buf().with_context(failed)?;
        ensure!(
            !head.starts_with(PARQUET_MAGIC),
            "read `{name}`: Parquet is read from its end: unpack it (gunzip) first"
        );
        let format = match format {
            Some(format) => format,
            None => Format::of_content(head).with_context(failed)?,
        };
        Ok(Self { name, format, digest, bytes, reader })
    }

    /// A table of Parquet, as lines that the same formats have as text.
    fn of_parquet(
        path: &Path,
        format: Option<Format>,
        (digest, bytes): (Option<String>, u64),
    ) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let failed = || format!("read `{name}`");
        ensure!(
            digest.is_some(),
            "read `{name}`: Parquet is read from its end: give it as a file, not on standard input"
        );
        let table = TableText::open(path).with_context(failed)?;
        let mut reader = BufReader::with_capacity(PIECE_BYTES, table);
        let head = reader.fill_buf().with_context(failed)?;
        let columns = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let columns = String::from_utf8_lossy(columns).into_owned();
        let what = || format!("read `{name}`: Parquet with the columns {columns}");
        let format = match format {
            Some(format) => format,
            None => Format::of_content(head).with_context(what)?,
        };
        Ok(Self { name, format, digest, bytes, reader: Box::new(reader) })
    }

    /// Imports it; what was read lasts after each `commit` lines.
    pub(super) fn import(
        mut self,
        folder: &mut ImportFolder,
        commit: u64,
    ) -> anyhow::Result<Outcome> {
        let now = history::now();
        let before = self.digest.as_ref().map_or(Some(0), |digest| folder.sealed(digest));
        let mut import = Import::new(self.format, now);
        let Some(sealed) = before else {
            let (name, format) = (self.name, self.format);
            return Ok(Outcome { name, format, tally: import.tally(), before });
        };
        let mut flows = Vec::new();
        let mut progress = Progress::new(&self.name, self.bytes);
        let mut piece = Vec::new();
        let mut committed = sealed;
        loop {
            piece.clear();
            let most = u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
            let read = self.reader.by_ref().take(most).read_to_end(&mut piece);
            if read.context("read")? == 0 {
                break;
            }
            import.feed(&piece, &folder.directory(), &mut flows);
            self.take(&mut import, sealed, &mut flows, folder);
            progress.show(import.lines());
            let fresh = import.lines().saturating_sub(committed);
            if fresh > 0 && (folder.is_full() || fresh >= commit) {
                committed = import.lines();
                let mark = self.mark(&import, now, false);
                folder.seal(import.take_losses(), mark)?;
            }
        }
        // What the end completes no earlier import recorded: it did not come this far.
        import.end(&folder.directory(), &mut flows);
        folder.record(&mut flows);
        let mark = self.mark(&import, now, true);
        folder.seal(import.take_losses(), mark)?;
        progress.clear();
        Ok(Outcome { name: self.name, format: self.format, tally: import.tally(), before })
    }

    /// Records what was read, unless an earlier import did.
    fn take(
        &self,
        import: &mut Import,
        sealed: u64,
        flows: &mut Vec<Flow>,
        folder: &mut ImportFolder,
    ) {
        if import.lines() > sealed {
            folder.record(flows);
        } else {
            import.take_losses();
        }
        flows.clear();
    }

    fn mark(&self, import: &Import, at: Timestamp, whole: bool) -> Mark {
        Mark {
            digest: self.digest.clone().unwrap_or_default(),
            name: self.name.clone(),
            format: self.format.to_string(),
            lines: import.lines(),
            whole,
            at,
        }
    }
}

/// SHA-256 of a file, hexadecimal, and its length in bytes.
fn digest_of(path: &Path) -> io::Result<(String, u64)> {
    let mut reader = BufReader::with_capacity(PIECE_BYTES, File::open(path)?);
    let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            break;
        }
        hash.update(piece);
        let read = piece.len();
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        reader.consume(read);
    }
    Ok((format!("{:x}", hash.finalize()), bytes))
}
