//! Reports for people who were not there.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use sekisho_api::{Access, Account, AuditEntry, MapQuestion, Refusal, ReportKind, ReportQuestion};
use sekisho_manifest::Object;
use sekisho_map::Grouping;
use sekisho_model::{PartyKind, TimeRange, Timestamp};
use sekisho_policy::RuleSet;

use super::look::covered;
use crate::pipeline::{self, History};
use crate::reports::{
    Changes, Connectivity, Document, Head, Images, Place, Report, RevisionLine, Scope, Segmentation,
};
use crate::rule_hits::replay;
use crate::server::fleet::Fleet;
use crate::server::service::{ClusterServer, now};

/// Calls of the audit log that a report tells.
const CALLS_MAX: usize = 2_000;
/// Entries read at a time.
const PAGE: usize = 1_000;

impl Fleet {
    /// The report that is asked for, in the form that is asked for.
    pub(super) fn report(&self, account: &Account, of: &ReportQuestion) -> Result<Bytes, Refusal> {
        let asked = Asked { account, of, member: self.pick(of.map.cluster.as_ref())? };
        match of.kind {
            ReportKind::Segmentation => {
                let (history, head) = self.scoped(&asked)?;
                asked.encode(head, self.segmentation(&asked, &history)?)
            }
            ReportKind::Connectivity => {
                let (history, head) = self.scoped(&asked)?;
                asked.encode(head, self.connectivity(&asked, &history))
            }
            ReportKind::Changes => {
                let (head, data) = self.changes(&asked)?;
                asked.encode(head, data)
            }
        }
    }

    /// The history of the scope, and the head of a report about it.
    fn scoped(&self, asked: &Asked<'_>) -> Result<(History, Head), Refusal> {
        let map = &asked.of.map;
        let mut history = self.seen(asked.account, map.cluster.as_ref(), map.range)?;
        let options = self.options(asked.account, &asked.map(), &history);
        history.rows.retain(|row| options.shows(&row.key));
        let head = asked.head(&history);
        Ok((history, head))
    }

    fn segmentation(&self, asked: &Asked<'_>, history: &History) -> Result<Segmentation, Refusal> {
        let mut places: BTreeMap<String, Place> = BTreeMap::new();
        for (endpoint, coverage) in covered(asked.member, history) {
            if !asked.has(&endpoint.namespace) {
                continue;
            }
            let workload = endpoint.workload.to_string();
            let place = places.entry(workload.clone()).or_insert(Place {
                workload,
                namespace: endpoint.namespace.clone(),
                ingress: coverage.ingress,
                egress: coverage.egress,
            });
            // Pods of a workload may differ in labels: it is as open as the most open of them.
            place.ingress = place.ingress.min(coverage.ingress);
            place.egress = place.egress.min(coverage.egress);
        }
        let staged = asked.staged();
        let hits = replay(history, &history.current, &staged);
        let ends = history.rows.iter().flat_map(|row| [&row.key.source, &row.key.destination]);
        let outside: BTreeSet<String> =
            ends.filter(|end| end.kind == PartyKind::External).map(|end| end.id()).collect();
        let places: Vec<Place> = places.into_values().collect();
        Ok(Segmentation::new(&places, &hits, &outside))
    }

    fn connectivity(&self, asked: &Asked<'_>, history: &History) -> Connectivity {
        let map = pipeline::build(history, &self.options(asked.account, &asked.map(), history));
        let hits = replay(history, &history.current, &RuleSet::default());
        Connectivity::new(&map, &hits.enforced)
    }

    fn changes(&self, asked: &Asked<'_>) -> Result<(Head, Changes), Refusal> {
        let (history, mut head) = self.scoped(asked)?;
        let Some(earlier) = asked.of.earlier else {
            return Err(Refusal::Invalid("compared with which period?".to_owned()));
        };
        let of = MapQuestion { range: earlier, ..asked.map() };
        let before = self.map(asked.account, &of)?;
        let options = self.options(asked.account, &asked.map(), &history);
        let after = pipeline::build(&history, &options);
        let data = Changes::of_edges(&sekisho_map::compare(&before, &after));
        head.earlier = Some(earlier);
        head.earlier_completeness = Some(before.completeness.ratio);
        let gaps = before.completeness.gaps.iter();
        head.gaps.extend(gaps.map(|gap| format!("{gap} ({} – {})", earlier.from, earlier.to)));
        let window = asked.of.map.range;
        let end = window.to.min(now());
        let objects = (asked.objects_at(window.from), asked.objects_at(end));
        let images = Images::changed((&objects.0, &objects.1), &|namespace| asked.has(namespace));
        let mut data = data.with_images(images);
        if asked.account.namespaces.is_none() {
            data.revisions = Some(asked.revisions(window));
            if asked.account.role >= Access::Operator {
                let (calls, total) = self.calls(window)?;
                data.calls = Some(calls);
                data.calls_total = total;
            }
        }
        Ok((head, data))
    }

    /// The calls of a window, oldest first, and how many there are; the newest if not all are told.
    fn calls(&self, window: TimeRange) -> Result<(Vec<AuditEntry>, u64), Refusal> {
        let (mut found, mut total, mut before) = (Vec::new(), 0_u64, None);
        loop {
            let page = self.audit().page(before, PAGE)?;
            let is_over = page.entries.last().is_none_or(|last| last.time < window.from);
            let entries = page.entries.into_iter().filter(|entry| window.contains(entry.time));
            for entry in entries {
                total += 1;
                if found.len() < CALLS_MAX {
                    found.push(entry);
                }
            }
            before = page.next;
            if before.is_none() || is_over {
                found.reverse();
                return Ok((found, total));
            }
        }
    }
}

/// A report that somebody asks for.
struct Asked<'a> {
    account: &'a Account,
    of: &'a ReportQuestion,
    member: &'a ClusterServer,
}

impl Asked<'_> {
    /// The map behind it: by workload, and whole.
    fn map(&self) -> MapQuestion {
        MapQuestion {
            grouping: Grouping::Workload,
            top: None,
            order: None,
            cluster: Some(self.member.name().clone()),
            ..self.of.map.clone()
        }
    }

    /// Whether a namespace is in the scope, and may be seen.
    fn has(&self, namespace: &str) -> bool {
        let asked = &self.of.map.namespaces;
        self.account.has(namespace) && (asked.is_empty() || asked.contains(namespace))
    }

    fn head(&self, history: &History) -> Head {
        let core = self.member.core();
        Head {
            report: self.of.kind,
            generated: now(),
            by: self.account.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: self.member.name().clone(),
            window: history.window,
            earlier: None,
            scope: Scope::of(self.of, self.account.namespaces.as_ref()),
            completeness: history.completeness.ratio,
            gaps: history.completeness.gaps.clone(),
            earlier_completeness: None,
            revision: core.enforced(),
            staged: core.staged(),
            sha256: String::new(),
        }
    }

    fn encode(&self, head: Head, data: impl Report) -> Result<Bytes, Refusal> {
        Document::new(head, data)?.encode(self.of.format, self.of.language)
    }

    fn staged(&self) -> RuleSet {
        self.member.core().revisions.rules(sekisho_api::DatapathMode::Audit)
    }

    /// The objects of the cluster at a moment; none if that is before the first that is known.
    fn objects_at(&self, at: Timestamp) -> Vec<Object> {
        self.member.core().inventory.objects_at(at)
    }

    fn revisions(&self, window: TimeRange) -> Vec<RevisionLine> {
        let core = self.member.core();
        let inside = core.revisions.iter().filter(|one| window.contains(one.time));
        let line = |one: &sekisho_api::Revision| RevisionLine {
            revision: one.revision,
            time: one.time,
            mode: one.mode,
            operator: one.operator.clone(),
            restores: one.restores,
            policies: one
                .record
                .as_ref()
                .map_or(0, |record| (record.policies.len() + record.others.len()) as u64),
        };
        inside.map(line).collect()
    }
}
