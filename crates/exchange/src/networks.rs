//! Lists that people have of their addresses: networks with names, and machines with tags.
//!
//! Two forms, told apart by the first line: `CIDR name [from [to]]` a line, and CSV whose first line
//! names the columns (`ip` and `name`, perhaps `namespace`, `from`, `to`; all others are tags). Times
//! are RFC 3339; without them an entry holds always.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use sekisho_flow::{Directory, ServiceTarget};
use sekisho_model::{Labels, Party, PartyKind, Protocol, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};

/// Entries of a list at most.
const ENTRIES_MAX: usize = 1 << 20;
/// Columns of a CSV at most; longest name of a host (RFC 1123) and of a label's value, bytes.
const COLUMNS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
/// Namespace of machines whose list names none.
const HOSTS: &str = "hosts";

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The network; of one address for a machine.
    pub network: IpNet,
    /// Its name.
    pub name: String,
    /// When it held; the end is not in it.
    pub held: TimeRange,
    /// Tags and namespace of a machine; None = a network.
    pub machine: Option<(String, Labels)>,
}

/// A list can't be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {field}: {reason}")]
pub struct ListError {
    /// Line, from 1.
    pub line: usize,
    /// Column or part of the line.
    pub field: &'static str,
    /// What is wrong, and what is expected.
    pub reason: String,
}

/// Whether text is such a list, and not a file of objects: its first line names columns, or begins
/// with a network.
#[must_use]
pub fn is_list(text: &str) -> bool {
    let first = lines(text).next().map(|(_, line)| line).unwrap_or_default();
    is_head(first) || first.split_ascii_whitespace().next().is_some_and(|w| network(w).is_some())
}

/// Reads a list.
///
/// # Errors
/// [`ListError`] for the first entry that can't be read.
pub fn read_list(text: &str) -> Result<Vec<Listed>, ListError> {
    let mut lines = lines(text).peekable();
    let columns = lines.next_if(|(_, line)| is_head(line));
    let columns = columns.map(|(number, line)| cells(number, line)).transpose()?;
    let mut all = Vec::new();
    for (number, line) in lines {
        if all.len() >= ENTRIES_MAX {
            return Err(wrong(number, "entry", format!("more than {ENTRIES_MAX} of them")));
        }
        all.push(match &columns {
            Some(columns) => row(number, columns, &cells(number, line)?)?,
            None => plain(number, line)?,
        });
    }
    Ok(all)
}

/// Lines with their numbers, without empty ones and comments.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn is_head(line: &str) -> bool {
    let Ok(cells) = cells(1, line) else { return false };
    let has = |names: &[&str]| cells.iter().any(|cell| names.contains(&column(cell).as_str()));
    cells.len() > 1 && has(ADDRESS) && has(NAME)
}

const ADDRESS: &[&str] = &["ip", "address", "cidr", "network"];
const NAME: &[&str] = &["name", "host", "hostname"];

fn column(cell: &str) -> String {
    cell.trim().to_ascii_lowercase()
}

fn wrong(line: usize, field: &'static str, reason: impl Into<String>) -> ListError {
    ListError { line, field, reason: reason.into() }
}

/// An address is a network of one.
fn network(word: &str) -> Option<IpNet> {
    let net: Option<IpNet> = word.parse().ok();
    net.map(|net| net.trunc())
        .or_else(|| word.parse().ok().map(|ip: IpAddr| ip.to_canonical().into()))
}

fn time(line: usize, field: &'static str, word: &str) -> Result<Option<Timestamp>, ListError> {
    match word {
        "" | "-" => Ok(None),
        word => match word.parse() {
            Ok(time) => Ok(Some(time)),
            Err(_not_a_time) => Err(wrong(line, field, format!("`{word}` is no RFC 3339 time"))),
        },
    }
}

fn held(line: usize, from: &str, to: &str) -> Result<TimeRange, ListError> {
    let from = time(line, "from", from)?.unwrap_or(Timestamp::EPOCH);
    let to = time(line, "to", to)?.unwrap_or(Timestamp::MAX);
    if to <= from {
        return Err(wrong(line, "to", "it is not after `from`"));
    }
    Ok(TimeRange { from, to })
}

fn name(line: usize, word: &str) -> Result<String, ListError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if word.is_empty() || word.len() > NAME_BYTES_MAX || !word.chars().all(good) {
        let reason = format!("`{word}` is no name: letters, digits, `-`, `.` and `_` are");
        return Err(wrong(line, "name", reason));
    }
    Ok(word.to_ascii_lowercase())
}

/// `CIDR name [from [to]]`.
fn plain(number: usize, line: &str) -> Result<Listed, ListError> {
    let mut words = line.split_ascii_whitespace();
    let mut word = || words.next().unwrap_or_default();
    let (net, called, from, to, more) = (word(), word(), word(), word(), word());
    if !more.is_empty() {
        return Err(wrong(number, "line", "more than a network, a name and two times"));
    }
    let reason = || format!("`{net}` is neither an address nor a network such as 10.0.0.0/8");
    Ok(Listed {
        network: network(net).ok_or_else(|| wrong(number, "network", reason()))?,
        name: name(number, called)?,
        held: held(number, from, to)?,
        machine: None,
    })
}

/// A row of a CSV.
fn row(number: usize, columns: &[String], cells: &[String]) -> Result<Listed, ListError> {
    if cells.len() != columns.len() {
        let reason = format!("{} fields where the first line names {}", cells.len(), columns.len());
        return Err(wrong(number, "row", reason));
    }
    let (mut net, mut called, mut space, mut from, mut to) = ("", "", HOSTS, "", "");
    let mut labels = Labels::new();
    for (title, cell) in columns.iter().zip(cells) {
        let cell = cell.trim();
        match column(title).as_str() {
            own if ADDRESS.contains(&own) => net = cell,
            own if NAME.contains(&own) => called = cell,
            "namespace" if !cell.is_empty() => space = cell,
            "namespace" => {}
            "from" | "start" => from = cell,
            "to" | "end" => to = cell,
            _ => {
                let (key, value) = (label(title.trim()), label(cell));
                if !key.is_empty() && !value.is_empty() {
                    labels.insert(key, value);
                }
            }
        }
    }
    let reason = || format!("`{net}` is neither an address nor a network such as 10.0.0.0/8");
    let network = network(net).ok_or_else(|| wrong(number, "ip", reason()))?;
    let one = network.prefix_len() == network.max_prefix_len();
    Ok(Listed {
        network,
        name: name(number, called)?,
        held: held(number, from, to)?,
        machine: if one { Some((name(number, space)?, labels)) } else { None },
    })
}

/// A tag as a label may be (Kubernetes, "Labels and Selectors", syntax): other characters become `-`.
fn label(tag: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/');
    let text: String = tag.chars().map(|c| if good(c) { c } else { '-' }).collect();
    let text: String = text.chars().take(LABEL_BYTES_MAX).collect();
    text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// Cells of a row (RFC 4180, without ends of line in quotes).
fn cells(number: usize, line: &str) -> Result<Vec<String>, ListError> {
    let (mut all, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut cell)),
            letter => cell.push(letter),
        }
        if all.len() > COLUMNS_MAX {
            return Err(wrong(number, "row", format!("more than {COLUMNS_MAX} columns")));
        }
    }
    if quoted {
        return Err(wrong(number, "row", "a quote that does not end on its line"));
    }
    all.push(cell);
    Ok(all)
}

/// What a network was called, and when.
type Names = Vec<(TimeRange, Arc<str>)>;

/// Names of networks, asked for addresses that nobody else knows.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    /// By length of the prefix, longest first when read backwards; then by network.
    by_length: BTreeMap<u8, BTreeMap<IpNet, Names>>,
}

impl Networks {
    /// Adds a network; of two that are the same at a time, the later one is asked.
    pub fn add(&mut self, network: IpNet, held: TimeRange, name: &str) {
        let nets = self.by_length.entry(network.prefix_len()).or_default();
        nets.entry(network).or_default().push((held, name.into()));
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_length.is_empty()
    }

    /// Name of the narrowest network that held `address` then.
    #[must_use]
    pub fn name(&self, address: IpAddr, at: Timestamp) -> Option<&str> {
        let address = address.to_canonical();
        self.by_length.iter().rev().find_map(|(length, nets)| {
            let net = IpNet::new(address, *length).ok()?.trunc();
            let names = nets.get(&net)?;
            let held = names.iter().rev().find(|(held, _)| held.contains(at))?;
            Some(&*held.1)
        })
    }
}

/// A directory, and names of networks for what is outside of it.
pub struct Named<'a> {
    /// Who is asked first.
    pub inner: &'a dyn Directory,
    /// What addresses outside are called.
    pub networks: &'a Networks,
}

impl Directory for Named<'_> {
    fn party_of_cgroup(&self, node: &str, cgroup: &str, at: Timestamp) -> Option<Arc<Party>> {
        self.inner.party_of_cgroup(node, cgroup, at)
    }

    fn party_of_address(
        &self,
        address: IpAddr,
        dns_name: Option<&str>,
        at: Timestamp,
    ) -> Arc<Party> {
        let party = self.inner.party_of_address(address, dns_name, at);
        // A name that was asked for says more than that of a network.
        if party.kind != PartyKind::External || party.dns_name.is_some() {
            return party;
        }
        let Some(name) = self.networks.name(address, at) else { return party };
        let mut named = Party::clone(&party);
        name.clone_into(&mut named.workload.name);
        Arc::new(named)
    }

    fn holder_of_address(&self, address: IpAddr, at: Timestamp) -> Option<Arc<Party>> {
        self.inner.holder_of_address(address, at)
    }

    fn service_at(
        &self,
        address: SocketAddr,
        protocol: Protocol,
        at: Timestamp,
    ) -> Option<ServiceTarget> {
        self.inner.service_at(address, protocol, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_narrowest_network_that_held_then_names_an_address() {
        let list = "# ours\n10.0.0.0/8 corp\n10.8.0.0/16 vpn 2024-01-01T00:00:00Z 2025-01-01T00:00:00Z\n\
                    2001:db8::/32 six\n10.8.1.1 gate\n";
        assert!(is_list(list));
        let mut networks = Networks::default();
        for one in read_list(list).unwrap() {
            networks.add(one.network, one.held, &one.name);
        }
        let name = |ip: &str, time: &str| networks.name(ip.parse().unwrap(), at(time));
        assert_eq!(name("10.8.0.9", "2024-06-01T00:00:00Z"), Some("vpn"));
        assert_eq!(name("10.8.0.9", "2025-06-01T00:00:00Z"), Some("corp"));
        assert_eq!(name("10.8.1.1", "2024-06-01T00:00:00Z"), Some("gate"));
        assert_eq!(name("2001:db8::1", "2024-06-01T00:00:00Z"), Some("six"));
        assert_eq!(name("192.0.2.1", "2024-06-01T00:00:00Z"), None);
    }

    #[test]
    fn a_row_of_a_csv_is_a_machine_with_tags_or_a_network() {
        let csv = "IP,Name,Team,app,from,to\n192.0.2.10,Legacy-DB,\"Team \"\"A\"\", north\",db,,2025-01-01T00:00:00Z\n\
                   198.51.100.0/24,branch,,,,\n";
        assert!(is_list(csv));
        let all = read_list(csv).unwrap();
        let (space, labels) = all[0].machine.as_ref().unwrap();
        assert_eq!((all[0].name.as_str(), space.as_str()), ("legacy-db", "hosts"));
        let pairs: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(pairs, ["Team=Team--A---north", "app=db"]);
        assert!(all[0].held.contains(at("2024-01-01T00:00:00Z")));
        assert!(!all[0].held.contains(at("2025-01-01T00:00:00Z")));
        assert_eq!((all[1].name.as_str(), &all[1].machine), ("branch", &None));
    }

    #[test]
    fn what_is_wrong_is_told_by_line_and_field() {
        let bad = [
            ("10.0.0.0/8 corp\n10.0.0/8 x", "line 2: network"),
            ("10.0.0.0/8", "line 1: name"),
            ("10.0.0.0/8 corp yesterday", "line 1: from"),
            ("10.0.0.0/8 corp 2025-01-01T00:00:00Z 2024-01-01T00:00:00Z", "line 1: to"),
            ("10.0.0.0/8 a b c d e", "line 1: line"),
            ("ip,name\n10.0.0.1", "line 2: row"),
            ("ip,name\n\"10.0.0.1,x", "line 2: row"),
            ("ip,name\nten,x", "line 2: ip"),
            ("ip,name\n10.0.0.1,a b", "line 2: name"),
        ];
        for (text, told) in bad {
            let error = read_list(text).unwrap_err().to_string();
            assert!(error.starts_with(told), "{text}: {error}");
        }
        for objects in ["{\"kind\":\"List\"}", "apiVersion: v1\nkind: Pod", "", "name: x, ip: y"] {
            assert!(!is_list(objects), "{objects}");
        }
    }
}
