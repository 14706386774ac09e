//! Reports for people who were not there: what is asked, in what form, and how a browser may show it.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use axum::http::HeaderValue;
use sekisho_model::TimeRange;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::endpoints::{CLUSTER, NAMESPACE, NOISE, Parameter, WINDOW, get, look_at, may};
use super::parameters::{Asked, wrong};
use super::question::MapQuestion;
use super::{Access, Endpoint, Question};
use crate::Refusal;

/// The style of a report as a document: in its head, and nowhere else.
pub const REPORT_STYLE: &str = include_str!("report.css");

/// What a report may load and run: its own style, and nothing else (CSP Level 3).
pub static REPORT_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = base64(&Sha256::digest(REPORT_STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
});

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// How far workloads and connections are covered by policies.
    Segmentation,
    /// Every connection of a scope, and what policies say of it.
    Connectivity,
    /// What a period brought: edges, revisions, images, calls.
    Changes,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportFormat {
    /// For programs.
    #[default]
    Json,
    /// For spreadsheets (RFC 4180).
    Csv,
    /// To read, to print and to keep.
    Html,
}

/// The language of a report for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportLanguage {
    /// English.
    #[default]
    En,
    /// Japanese.
    Ja,
}

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportQuestion {
    /// What about.
    pub kind: ReportKind,
    /// Cluster, window and scope; by workload.
    pub map: MapQuestion,
    /// With what the window is compared; for changes only.
    pub earlier: Option<TimeRange>,
    /// In what form.
    pub format: ReportFormat,
    /// In what language.
    pub language: ReportLanguage,
}

impl ReportKind {
    /// Its name in addresses and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Segmentation => "segmentation",
            Self::Connectivity => "connectivity",
            Self::Changes => "changes",
        }
    }
}

impl fmt::Display for ReportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl ReportFormat {
    /// Its name in addresses and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }

    fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

impl FromStr for ReportFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Json, Self::Csv, Self::Html];
        let found = all.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not one of json, csv, html"))
    }
}

impl ReportLanguage {
    /// As documents name it (BCP 47).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ja => "ja",
        }
    }
}

impl FromStr for ReportLanguage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = [Self::En, Self::Ja].into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not one of en, ja"))
    }
}

/// How an answer is told to a browser.
pub(crate) struct Media {
    pub(crate) kind: &'static str,
    /// Name of the file; None = it is no file.
    pub(crate) name: Option<HeaderValue>,
    /// What it may load, where that is not what the console may.
    pub(crate) policy: Option<HeaderValue>,
}

impl Media {
    /// How the answer to `question` is told.
    pub(crate) fn of(question: &Question) -> Self {
        let plain = |kind| Self { kind, name: None, policy: None };
        match question {
            Question::Recommend(of) if of.yaml => plain("application/yaml"),
            Question::Report(of) => {
                // A page is looked at, a table is taken along.
                let way = if of.format == ReportFormat::Csv { "attachment" } else { "inline" };
                let file = format!("sekisho-{}.{}", of.kind, of.format.as_str());
                let name = HeaderValue::try_from(format!("{way}; filename=\"{file}\"")).ok();
                let policy = match of.format {
                    ReportFormat::Html => HeaderValue::try_from(REPORT_POLICY.as_str()).ok(),
                    ReportFormat::Json | ReportFormat::Csv => None,
                };
                Self { kind: of.format.media(), name, policy }
            }
            _json => plain("application/json"),
        }
    }
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4_usize {
            let index = (bits >> (18 - 6 * place)) & 63;
            let letter = LETTERS.get(index as usize).copied().map_or('=', char::from);
            text.push(if place <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

const SCOPE: &[Parameter] = &[may(
    "within",
    r#"{"type":"array","items":{"type":"string"}}"#,
    "Only what has an end within this node of the map (`cart[Application]`, \
     `shop/cart[Deployment]`); given several times: within all of them.",
)];
const EARLIER: &[Parameter] = &[
    may(
        "earlier_from",
        r#"{"type":"string"}"#,
        "Start of the period before; as long as the window if absent.",
    ),
    may(
        "earlier_to",
        r#"{"type":"string"}"#,
        "End of the period before; where the window begins if absent.",
    ),
];
const FORM: &[Parameter] = &[
    may(
        "format",
        r#"{"type":"string","enum":["json","csv","html"],"default":"json"}"#,
        "Form of the answer.",
    ),
    may(
        "lang",
        r#"{"type":"string","enum":["en","ja"],"default":"en"}"#,
        "Language of csv and html.",
    ),
];

/// What rules let through, and the reports, in the order of the document.
pub(super) fn reports() -> [Endpoint; 4] {
    let viewer = Access::Viewer;
    [
        look_at(
            "/policies/rules",
            viewer,
            (
                "What of history each of their rules let through, and which are shadowed.",
                "RuleHits",
            ),
            &[CLUSTER, WINDOW],
            |asked| asked.rules().map(Question::RuleHits),
        ),
        get(
            "/reports/segmentation",
            viewer,
            ("How far workloads and connections are covered by policies.", "SegmentationReport"),
            &[CLUSTER, WINDOW, NAMESPACE, NOISE, FORM],
            |asked| asked.report(ReportKind::Segmentation),
        ),
        get(
            "/reports/connectivity",
            viewer,
            (
                "Evidence for auditors: every edge of a scope, and which policy and rule decides it.",
                "ConnectivityReport",
            ),
            &[CLUSTER, WINDOW, NAMESPACE, NOISE, SCOPE, FORM],
            |asked| asked.report(ReportKind::Connectivity),
        ),
        get(
            "/reports/changes",
            viewer,
            (
                "What a period brought: edges, revisions, images, and to operators the audit log.",
                "ChangesReport",
            ),
            &[CLUSTER, WINDOW, EARLIER, NAMESPACE, NOISE, SCOPE, FORM],
            |asked| asked.report(ReportKind::Changes),
        ),
    ]
}

impl Asked<'_> {
    /// A report.
    fn report(&self, kind: ReportKind) -> Result<Question, Refusal> {
        let map = self.map()?;
        let earlier = match kind {
            ReportKind::Changes => Some(self.earlier(map.range)?),
            ReportKind::Segmentation | ReportKind::Connectivity => None,
        };
        let format = self.parsed("format")?.unwrap_or_default();
        let language = self.parsed("lang")?.unwrap_or_default();
        Ok(Question::Report(Box::new(ReportQuestion { kind, map, earlier, format, language })))
    }
}

/// Reads a question for a report by its kind and query, as the endpoint of that name does.
pub(crate) fn report_question(kind: &str, asked: &Asked<'_>) -> Result<Question, Refusal> {
    let all = [ReportKind::Segmentation, ReportKind::Connectivity, ReportKind::Changes];
    let place = |own: ReportKind| {
        let path = format!("/reports/{own}");
        reports().into_iter().find(|endpoint| endpoint.path == path).map(|endpoint| (own, endpoint))
    };
    let own = all.into_iter().find(|own| own.as_str() == kind);
    let Some((kind, endpoint)) = own.and_then(place) else {
        return Err(wrong(
            "kind",
            format!("`{kind}` is not one of segmentation, connectivity, changes"),
        ));
    };
    asked.only(endpoint.parameters.iter().copied().flatten().map(|parameter| parameter.name))?;
    asked.report(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded, "{plain}");
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn a_report_runs_nothing_and_loads_nothing() {
        assert!(REPORT_POLICY.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(!REPORT_STYLE.contains("url(") && !REPORT_STYLE.contains("</"));
    }
}
