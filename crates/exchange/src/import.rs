//! One import: bytes in, flows and losses out, everything counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sekisho_flow::Directory;
use sekisho_model::{ClusterName, Flow, LossMinute, Timestamp};

use crate::format::{Format, FormatError};
use crate::reader::{Reader, Told};
use crate::record::{Item, Reject};
use crate::resolve::Resolver;
use crate::tuples::Tuples;

/// Hook under which losses of imports are filed.
pub const HOOK: &str = "import";
/// What the node of an import is called: this and the format's name.
const NODE_PREFIX: &str = "import:";
/// Different reasons that are counted apart; later ones count as [`OTHER`].
const REASONS_MAX: usize = 64;
const OTHER: &str = "other reasons";
/// Characters of a sample.
const SAMPLE_CHARS_MAX: usize = 160;
/// Minutes for which an import says that it was there: 60 days. Of a longer one only minutes with
/// records are said.
const MINUTES_MAX: u64 = 60 * 24 * 60;
/// A time this far after the import is no time of a flow, seconds.
pub(crate) const FUTURE_S_MAX: u64 = 24 * 3_600;
/// Why a record of such a time is rejected.
pub(crate) const OUT_OF_TIME: &str = "a time that lies in the future, or an end before its start";

/// Whether a node of [`LossMinute::node`] is an import: it tells of the time that its files cover, and
/// owes nothing before or after.
#[must_use]
pub fn is_import(node: &str) -> bool {
    node.starts_with(NODE_PREFIX)
}

/// An import of one source: reads pieces, gives flows.
pub struct Import {
    format: Format,
    reader: Box<dyn Reader>,
    books: Books,
}

/// What an import counts and remembers.
struct Books {
    tuples: Tuples,
    resolver: Resolver,
    tally: Tally,
    minutes: BTreeMap<Timestamp, (u64, u64)>,
    /// Losses that came before any time was known.
    lost_before: u64,
    now: Timestamp,
}

/// What an import read and what it could not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Units of the input: lines, packets, or records of a document or message. Each of them is
    /// used, silent, skipped or rejected.
    pub lines: u64,
    /// Units that told of a connection or a loss.
    pub used: u64,
    /// Units that say nothing by themselves: heads, templates, empty lines.
    pub silent: u64,
    /// Flows that the units gave.
    pub records: u64,
    /// Connections that began.
    pub connections: u64,
    /// Records that the tool says it lost.
    pub lost: u64,
    /// Understood and left out, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Not understood, by reason.
    pub rejected: BTreeMap<String, Rejected>,
    /// Connections forgotten because there were too many: they may count twice.
    pub forgotten: u64,
    /// Counts are estimates, because the tool looked at about one of so many packets; 0 if it does
    /// not say so.
    pub sampled: u64,
    /// Earliest and latest moment of a record.
    pub covered: Option<(Timestamp, Timestamp)>,
}

/// Units that were rejected for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// How many.
    pub count: u64,
    /// The first one, counted from 1.
    pub line: u64,
    /// Its beginning; what is no text in it is replaced.
    pub sample: String,
}

impl Tally {
    /// Units that were not understood.
    #[must_use]
    pub fn rejected_sum(&self) -> u64 {
        self.rejected.values().fold(0, |sum, one| sum.saturating_add(one.count))
    }

    fn reject(&mut self, reject: Reject, line: &[u8]) {
        let full =
            self.rejected.len() >= REASONS_MAX && !self.rejected.contains_key(&reject.reason);
        let reason = if full { OTHER.to_owned() } else { reject.reason };
        let number = self.lines;
        let first = || {
            let text = String::from_utf8_lossy(line.get(..4 * SAMPLE_CHARS_MAX).unwrap_or(line));
            let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
            let sample = text.chars().map(clean).take(SAMPLE_CHARS_MAX).collect();
            Rejected { count: 0, line: number, sample }
        };
        self.rejected.entry(reason).or_insert_with(first).count += 1;
    }

    fn skip(&mut self, reason: &str) {
        match self.skipped.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.skipped.insert(reason.to_owned(), 1);
            }
        }
    }
}

impl Import {
    /// An import of content in `format` at `now`: times far after it are rejected.
    #[must_use]
    pub fn new(format: Format, now: Timestamp) -> Self {
        Self {
            format,
            reader: format.reader(now),
            books: Books {
                tuples: Tuples::default(),
                resolver: Resolver::default(),
                tally: Tally::default(),
                minutes: BTreeMap::new(),
                lost_before: 0,
                now,
            },
        }
    }

    /// Reads a piece of any length; appends the flows that it completes.
    pub fn feed(&mut self, piece: &[u8], directory: &dyn Directory, flows: &mut Vec<Flow>) {
        let Self { reader, books, .. } = self;
        reader.feed(piece, &mut |told| books.take(told, directory, flows));
    }

    /// Takes a unit that was read elsewhere: a message, of which `sample` is shown if it is rejected.
    pub fn take(
        &mut self,
        sample: &[u8],
        says: Result<Option<Item>, Reject>,
        directory: &dyn Directory,
        flows: &mut Vec<Flow>,
    ) {
        self.books.take(Told::Unit(sample, says), directory, flows);
    }

    /// Reads a datagram, which begins and ends with what it holds; for formats that come in such.
    pub fn datagram(
        &mut self,
        (sender, payload): (SocketAddr, &[u8]),
        directory: &dyn Directory,
        flows: &mut Vec<Flow>,
    ) {
        let Self { reader, books, .. } = self;
        reader.datagram(sender, payload, &mut |told| books.take(told, directory, flows));
    }

    /// Learns what time it is: an import that goes on for long takes what came since it began.
    pub fn tell_time(&mut self, now: Timestamp) {
        self.books.now = now;
    }

    /// Reads what is held back; appends the flows that the end of the input completes.
    pub fn end(&mut self, directory: &dyn Directory, flows: &mut Vec<Flow>) {
        let Self { reader, books, .. } = self;
        reader.end(&mut |told| books.take(told, directory, flows));
    }

    /// An import of datagrams that come over the network, each with its sender.
    ///
    /// # Errors
    /// [`FormatError::Datagrams`] if `format` does not come in datagrams.
    pub fn listening(format: Format, now: Timestamp) -> Result<Self, FormatError> {
        let reader = format.datagrams().ok_or(FormatError::Datagrams(format))?;
        Ok(Self { reader, ..Self::new(format, now) })
    }

    /// The format that is read.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Units read so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.books.tally.lines
    }

    /// What was read so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let Books { tally, tuples, .. } = &self.books;
        Tally { forgotten: tally.forgotten.saturating_add(tuples.forgotten), ..tally.clone() }
    }

    /// What to file as produced and lost, and begins to count anew. Every minute between the first
    /// and the last record has a row, so that a map does not take the source for silent.
    pub fn take_losses(&mut self) -> Vec<LossMinute> {
        let mut minutes = std::mem::take(&mut self.books.minutes);
        if let (Some(first), Some(last)) =
            (minutes.keys().next().copied(), minutes.keys().next_back().copied())
        {
            let between = last.seconds_since(first) / 60;
            if between <= MINUTES_MAX {
                for minute in 1..between {
                    minutes.entry(first.plus_seconds(minute * 60)).or_default();
                }
            }
        }
        let node = format!("{NODE_PREFIX}{}", self.format);
        let row = |(minute, (produced, dropped))| LossMinute {
            minute,
            cluster: ClusterName::default(),
            node: node.clone(),
            hook: HOOK.to_owned(),
            produced,
            dropped,
        };
        minutes.into_iter().map(row).collect()
    }
}

impl Books {
    fn take(&mut self, told: Told<'_>, directory: &dyn Directory, flows: &mut Vec<Flow>) {
        match told {
            Told::Gathered(item) => {
                match self.in_time(Some(item)) {
                    Ok(item) => item.into_iter().for_each(|item| self.item(item, directory, flows)),
                    // Its units were counted when they were told.
                    Err(_out_of_time) => self.lose(None, 1),
                }
                return;
            }
            Told::Forgotten(count) => {
                self.tally.forgotten = self.tally.forgotten.saturating_add(count);
                return;
            }
            Told::Sampled(rate) => {
                self.tally.sampled = self.tally.sampled.max(rate);
                return;
            }
            Told::Part | Told::Unit(..) => self.tally.lines += 1,
        }
        let Told::Unit(bytes, says) = told else {
            self.tally.used += 1;
            return;
        };
        match says.and_then(|item| self.in_time(item)) {
            Ok(None) => self.tally.silent += 1,
            Ok(Some(item)) => {
                self.tally.used += u64::from(!matches!(item, Item::Skipped(_)));
                self.item(item, directory, flows);
            }
            Err(reject) => {
                self.tally.reject(reject, bytes);
                // A record that nobody could read is one that is missing.
                self.lose(None, 1);
            }
        }
    }

    fn in_time(&self, item: Option<Item>) -> Result<Option<Item>, Reject> {
        let late = self.now.plus_seconds(FUTURE_S_MAX);
        match &item {
            Some(Item::Record(record)) if record.end > late || record.start > record.end => {
                Err(Reject::new(OUT_OF_TIME))
            }
            Some(Item::Record(_) | Item::Lost { .. } | Item::Skipped(_)) | None => Ok(item),
        }
    }

    fn item(&mut self, item: Item, directory: &dyn Directory, flows: &mut Vec<Flow>) {
        match item {
            Item::Record(record) => {
                let seen = self.tuples.see(&record);
                let flow = self.resolver.flow(*record, seen, directory);
                self.note(&flow);
                flows.push(flow);
            }
            Item::Lost { at, records } => {
                self.tally.lost = self.tally.lost.saturating_add(records);
                self.lose(at, records);
            }
            Item::Skipped(reason) => self.tally.skip(reason),
        }
    }

    fn note(&mut self, flow: &Flow) {
        self.tally.records += 1;
        let connections = flow.stats.connections;
        self.tally.connections = self.tally.connections.saturating_add(connections);
        let (first, last) = (flow.stats.first_seen, flow.stats.last_seen);
        let covered = self.tally.covered.get_or_insert((first, last));
        *covered = (covered.0.min(first), covered.1.max(last));
        let count = self.minutes.entry(last.minute()).or_default();
        count.0 = count.0.saturating_add(1);
        let waiting = std::mem::take(&mut self.lost_before);
        count.0 = count.0.saturating_add(waiting);
        count.1 = count.1.saturating_add(waiting);
    }

    /// Files a loss under its time, or that of the last record.
    fn lose(&mut self, at: Option<Timestamp>, records: u64) {
        let last = self.tally.covered.map(|(_, last)| last);
        match at.filter(|at| *at <= self.now).or(last) {
            Some(at) => {
                let count = self.minutes.entry(at.minute()).or_default();
                count.0 = count.0.saturating_add(records);
                count.1 = count.1.saturating_add(records);
            }
            None => self.lost_before = self.lost_before.saturating_add(records),
        }
    }
}
