//! One identity of history, judged under both sets of policies.

use indexmap::IndexMap;
use sekisho_model::{DecidedBy, EdgeStats, Party, Protocol, Verdict};
use sekisho_policy::{Cluster, Decision, RuleSet};

use crate::EdgeClass;
use crate::cases::{Case, CaseBuilder, Cases};
use crate::classes::{Class, Classes};
use crate::rule_ports::RulePorts;
use crate::words::explain;

/// One identity of history: who, to whom, on what port, and what became of it.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) source: &'a Party,
    pub(crate) destination: &'a Party,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) inferred: bool,
    pub(crate) verdict: Verdict,
    pub(crate) stats: &'a EdgeStats,
}

/// What the change of policies means for one identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) class: EdgeClass,
    pub(crate) before: &'static str,
    pub(crate) after: &'static str,
    pub(crate) decided_by: Option<DecidedBy>,
    pub(crate) reason: String,
    /// It works, and a way to read the record says that it would not.
    pub(crate) may_block: bool,
}

/// What is known of an identity before it is put into words, which most are never asked for.
pub(crate) enum Judgement {
    /// The same as of all identities of its class: its number among those.
    OfClass(usize),
    /// Of its own.
    Own(Box<Finding>),
}

/// What a set of policies says of an identity.
enum Standing {
    Decided(Decision),
    /// The ways to read the record lead to different answers.
    Unknown,
}

impl Standing {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Decided(decision) => word(decision),
            Self::Unknown => "unknown",
        }
    }
}

fn word(decision: &Decision) -> &'static str {
    if decision.allows() { "allowed" } else { "denied" }
}

/// What both sets say of a class of identities.
struct Known {
    before: Decision,
    after: Decision,
}

/// Judges identities under two sets of policies.
pub(crate) struct Judge<'a> {
    current: &'a RuleSet,
    proposed: &'a RuleSet,
    cluster: &'a Cluster,
    builder: CaseBuilder<'a>,
    classes: Classes,
    /// What both sets say of each class, so that it is asked once.
    known: IndexMap<Class, Known, foldhash::fast::FixedState>,
}

impl<'a> Judge<'a> {
    /// A judge of identities between `parties`.
    pub(crate) fn new(
        (current, proposed): (&'a RuleSet, &'a RuleSet),
        cluster: &'a Cluster,
        parties: &[&Party],
    ) -> Self {
        let ports = RulePorts::of([current.rulebook(), proposed.rulebook()]);
        let builder = CaseBuilder::new(cluster, ports);
        let classes = Classes::new((current, proposed), &builder, parties);
        Self { current, proposed, cluster, builder, classes, known: IndexMap::default() }
    }

    /// What the change means for `question`, whose ends have these numbers among the parties.
    pub(crate) fn judge(&mut self, question: &Question<'_>, ends: (usize, usize)) -> Judgement {
        let class = self.classes.of(ends, question.protocol, question.port);
        let class = class.filter(|_| !question.inferred);
        if let Some(number) = class.and_then(|class| self.known.get_index_of(&class)) {
            return Judgement::OfClass(number);
        }
        let cases = match self.builder.cases(question) {
            Ok(cases) => cases,
            Err(doubt) => {
                // Nothing can be asked of it, so only what changes nothing keeps it.
                let may_block = works(question.verdict) && self.current != self.proposed;
                let found = uncertain(("unknown", "unknown"), doubt, may_block);
                return Judgement::Own(Box::new(found));
            }
        };
        let before = self.stand(self.current, &cases);
        let after = self.stand(self.proposed, &cases);
        match (before, after) {
            (Standing::Decided(before), Standing::Decided(after)) => match class {
                Some(class) => {
                    let (number, _) = self.known.insert_full(class, Known { before, after });
                    Judgement::OfClass(number)
                }
                None => Judgement::Own(Box::new(finding(question, &before, &after))),
            },
            (before, after) => {
                let may_block = works(question.verdict) && self.loses(&cases);
                let words = (before.as_str(), after.as_str());
                Judgement::Own(Box::new(uncertain(words, cases.doubt, may_block)))
            }
        }
    }

    /// The class of an identity with this verdict, as [`Self::finding`] has it.
    pub(crate) fn class(&self, judgement: &Judgement, verdict: Verdict) -> EdgeClass {
        match judgement {
            Judgement::OfClass(number) => match self.known.get_index(*number) {
                Some((_, known)) => class(verdict, &known.before, &known.after),
                // Numbers come from the list itself, so there is no such one.
                None => EdgeClass::Uncertain,
            },
            Judgement::Own(found) => found.class,
        }
    }

    /// What was judged of `question`, in words.
    pub(crate) fn finding(&self, judgement: &Judgement, question: &Question<'_>) -> Finding {
        match judgement {
            Judgement::OfClass(number) => match self.known.get_index(*number) {
                Some((_, known)) => finding(question, &known.before, &known.after),
                None => uncertain(("unknown", "unknown"), String::new(), true),
            },
            Judgement::Own(found) => Finding::clone(found),
        }
    }

    /// Whether there is a way to read the record in which something is lost.
    fn loses(&self, cases: &Cases) -> bool {
        let mut ways = std::iter::once(&cases.first).chain(&cases.others);
        ways.any(|case| {
            let allows = |rules: &RuleSet| {
                rules.decide(self.cluster, &case.connection(cases.protocol)).allows()
            };
            !case.is_other_node && allows(self.current) && !allows(self.proposed)
        })
    }

    /// The answer of `rules` if all ways to read the record agree.
    fn stand(&self, rules: &RuleSet, cases: &Cases) -> Standing {
        let decide = |case: &Case| rules.decide(self.cluster, &case.connection(cases.protocol));
        let first = decide(&cases.first);
        if cases.others.iter().any(|case| decide(case).allows() != first.allows()) {
            return Standing::Unknown;
        }
        Standing::Decided(first)
    }
}

fn uncertain(
    (before, after): (&'static str, &'static str),
    reason: String,
    may_block: bool,
) -> Finding {
    Finding { class: EdgeClass::Uncertain, before, after, decided_by: None, reason, may_block }
}

/// Whether packets reached the other end when this was recorded.
fn works(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Allowed | Verdict::WouldDeny => true,
        Verdict::Denied | Verdict::Unknown => false,
    }
}

/// What a change from `old` to `new` means for an identity with this verdict.
fn class(verdict: Verdict, old: &Decision, new: &Decision) -> EdgeClass {
    match (old.allows(), new.allows()) {
        (true, true) | (false, false) => EdgeClass::Unchanged,
        (false, true) => EdgeClass::NewlyAllowed,
        // What never got through can't be lost.
        (true, false) if !works(verdict) => EdgeClass::Unchanged,
        (true, false) => EdgeClass::WouldBlock,
    }
}

fn finding(question: &Question<'_>, old: &Decision, new: &Decision) -> Finding {
    let words = (word(old), word(new));
    let class = class(question.verdict, old, new);
    let mut reason = explain(new, question);
    if class == EdgeClass::NewlyAllowed {
        reason = format!("{reason}; now {}", explain(old, question));
    }
    for note in notes(question, old, class) {
        reason.push_str("; ");
        reason.push_str(note);
    }
    let decided_by = new.decided_by();
    Finding { class, before: words.0, after: words.1, decided_by, reason, may_block: false }
}

/// What a reader must know besides the decision.
fn notes(question: &Question<'_>, old: &Decision, class: EdgeClass) -> Vec<&'static str> {
    let mut notes = Vec::new();
    match (question.verdict, old.allows()) {
        (Verdict::Allowed | Verdict::WouldDeny, false) => notes.push(
            "seen allowed although the policy in force denies it: seen before it was in force, \
             or it is not enforced",
        ),
        (Verdict::Denied, true) => {
            notes.push("seen denied although the policy in force allows it");
        }
        (Verdict::Unknown, _) => notes.push("attempts only: nobody saw an answer"),
        (Verdict::Allowed | Verdict::WouldDeny, true) | (Verdict::Denied, false) => {}
    }
    let stats = question.stats;
    let refused = stats.connections > 0 && stats.resets >= stats.connections;
    if works(question.verdict) && refused && stats.bytes_received == 0 {
        notes.push("every connection was refused or reset");
    }
    if question.inferred && class != EdgeClass::Unchanged {
        notes.push("the direction is inferred, the other one gives the same answer");
    }
    notes
}
