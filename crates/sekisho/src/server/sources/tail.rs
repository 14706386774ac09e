//! Follows a file of lines as it grows, is rotated (another file takes its name) or cut off.
//!
//! It begins at the file's beginning. After a restart of the server it goes on where it was, also if the
//! file was renamed within its folder meanwhile, and reads what stands before that again, without recording it, for heads and for connections that go on.
//! A file that is cut off and grows beyond where it was between two looks (half a second) is taken for
//! the same one: rotate by renaming where that matters.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sekisho_exchange::{Format, Import};

use super::follow::Worker;
use super::intake::Intake;
use super::resume::Position;
use crate::server::service::now;
use crate::signals::Stop;

/// Between two looks at a file that does not grow.
const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// Bytes that are read at once.
const PIECE_BYTES: u64 = 1 << 20;
/// Bytes of a line that are held; longer ones are rejected by whoever reads lines.
const LINE_BYTES_MAX: usize = 2 << 20;
/// Bytes at the beginning of a file that are read again after a restart; of a longer part only the head.
const AGAIN_BYTES_MAX: u64 = 64 << 20;
const HEAD_BYTES: u64 = 64 << 10;
/// Files beside it that are looked at for one that was renamed.
const NEIGHBOURS_MAX: usize = 10_000;

/// A file that is followed.
struct Tail {
    path: PathBuf,
    format: Option<Format>,
    /// The format at hand.
    reads: Option<Format>,
    open: Option<Open>,
    resume: Option<Position>,
    /// Why the file at hand can't be read; empty = it can.
    unread: String,
}

struct Open {
    file: File,
    device: u64,
    inode: u64,
    /// Bytes read.
    offset: u64,
    /// Up to here it was recorded before a restart.
    known: u64,
    /// The beginning of a line.
    held: Vec<u8>,
}

/// What a look gave.
enum Look {
    /// There may be more.
    More,
    /// It is read to its end.
    End,
    /// It can't be read.
    Waiting(String),
}

/// Follows `path` until `stop`.
pub(super) async fn run(path: PathBuf, format: Option<Format>, mut worker: Worker, stop: Stop) {
    let begin = |intake: &mut Intake| (intake.resumes_at(), intake.shown.clone());
    let Some((resume, shown)) = worker.run(begin).await else { return };
    let unread = String::new();
    let mut tail = Tail { path, format, reads: None, open: None, resume, unread };
    loop {
        let looked = worker.run(move |intake| (tail.look(intake), tail)).await;
        let Some((look, back)) = looked else { return };
        tail = back;
        let there = !matches!(look, Look::Waiting(_));
        if worker.record(there, &stop).await.is_none() {
            return;
        }
        match look {
            Look::More if stop.is_set() => return,
            Look::More => continue,
            Look::End => shown.say("following", ""),
            Look::Waiting(why) => shown.say("waiting", &why),
        }
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(LOOK_PERIOD) => {}
        }
    }
}

impl Tail {
    /// Reads what is new, up to a bound.
    fn look(&mut self, intake: &mut Intake) -> Look {
        let failed = |path: &Path, error: &io::Error| {
            Look::Waiting(format!("read `{}`: {error}", path.display()))
        };
        if self.open.is_none() {
            match Open::at(&self.path, self.resume.take()) {
                Ok(open) => self.open = Some(open),
                Err(error) => return failed(&self.path, &error),
            }
        }
        let Some(open) = &mut self.open else { return Look::End };
        let piece = match open.read() {
            Ok(piece) => piece,
            Err(error) => {
                self.open = None;
                return failed(&self.path, &error);
            }
        };
        if piece == 0 {
            return self.at_end(intake);
        }
        self.take(intake)
    }

    /// Reads the lines that are whole.
    fn take(&mut self, intake: &mut Intake) -> Look {
        let Some(open) = &mut self.open else { return Look::End };
        let lines = match open.held.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if open.held.len() > LINE_BYTES_MAX => open.held.len(),
            None => return Look::More,
        };
        let known = self.reads.is_some() && intake.has_format();
        if !known && let Err(why) = begin(intake, (self.format, &mut self.reads), &open.held) {
            // What is read later may tell; until then no more than a line is held.
            open.held.truncate(LINE_BYTES_MAX);
            self.unread.clone_from(&why);
            return Look::Waiting(why);
        }
        self.unread.clear();
        let lines: Vec<u8> = open.held.drain(..lines).collect();
        intake.piece(&lines);
        let reached = open.offset - open.held.len() as u64;
        if reached <= open.known {
            intake.forget();
        } else {
            let (device, inode) = (open.device, open.inode);
            intake.reached(Position::File { device, inode, offset: reached });
        }
        Look::More
    }

    /// Nothing is left to read: whether another file took the name, or it was cut off.
    fn at_end(&mut self, intake: &mut Intake) -> Look {
        let Some(open) = &mut self.open else { return Look::End };
        let now = std::fs::metadata(&self.path);
        let same =
            now.as_ref().is_ok_and(|now| (now.dev(), now.ino()) == (open.device, open.inode));
        let cut_off = same && now.as_ref().is_ok_and(|now| now.len() < open.offset);
        // Renamed, and the next one is not there yet; or nothing happened.
        if now.is_err() || (same && !cut_off) {
            return match self.unread.as_str() {
                "" => Look::End,
                why => Look::Waiting(why.to_owned()),
            };
        }
        self.unread.clear();
        if self.reads.is_some() {
            intake.piece(&std::mem::take(&mut open.held));
            intake.end_of_file();
        }
        // The next file may be another format's, and begins with a head of its own.
        self.reads = None;
        self.open = None;
        intake.shown.count_restart();
        Look::More
    }
}

/// Finds the format of a file that begins with `head`; the importer goes on if it is the same.
fn begin(
    intake: &mut Intake,
    (named, reads): (Option<Format>, &mut Option<Format>),
    head: &[u8],
) -> Result<(), String> {
    let found = match named {
        Some(format) => format,
        None => Format::of_content(head).map_err(|error| format!("{error} (key `format`)"))?,
    };
    if !found.is_lines() {
        return Err(format!("`{found}` is no format of lines: read it by `sekisho import`"));
    }
    if intake.format() != Some(found) {
        intake.read_with(Import::new(found, now()));
    }
    *reads = Some(found);
    Ok(())
}

impl Open {
    fn at(path: &Path, resume: Option<Position>) -> io::Result<Self> {
        // Rotated while nobody looked: what is left of the old one comes first.
        let renamed = resume.and_then(|at| renamed(path, at));
        let file = File::open(renamed.as_deref().unwrap_or(path))?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let known = match resume {
            Some(Position::File { device, inode, offset })
                if (device, inode) == (about.dev(), about.ino()) && offset <= about.len() =>
            {
                offset
            }
            Some(_) | None => 0,
        };
        let held = Vec::new();
        Ok(Self { file, device: about.dev(), inode: about.ino(), offset: 0, known, held })
    }

    /// Reads a piece behind what is held; gives its length, 0 at the end.
    fn read(&mut self) -> io::Result<usize> {
        let most = match self.known.saturating_sub(self.offset) {
            0 => PIECE_BYTES,
            // A head, and then on to where it was: what is between need not be read again.
            left if left > AGAIN_BYTES_MAX && self.offset > 0 => {
                self.offset = self.file.seek(SeekFrom::Start(self.known))?;
                self.held.clear();
                PIECE_BYTES
            }
            left if left > AGAIN_BYTES_MAX => HEAD_BYTES,
            left => left.min(PIECE_BYTES),
        };
        let read = io::Read::by_ref(&mut self.file).take(most).read_to_end(&mut self.held)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Where the file of `position` is now, if it lies beside `path` under another name.
fn renamed(path: &Path, position: Position) -> Option<PathBuf> {
    let Position::File { device, inode, .. } = position else { return None };
    let is = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|about| (about.dev(), about.ino()) == (device, inode))
    };
    if is(path) {
        return None;
    }
    let entries = std::fs::read_dir(path.parent()?).ok()?.take(NEIGHBOURS_MAX).flatten();
    entries.map(|entry| entry.path()).find(|path| is(path))
}
