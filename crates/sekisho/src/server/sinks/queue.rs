//! A queue of batches on disk: one file each, the oldest first.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A batch that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Ascends; a receiver knows by it what it has already.
    pub(super) number: u64,
    /// Records in it.
    pub(super) records: u64,
    bytes: u64,
}

/// The queue of a sink.
#[derive(Debug)]
pub(super) struct Queue {
    folder: PathBuf,
    waiting: VecDeque<Waiting>,
    bytes: u64,
    bytes_max: u64,
    next: u64,
    /// Records that went because there was no room.
    lost: u64,
}

impl Queue {
    /// Opens it, with what waits since an earlier run.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut waiting = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            match name.to_str().and_then(numbers) {
                Some((number, records)) => {
                    waiting.push(Waiting { number, records, bytes: entry.metadata()?.len() });
                }
                // What was being written when the machine stopped is no batch.
                None if name.to_string_lossy().ends_with(".tmp") => {
                    std::fs::remove_file(entry.path())?;
                }
                None => {}
            }
        }
        waiting.sort_by_key(|one| one.number);
        // Numbers go on after the last that was ever given: a receiver takes none twice.
        let last =
            read_number(&folder.join("last")).max(waiting.last().map_or(0, |one| one.number));
        let bytes = waiting.iter().map(|one| one.bytes).sum();
        Ok(Self {
            folder: folder.to_owned(),
            waiting: waiting.into(),
            bytes,
            bytes_max,
            next: last + 1,
            lost: 0,
        })
    }

    /// Appends a batch, durably; the oldest go if there is no room.
    pub(super) fn push(&mut self, body: &[u8], records: u64) -> io::Result<()> {
        let bytes = body.len() as u64;
        while self.bytes + bytes > self.bytes_max {
            let Some(oldest) = self.waiting.front().cloned() else { break };
            self.remove(&oldest)?;
            self.lost += oldest.records;
        }
        let number = self.next;
        let one = Waiting { number, records, bytes };
        let (path, draft) = (self.path(&one), self.folder.join(format!("{number}.tmp")));
        let mut file = File::create(&draft)?;
        file.write_all(body)?;
        file.sync_data()?;
        std::fs::rename(&draft, path)?;
        std::fs::write(self.folder.join("last"), number.to_string())?;
        File::open(&self.folder)?.sync_all()?;
        self.next += 1;
        self.bytes += bytes;
        self.waiting.push_back(one);
        Ok(())
    }

    /// The oldest batch.
    pub(super) fn front(&self) -> Option<(Waiting, PathBuf)> {
        self.waiting.front().map(|one| (one.clone(), self.path(one)))
    }

    /// Removes a batch that was given; it may have gone already for want of room.
    pub(super) fn remove(&mut self, one: &Waiting) -> io::Result<()> {
        let Some(place) = self.waiting.iter().position(|own| own == one) else { return Ok(()) };
        match std::fs::remove_file(self.path(one)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.waiting.remove(place);
        self.bytes -= one.bytes;
        Ok(())
    }

    /// Records and bytes that wait, and records that went.
    pub(super) fn figures(&self) -> (u64, u64, u64) {
        (self.waiting.iter().map(|one| one.records).sum(), self.bytes, self.lost)
    }

    fn path(&self, one: &Waiting) -> PathBuf {
        self.folder.join(format!("{:016}-{}.batch", one.number, one.records))
    }
}

fn numbers(name: &str) -> Option<(u64, u64)> {
    let (number, records) = name.strip_suffix(".batch")?.split_once('-')?;
    Some((number.parse().ok()?, records.parse().ok()?))
}

/// A number in a file; 0 if there is none.
fn read_number(path: &Path) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_there_after_a_restart_in_its_order_and_no_number_comes_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(folder.path(), 1_000).unwrap();
        for body in ["a", "bb"] {
            queue.push(body.as_bytes(), 1).unwrap();
        }
        std::fs::write(folder.path().join("3.tmp"), "half").unwrap();
        let mut queue = Queue::open(folder.path(), 1_000).unwrap();
        assert_eq!(queue.figures(), (2, 3, 0));
        for body in ["a", "bb"] {
            let (one, path) = queue.front().unwrap();
            assert_eq!(std::fs::read_to_string(path).unwrap(), body);
            queue.remove(&one).unwrap();
            queue.remove(&one).unwrap();
        }
        assert_eq!(queue.front(), None);
        let mut queue = Queue::open(folder.path(), 1_000).unwrap();
        queue.push(b"c", 1).unwrap();
        assert_eq!(queue.front().unwrap().0.number, 3, "1 and 2 were given before");
    }

    #[test]
    fn beyond_its_size_the_oldest_go_and_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(folder.path(), 10).unwrap();
        for _ in 0..5 {
            queue.push(b"four", 3).unwrap();
        }
        assert_eq!(queue.figures(), (6, 8, 9));
        assert_eq!(queue.front().unwrap().0.number, 4);
    }
}
