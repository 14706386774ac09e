//! What a filter asks of an edge's columns, for whoever can look at these before the rest: the files'
//! reader and ClickHouse.
//!
//! A filter may ask for more than columns can tell (globs, processes). So an edge that meets the
//! conditions may be taken, and one that does not is not; whoever has the key asks the filter again.

use sekisho_flow::FlowFilter;
use sekisho_model::{Protocol, Verdict};

use crate::columns::{DECIDED_BY, DESTINATION, PORT, PROTOCOL, PartyNames, SOURCE, VERDICT};
use crate::words;

/// What one column must say. A null says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition<'a> {
    /// Exactly this.
    Is(&'static str, &'a str),
    /// Something that begins with this.
    Begins(&'static str, &'a str),
    /// One of these.
    OneOf(&'static str, Vec<&'static str>),
    /// This port.
    Port(u16),
}

/// Conditions that must all be met.
pub(crate) type All<'a> = Vec<Condition<'a>>;
/// Of which one must.
pub(crate) type Any<'a> = Vec<All<'a>>;

type Maker = for<'a> fn(&PartyNames, &'a str) -> All<'a>;

/// What must all be true of an edge that `filter` takes.
pub(crate) fn conditions(filter: &FlowFilter) -> Vec<Any<'_>> {
    let mut conditions: Vec<Any<'_>> = Vec::new();
    if let Some(wanted) = filter.verdict {
        use Verdict::{Allowed, Denied, Unknown, WouldDeny};
        let taken = [Allowed, Denied, WouldDeny, Unknown].into_iter();
        let words = taken.filter(|own| wanted.takes(*own)).map(words::verdict).collect();
        conditions.push(vec![vec![Condition::OneOf(VERDICT, words)]]);
    }
    let by_end: [(Maker, [&Option<String>; 3]); 3] = [
        (workload, [&filter.from_workload, &filter.to_workload, &filter.workload]),
        (pod, [&filter.from_pod, &filter.to_pod, &filter.pod]),
        (namespace, [&filter.from_namespace, &filter.to_namespace, &filter.namespace]),
    ];
    for (make, [from, to, either]) in by_end {
        conditions.extend(from.iter().map(|wanted| vec![make(&SOURCE, wanted)]));
        conditions.extend(to.iter().map(|wanted| vec![make(&DESTINATION, wanted)]));
        let both = |wanted| vec![make(&SOURCE, wanted), make(&DESTINATION, wanted)];
        conditions.extend(either.iter().map(|wanted| both(wanted.as_str())));
    }
    let policy = filter.decided_by.iter();
    conditions.extend(policy.map(|wanted| vec![vec![Condition::Is(DECIDED_BY, wanted)]]));
    let protocol = |own: Protocol| Condition::Is(PROTOCOL, words::protocol(own));
    conditions.extend(filter.protocol.map(|own| vec![vec![protocol(own)]]));
    conditions.extend(filter.to_port.map(|port| vec![vec![Condition::Port(port)]]));
    conditions
}

fn workload<'a>(of: &PartyNames, wanted: &'a str) -> All<'a> {
    match wanted.split_once('/') {
        Some((namespace, name)) => {
            vec![Condition::Is(of.namespace, namespace), Condition::Is(of.workload, name)]
        }
        None => vec![Condition::Is(of.workload, wanted)],
    }
}

fn pod<'a>(of: &PartyNames, wanted: &'a str) -> All<'a> {
    match wanted.split_once('/') {
        Some((namespace, name)) => {
            vec![Condition::Is(of.namespace, namespace), Condition::Begins(of.pod, name)]
        }
        None => vec![Condition::Begins(of.pod, wanted)],
    }
}

fn namespace<'a>(of: &PartyNames, wanted: &'a str) -> All<'a> {
    vec![Condition::Is(of.namespace, wanted)]
}

impl Condition<'_> {
    /// The column it looks at.
    pub(crate) fn column(&self) -> &'static str {
        match self {
            Self::Is(column, _) | Self::Begins(column, _) | Self::OneOf(column, _) => column,
            Self::Port(_) => PORT,
        }
    }

    /// Whether a text meets it; a port is no text.
    pub(crate) fn is_met(&self, text: &str) -> bool {
        match self {
            Self::Is(_, wanted) => text == *wanted,
            Self::Begins(_, wanted) => text.starts_with(wanted),
            Self::OneOf(_, words) => words.contains(&text),
            Self::Port(_) => false,
        }
    }
}
