//! Puts compiled rules into chains, maps and counters.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sekisho_model::{DecidedBy, Direction, POLICY_DROP_MARK};
use sekisho_policy::Endpoint;

use crate::address::{Family, Range};
use crate::layout::{ChainDef, Ids, Layout, MapDef, comment};
use crate::ports::{PortTable, Verdict, Whole};
use crate::scope::{Mode, Scope, ScopeKind};

/// Bytes of a logged packet: IPv6 header, one extension header, ports.
const SNAPLEN_BYTES: u32 = 80;
/// Packets that open no connection (late, invalid, mid-stream) of a subject.
pub(crate) const STRAY: &str = "stray";
/// Chain whose only rule's comment holds revision and mode.
pub(crate) const ABOUT: &str = "about";
/// Neighbour discovery must work before any policy can mean something (RFC 4861); hop limit 255
/// proves that it was not forwarded.
const NEIGHBOURS: &str = "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, \
                          nd-neighbor-advert } ip6 hoplimit 255 accept";

/// What was decided once is not decided again.
const ESTABLISHED: &str = "ct state established,related accept";
/// TCP that opens no connection is not judged: a late reply of a connection that was cut would
/// open it again the other way round (linux v6.18 nf_conntrack_proto_tcp.c, `tcp_loose`).
const NOT_SYN: &str = "ct state new tcp flags & (fin | syn | rst | ack) != syn goto strays";

/// Collects the table of one place.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    scope: &'a Scope,
    mode: Mode,
    layout: Layout,
    decisions: BTreeMap<u32, DecidedBy>,
    ids: Ids,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(scope: &'a Scope, mode: Mode) -> Self {
        let layout = Layout { table: mode.table(), ..Layout::default() };
        let decisions = BTreeMap::new();
        Self { scope, mode, layout, decisions, ids: Ids::default() }
    }

    /// The verdict of whoever decided, with a chain for it.
    pub(crate) fn verdict(&mut self, allowed: bool, decided: Option<DecidedBy>) -> Verdict {
        let Some(decided) = decided else { return Verdict::Default };
        let id = self.id_of(&decided);
        let verdict = if allowed { Verdict::Allow(id) } else { Verdict::Deny(id) };
        let name = if allowed { format!("a_{id:08x}") } else { format!("d_{id:08x}") };
        if !self.layout.chains.contains_key(&name) {
            let rules =
                if allowed { vec![format!("counter name {name} return")] } else { self.denial(id) };
            self.layout.chains.insert(name.clone(), ChainDef { header: String::new(), rules });
            self.layout.counters.insert(name, comment(&decided.to_string()));
        }
        verdict
    }

    /// The rules that count, log and drop, in the name of a decision.
    fn denial(&self, id: u32) -> Vec<String> {
        let group = self.scope.log_group;
        let prefix = format!("sekisho:{}:{id}:", self.mode.letter());
        let log = format!("log prefix \"{prefix}\" group {group} snaplen {SNAPLEN_BYTES}");
        let last = match self.mode {
            Mode::Enforce => drop_marked(),
            Mode::Audit => "return".to_owned(),
        };
        let stray = format!("ct state != new counter name {STRAY} {last}");
        vec![stray, format!("counter name d_{id:08x} {log} {last}")]
    }

    fn id_of(&mut self, decided: &DecidedBy) -> u32 {
        let rule = decided.rule.map_or_else(String::new, |rule| rule.to_string());
        let id = self.ids.of(&format!("{}|{rule}|{}", decided.policy, decided.direction));
        self.decisions.entry(id).or_insert_with(|| decided.clone());
        id
    }

    /// Adds the chain of one group of subjects and returns its name: `most` is the table of every
    /// address that `tables` leave out.
    pub(crate) fn subject_chain(
        &mut self,
        direction: Direction,
        title: &str,
        tables: &[(Family, Vec<(Range, PortTable)>)],
        most: &PortTable,
    ) -> String {
        let letter = match direction {
            Direction::Egress => 'e',
            Direction::Ingress => 'i',
        };
        let name = format!("{letter}_{:08x}", self.ids.of(&format!("{direction} of {title}")));
        let peer = match direction {
            Direction::Egress => "daddr",
            Direction::Ingress => "saddr",
        };
        let mut rules = Vec::new();
        for (family, pieces) in tables {
            let header = family.nft_header();
            let (exact, ranges): (Vec<_>, Vec<_>) =
                pieces.iter().partition(|(range, _)| range.is_single());
            for (list, suffix, flags) in [(exact, "", ""), (ranges, "r", " flags interval;")] {
                if list.is_empty() {
                    continue;
                }
                let map_name = format!("{name}_{}{suffix}", family.digit());
                let mut map = MapDef::map(format!("type {} : verdict;{flags}", family.nft_type()));
                for (range, table) in list {
                    map.elements.insert(range.text(*family), self.port_chain(table));
                }
                self.layout.maps.insert(map_name.clone(), map);
                rules.push(format!("{header} {peer} vmap @{map_name}"));
            }
        }
        rules.push(format!("{} comment \"{}\"", self.port_chain(most), comment(title)));
        self.layout.chains.insert(name.clone(), ChainDef { header: String::new(), rules });
        name
    }

    /// Where a table sends packets: to the verdict, or to a chain that picks it by protocol and
    /// port. Equal tables share one.
    fn port_chain(&mut self, table: &PortTable) -> String {
        if let Some(only) = table.only() {
            return words(only);
        }
        let name = format!("p_{:08x}", self.ids.of(&format!("{table:?}")));
        let go = format!("goto {name}");
        if self.layout.chains.contains_key(&name) {
            return go;
        }
        let mut rules = Vec::new();
        if !table.ports.is_empty() {
            let flags = if table.is_exact() { "" } else { " flags interval;" };
            let header = format!("type inet_proto . inet_service : verdict;{flags}");
            let mut map = MapDef::map(header);
            for (whole, low, high, verdict) in &table.ports {
                let key = format!("{} . {}", whole.nft(), span(*low, *high));
                map.elements.insert(key, words(*verdict));
            }
            self.layout.maps.insert(name.clone(), map);
            rules.push(format!("meta l4proto . th dport vmap @{name}"));
        }
        for whole in [Whole::IcmpV4, Whole::IcmpV6] {
            let own = table.icmp.iter().filter(|(of, ..)| *of == whole);
            let list: Vec<String> = own
                .map(|(_, low, high, verdict)| {
                    format!("{} : {}", span(*low, *high), words(*verdict))
                })
                .collect();
            if let (Some(kind), false) = (whole.nft_type(), list.is_empty()) {
                rules.push(format!("{kind} vmap {{ {} }}", list.join(", ")));
            }
        }
        if !table.protocols.is_empty() {
            let all = table.protocols.iter();
            let list: Vec<String> = all
                .map(|(whole, verdict)| format!("{} : {}", whole.nft(), words(*verdict)))
                .collect();
            rules.push(format!("meta l4proto vmap {{ {} }}", list.join(", ")));
        }
        rules.push(words(table.other));
        self.layout.chains.insert(name, ChainDef { header: String::new(), rules });
        go
    }

    /// Sends the subject's packets to `chain`.
    pub(crate) fn subject(&mut self, direction: Direction, subject: &Endpoint, chain: &str) {
        if self.scope.kind == ScopeKind::Host {
            // A host may have addresses that nobody listed: all its packets are judged.
            self.host_hook(direction).rules.push(format!("jump {chain}"));
            return;
        }
        for address in &subject.addresses {
            let (address, family) = (address.to_canonical(), Family::of(*address));
            let name = format!("{direction}{}", family.digit());
            let map = self.layout.maps.entry(name).or_insert_with(|| verdicts(family));
            map.elements.insert(address.to_string(), format!("jump {chain}"));
            let set = self.layout.maps.entry(format!("subjects{}", family.digit()));
            let set = set.or_insert_with(|| MapDef::set(format!("type {};", family.nft_type())));
            set.elements.insert(address.to_string(), String::new());
        }
    }

    fn host_hook(&mut self, direction: Direction) -> &mut ChainDef {
        let name = match direction {
            Direction::Egress => "output",
            Direction::Ingress => "input",
        };
        self.layout.chains.entry(name.to_owned()).or_default()
    }

    /// Adds the hooks and returns everything.
    pub(crate) fn finish(mut self, local: &[&Endpoint]) -> (Layout, BTreeMap<u32, DecidedBy>) {
        match self.scope.kind {
            ScopeKind::Node => self.node_hooks(local),
            ScopeKind::Host => self.host_hooks(),
        }
        let comment_of_stray = comment("packets of subjects that open no connection");
        self.layout.counters.insert(STRAY.to_owned(), comment_of_stray);
        let (revision, mode) = (self.scope.revision, self.mode.as_str());
        let about = comment(&format!("revision={revision} mode={mode} node={}", self.scope.node));
        let rules = vec![format!("return comment \"{about}\"")];
        self.layout.chains.insert(ABOUT.to_owned(), ChainDef { header: String::new(), rules });
        (self.layout, self.decisions)
    }

    fn node_hooks(&mut self, local: &[&Endpoint]) {
        for family in Family::BOTH {
            let digit = family.digit();
            for direction in [Direction::Egress, Direction::Ingress] {
                let name = format!("{direction}{digit}");
                self.layout.maps.entry(name).or_insert_with(|| verdicts(family));
            }
            let kind = family.nft_type();
            let subjects = MapDef::set(format!("type {kind};"));
            self.layout.maps.entry(format!("subjects{digit}")).or_insert(subjects);
            let mut own = MapDef::set(format!("type {kind} . {kind};"));
            own.elements = own_pairs(local, family);
            self.layout.maps.insert(format!("self{digit}"), own);
        }
        let stray = vec![
            self.stray_rule("ip saddr @subjects4"),
            self.stray_rule("ip daddr @subjects4"),
            self.stray_rule("ip6 saddr @subjects6"),
            self.stray_rule("ip6 daddr @subjects6"),
        ];
        self.layout
            .chains
            .insert("strays".to_owned(), ChainDef { header: String::new(), rules: stray });
        let mut forward = lines(&[ESTABLISHED, NOT_SYN]);
        forward.extend(lines(&[
            "ip saddr . ip daddr @self4 accept",
            "ip6 saddr . ip6 daddr @self6 accept",
            "ip saddr vmap @egress4",
            "ip6 saddr vmap @egress6",
            "ip daddr vmap @ingress4",
            "ip6 daddr vmap @ingress6",
        ]));
        self.hook("forward", forward);
        let egress = ["ip saddr vmap @egress4", "ip6 saddr vmap @egress6"];
        let mut input = lines(&[ESTABLISHED, NEIGHBOURS, NOT_SYN]);
        input.extend(lines(&egress));
        self.hook("input", input);
    }

    fn host_hooks(&mut self) {
        let judged =
            ["input", "output"].map(|name| self.layout.chains.remove(name).unwrap_or_default());
        let isolated = judged.iter().any(|chain| !chain.rules.is_empty());
        let stray = if isolated { vec![self.stray_rule("")] } else { Vec::new() };
        self.layout
            .chains
            .insert("strays".to_owned(), ChainDef { header: String::new(), rules: stray });
        for (name, (lo, chain)) in ["input", "output"]
            .into_iter()
            .zip(["iif lo accept", "oif lo accept"].into_iter().zip(judged))
        {
            let mut rules = lines(&[lo, ESTABLISHED, NEIGHBOURS, NOT_SYN]);
            rules.extend(chain.rules);
            self.hook(name, rules);
        }
    }

    fn stray_rule(&self, condition: &str) -> String {
        let verdict = match self.mode {
            Mode::Enforce => drop_marked(),
            Mode::Audit => "accept".to_owned(),
        };
        format!("{condition} counter name {STRAY} {verdict}").trim_start().to_owned()
    }

    fn hook(&mut self, name: &str, rules: Vec<String>) {
        let priority = self.mode.priority();
        let header = format!("type filter hook {name} priority {priority}; policy accept;");
        self.layout.chains.insert(name.to_owned(), ChainDef { header, rules });
    }
}

/// Drops, and tells the observer of kernel drops that this one is told by the deny log.
fn drop_marked() -> String {
    format!("meta mark set {POLICY_DROP_MARK:#010x} drop")
}

fn lines(rules: &[&str]) -> Vec<String> {
    rules.iter().map(|rule| (*rule).to_owned()).collect()
}

fn verdicts(family: Family) -> MapDef {
    MapDef::map(format!("type {} : verdict;", family.nft_type()))
}

/// Every pair of addresses of one endpoint: it reaches itself through a Service.
fn own_pairs(local: &[&Endpoint], family: Family) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    for endpoint in local {
        let own: Vec<IpAddr> = endpoint.addresses.iter().map(IpAddr::to_canonical).collect();
        let own = || own.iter().filter(|address| Family::of(**address) == family);
        for source in own() {
            pairs.extend(own().map(|to| (format!("{source} . {to}"), String::new())));
        }
    }
    pairs
}

/// A range as nft writes it.
fn span(low: u16, high: u16) -> String {
    if low == high { low.to_string() } else { format!("{low}-{high}") }
}

/// A verdict as nft writes it.
fn words(verdict: Verdict) -> String {
    match verdict {
        Verdict::Default => "return".to_owned(),
        Verdict::Allow(id) => format!("goto a_{id:08x}"),
        Verdict::Deny(id) => format!("goto d_{id:08x}"),
    }
}
