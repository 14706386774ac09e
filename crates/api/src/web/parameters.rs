//! Query parameters and bodies, read strictly: what is not understood is refused by name, never
//! ignored, since an answer to another question looks like one to this.

use std::collections::BTreeSet;
use std::str::FromStr;

use sekisho_flow::FlowFilter;
use sekisho_map::{Order, Within};
use sekisho_model::{TimeRange, Timestamp, When};
use serde::Deserialize;

use super::UploadQuestion;
use super::question::{
    ApplyQuestion, HistoryPlace, HistoryQuestion, MapQuestion, RecommendQuestion, RollbackQuestion,
    RuleHitsQuestion, TemplatesQuestion, WhatIfQuestion,
};
use crate::{PolicyFile, Refusal};

/// Window where none is asked for, seconds: a day.
const WINDOW_S: u64 = 86_400;
/// Unchanged edges that a report lists where nothing is said.
const UNCHANGED: u64 = 1_000;
/// Nodes that an edge must be within at most.
const WITHIN_MAX: usize = 8;

/// What was asked, as it came.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// Time now.
    pub(crate) now: Timestamp,
    /// Names and values of the query, decoded.
    pub(crate) query: &'a [(String, String)],
    /// The part of the path that is a name.
    pub(crate) name: &'a str,
    /// The body; empty if there is none.
    pub(crate) body: &'a [u8],
}

pub(crate) fn wrong(name: &str, why: impl std::fmt::Display) -> Refusal {
    Refusal::Invalid(format!("parameter `{name}`: {why}"))
}

impl Asked<'_> {
    /// Refuses parameters that are not among `known`.
    pub(crate) fn only(&self, known: impl Iterator<Item = &'static str>) -> Result<(), Refusal> {
        let known: BTreeSet<&str> = known.collect();
        match self.query.iter().find(|(name, _)| !known.contains(name.as_str())) {
            None => Ok(()),
            Some((name, _)) if known.is_empty() => {
                Err(wrong(name, "there is none of this name, nor any other here"))
            }
            Some((name, _)) => {
                let known: Vec<&str> = known.into_iter().collect();
                Err(wrong(name, format!("there is none of this name, but {}", known.join(", "))))
            }
        }
    }

    /// Reads which file is handed in.
    pub(crate) fn upload(&self) -> Result<UploadQuestion, Refusal> {
        Ok(UploadQuestion {
            cluster: self.parsed("cluster")?,
            name: self.needed("name")?,
            format: self.text("format")?.map(str::to_owned),
        })
    }

    /// The value of a parameter that may be given once; an empty one is none.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.query.iter().filter(|(own, _)| own == name).map(|(_, value)| value);
        let first = values.next();
        if values.next().is_some() {
            return Err(wrong(name, "given twice"));
        }
        Ok(first.map(String::as_str).filter(|value| !value.is_empty()))
    }

    /// As [`Asked::text`], of a parameter that must be given.
    pub(crate) fn needed(&self, name: &str) -> Result<String, Refusal> {
        let value = self.text(name)?;
        value.map(str::to_owned).ok_or_else(|| wrong(name, "must be given"))
    }

    /// All values of a parameter that may be given several times.
    pub(crate) fn each(&self, name: &str) -> BTreeSet<String> {
        let values = self.query.iter().filter(|(own, value)| own == name && !value.is_empty());
        values.map(|(_, value)| value.clone()).collect()
    }

    pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Refusal> {
        let value = self.text(name)?;
        value.map(|text| text.parse().map_err(|cause: T::Err| wrong(name, cause))).transpose()
    }

    /// A number between `least` and `most`.
    pub(crate) fn number(
        &self,
        name: &str,
        (least, usual, most): (usize, usize, usize),
    ) -> Result<usize, Refusal> {
        let number = self.parsed::<usize>(name)?.unwrap_or(usual);
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        Err(wrong(name, format!("{number} is not between {least} and {most}")))
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.text(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(wrong(name, format!("`{other}` is not true or false"))),
        }
    }

    fn time(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        Ok(self.parsed::<When>(name)?.map(|when| when.at(self.now)))
    }

    /// The window: `since` or `from` to `to`; the last day if none is asked for.
    pub(crate) fn range(&self) -> Result<TimeRange, Refusal> {
        let since = match self.text("since")? {
            Some("all") => Some(Timestamp::EPOCH),
            Some(_) | None => self.time("since")?,
        };
        let from = match (since, self.time("from")?) {
            (Some(_), Some(_)) => return Err(wrong("since", "given beside `from`")),
            (Some(from), None) | (None, Some(from)) => from,
            (None, None) => self.now.minus_seconds(WINDOW_S),
        };
        let to = self.time("to")?.unwrap_or(Timestamp::MAX);
        if from >= to {
            return Err(wrong("to", format!("the window from {from} to {to} is empty")));
        }
        Ok(TimeRange { from, to })
    }

    fn within(&self) -> Result<Vec<Within>, Refusal> {
        let ids = self.each("within");
        if ids.len() > WITHIN_MAX {
            return Err(wrong("within", format!("given more than {WITHIN_MAX} times")));
        }
        ids.iter().map(|id| id.parse().map_err(|cause| wrong("within", cause))).collect()
    }

    /// What is asked of a map.
    pub(crate) fn map(&self) -> Result<MapQuestion, Refusal> {
        let order = match self.text("order")? {
            None => None,
            Some("connections") => Some(Order::Connections),
            Some("bytes") => Some(Order::Bytes),
            Some("resets") => Some(Order::Resets),
            Some("newest") => Some(Order::Newest),
            Some(other) => {
                let words = "connections, bytes, resets, newest";
                return Err(wrong("order", format!("`{other}` is not one of {words}")));
            }
        };
        let top = match self.text("top")? {
            Some(_) => Some(self.number("top", (1, 1, 1_000_000))?),
            None => None,
        };
        Ok(MapQuestion {
            cluster: self.parsed("cluster")?,
            range: self.range()?,
            grouping: self.parsed("by")?.unwrap_or_default(),
            hide_dns: self.flag("hide_dns")?,
            hide_probes: self.flag("hide_probes")?,
            hide_scrapes: self.flag("hide_scrapes")?,
            hide_noise: self.flag("hide_noise")?,
            namespaces: self.each("namespace"),
            within: self.within()?,
            top,
            order,
        })
    }

    /// The earlier window of a comparison: it ends where the later one begins, and is as long, unless
    /// something else is said.
    pub(crate) fn earlier(&self, later: TimeRange) -> Result<TimeRange, Refusal> {
        let to = self.time("earlier_to")?.unwrap_or(later.from);
        let long_s = later.to.min(self.now).seconds_since(later.from);
        let from = self.time("earlier_from")?.unwrap_or_else(|| to.minus_seconds(long_s));
        if from >= to {
            return Err(wrong("earlier_to", format!("the window from {from} to {to} is empty")));
        }
        Ok(TimeRange { from, to })
    }

    /// Which flows.
    pub(crate) fn filter(&self) -> Result<FlowFilter, Refusal> {
        let owned = |name| self.text(name).map(|text| text.map(str::to_owned));
        Ok(FlowFilter {
            from_pod: owned("from_pod")?,
            to_pod: owned("to_pod")?,
            pod: owned("pod")?,
            from_namespace: owned("from_namespace")?,
            to_namespace: owned("to_namespace")?,
            namespace: owned("namespace")?,
            from_workload: owned("from_workload")?,
            to_workload: owned("to_workload")?,
            workload: owned("workload")?,
            from_ip: self.parsed("from_ip")?,
            to_ip: self.parsed("to_ip")?,
            to_fqdn: owned("to_fqdn")?,
            to_port: self.parsed("to_port")?,
            protocol: self.parsed("protocol")?,
            verdict: self.parsed("verdict")?,
            process: owned("process")?,
            decided_by: owned("decided_by")?,
        })
    }

    /// Edges of history.
    pub(crate) fn history(&self, limit: (usize, usize, usize)) -> Result<HistoryQuestion, Refusal> {
        let after: Option<HistoryPlace> = self.parsed("after")?;
        let range = self.range()?;
        let to = after.map_or(range.to, |place| place.to.min(range.to));
        Ok(HistoryQuestion {
            cluster: self.parsed("cluster")?,
            range: TimeRange { from: range.from, to },
            filter: self.filter()?,
            order: self.parsed("order")?.unwrap_or_default(),
            after,
            limit: self.number("limit", limit)?,
        })
    }

    /// A recommendation.
    pub(crate) fn recommend(&self) -> Result<RecommendQuestion, Refusal> {
        let template = self.text("template")?.unwrap_or("least-privilege").to_owned();
        let settings = self.query.iter().filter(|(name, _)| name == "set");
        let settings: Result<Vec<(String, String)>, Refusal> = settings
            .map(|(_, text)| match text.split_once('=') {
                Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
                None => Err(wrong("set", format!("`{text}` is not KEY=VALUE"))),
            })
            .collect();
        let yaml = match self.text("format")? {
            None | Some("json") => false,
            Some("yaml") => true,
            Some(other) => {
                return Err(wrong("format", format!("`{other}` is not one of json, yaml")));
            }
        };
        Ok(RecommendQuestion {
            cluster: self.parsed("cluster")?,
            range: self.range()?,
            namespaces: self.each("namespace"),
            workload: self.text("workload")?.map(str::to_owned),
            template,
            settings: settings?,
            yaml,
        })
    }

    /// The templates.
    pub(crate) fn templates(&self) -> Result<TemplatesQuestion, Refusal> {
        Ok(TemplatesQuestion {
            cluster: self.parsed("cluster")?,
            range: self.range()?,
            label: self.text("label")?.map(str::to_owned),
        })
    }

    /// What rules let through.
    pub(crate) fn rules(&self) -> Result<RuleHitsQuestion, Refusal> {
        Ok(RuleHitsQuestion { cluster: self.parsed("cluster")?, range: self.range()? })
    }

    /// The body, read strictly.
    pub(crate) fn json<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(self.body)
            .map_err(|cause| Refusal::Invalid(format!("the body is not as it must be: {cause}")))
    }

    /// The policies of a what-if, and how they are to come into force.
    pub(crate) fn apply(&self) -> Result<ApplyQuestion, Refusal> {
        let body: ApplyBody = self.json()?;
        let what_if = WhatIfQuestion {
            cluster: self.parsed("cluster")?,
            range: self.since(body.since.as_deref())?,
            files: body.files,
            prune: body.prune,
            unchanged_max: UNCHANGED,
        };
        Ok(ApplyQuestion {
            what_if,
            accept: body.accept,
            max_would_block: body.max_would_block,
            max_uncertain: body.max_uncertain,
            allow_partial: body.allow_partial,
            cut: body.cut,
        })
    }

    /// The policies of a what-if.
    pub(crate) fn what_if(&self) -> Result<WhatIfQuestion, Refusal> {
        let body: WhatIfBody = self.json()?;
        Ok(WhatIfQuestion {
            cluster: self.parsed("cluster")?,
            range: self.since(body.since.as_deref())?,
            files: body.files,
            prune: body.prune,
            unchanged_max: body.unchanged_max.unwrap_or(UNCHANGED),
        })
    }

    /// History from the field `since` on.
    fn since(&self, since: Option<&str>) -> Result<TimeRange, Refusal> {
        let from = match since {
            None => self.now.minus_seconds(WINDOW_S),
            Some("all") => Timestamp::EPOCH,
            Some(text) => {
                let when: Result<When, _> = text.parse();
                when.map_err(|why| Refusal::Invalid(format!("field `since`: {why}")))?.at(self.now)
            }
        };
        Ok(TimeRange { from, to: Timestamp::MAX })
    }

    /// Which revision to go back to.
    pub(crate) fn rollback(&self) -> Result<RollbackQuestion, Refusal> {
        let body: RollbackBody = self.json()?;
        Ok(RollbackQuestion { cluster: self.parsed("cluster")?, revision: body.revision })
    }

    /// A token to be made.
    pub(crate) fn new_token(&self) -> Result<super::NewToken, Refusal> {
        self.json()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhatIfBody {
    files: Vec<PolicyFile>,
    #[serde(default)]
    prune: bool,
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    unchanged_max: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyBody {
    files: Vec<PolicyFile>,
    #[serde(default)]
    prune: bool,
    #[serde(default)]
    since: Option<String>,
    #[serde(default)]
    accept: Vec<String>,
    #[serde(default)]
    max_would_block: u64,
    #[serde(default)]
    max_uncertain: u64,
    #[serde(default)]
    allow_partial: bool,
    #[serde(default)]
    cut: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    #[serde(default)]
    revision: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<T>(
        query: &[(&str, &str)],
        read: impl FnOnce(&Asked<'_>) -> Result<T, Refusal>,
    ) -> Result<T, String> {
        let query: Vec<(String, String)> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let now = Timestamp::from_seconds(100_000);
        let asked = Asked { now, query: &query, name: "", body: b"" };
        read(&asked).map_err(|refusal| refusal.to_string())
    }

    fn body<T>(
        text: &str,
        read: impl FnOnce(&Asked<'_>) -> Result<T, Refusal>,
    ) -> Result<T, String> {
        let now = Timestamp::from_seconds(100_000);
        let asked = Asked { now, query: &[], name: "", body: text.as_bytes() };
        read(&asked).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_window_is_the_last_day_unless_something_else_is_said() {
        let seconds = |query: &[(&str, &str)]| {
            let range = asked(query, |asked| asked.range())?;
            Ok::<_, String>((range.from.nanos() / 1_000_000_000, range.to == Timestamp::MAX))
        };
        assert_eq!(seconds(&[]), Ok((13_600, true)));
        assert_eq!(seconds(&[("since", "1h")]), Ok((96_400, true)));
        assert_eq!(seconds(&[("since", "all")]), Ok((0, true)));
        assert_eq!(seconds(&[("from", "2h"), ("to", "1h")]), Ok((92_800, false)));
        for wrong in [
            [("since", "1h"), ("from", "2h")],
            [("from", "1h"), ("to", "2h")],
            [("since", "soon"), ("to", "")],
            [("since", "1h"), ("since", "1h")],
        ] {
            assert!(seconds(&wrong).unwrap_err().contains("parameter `"), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let known = || ["by", "since"].into_iter();
        assert!(asked(&[("by", "pod")], |asked| asked.only(known())).is_ok());
        let text = asked(&[("buy", "pod")], |asked| asked.only(known())).unwrap_err();
        assert_eq!(text, "parameter `buy`: there is none of this name, but by, since");
        for (name, value) in [
            ("by", "planet"),
            ("by", "label:a b"),
            ("within", "shop"),
            ("hide_dns", "yes"),
            ("top", "0"),
            ("order", "beauty"),
            ("cluster", "No Name"),
        ] {
            let text = asked(&[(name, value)], |asked| asked.map()).unwrap_err();
            assert!(text.starts_with(&format!("parameter `{name}`: ")), "{text}");
        }
        let text = asked(&[("to_port", "70000")], |asked| asked.filter()).unwrap_err();
        assert!(text.starts_with("parameter `to_port`: "), "{text}");
    }

    #[test]
    fn a_what_if_takes_no_field_of_an_apply() {
        let files = r#""files":[{"name":"a.yaml","text":"x"}]"#;
        let read = body(&format!("{{{files}}}"), |asked| asked.what_if()).unwrap();
        assert_eq!((read.files[0].name.as_str(), read.unchanged_max), ("a.yaml", 1_000));
        let all = format!("{{{files},\"unchanged_max\":70000,\"since\":\"1h\"}}");
        let read = body(&all, |asked| asked.what_if()).unwrap();
        assert_eq!(read.unchanged_max, 70_000);
        assert_eq!(read.range.from, Timestamp::from_seconds(96_400));
        let with = format!("{{{files},\"accept\":[\"a\"],\"since\":\"1h\"}}");
        assert!(
            body(&with, |asked| asked.what_if()).unwrap_err().contains("unknown field `accept`")
        );
        let read = body(&with, |asked| asked.apply()).unwrap();
        assert_eq!(read.accept, ["a"]);
        assert_eq!(read.what_if.range.from, Timestamp::from_seconds(96_400));
        assert!(body("{", |asked| asked.apply()).unwrap_err().contains("EOF"));
        assert!(
            body(r#"{"files":[],"since":"x"}"#, |asked| asked.apply())
                .unwrap_err()
                .contains("`since`")
        );
    }
}
