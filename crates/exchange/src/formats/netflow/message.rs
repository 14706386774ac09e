//! Messages: NetFlow 5 (Cisco, "NetFlow Export Datagram Format"), 9 (RFC 3954), IPFIX (RFC 7011).
//!
//! Messages of version 9 do not tell their length: one ends where another begins, because the versions
//! are no numbers of sets. Sequence numbers tell what was lost between exporter and file.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_model::Timestamp;

use super::fields::{Fields, Head};
use super::template::{Template, options, plain};
use crate::frames::{Step, from, hex, u16_at, u32_at};
use crate::reader::Told;
use crate::record::{Item, Reject};

/// Templates, samplers, and exporters that are remembered, each.
const REMEMBERED_MAX: usize = 4_096;
/// A gap of sequence numbers above this is an exporter that was started anew.
const GAP_MAX: u32 = 1_000_000;
/// Records of a message of version 5 (Cisco, NetFlow Services Solutions Guide, table B-3).
const V5_RECORDS_MAX: u16 = 30;
/// Bytes of a record of version 5.
const V5_BYTES: usize = 48;

/// Who sends: number of the exporter, version, number of its domain or engine.
type Domain = (u32, u16, u32);

/// Walks messages.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// Number of the exporter that sends, where several are told apart.
    pub(crate) exporter: u32,
    at: Option<Message>,
    templates: BTreeMap<(Domain, u16), Arc<Template>>,
    /// Rates by domain and sampler; no sampler = all.
    rates: BTreeMap<(Domain, Option<u64>), u64>,
    /// When exporters were started, milliseconds since 1970.
    booted_ms: BTreeMap<Domain, u64>,
    sequences: BTreeMap<Domain, Sequence>,
    /// About the message at hand, or the one before it.
    doubt: Option<Doubt>,
}

/// Where a domain is in its numbers.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    /// Of the message at hand.
    number: u32,
    /// That the next message should have.
    next: u32,
}

/// A gap before the message of IPFIX at hand, which its own records may explain. Its number should
/// be that of the records sent before it (RFC 7011, section 3.1); some exporters, softflowd 1.1 among
/// them, count those of the message, too.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    domain: Domain,
    gap: u32,
    /// From the number of the message before it to its own.
    step: u32,
    at: Timestamp,
}

/// The message at hand.
#[derive(Clone, Debug)]
struct Message {
    domain: Domain,
    head: Head,
    observer: String,
    /// Records of version 5 to come, or bytes of IPFIX.
    left: usize,
    rate: u64,
}

/// Whether these are the first bytes of a message.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    // 2000-01-01: clocks of exporters may be wrong, but not that wrong.
    let late = |at| u32_at(bytes, at).is_some_and(|seconds| seconds > 946_684_800);
    let length = |at| u16_at(bytes, at).unwrap_or(0);
    let set = |at, low: u16| {
        let kind = length(at);
        (kind == low || kind == low + 1 || kind >= 256) && length(at + 2) >= 4
    };
    match u16_at(bytes, 0) {
        Some(5) => (1..=30).contains(&length(2)) && late(8),
        Some(9) => (1..=1_000).contains(&length(2)) && late(8) && set(20, 0),
        Some(10) => length(2) >= 20 && late(4) && set(16, 2),
        _ => false,
    }
}

fn reject(bytes: &[u8], why: &str, tell: &mut dyn FnMut(Told<'_>)) {
    tell(Told::Unit(hex(bytes).as_bytes(), Err(Reject::new(why))));
}

fn silent(tell: &mut dyn FnMut(Told<'_>)) {
    tell(Told::Unit(b"", Ok(None)));
}

impl Messages {
    /// Whether the message at hand says that more of it follows.
    pub(crate) fn is_within(&self) -> bool {
        self.at.as_ref().is_some_and(|message| message.left > 0)
    }

    /// Forgets the message at hand: what follows begins another one.
    pub(crate) fn cut(&mut self) {
        self.at = None;
    }

    /// Reads a head, a set, or a record of version 5.
    pub(crate) fn frame(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Told<'_>)) -> Step {
        let Some(kind) = u16_at(bytes, 0) else { return Step::Need(2) };
        let Some(mut message) = self.at.clone() else { return self.head(bytes, tell) };
        match (message.domain.1, kind) {
            (5, _) if message.left > 0 => self.v5_record(bytes, &message, tell),
            (10, _) if message.left > 0 => self.set(bytes, &mut message, tell),
            (9, 0 | 1 | 256..) => self.set(bytes, &mut message, tell),
            _ => self.head(bytes, tell),
        }
    }

    fn head(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Told<'_>)) -> Step {
        self.settle(tell);
        let step = match u16_at(bytes, 0) {
            Some(5) => self.v5_head(bytes, tell),
            Some(9) => self.v9_head(bytes, tell),
            Some(10) => self.ipfix_head(bytes, tell),
            _ => {
                let first = bytes.get(..2).unwrap_or(bytes);
                let why = "no version of NetFlow or IPFIX; nothing after it can be read";
                reject(first, why, tell);
                return Step::Stop;
            }
        };
        step.unwrap_or(Step::Need(24))
    }

    fn v5_head(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Told<'_>)) -> Option<Step> {
        let sampling = u16_at(bytes, 22)?;
        let count = u16_at(bytes, 2)?;
        if count > V5_RECORDS_MAX {
            let why =
                "a message of version 5 with more than 30 records; nothing after it can be read";
            reject(bytes.get(..24).unwrap_or(bytes), why, tell);
            return Some(Step::Stop);
        }
        let (uptime, seconds, nanos) = (u32_at(bytes, 4)?, u32_at(bytes, 8)?, u32_at(bytes, 12)?);
        let engine = u32::from(u16_at(bytes, 20)?);
        let sent_ms = u64::from(seconds) * 1_000 + u64::from(nanos) / 1_000_000;
        // Above the rate stands how packets are chosen.
        let rate = u64::from(sampling & 0x3fff);
        let domain = (self.exporter, 5, engine);
        self.begin(domain, head(sent_ms, Some(uptime)), (usize::from(count), rate.max(1)));
        self.sequence(domain, u32_at(bytes, 16)?, count.into(), tell);
        silent(tell);
        Some(Step::Took(24))
    }

    fn v9_head(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Told<'_>)) -> Option<Step> {
        let source = u32_at(bytes, 16);
        let (uptime, seconds) = (u32_at(bytes, 4), u32_at(bytes, 8));
        let (Some(source), Some(uptime), Some(seconds)) = (source, uptime, seconds) else {
            return Some(Step::Need(20));
        };
        let domain = (self.exporter, 9, source);
        self.begin(domain, head(u64::from(seconds) * 1_000, Some(uptime)), (0, 1));
        self.sequence(domain, u32_at(bytes, 12)?, 1, tell);
        silent(tell);
        Some(Step::Took(20))
    }

    fn ipfix_head(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Told<'_>)) -> Option<Step> {
        let (Some(domain), Some(seconds)) = (u32_at(bytes, 12), u32_at(bytes, 4)) else {
            return Some(Step::Need(16));
        };
        let Some(left) = usize::from(u16_at(bytes, 2)?).checked_sub(16) else {
            let why = "a message whose length can't be; nothing after it can be read";
            reject(bytes.get(..16).unwrap_or(bytes), why, tell);
            return Some(Step::Stop);
        };
        let domain = (self.exporter, 10, domain);
        self.begin(domain, head(u64::from(seconds) * 1_000, None), (left, 1));
        // It counts records, which are counted below.
        self.sequence(domain, u32_at(bytes, 8)?, 0, tell);
        silent(tell);
        Some(Step::Took(16))
    }

    fn begin(&mut self, domain: Domain, head: Head, (left, rate): (usize, u64)) {
        let observer = format!("{} {}", domain.0, domain.2);
        let head = Head { booted_ms: self.booted_ms.get(&domain).copied(), ..head };
        self.at = Some(Message { domain, head, observer, left, rate });
    }

    /// Tells what is missing before a message, and notes what number the next one should have.
    fn sequence(
        &mut self,
        domain: Domain,
        number: u32,
        count: u32,
        tell: &mut dyn FnMut(Told<'_>),
    ) {
        if let Some(before) = self.sequences.get(&domain) {
            let gap = number.wrapping_sub(before.next);
            if (1..=GAP_MAX).contains(&gap) {
                let at = self.at.as_ref().map(|message| message.head.sent);
                match at.filter(|_| domain.1 == 10) {
                    Some(at) => {
                        let step = number.wrapping_sub(before.number);
                        self.doubt = Some(Doubt { domain, gap, step, at });
                    }
                    None => tell(Told::Gathered(Item::Lost { at, records: gap.into() })),
                }
            }
        }
        if self.sequences.len() >= REMEMBERED_MAX {
            self.sequences.clear();
        }
        self.sequences.insert(domain, Sequence { number, next: number.wrapping_add(count) });
    }

    /// Tells what was missing before a message that was read now, unless its records explain it.
    fn settle(&mut self, tell: &mut dyn FnMut(Told<'_>)) {
        let Some(Doubt { domain, gap, step, at }) = self.doubt.take() else { return };
        let sequence = self.sequences.get(&domain);
        let records = sequence.map(|known| known.next.wrapping_sub(known.number));
        if records != Some(step) {
            tell(Told::Gathered(Item::Lost { at: Some(at), records: gap.into() }));
        }
    }

    fn v5_record(
        &mut self,
        bytes: &[u8],
        message: &Message,
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Step {
        let Some(record) = bytes.get(..V5_BYTES) else { return Step::Need(V5_BYTES) };
        let fields = Fields::of_v5(record);
        flow(&fields, message, record, tell);
        self.took_of_message(1);
        Step::Took(V5_BYTES)
    }

    fn took_of_message(&mut self, count: usize) {
        if let Some(message) = &mut self.at {
            message.left = message.left.saturating_sub(count);
            if message.left == 0 && message.domain.1 != 9 {
                self.at = None;
            }
        }
    }

    /// Reads a set of templates or of records.
    fn set(&mut self, bytes: &[u8], message: &mut Message, tell: &mut dyn FnMut(Told<'_>)) -> Step {
        let (Some(kind), Some(length)) = (u16_at(bytes, 0), u16_at(bytes, 2)) else {
            return Step::Need(4);
        };
        let length = usize::from(length);
        let ipfix = message.domain.1 == 10;
        if length < 4 || (ipfix && length > message.left) {
            let why = "a set whose length can't be; nothing after it can be read";
            reject(bytes.get(..4).unwrap_or(bytes), why, tell);
            return Step::Stop;
        }
        let Some(body) = bytes.get(4..length) else { return Step::Need(length) };
        match (ipfix, kind) {
            (false, 0) | (true, 2) => self.templates(body, message.domain, plain, tell),
            (false, 1) | (true, 3) => self.templates(body, message.domain, options, tell),
            (_, 256..) => self.records(body, kind, message, tell),
            _ => silent(tell),
        }
        self.took_of_message(length);
        if self.at.is_none() {
            self.settle(tell);
        }
        Step::Took(length)
    }

    fn templates(
        &mut self,
        mut body: &[u8],
        domain: Domain,
        read: fn(&[u8], bool) -> Option<super::template::Defined>,
        tell: &mut dyn FnMut(Told<'_>),
    ) {
        // Less than the head of a template is padding.
        while body.len() >= 4 && u16_at(body, 0).is_some_and(|number| number >= 256) {
            let Some((number, template, length)) = read(body, domain.1 == 10) else {
                return reject(body, "a template that is cut off, or has no fields", tell);
            };
            let name = (domain, number);
            match template {
                Some(template) => {
                    if self.templates.len() >= REMEMBERED_MAX && !self.templates.contains_key(&name)
                    {
                        return reject(body, "more templates than can be remembered", tell);
                    }
                    self.templates.insert(name, Arc::new(template));
                }
                None => drop(self.templates.remove(&name)),
            }
            silent(tell);
            body = from(body, length);
        }
    }

    fn records(
        &mut self,
        mut body: &[u8],
        kind: u16,
        message: &mut Message,
        tell: &mut dyn FnMut(Told<'_>),
    ) {
        let Some(template) = self.templates.get(&(message.domain, kind)).cloned() else {
            return reject(body, "records whose template did not come before them", tell);
        };
        let ipfix = message.domain.1 == 10;
        loop {
            let mut fields = Fields::default();
            let read = template.record(body, ipfix, |field, value| fields.take(field, value));
            if read.is_none() && !template.is_padding(body) {
                reject(body, "a record that ends beyond its set", tell);
            }
            let Some(length) = read.filter(|length| *length > 0) else { break };
            let record = body.get(..length).unwrap_or_default();
            body = from(body, length);
            if template.options {
                self.options(&fields, message);
                silent(tell);
            } else {
                let rate = fields.rate.or_else(|| self.rate(message.domain, fields.sampler));
                message.rate = rate.unwrap_or(1).max(1);
                flow(&fields, message, record, tell);
            }
            if ipfix && let Some(sequence) = self.sequences.get_mut(&message.domain) {
                sequence.next = sequence.next.wrapping_add(1);
            }
        }
    }

    /// Keeps what an exporter says of itself.
    fn options(&mut self, fields: &Fields, message: &mut Message) {
        if let Some(booted) = fields.booted_ms {
            if self.booted_ms.len() >= REMEMBERED_MAX {
                self.booted_ms.clear();
            }
            self.booted_ms.insert(message.domain, booted);
            message.head.booted_ms = Some(booted);
            if let Some(at) = &mut self.at {
                at.head.booted_ms = Some(booted);
            }
        }
        if let Some(rate) = fields.sampling() {
            if self.rates.len() >= REMEMBERED_MAX {
                self.rates.clear();
            }
            self.rates.insert((message.domain, fields.sampler), rate);
        }
    }

    /// The rate of a record's sampler. Where the record names none, that of the only one there is.
    fn rate(&self, domain: Domain, sampler: Option<u64>) -> Option<u64> {
        if sampler.is_some() {
            return self.rates.get(&(domain, sampler)).copied();
        }
        let mut all = self.rates.range((domain, None)..=(domain, Some(u64::MAX)));
        let first = all.next().map(|(_, rate)| *rate);
        first.filter(|_| all.next().is_none())
    }
}

fn head(sent_ms: u64, uptime: Option<u32>) -> Head {
    Head { sent: Timestamp::from_nanos(sent_ms.saturating_mul(1_000_000)), uptime, booted_ms: None }
}

/// Tells a record, whose bytes are `record`.
fn flow(fields: &Fields, message: &Message, record: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
    if message.rate > 1 {
        tell(Told::Sampled(message.rate));
    }
    let read = fields.item(message.head, message.rate, &message.observer);
    tell(Told::Unit(hex(record).as_bytes(), read.map(Some)));
}
