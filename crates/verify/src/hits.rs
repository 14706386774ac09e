//! Which rule let which recorded connections through: history against the policies there are.
//!
//! A rule is hit by a connection that it decides in its own direction, whatever the other direction
//! says. Where order has no meaning (NetworkPolicy) each rule that allows a connection is hit, and it
//! stands alone if no other does: taken out, the connection would be denied there. Where a record can
//! be read in several ways, what only some of them hit is uncertain: such a rule is neither used
//! for sure nor unused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;
use sekisho_model::{Direction, EdgeDay, EdgeStats, Protocol, Timestamp, Verdict};
use sekisho_policy::ir::Action;
use sekisho_policy::{
    Cluster, Connection, DirectionAnswer, DirectionDecision, Pair, PolicyName, Reason, RuleId,
    RuleSet, Step,
};

use crate::cases::CaseBuilder;
use crate::classes::{Class, Classes};
use crate::identities::{Identities, Names};
use crate::judge::Question;
use crate::rule_ports::RulePorts;

/// What to replay against what.
#[derive(Clone, Copy, Debug)]
pub struct HitsRequest<'a> {
    /// Policies in force.
    pub enforced: &'a RuleSet,
    /// Policies that are staged.
    pub staged: &'a RuleSet,
    /// Namespaces, endpoints (for named ports) and nodes.
    pub cluster: &'a Cluster,
    /// History; may hold several rows per edge.
    pub history: &'a [EdgeDay],
}

/// The answer for both sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hits {
    /// Of the policies in force.
    pub enforced: SetHits,
    /// Of those staged.
    pub staged: SetHits,
}

/// What the policies of a set said of a history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetHits {
    /// All rules and all policies that isolate, also those that were never asked.
    pub words: BTreeMap<Word, Hit>,
    /// All edges of the history.
    pub edges: BTreeMap<Arc<HitEdge>, EdgeHits>,
}

/// What may decide a connection in one direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// A rule that matches.
    Rule(RuleId),
    /// A policy that selects the subject in this direction, where no rule matches: denied.
    Isolation(PolicyName, Direction),
}

/// An edge between workloads, with what became of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HitEdge {
    /// Id of the initiator, e.g. `shop/cart[Deployment]`.
    pub source: String,
    /// Id of the responder.
    pub destination: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Port after NAT.
    pub port: u16,
    /// What the kernel did when it was recorded.
    pub verdict: Verdict,
}

/// The connections that hit one word.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hit {
    /// Connections that it decides.
    pub connections: u64,
    /// Of these, those that no other rule of its tier allows as well.
    pub alone: u64,
    /// Connections that it decides in some ways to read the record, and not in others.
    pub uncertain: u64,
    /// Earliest and latest moment of these, uncertain ones included; None = never.
    pub seen: Option<(Timestamp, Timestamp)>,
    /// The same by edge, uncertain ones included: connections, and when seen last.
    pub edges: BTreeMap<Arc<HitEdge>, (u64, Timestamp)>,
}

impl Hit {
    /// Whether nothing hit it, in any way to read the record.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.edges.is_empty()
    }

    fn add(&mut self, edge: &Arc<HitEdge>, stats: &EdgeStats, certain: Option<bool>) {
        let sum = match certain {
            Some(_) => &mut self.connections,
            None => &mut self.uncertain,
        };
        *sum = sum.saturating_add(stats.connections);
        if certain == Some(true) {
            self.alone = self.alone.saturating_add(stats.connections);
        }
        self.seen = Some(match self.seen {
            Some((first, last)) => (first.min(stats.first_seen), last.max(stats.last_seen)),
            None => (stats.first_seen, stats.last_seen),
        });
        let own = self.edges.entry(Arc::clone(edge)).or_insert((0, stats.last_seen));
        *own = (own.0.saturating_add(stats.connections), own.1.max(stats.last_seen));
    }
}

/// What a set of policies says of one edge.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EdgeHits {
    /// Connections of the edge.
    pub connections: u64,
    /// Of these, those of which a policy decided at least one direction.
    pub covered: u64,
    /// Connections that the set allows.
    pub allowed: u64,
    /// Connections that it denies; what is missing to all is not known.
    pub denied: u64,
    /// Who decides, each with its connections, uncertain ones included.
    pub decided_by: BTreeMap<Word, u64>,
}

/// Replays history against the policies there are.
#[must_use]
pub fn hits(request: &HitsRequest<'_>) -> Hits {
    let Identities { parties, rows } = Identities::of(request.history);
    let names = Names::of(&parties);
    let mut asker = Asker::new(request, &parties);
    let mut found = Hits { enforced: empty(request.enforced), staged: empty(request.staged) };
    let mut edges: IndexMap<_, Arc<HitEdge>, foldhash::fast::FixedState> = IndexMap::default();
    for (identity, stats) in &rows {
        let (Some(source), Some(destination)) =
            (parties.get(identity.source), parties.get(identity.destination))
        else {
            continue; // Numbers come from the list itself, so there is no such row.
        };
        let question = Question {
            source,
            destination,
            protocol: identity.protocol,
            port: identity.port,
            inferred: identity.inferred,
            verdict: identity.verdict,
            stats,
        };
        let ends = (names.number(identity.source), names.number(identity.destination));
        let key = (ends, identity.protocol, identity.port, identity.verdict);
        let edge = edges.entry(key).or_insert_with(|| {
            Arc::new(HitEdge {
                source: names.name(ends.0),
                destination: names.name(ends.1),
                protocol: identity.protocol,
                port: identity.port,
                verdict: identity.verdict,
            })
        });
        let answers = asker.ask(&question, (identity.source, identity.destination));
        for (set, answer) in [&mut found.enforced, &mut found.staged].into_iter().zip(&*answers) {
            set.add(edge, stats, answer);
        }
    }
    found
}

/// A set to which nothing was said.
fn empty(rules: &RuleSet) -> SetHits {
    let book = rules.rulebook();
    let all = book.rules().map(|(policy, way, rule)| Word::Rule(RuleId::of(policy, way, rule)));
    let policies = book.tiers.iter().flat_map(|tier| &tier.policies);
    let isolating = policies.flat_map(|policy| {
        let ways = [Direction::Ingress, Direction::Egress].into_iter();
        let ways = ways.filter(|way| policy.side(*way).is_some_and(|side| side.isolates));
        ways.map(|way| Word::Isolation(policy.name.clone(), way))
    });
    let words = all.chain(isolating).map(|word| (word, Hit::default())).collect();
    SetHits { words, edges: BTreeMap::new() }
}

impl SetHits {
    fn add(&mut self, edge: &Arc<HitEdge>, stats: &EdgeStats, answer: &Answer) {
        let own = self.edges.entry(Arc::clone(edge)).or_default();
        let count = |sum: &mut u64| *sum = sum.saturating_add(stats.connections);
        count(&mut own.connections);
        match answer.allows {
            Some(true) => count(&mut own.allowed),
            Some(false) => count(&mut own.denied),
            None => {}
        }
        if answer.words.values().any(Option::is_some) {
            count(&mut own.covered);
        }
        for (word, certain) in &answer.words {
            count(own.decided_by.entry(word.clone()).or_default());
            self.words.entry(word.clone()).or_default().add(edge, stats, *certain);
        }
    }
}

/// What one set says of an identity.
#[derive(Debug, Default)]
struct Answer {
    /// Each word with whether it stands alone; None = only some ways to read the record hit it.
    words: BTreeMap<Word, Option<bool>>,
    /// None = that hangs on how the record is read, or nobody can tell.
    allows: Option<bool>,
}

/// Asks both sets, each class of identities once.
struct Asker<'a> {
    sets: [&'a RuleSet; 2],
    cluster: &'a Cluster,
    builder: CaseBuilder<'a>,
    classes: Classes,
    known: IndexMap<Class, Arc<[Answer; 2]>, foldhash::fast::FixedState>,
}

impl<'a> Asker<'a> {
    fn new(request: &HitsRequest<'a>, parties: &[&sekisho_model::Party]) -> Self {
        let sets = [request.enforced, request.staged];
        let builder = CaseBuilder::new(request.cluster, RulePorts::of(sets.map(RuleSet::rulebook)));
        let classes = Classes::new((request.enforced, request.staged), &builder, parties);
        Self { sets, cluster: request.cluster, builder, classes, known: IndexMap::default() }
    }

    fn ask(&mut self, question: &Question<'_>, ends: (usize, usize)) -> Arc<[Answer; 2]> {
        let class = self.classes.of(ends, question.protocol, question.port);
        let class = class.filter(|_| !question.inferred);
        if let Some(known) = class.and_then(|class| self.known.get(&class)) {
            return Arc::clone(known);
        }
        let answers = match self.builder.cases(question) {
            Ok(cases) => {
                let ways: Vec<Connection<'_>> = std::iter::once(&cases.first)
                    .chain(&cases.others)
                    .map(|case| case.connection(cases.protocol))
                    .collect();
                self.sets.map(|rules| answer(rules, self.cluster, &ways))
            }
            Err(_unreadable) => <[Answer; 2]>::default(),
        };
        let answers = Arc::new(answers);
        if let Some(class) = class {
            self.known.insert(class, Arc::clone(&answers));
        }
        answers
    }
}

/// What `rules` say of a record that can be read in these ways.
fn answer(rules: &RuleSet, cluster: &Cluster, ways: &[Connection<'_>]) -> Answer {
    let mut words: BTreeMap<Word, (usize, bool)> = BTreeMap::new();
    let mut verdicts = Vec::new();
    for way in ways {
        let (said, allows) = said(rules, cluster, way);
        verdicts.push(allows);
        for (word, is_alone) in said {
            let own = words.entry(word).or_insert((0, true));
            *own = (own.0 + 1, own.1 && is_alone);
        }
    }
    let certain = |(times, is_alone): (usize, bool)| (times == ways.len()).then_some(is_alone);
    Answer {
        words: words.into_iter().map(|(word, own)| (word, certain(own))).collect(),
        allows: verdicts.first().copied().filter(|one| verdicts.iter().all(|own| own == one)),
    }
}

/// The words said about one connection, each with whether it stands alone, and whether it is allowed.
fn said(
    rules: &RuleSet,
    cluster: &Cluster,
    connection: &Connection<'_>,
) -> (BTreeMap<Word, bool>, bool) {
    let decision = rules.decide(cluster, connection);
    let pair = rules.decide_pair(
        cluster,
        &Pair {
            source: connection.source,
            destination: connection.destination,
            source_address: connection.source_address,
            destination_address: connection.destination_address,
        },
    );
    let mut words = BTreeMap::new();
    for (answer, decided) in [(&pair.egress, &decision.egress), (&pair.ingress, &decision.ingress)]
    {
        words.extend(said_in(answer, decided, (connection.protocol, connection.port)));
    }
    (words, decision.allows())
}

fn said_in(
    answer: &DirectionAnswer,
    decided: &DirectionDecision,
    (protocol, port): (Protocol, u16),
) -> BTreeMap<Word, bool> {
    let way = decided.direction;
    let segment = answer.segments.iter().find(|segment| segment.ports.contains(protocol, port));
    if let Some(segment) = segment {
        let word = |step: &Step| match &step.rule {
            Some(rule) => Word::Rule(RuleId::of_match(&step.policy, way, rule)),
            None => Word::Isolation(step.policy.clone(), way),
        };
        let is_alone = |tier: &str| {
            let own = segment.steps.iter().filter(|one| one.tier == tier);
            own.map(word).collect::<BTreeSet<Word>>().len() == 1
        };
        let steps = segment.steps.iter().map(|step| (word(step), is_alone(&step.tier)));
        return steps.collect();
    }
    // A protocol as a whole, of which rules tell parts: only the first that decides is known.
    match &decided.reason {
        Reason::Rule { policy, rule, accepts } => {
            let action = if *accepts { Action::Accept } else { Action::Deny };
            let id = RuleId { policy: policy.clone(), direction: way, index: *rule, action };
            [(Word::Rule(id), true)].into()
        }
        Reason::NoRule { isolated_by } => {
            let is_alone = isolated_by.len() == 1;
            let word = |policy: &PolicyName| (Word::Isolation(policy.clone(), way), is_alone);
            isolated_by.iter().map(word).collect()
        }
        Reason::NotSubject | Reason::Itself | Reason::OwnNode | Reason::NotIsolated => {
            BTreeMap::new()
        }
    }
}
