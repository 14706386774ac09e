//! The audit log: a file of lines that is only appended to.
//!
//! A change is written down before it is begun, durably, and again when it is over: what can't be
//! written down is not done. Calls that were not permitted are written down too, one by one up to a
//! bound and then by their number, so that nobody fills the disk by asking.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use sekisho_api::{AuditEntry, AuditPage, Outcome, Refusal};
use sekisho_model::Timestamp;

const NAME: &str = "audit.jsonl";
/// A file of this size is set aside and a new one begun, bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Files that were set aside and are kept.
const FILES_MAX: usize = 16;
/// The same denied call is written down once in so many seconds, with the number of the others.
const DENIED_S: u64 = 60;
/// Kinds of denied calls that are told apart.
const DENIED_MAX: usize = 256;
/// Longest text in an entry, characters.
const TEXT_MAX: usize = 1_024;

/// A call that is written down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// Who asks.
    pub(crate) who: &'a str,
    /// For what.
    pub(crate) action: &'a str,
    /// About what.
    pub(crate) target: &'a str,
}

/// The log of a server.
#[derive(Debug)]
pub(crate) struct AuditLog {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    bytes: u64,
    /// Number of the last entry.
    number: u64,
    denied: BTreeMap<String, Denied>,
}

#[derive(Clone, Copy, Debug)]
struct Denied {
    told: Timestamp,
    untold: u64,
}

impl AuditLog {
    /// Opens the log in `folder`, and goes on after its last whole line.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(NAME);
        let open = || -> anyhow::Result<State> {
            let mut options = File::options();
            let mut file = options.append(true).create(true).read(true).mode(0o600).open(&path)?;
            let mut last = 0;
            for path in files(folder)? {
                // Numbers ascend: those of the newest file that has one.
                if let Some(entry) = entries(&path)?.last() {
                    last = entry.number;
                    break;
                }
            }
            let bytes = file.metadata()?.len();
            if bytes > 0 && !ends_with_line(&path)? {
                // The machine stopped in the middle of an entry: what was begun is no entry.
                file.write_all(b"\n")?;
            }
            Ok(State { file, bytes, number: last, denied: BTreeMap::new() })
        };
        let state = open().with_context(|| format!("audit log `{}`", path.display()))?;
        Ok(Self { folder: folder.to_owned(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down that `call` is about to be done; gives its id.
    pub(crate) fn begin(
        &self,
        call: &Call<'_>,
        detail: &str,
        now: Timestamp,
    ) -> Result<u64, Refusal> {
        let mut state = self.state();
        let id = state.number + 1;
        let begun = entry(call, (id, Outcome::Begun, 0), detail, now);
        self.write(&mut state, begun).map_err(|error| {
            let text = format!("nothing is changed that can't be written down: {error:#}");
            Refusal::Unavailable(text)
        })?;
        Ok(id)
    }

    /// Writes down what is over at once.
    pub(crate) fn done(
        &self,
        call: &Call<'_>,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        let done = entry(call, (state.number + 1, Outcome::Done, 0), detail, now);
        self.write(&mut state, done).map_err(|error| {
            Refusal::Unavailable(format!("what can't be written down is not done: {error:#}"))
        })
    }

    /// Writes down what became of it.
    pub(crate) fn end(
        &self,
        call: &Call<'_>,
        (id, outcome): (u64, Outcome),
        detail: &str,
        now: Timestamp,
    ) {
        let mut state = self.state();
        let ended = entry(call, (id, outcome, 0), detail, now);
        if let Err(error) = self.write(&mut state, ended) {
            // It is done: that it was begun is written down.
            tracing::error!(
                error = format!("{error:#}"),
                "the end of a change is not in the audit log"
            );
        }
    }

    /// Does `work` between its two entries; `told` says what it did.
    pub(crate) fn around<T>(
        &self,
        (call, detail): (&Call<'_>, &str),
        work: impl FnOnce() -> Result<T, Refusal>,
        told: impl FnOnce(&T) -> (Outcome, String),
    ) -> Result<T, Refusal> {
        let now = crate::server::service::now;
        let id = self.begin(call, detail, now())?;
        let done = work();
        let (outcome, detail) = match &done {
            Ok(done) => told(done),
            Err(refusal) => (Outcome::Refused, refusal.to_string()),
        };
        self.end(call, (id, outcome), &detail, now());
        done
    }

    /// Writes down a call that was not permitted.
    pub(crate) fn denied(&self, call: &Call<'_>, why: &str, now: Timestamp) {
        let mut state = self.state();
        let kind = format!("{} {}", call.who, call.action);
        if state.denied.len() >= DENIED_MAX && !state.denied.contains_key(&kind) {
            state.denied.retain(|_, one| now.seconds_since(one.told) < DENIED_S || one.untold > 0);
            if state.denied.len() >= DENIED_MAX {
                // So many ways to be refused at one time are one attack: they share a line.
                let many = Call { who: "many", action: "many", target: "" };
                return self.tell_denied(&mut state, (&many, String::new()), why, now);
            }
        }
        self.tell_denied(&mut state, (call, kind), why, now);
    }

    fn tell_denied(
        &self,
        state: &mut State,
        (call, kind): (&Call<'_>, String),
        why: &str,
        now: Timestamp,
    ) {
        let known = state.denied.get_mut(&kind);
        let repeated = match known {
            Some(one) if now.seconds_since(one.told) < DENIED_S => {
                one.untold += 1;
                return;
            }
            Some(one) => one.untold,
            None => 0,
        };
        state.denied.insert(kind, Denied { told: now, untold: 0 });
        let id = state.number + 1;
        let denied = entry(call, (id, Outcome::Denied, repeated), why, now);
        if let Err(error) = self.write(state, denied) {
            tracing::error!(error = format!("{error:#}"), "a denied call is not in the audit log");
        }
    }

    fn write(&self, state: &mut State, mut entry: AuditEntry) -> anyhow::Result<()> {
        if state.bytes >= FILE_BYTES_MAX {
            self.set_aside(state)?;
        }
        entry.number = state.number + 1;
        let mut line = serde_json::to_vec(&entry).context("encode")?;
        line.push(b'\n');
        let failed = || format!("write `{}`", self.folder.join(NAME).display());
        state.file.write_all(&line).with_context(failed)?;
        state.file.sync_data().with_context(failed)?;
        state.bytes += line.len() as u64;
        state.number += 1;
        Ok(())
    }

    /// Begins a new file.
    fn set_aside(&self, state: &mut State) -> anyhow::Result<()> {
        let (path, number) = (self.folder.join(NAME), state.number);
        std::fs::rename(&path, self.folder.join(format!("audit-{number:012}.jsonl")))
            .context("set the audit log aside")?;
        let mut options = File::options();
        state.file =
            options.append(true).create(true).mode(0o600).open(&path).context("begin it anew")?;
        state.bytes = 0;
        for old in files(&self.folder)?.into_iter().skip(FILES_MAX + 1) {
            tracing::warn!(path = %old.display(), "the oldest part of the audit log is removed");
            std::fs::remove_file(&old).context("remove the oldest part")?;
        }
        Ok(())
    }

    /// A page of it, newest first.
    pub(crate) fn page(&self, before: Option<u64>, limit: usize) -> Result<AuditPage, Refusal> {
        let failed = |error: anyhow::Error| Refusal::Unavailable(format!("audit log: {error:#}"));
        // What is being written now is not read half.
        let _state = self.state();
        let before = before.unwrap_or(u64::MAX);
        let mut found = Vec::new();
        for path in files(&self.folder).map_err(failed)? {
            let older = entries(&path).map_err(failed)?.into_iter().rev();
            found.extend(older.filter(|entry| entry.number < before));
            if found.len() > limit {
                break;
            }
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| last.number);
        Ok(AuditPage { entries: found, next })
    }
}

fn entry(
    call: &Call<'_>,
    (id, outcome, repeated): (u64, Outcome, u64),
    detail: &str,
    time: Timestamp,
) -> AuditEntry {
    let cut = |text: &str| sekisho_base::harmless(&text.chars().take(TEXT_MAX).collect::<String>());
    AuditEntry {
        number: 0,
        time,
        id,
        who: cut(call.who),
        action: cut(call.action),
        target: cut(call.target),
        outcome,
        detail: cut(detail),
        repeated,
    }
}

/// The files of the log, newest first.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut old = Vec::new();
    for found in std::fs::read_dir(folder)? {
        let name = found?.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with("audit-") && name.ends_with(".jsonl") {
            old.push(folder.join(name));
        }
    }
    old.push(folder.join(NAME));
    // `audit.jsonl` sorts after `audit-...`: `.` comes after `-`.
    old.sort_unstable();
    old.reverse();
    Ok(old)
}

/// The entries of a file; lines that are none are passed over, as a machine that stops leaves them.
fn entries(path: &Path) -> anyhow::Result<Vec<AuditEntry>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut all = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        all.extend(serde_json::from_slice::<AuditEntry>(&line?).ok());
    }
    Ok(all)
}

fn ends_with_line(path: &Path) -> anyhow::Result<bool> {
    Ok(std::fs::read(path)?.last() == Some(&b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> = Call { who: "ann", action: "apply", target: "default" };

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn numbers(page: &AuditPage) -> Vec<u64> {
        page.entries.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn a_change_has_two_entries_of_one_id_and_pages_go_back_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::open(folder.path()).unwrap();
        let id = log.begin(&CALL, "1 file", at(1)).unwrap();
        log.end(&CALL, (id, Outcome::Done), "revision 1", at(2));
        let failed: Result<(), _> =
            log.around((&CALL, ""), || Err(Refusal::Invalid("no".to_owned())), |()| unreachable!());
        assert!(failed.is_err());
        let page = log.page(None, 3).unwrap();
        assert_eq!((numbers(&page), page.next), (vec![4, 3, 2], Some(2)));
        assert_eq!(page.entries[0].outcome, Outcome::Refused);
        let page = log.page(page.next, 3).unwrap();
        assert_eq!((numbers(&page), page.next), (vec![1], None));
        assert_eq!((page.entries[0].id, page.entries[0].outcome), (id, Outcome::Begun));
    }

    #[test]
    fn it_goes_on_after_a_restart_and_after_half_a_line() {
        let folder = tempfile::tempdir().unwrap();
        AuditLog::open(folder.path()).unwrap().begin(&CALL, "", at(1)).unwrap();
        let path = folder.path().join(NAME);
        File::options().append(true).open(&path).unwrap().write_all(b"{\"number\":2,").unwrap();
        let log = AuditLog::open(folder.path()).unwrap();
        log.begin(&CALL, "", at(2)).unwrap();
        assert_eq!(numbers(&log.page(None, 10).unwrap()), [2, 1]);
    }

    #[test]
    fn denied_calls_are_counted_and_do_not_fill_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::open(folder.path()).unwrap();
        for _ in 0..100 {
            log.denied(&CALL, "no", at(1));
        }
        log.denied(&CALL, "no", at(1 + DENIED_S));
        let page = log.page(None, 10).unwrap();
        let repeated: Vec<u64> = page.entries.iter().map(|entry| entry.repeated).collect();
        assert_eq!(repeated, [99, 0]);
        for number in 0..1_000 {
            let who = format!("somebody {number}");
            log.denied(&Call { who: &who, ..CALL }, "no", at(100));
        }
        let page = log.page(None, 1_000).unwrap();
        assert!(page.entries.len() <= DENIED_MAX + 3, "{}", page.entries.len());
        assert!(page.entries.iter().any(|entry| entry.who == "many"));
    }

    #[test]
    fn what_cannot_be_written_down_is_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::open(folder.path()).unwrap();
        log.state().file = File::open("/dev/null").unwrap();
        let done: Result<(), _> = log.around((&CALL, ""), || unreachable!(), |()| unreachable!());
        assert!(matches!(done, Err(Refusal::Unavailable(_))));
    }

    #[test]
    fn a_large_log_goes_on_in_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::open(folder.path()).unwrap();
        log.begin(&CALL, "", at(1)).unwrap();
        log.state().bytes = FILE_BYTES_MAX;
        log.begin(&CALL, "", at(2)).unwrap();
        assert_eq!(files(folder.path()).unwrap().len(), 2);
        assert_eq!(numbers(&log.page(None, 10).unwrap()), [2, 1]);
        let log = AuditLog::open(folder.path()).unwrap();
        log.begin(&CALL, "", at(3)).unwrap();
        assert_eq!(numbers(&log.page(None, 10).unwrap()), [3, 2, 1]);
    }
}
