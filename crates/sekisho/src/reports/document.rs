//! A report: its head, its data, and the digest of these.

use std::collections::BTreeSet;

use bytes::Bytes;
use sekisho_api::{Refusal, ReportFormat, ReportKind, ReportLanguage, ReportQuestion};
use sekisho_model::{ClusterName, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::sheet::Sheet;
use super::words::W;
use super::{Changes, Connectivity, Segmentation, csv, html};

/// What a report holds.
pub(crate) trait Report: Serialize {
    /// What it shows.
    fn sheets(&self) -> Vec<Sheet>;
}

/// A report as it is sent. Both parts are JSON objects; `data` is what the digest is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Document<T> {
    pub(crate) head: Head,
    pub(crate) data: T,
}

/// What a report is of, and by whom it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) report: ReportKind,
    pub(crate) generated: Timestamp,
    /// Name of the token, or of who sat at the machine.
    pub(crate) by: String,
    /// Of sekisho.
    pub(crate) version: String,
    pub(crate) cluster: ClusterName,
    pub(crate) window: TimeRange,
    /// The period before, that the window is compared with.
    pub(crate) earlier: Option<TimeRange>,
    pub(crate) scope: Scope,
    pub(crate) completeness: f64,
    pub(crate) gaps: Vec<String>,
    /// Of the period before: what is new beside one that nobody watched may be old.
    pub(crate) earlier_completeness: Option<f64>,
    /// Revision in force when it was made; 0 = none.
    pub(crate) revision: u64,
    /// Revision staged; 0 = none.
    pub(crate) staged: u64,
    /// SHA-256 of `data` as JSON without spaces, hex.
    pub(crate) sha256: String,
}

/// What of the window is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Scope {
    /// Only what has an end in one of these; empty = all.
    pub(crate) namespaces: BTreeSet<String>,
    /// What the asker may see at all; None = everything.
    pub(crate) granted: Option<BTreeSet<String>>,
    /// Only what has an end within these.
    pub(crate) within: Vec<String>,
    /// What was left out: `dns`, `probes`, `scrapes`, `noise`.
    pub(crate) hidden: Vec<String>,
}

impl Head {
    /// Whether all of what it is made of is known.
    pub(crate) fn is_whole(&self) -> bool {
        self.completeness >= 1.0 && self.earlier_completeness.is_none_or(|ratio| ratio >= 1.0)
    }
}

impl Scope {
    /// The scope of a question, for who may see the namespaces `granted`.
    pub(crate) fn of(question: &ReportQuestion, granted: Option<&BTreeSet<String>>) -> Self {
        let map = &question.map;
        let hidden = [
            (map.hide_dns, "dns"),
            (map.hide_probes, "probes"),
            (map.hide_scrapes, "scrapes"),
            (map.hide_noise, "noise"),
        ];
        Self {
            namespaces: map.namespaces.clone(),
            granted: granted.cloned(),
            within: map.within.iter().map(ToString::to_string).collect(),
            hidden: hidden
                .iter()
                .filter(|(is, _)| *is)
                .map(|(_, name)| (*name).to_owned())
                .collect(),
        }
    }

    /// In words.
    pub(crate) fn words(&self, language: ReportLanguage) -> String {
        let granted = self.granted.iter().flatten().filter(|_| self.namespaces.is_empty());
        let mut all: Vec<&str> =
            self.namespaces.iter().chain(granted).map(String::as_str).collect();
        all.extend(self.within.iter().map(String::as_str));
        if all.is_empty() { W::Everything.of(language).to_owned() } else { all.join(", ") }
    }
}

impl<T: Report> Document<T> {
    /// Makes it, and computes its digest.
    pub(crate) fn new(mut head: Head, data: T) -> Result<Self, Refusal> {
        let bytes = serde_json::to_vec(&data).map_err(encode)?;
        head.sha256 = hex(&Sha256::digest(&bytes));
        Ok(Self { head, data })
    }

    /// In the form that is asked for.
    pub(crate) fn encode(
        &self,
        format: ReportFormat,
        language: ReportLanguage,
    ) -> Result<Bytes, Refusal> {
        match format {
            ReportFormat::Json => serde_json::to_vec(self).map(Bytes::from).map_err(encode),
            ReportFormat::Csv => {
                Ok(Bytes::from(csv::csv(&self.head, &self.data.sheets(), language)))
            }
            ReportFormat::Html => {
                Ok(Bytes::from(html::html(&self.head, &self.data.sheets(), language)))
            }
        }
    }
}

fn encode(error: serde_json::Error) -> Refusal {
    Refusal::Unavailable(format!("not encoded: {error}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The head in words, each with its name: the same in all forms for people.
pub(super) fn lines(head: &Head, language: ReportLanguage) -> Vec<(&'static str, String)> {
    let range = |range: &TimeRange| format!("{} – {}", range.from, range.to);
    let revision = |number: u64| match number {
        0 => W::NoneInForce.of(language).to_owned(),
        number => number.to_string(),
    };
    let mut all = vec![
        (W::Cluster, head.cluster.to_string()),
        (W::Window, range(&head.window)),
        (W::ScopeWord, head.scope.words(language)),
        (W::Completeness, completeness(head.completeness)),
        (W::Revision, revision(head.revision)),
        (W::Staged, revision(head.staged)),
        (W::Generated, head.generated.to_string()),
        (W::By, head.by.clone()),
        (W::Version, format!("sekisho {}", head.version)),
        (W::Digest, head.sha256.clone()),
    ];
    if let Some(earlier) = &head.earlier {
        all.insert(2, (W::Before, range(earlier)));
        let ratio = head.earlier_completeness.unwrap_or_default();
        all.insert(3, (W::BeforeComplete, completeness(ratio)));
    }
    if !head.scope.hidden.is_empty() {
        all.insert(3, (W::LeftOut, head.scope.hidden.join(", ")));
    }
    if !head.gaps.is_empty() {
        all.push((W::Gaps, head.gaps.join("; ")));
    }
    all.into_iter().map(|(word, text)| (word.of(language), text)).collect()
}

/// A ratio as a percentage, rounded down: what is not whole is never told as whole.
pub(super) fn completeness(ratio: f64) -> String {
    format!("{:.1} %", (ratio * 1_000.0).floor() / 10.0)
}

/// The documents there are, as a client reads them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum AnyDocument {
    /// See [`Segmentation`].
    Segmentation(Document<Segmentation>),
    /// See [`Connectivity`].
    Connectivity(Document<Connectivity>),
    /// See [`Changes`].
    Changes(Document<Changes>),
}

impl AnyDocument {
    /// Reads the JSON of a report of this kind.
    pub(crate) fn read(kind: ReportKind, text: &[u8]) -> serde_json::Result<Self> {
        match kind {
            ReportKind::Segmentation => serde_json::from_slice(text).map(Self::Segmentation),
            ReportKind::Connectivity => serde_json::from_slice(text).map(Self::Connectivity),
            ReportKind::Changes => serde_json::from_slice(text).map(Self::Changes),
        }
    }

    /// Its head and what it shows.
    pub(crate) fn parts(&self) -> (&Head, Vec<Sheet>) {
        match self {
            Self::Segmentation(one) => (&one.head, one.data.sheets()),
            Self::Connectivity(one) => (&one.head, one.data.sheets()),
            Self::Changes(one) => (&one.head, one.data.sheets()),
        }
    }
}
