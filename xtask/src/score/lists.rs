//! Lists of connections as sets, so that the same answer in other words is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// What is allowed: source, destination, protocol, first and last port.
type Connection = (String, String, String, u32, u32);
type Range = (u32, u32);
/// Ranges of ports by protocol.
type Ports = BTreeMap<String, Vec<Range>>;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// One line, with its ends as they are written.
struct Line {
    source: String,
    destination: String,
    ports: Ports,
}

/// What is wrong with `ours`, both being lists `source => destination : connections`.
pub(crate) fn difference(theirs: &str, ours: &str) -> Option<String> {
    let (theirs, ours): (Vec<Line>, Vec<Line>) =
        (theirs.lines().filter_map(line).collect(), ours.lines().filter_map(line).collect());
    let cuts = cuts(theirs.iter().chain(&ours));
    let (theirs, ours) = (connections(&theirs, &cuts), connections(&ours, &cuts));
    let shown = |set: &BTreeSet<&Connection>| {
        set.first().map_or(String::new(), |(from, to, protocol, first, last)| {
            format!(", as {from} => {to} : {protocol} {first}-{last}")
        })
    };
    let missing: BTreeSet<_> = theirs.difference(&ours).collect();
    let extra: BTreeSet<_> = ours.difference(&theirs).collect();
    (!missing.is_empty() || !extra.is_empty()).then(|| {
        let (lack, more) = (missing.len(), extra.len());
        format!("{lack} missing{}; {more} too many{}", shown(&missing), shown(&extra))
    })
}

fn line(text: &str) -> Option<Line> {
    let (source, rest) = text.split_once(" => ")?;
    let (destination, ports) = match rest.split_once(" : ") {
        Some((destination, words)) => (destination, ports(words)),
        // A list of one protocol and port does not repeat it.
        None => (rest, Ports::from([(String::new(), vec![(0, 0)])])),
    };
    Some(Line {
        source: source.trim().to_owned(),
        destination: destination.trim().to_owned(),
        ports,
    })
}

/// `All Connections`, or `TCP 80,443-445,UDP 53`.
fn ports(words: &str) -> Ports {
    let mut ports = Ports::new();
    if words.trim() == "All Connections" {
        return PROTOCOLS.iter().map(|name| ((*name).to_owned(), vec![(1, 65535)])).collect();
    }
    let mut protocol = String::new();
    for word in words.split(',') {
        let range = match word.trim().split_once(' ') {
            Some((name, range)) => {
                name.clone_into(&mut protocol);
                range
            }
            None => word.trim(),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse(), last.parse()) {
            ports.entry(protocol.clone()).or_default().push((first, last));
        }
    }
    ports
}

/// `10.0.0.0-10.0.0.255[External]`.
fn addresses(end: &str) -> Option<Range> {
    let (first, last) = end.strip_suffix("[External]").unwrap_or(end).split_once('-')?;
    let number = |text: &str| text.parse::<Ipv4Addr>().ok().map(u32::from);
    Some((number(first)?, number(last)?))
}

/// Where ranges start, so that ranges cut there are equal or disjoint.
fn cuts<'a>(lines: impl Iterator<Item = &'a Line>) -> BTreeSet<u32> {
    let mut cuts = BTreeSet::new();
    for line in lines {
        for (first, last) in
            [&line.source, &line.destination].into_iter().filter_map(|end| addresses(end))
        {
            cuts.insert(first);
            cuts.extend(last.checked_add(1));
        }
    }
    cuts
}

fn connections(lines: &[Line], cuts: &BTreeSet<u32>) -> BTreeSet<Connection> {
    let mut found = BTreeSet::new();
    for line in lines {
        for source in pieces(&line.source, cuts) {
            for destination in pieces(&line.destination, cuts) {
                for (protocol, (first, last)) in line
                    .ports
                    .iter()
                    .flat_map(|(name, list)| list.iter().map(move |range| (name, range)))
                {
                    found.insert((
                        source.clone(),
                        destination.clone(),
                        protocol.clone(),
                        *first,
                        *last,
                    ));
                }
            }
        }
    }
    found
}

/// The end itself, or the parts of its range.
fn pieces(end: &str, cuts: &BTreeSet<u32>) -> Vec<String> {
    let Some((first, last)) = addresses(end) else { return vec![end.to_owned()] };
    cuts.range(first..=last).map(|start| Ipv4Addr::from(*start).to_string()).collect()
}

/// What is wrong with `ours` as a set of lines.
pub(super) fn line_difference(theirs: &str, ours: &str) -> Option<String> {
    let set = |text: &str| {
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.filter(|line| !line.is_empty()).collect::<BTreeSet<String>>()
    };
    let (theirs, ours) = (set(theirs), set(ours));
    let missing: Vec<&String> = theirs.difference(&ours).collect();
    let extra: Vec<&String> = ours.difference(&theirs).collect();
    (!missing.is_empty() || !extra.is_empty()).then(|| {
        let first =
            |list: &[&String]| list.first().map_or(String::new(), |line| format!(", as `{line}`"));
        let (lack, more) = (missing.len(), extra.len());
        format!("{lack} missing{}; {more} too many{}", first(&missing), first(&extra))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_are_cut_elsewhere_are_the_same_set() {
        let whole = "0.0.0.0-255.255.255.255[External] => a/b[Pod] : All Connections\n";
        let halves = "0.0.0.0-127.255.255.255[External] => a/b[Pod] : All Connections\n\
                      128.0.0.0-255.255.255.255[External] => a/b[Pod] : All Connections\n";
        assert_eq!(difference(whole, halves), None);
        let half = halves.lines().next().unwrap();
        assert!(difference(whole, half).unwrap().starts_with("3 missing"));
    }

    #[test]
    fn ports_are_read_by_protocol() {
        let text = "a/b[Pod] => a/c[Pod] : SCTP 9,TCP 80,443-445,UDP 53";
        assert_eq!(difference(text, text), None);
        let other = "a/b[Pod] => a/c[Pod] : SCTP 9,TCP 80,443-446,UDP 53";
        assert!(difference(text, other).unwrap().contains("TCP 443-445"));
    }

    #[test]
    fn lines_are_compared_without_their_spacing() {
        assert_eq!(line_difference("a  \tb\n\nc\n", "c\na b\n"), None);
        assert!(line_difference("a\n", "b\n").is_some());
    }
}
