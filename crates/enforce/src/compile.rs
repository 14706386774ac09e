//! Policies and cluster to the table of one node or host.
//!
//! Every subject jumps from a base chain, by its address, to the chain of its class. There the
//! peer's address picks a port table, protocol and port pick the rule's chain, which counts and
//! returns, or counts, logs and drops. What no map names goes the way that most addresses go: to a
//! denial, or back. So a connection costs a fixed number of lookups, however many policies there
//! are (docs/decisions/0004-nftables-layout.md).
//!
//! The tables are those of the policy engine, row by row and column by column, so that what verify
//! proved is what the kernel enforces, for policies of every kind
//! (docs/decisions/0009-the-datapath-is-compiled-from-the-engine.md).
//!
//! Fails closed for peers (an address nobody knows is external), and as a whole: an error leaves
//! the rules in force as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sekisho_model::{DecidedBy, Direction, Labels, PartyKind};
use sekisho_policy::ir::{Action, Policy, Rulebook, Subject, Tier};
use sekisho_policy::{
    ClassTable, Cluster, Dialect, Endpoint, Pair, Peer, PolicyKind, RuleSet, Segment, Share,
};
use sekisho_verify::VerifiedPolicy;

use crate::address::{Family, Range};
use crate::chains::Builder;
use crate::layout::Layout;
use crate::peers::{Column, Space};
use crate::ports::{PortTable, Verdict};
use crate::scope::{Mode, Scope, ScopeKind};
use crate::unenforced::{self, Unenforced};

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
    /// Endpoints of this scope that a policy selects in at least one direction.
    pub subjects: usize,
    /// Rules about these endpoints that the table does not hold as they are written.
    pub unenforced: Vec<Unenforced>,
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
    /// A way to read policies that no network plugin has.
    #[error("policies read in the dialect `{dialect}` can't be enforced: it knows no host network")]
    Dialect {
        /// The dialect.
        dialect: Dialect,
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
    if rules.dialect().host_network_is_ordinary() {
        return Err(CompileError::Dialect { dialect: rules.dialect() });
    }
    let local = subjects_of(cluster, scope)?;
    let book = selecting(rules.rulebook(), cluster, &local);
    let place = Compiler { space: Space::new(&book, cluster, scope)?, book, cluster, scope };
    let mut builder = Builder::new(scope, mode);
    let mut selected = BTreeSet::new();
    for direction in [Direction::Egress, Direction::Ingress] {
        for group in place.groups(&local, direction) {
            let chain = place.chain(&mut builder, &group);
            for subject in group.subjects {
                selected.insert((subject.namespace.as_str(), subject.name.as_str()));
                builder.subject(direction, subject, &chain);
            }
        }
    }
    let local: Vec<&Endpoint> = local.into_iter().map(|(_, endpoint)| endpoint).collect();
    let (layout, decisions) = builder.finish(&local);
    let elements = layout.elements();
    if elements > ELEMENTS_MAX {
        return Err(CompileError::TooManyElements { node: scope.node.clone(), count: elements });
    }
    let script = layout.replace_script();
    let unenforced = unenforced::of_book(&place.book);
    Ok(NodeTables { script, decisions, elements, subjects: selected.len(), unenforced, layout })
}

/// An endpoint and its index in the cluster.
type Local<'a> = (usize, &'a Endpoint);

/// The endpoints whose packets this place judges. Pods of the host's network are no subjects.
fn subjects_of<'a>(cluster: &'a Cluster, scope: &Scope) -> Result<Vec<Local<'a>>, CompileError> {
    let all = cluster.endpoints.iter().enumerate();
    let own = all.filter(|(_, endpoint)| !endpoint.host_network);
    match scope.kind {
        ScopeKind::Node => {
            if !cluster.nodes.contains_key(&scope.node) {
                return Err(CompileError::UnknownNode { node: scope.node.clone() });
            }
            let here = |endpoint: &Endpoint| {
                endpoint.kind == PartyKind::Pod && endpoint.node.as_deref() == Some(&scope.node)
            };
            Ok(own.filter(|(_, endpoint)| here(endpoint)).collect())
        }
        ScopeKind::Host => {
            let here = |endpoint: &Endpoint| {
                endpoint.kind == PartyKind::Host && endpoint.name == scope.node
            };
            let hosts: Vec<_> = own.filter(|(_, endpoint)| here(endpoint)).collect();
            match hosts.len() {
                1 => Ok(hosts),
                count => Err(CompileError::Host { host: scope.node.clone(), count }),
            }
        }
    }
}

/// The policies that select one of these endpoints; the others cannot matter here.
fn selecting(book: &Rulebook, cluster: &Cluster, local: &[Local<'_>]) -> Rulebook {
    let none = Labels::new();
    let namespaces: BTreeMap<&str, Labels> = local
        .iter()
        .map(|(_, one)| (one.namespace.as_str(), cluster.namespace_labels(&one.namespace)))
        .collect();
    let subjects: Vec<Subject<'_>> = local
        .iter()
        .map(|(_, one)| {
            let account = one.service_account.as_deref();
            let accounts = cluster.service_accounts.get(&one.namespace);
            let labels = account.and_then(|name| accounts.and_then(|all| all.get(name)));
            Subject {
                namespace: &one.namespace,
                namespace_labels: namespaces.get(one.namespace.as_str()).unwrap_or(&none),
                labels: &one.labels,
                service_account: account,
                service_account_labels: labels.unwrap_or(&none),
            }
        })
        .collect();
    let selects = |policy: &&Policy| subjects.iter().any(|subject| policy.subject.matches(subject));
    let tiers = book.tiers.iter().map(|tier| Tier {
        name: tier.name.clone(),
        policies: tier.policies.iter().filter(selects).cloned().collect(),
    });
    Rulebook {
        tiers: tiers.filter(|tier| !tier.policies.is_empty()).collect(),
        dialect: book.dialect,
    }
}

/// Subjects that the same rules judge in the same way.
struct Group<'a> {
    direction: Direction,
    table: ClassTable,
    /// Names the group in full, the same in every revision.
    title: String,
    subjects: Vec<&'a Endpoint>,
}

/// What compiling one place needs.
struct Compiler<'a> {
    book: Rulebook,
    space: Space,
    cluster: &'a Cluster,
    scope: &'a Scope,
}

impl Compiler<'_> {
    /// The groups of a direction by title; subjects that no policy selects are left out.
    fn groups<'e>(&self, local: &[Local<'e>], direction: Direction) -> Vec<Group<'e>> {
        let mut classes: BTreeMap<u32, Vec<&Endpoint>> = BTreeMap::new();
        for (index, endpoint) in local {
            if let Some(class) = self.space.class_of(*index, direction) {
                classes.entry(class).or_default().push(*endpoint);
            }
        }
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (class, subjects) in classes {
            let Some(table) = self.space.reach.class_table(&self.book, direction, class) else {
                continue;
            };
            if !table.policies.is_empty() {
                let title = title(&table);
                groups.push(Group { direction, table, title, subjects });
            }
        }
        groups.sort_by(|a, b| a.title.cmp(&b.title));
        groups
    }

    /// Makes the chain of a group and returns its name.
    fn chain(&self, builder: &mut Builder<'_>, group: &Group<'_>) -> String {
        self.count_all(builder, group);
        let decided = |policy: usize, rule| {
            let policy = group.table.policies.get(policy).map(ToString::to_string);
            let policy = policy.unwrap_or_default();
            DecidedBy { policy, rule, direction: group.direction }
        };
        let mut tables: Vec<PortTable> = Vec::new();
        for shares in &group.table.tables {
            let verdict = |builder: &mut Builder<'_>, share: &Share| {
                let by = share.decider.map(|decider| decided(decider.policy, decider.rule));
                builder.verdict(share.allowed, by)
            };
            let shares: Vec<_> =
                shares.iter().map(|share| (&share.ports, verdict(builder, share))).collect();
            tables.push(PortTable::of(&shares));
        }
        let own = match group.direction {
            Direction::Egress => self.towards_own_node(builder, group),
            // Nothing that a node sends to its own pods is forwarded.
            Direction::Ingress => Vec::new(),
        };
        let of = |column| match column {
            Column::Engine(column) => {
                let table = group.table.table_of_column.get(usize::try_from(column).ok()?)?;
                tables.get(*table)
            }
            Column::OwnNode(address) => own.get(address),
        };
        let most = self.most(group.direction, &of);
        let pieces = Family::BOTH.map(|family| {
            let atoms = self.space.atoms(family).iter();
            let tables = atoms.map(|atom| (atom.range, of(atom.column(group.direction))));
            (family, pieces(tables, &most))
        });
        builder.subject_chain(group.direction, &group.title, &pieces, &most)
    }

    /// Gives every rule of the group its counter, those that decide nothing today included.
    fn count_all(&self, builder: &mut Builder<'_>, group: &Group<'_>) {
        let direction = group.direction;
        let names: BTreeSet<_> = group.table.policies.iter().collect();
        let all = self.book.tiers.iter().flat_map(|tier| &tier.policies);
        for policy in all.filter(|policy| names.contains(&policy.name)) {
            let rules = policy.side(direction).into_iter().flat_map(|side| &side.rules);
            for rule in rules.filter(|rule| rule.action != Action::Pass) {
                let (policy, rule_number) = (policy.name.to_string(), Some(rule.index));
                let by = DecidedBy { policy, rule: rule_number, direction };
                builder.verdict(rule.action == Action::Accept, Some(by));
            }
        }
    }

    /// The tables towards each address of the node that the subjects run on.
    fn towards_own_node(&self, builder: &mut Builder<'_>, group: &Group<'_>) -> Vec<PortTable> {
        let Some(subject) = group.subjects.first() else { return Vec::new() };
        let own = self.space.own_node.iter();
        own.map(|address| {
            let node = Peer::Node { name: &self.scope.node, address: Some(*address) };
            let pair = Pair {
                source: Peer::Endpoint(subject),
                destination: node,
                source_address: None,
                destination_address: Some(*address),
            };
            let answer = self.book.decide_pair(self.cluster, &pair).egress;
            let verdicts: Vec<_> = answer
                .segments
                .iter()
                .map(|part| (&part.ports, builder.verdict(part.allowed, decider(part))))
                .collect();
            PortTable::of(&verdicts)
        })
        .collect()
    }

    /// The table that holds for most addresses.
    fn most<'t>(
        &self,
        direction: Direction,
        of: &impl Fn(Column) -> Option<&'t PortTable>,
    ) -> PortTable {
        let mut sizes: BTreeMap<&PortTable, u128> = BTreeMap::new();
        for atom in Family::BOTH.into_iter().flat_map(|family| self.space.atoms(family)) {
            if let Some(table) = of(atom.column(direction)) {
                let size = sizes.entry(table).or_default();
                *size = size.saturating_add(atom.range.high - atom.range.low);
            }
        }
        let most = sizes.into_iter().max_by_key(|(_, size)| *size);
        most.map_or(PortTable::all(Verdict::Default), |(table, _)| table.clone())
    }
}

/// Who decides a part of what a subject may do towards its node.
fn decider(part: &Segment) -> Option<DecidedBy> {
    let passes = |action| action == Action::Pass;
    let step = part
        .steps
        .iter()
        .find(|step| step.rule.as_ref().is_none_or(|rule| !passes(rule.action)))?;
    Some(DecidedBy {
        policy: step.policy.to_string(),
        rule: step.rule.as_ref().map(|rule| rule.index),
        direction: Direction::Egress,
    })
}

/// The policies and port names of a class, in words.
fn title(table: &ClassTable) -> String {
    let mut names: Vec<String> = table
        .policies
        .iter()
        .map(|name| match name.kind {
            PolicyKind::NetworkPolicy => name.to_string(),
            PolicyKind::ClusterNetworkPolicy
            | PolicyKind::AdminNetworkPolicy
            | PolicyKind::BaselineAdminNetworkPolicy
            | PolicyKind::CiliumNetworkPolicy
            | PolicyKind::CiliumClusterwideNetworkPolicy
            | PolicyKind::CalicoNetworkPolicy
            | PolicyKind::CalicoGlobalNetworkPolicy => format!("{} {name}", name.kind),
        })
        .collect();
    names.dedup();
    let mut title = names.join(",");
    for (name, protocol, port) in &table.port_names {
        title.push_str(&format!(" {name}={port}/{protocol}"));
    }
    title
}

/// The ranges with another table than `most`: disjoint, sorted; neighbours with the same table are
/// joined unless both are lone addresses, which a hash finds faster.
fn pieces<'t>(
    tables: impl Iterator<Item = (Range, Option<&'t PortTable>)>,
    most: &PortTable,
) -> Vec<(Range, PortTable)> {
    let mut pieces: Vec<(Range, PortTable)> = Vec::new();
    for (range, table) in tables {
        let Some(table) = table.filter(|table| *table != most) else { continue };
        match pieces.last_mut() {
            Some((last, same))
                if last.high.checked_add(1) == Some(range.low)
                    && same == table
                    && !(last.is_single() && range.is_single()) =>
            {
                last.high = range.high;
            }
            Some(_) | None => pieces.push((range, table.clone())),
        }
    }
    pieces
}
