//! Policies and cluster to the table of one node or host.
//!
//! Every subject jumps from a base chain, by its address, to the chain of its compiled rules. There
//! the peer's address picks a port table, protocol and port pick the rule's chain, which counts and
//! returns. What picks nothing falls through to the denial. So a connection costs a fixed number of
//! lookups, however many policies there are (docs/decisions/0004-nftables-layout.md).
//!
//! Peers are expanded to addresses, cut into disjoint ranges by a sweep, so that the first rule
//! that allows is the one that counts, exactly as `RuleSet::decide` says.
//!
//! Fails closed for peers (an address nobody knows is no peer), and as a whole: an error leaves the
//! rules in force as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sekisho_model::{DecidedBy, Direction};
use sekisho_policy::{Cluster, Endpoint, RuleSet};
use sekisho_verify::VerifiedPolicy;

use crate::address::{Family, Range};
use crate::chains::Builder;
use crate::layout::Layout;
use crate::peers::{Members, RuleTerms, Term};
use crate::ports::PortTable;
use crate::scope::{Mode, Scope, ScopeKind};

/// Most elements of all sets and maps of one table: about 150 bytes of kernel memory each.
pub const ELEMENTS_MAX: usize = 1_000_000;

/// The rules of one node or host, ready to be loaded.
#[derive(Clone, Debug)]
pub struct NodeTables {
    /// The whole table for `nft -f`, as one transaction.
    pub script: String,
    /// Id in counters and in the deny log -> who decided. An id depends on policy, rule and
    /// direction only, so that a line logged under an earlier revision still names the right
    /// policy; keep the entries of earlier revisions (`extend`) for lines that come late.
    pub decisions: BTreeMap<u32, DecidedBy>,
    /// Elements of all sets and maps.
    pub elements: usize,
    /// Endpoints of this scope that a policy isolates in at least one direction.
    pub subjects: usize,
    pub(crate) layout: Layout,
}

/// Policies cannot be turned into rules for this place.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// No such node: an empty table would allow everything.
    #[error("node `{node}` is not in the cluster")]
    UnknownNode {
        /// As asked for.
        node: String,
    },
    /// No such Host object, or several in different namespaces.
    #[error("{count} hosts are called `{host}`, expected one")]
    Host {
        /// As asked for.
        host: String,
        /// How many there are.
        count: usize,
    },
    /// Two endpoints hold one address, so that it cannot be told whose policies hold.
    #[error("address {address} belongs to both `{first}` and `{second}`")]
    AddressShared {
        /// The address.
        address: IpAddr,
        /// namespace/name.
        first: String,
        /// namespace/name.
        second: String,
    },
    /// More elements than [`ELEMENTS_MAX`].
    #[error("{count} set elements are needed on `{node}`, at most {ELEMENTS_MAX} are loaded")]
    TooManyElements {
        /// Node or host.
        node: String,
        /// How many.
        count: usize,
    },
}

/// Compiles verified policies for one place.
///
/// # Errors
/// [`CompileError`] if the place is unknown, an address is ambiguous, or the table is too large.
pub fn compile(
    verified: &VerifiedPolicy,
    cluster: &Cluster,
    scope: &Scope,
    mode: Mode,
) -> Result<NodeTables, CompileError> {
    build(verified.rules(), cluster, scope, mode)
}

/// [`compile`] without the promise: for tests of this crate.
pub(crate) fn build(
    rules: &RuleSet,
    cluster: &Cluster,
    scope: &Scope,
    mode: Mode,
) -> Result<NodeTables, CompileError> {
    let members = Members::of(cluster)?;
    let local = subjects_of(cluster, &members, scope)?;
    let mut builder = Builder::new(scope, mode);
    let mut isolated = BTreeSet::new();
    for direction in [Direction::Egress, Direction::Ingress] {
        let groups = group(rules, &local, direction);
        let mut terms = RuleTerms::new(rules, cluster, &members);
        for (key, subjects) in groups {
            let list = group_terms(&mut builder, &mut terms, &key, direction);
            let tables = Family::BOTH.map(|family| (family, sweep(&list, family)));
            let chain = builder.subject_chain(direction, &key.title(rules), &tables);
            for subject in subjects {
                isolated.insert((subject.namespace.as_str(), subject.name.as_str()));
                builder.subject(direction, subject, &chain);
            }
        }
    }
    let (layout, decisions) = builder.finish(&local);
    let elements = layout.elements();
    if elements > ELEMENTS_MAX {
        return Err(CompileError::TooManyElements { node: scope.node.clone(), count: elements });
    }
    let script = layout.replace_script();
    Ok(NodeTables { script, decisions, elements, subjects: isolated.len(), layout })
}

/// The endpoints whose packets this place judges.
fn subjects_of<'a>(
    cluster: &Cluster,
    members: &Members<'a>,
    scope: &Scope,
) -> Result<Vec<&'a Endpoint>, CompileError> {
    match scope.kind {
        ScopeKind::Node => {
            let on_node = |endpoint: &Endpoint| endpoint.node.as_deref() == Some(&scope.node);
            if !cluster.nodes.contains_key(&scope.node) {
                return Err(CompileError::UnknownNode { node: scope.node.clone() });
            }
            Ok(members.pods().filter(|pod| on_node(pod)).collect())
        }
        ScopeKind::Host => {
            let hosts: Vec<_> = members.hosts().filter(|host| host.name == scope.node).collect();
            match hosts.len() {
                1 => Ok(hosts),
                count => Err(CompileError::Host { host: scope.node.clone(), count }),
            }
        }
    }
}

/// What makes two subjects compile to the same chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey<'a> {
    /// Positions in `RuleSet::policies`, ascending, so by namespace and name. Never empty.
    policies: Vec<usize>,
    /// Ingress only: the subject's ports, for named ones are resolved against them.
    ports: Vec<(&'a str, sekisho_model::Protocol, u16)>,
}

impl GroupKey<'_> {
    /// Names the group in full, the same in every revision.
    fn title(&self, rules: &RuleSet) -> String {
        let names = self.policies.iter().filter_map(|index| rules.policies().get(*index));
        let mut title = String::new();
        for policy in names {
            if !title.is_empty() {
                title.push(',');
            }
            title.push_str(&format!("{}/{}", policy.meta.namespace, policy.meta.name));
        }
        for (name, protocol, port) in &self.ports {
            title.push_str(&format!(" {name}={port}/{protocol}"));
        }
        title
    }
}

/// Puts isolated subjects with the same rules together; subjects no policy selects are left out.
fn group<'a>(
    rules: &RuleSet,
    local: &[&'a Endpoint],
    direction: Direction,
) -> BTreeMap<GroupKey<'a>, Vec<&'a Endpoint>> {
    let mut groups: BTreeMap<GroupKey<'a>, Vec<&'a Endpoint>> = BTreeMap::new();
    for endpoint in local {
        let selecting = rules.policies().iter().enumerate().filter(|(_, policy)| {
            let isolates = match direction {
                Direction::Ingress => policy.isolates_ingress,
                Direction::Egress => policy.isolates_egress,
            };
            isolates
                && policy.meta.namespace == endpoint.namespace
                && policy.pod_selector.matches(&endpoint.labels)
        });
        let policies: Vec<usize> = selecting.map(|(index, _)| index).collect();
        if policies.is_empty() {
            continue;
        }
        let mut ports = Vec::new();
        if direction == Direction::Ingress && crate::peers::uses_named_ports(rules, &policies) {
            let named = endpoint.ports.iter().filter(|port| !port.name.is_empty());
            ports.extend(named.map(|port| (port.name.as_str(), port.protocol, port.port)));
            ports.sort_unstable();
            ports.dedup();
        }
        groups.entry(GroupKey { policies, ports }).or_default().push(endpoint);
    }
    groups
}

/// The terms of a group in the order of decision, with the denial noted as the group's fallback.
fn group_terms(
    builder: &mut Builder<'_>,
    terms: &mut RuleTerms<'_, '_>,
    key: &GroupKey<'_>,
    direction: Direction,
) -> Vec<Term> {
    let mut list = Vec::new();
    for (position, index) in key.policies.iter().enumerate() {
        let Some(policy) = terms.rules.policies().get(*index) else { continue };
        let name = format!("{}/{}", policy.meta.namespace, policy.meta.name);
        if position == 0 {
            builder.denial(&DecidedBy { policy: name.clone(), rule: None, direction });
        }
        let rules = match direction {
            Direction::Ingress => &policy.ingress,
            Direction::Egress => &policy.egress,
        };
        for (number, rule) in (0_u32..).zip(rules) {
            let decided = DecidedBy { policy: name.clone(), rule: Some(number), direction };
            let decision = builder.decision(&decided);
            list.extend(terms.of(policy, rule, direction, &key.ports).map(|(place, ports)| Term {
                decision,
                place,
                ports,
            }));
        }
    }
    list
}

/// Cuts the family's address line where the matching terms change. Disjoint, sorted; neighbours
/// with the same port table are joined unless both are lone addresses, which a hash finds faster.
fn sweep(terms: &[Term], family: Family) -> Vec<(Range, PortTable)> {
    let mut edges: BTreeMap<u128, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (index, term) in terms.iter().enumerate() {
        for range in term.place.of(family) {
            edges.entry(range.low).or_default().0.push(index);
            if range.high < family.all().high {
                edges.entry(range.high + 1).or_default().1.push(index);
            }
        }
    }
    let mut tables: BTreeMap<Vec<usize>, PortTable> = BTreeMap::new();
    let mut active = BTreeSet::new();
    let mut pieces: Vec<(Range, PortTable)> = Vec::new();
    let mut starts = edges.iter().peekable();
    while let Some((low, (begin, end))) = starts.next() {
        // A term may end where it begins anew: its ranges are disjoint, so ends come first.
        for index in end {
            active.remove(index);
        }
        active.extend(begin);
        let high = starts.peek().map_or(family.all().high, |(next, _)| **next - 1);
        if active.is_empty() {
            continue;
        }
        let key: Vec<usize> = active.iter().copied().collect();
        let table = tables.entry(key).or_insert_with_key(|key| first_match(terms, key)).clone();
        push_piece(&mut pieces, Range { low: *low, high }, table);
    }
    pieces
}

fn first_match(terms: &[Term], active: &[usize]) -> PortTable {
    let sets: Vec<_> = active
        .iter()
        .filter_map(|index| terms.get(*index))
        .map(|term| (&term.ports, term.decision))
        .collect();
    PortTable::first_match(&sets)
}

fn push_piece(pieces: &mut Vec<(Range, PortTable)>, range: Range, table: PortTable) {
    if let Some((last, same)) = pieces.last_mut() {
        let touches = last.high.checked_add(1) == Some(range.low);
        if touches && *same == table && !(last.is_single() && range.is_single()) {
            last.high = range.high;
            return;
        }
    }
    pieces.push((range, table));
}
