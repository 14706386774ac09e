//! A file of another tool's flows: opened, unpacked, its format known, ready to be read in pieces.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, ensure};
use flate2::bufread::MultiGzDecoder;
use sekisho_exchange::Format;
use sekisho_store::{PARQUET_MAGIC, TableText};
use sha2::{Digest, Sha256};

/// Bytes that are read at once. An import that goes on reads the same pieces again: part of what an
/// import's marks mean.
const PIECE_BYTES: usize = 256 << 10;

/// Something to read, its format known.
pub(crate) struct FlowFile {
    pub(crate) name: String,
    pub(crate) format: Format,
    /// SHA-256, hexadecimal; None for standard input, which can't be read twice.
    pub(crate) digest: Option<String>,
    /// Its length, packed as it is; 0 for standard input.
    pub(crate) bytes: u64,
    reader: Box<dyn BufRead + Send>,
}

impl FlowFile {
    /// Opens `path`, or standard input for `-`; messages call it `name`.
    pub(crate) fn open(path: &Path, name: &str, format: Option<Format>) -> anyhow::Result<Self> {
        let failed = || format!("read `{name}`");
        let (digest, bytes, raw): (_, _, Box<dyn Read + Send>) = if path == Path::new("-") {
            (None, 0, Box::new(io::stdin()))
        } else {
            let (digest, bytes) = digest_of(path).with_context(failed)?;
            (Some(digest), bytes, Box::new(File::open(path).with_context(failed)?))
        };
        let mut raw = BufReader::with_capacity(PIECE_BYTES, raw);
        if raw.fill_buf().with_context(failed)?.starts_with(PARQUET_MAGIC) {
            return Self::of_parquet((path, name), format, (digest, bytes));
        }
        let packed = raw.fill_buf().with_context(failed)?.starts_with(&[0x1f, 0x8b]);
        let mut reader: Box<dyn BufRead + Send> = if packed {
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
        Ok(Self { name: name.to_owned(), format, digest, bytes, reader })
    }

    /// A table of Parquet, as lines that the same formats have as text.
    fn of_parquet(
        (path, name): (&Path, &str),
        format: Option<Format>,
        (digest, bytes): (Option<String>, u64),
    ) -> anyhow::Result<Self> {
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
        Ok(Self { name: name.to_owned(), format, digest, bytes, reader: Box::new(reader) })
    }

    /// Reads the next piece into `piece`; false at the end.
    pub(crate) fn next_piece(&mut self, piece: &mut Vec<u8>) -> anyhow::Result<bool> {
        piece.clear();
        let most = u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
        let read = self.reader.by_ref().take(most).read_to_end(piece);
        Ok(read.with_context(|| format!("read `{}`", self.name))? > 0)
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
