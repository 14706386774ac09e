//! What people keep on the server for their maps: views with a name, and rules of what is noise.

use std::collections::BTreeMap;

use sekisho_flow::FlowFilter;
use sekisho_map::NoiseRule;
use sekisho_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::endpoints::FLOW;
use super::parameters::Asked;
use crate::Refusal;

/// Longest name, characters.
const NAME_MAX: usize = 80;
/// Longest address of a view, bytes.
const QUERY_MAX: usize = 4_096;
/// Longest value in a rule, bytes.
const VALUE_MAX: usize = 512;
/// What a rule can't ask for: it never hides what was or would be denied, whoever decided.
const NOT_NOISE: [&str; 2] = ["verdict", "decided_by"];

/// Something that is kept, with who may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept<T> {
    /// Unique on this server, and never given again.
    pub id: u64,
    /// What it is called.
    pub name: String,
    /// Whether all of this server see it, who have all namespaces; else its owner does.
    pub shared: bool,
    /// Token that made it.
    pub owner: String,
    /// When.
    pub created: Timestamp,
    /// What it is.
    #[serde(flatten)]
    pub what: T,
}

/// A view: the address of a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The query of the console's address: `by=pod&namespace=shop`.
    pub query: String,
}

/// Which connections are noise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noisy {
    /// Values by the name of a filter's parameter, as `GET /flows` has them.
    pub filter: BTreeMap<String, String>,
}

/// Something to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKept<T> {
    /// What it is to be called: 1 to 80 characters.
    pub name: String,
    /// Whether others are to see it.
    pub shared: bool,
    /// What it is.
    pub what: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewBody {
    name: String,
    #[serde(default)]
    shared: bool,
    query: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoiseBody {
    name: String,
    #[serde(default)]
    shared: bool,
    filter: BTreeMap<String, String>,
}

fn wrong(field: &str, why: &str) -> Refusal {
    Refusal::Invalid(format!("field `{field}`: {why}"))
}

fn name(text: &str) -> Result<String, Refusal> {
    let name = text.trim();
    let is_plain = name.chars().all(|letter| !letter.is_control());
    match !name.is_empty() && name.chars().count() <= NAME_MAX && is_plain {
        true => Ok(name.to_owned()),
        false => Err(wrong("name", &format!("1 to {NAME_MAX} characters, no control characters"))),
    }
}

impl Asked<'_> {
    /// A view to be kept.
    pub(crate) fn new_view(&self) -> Result<NewKept<View>, Refusal> {
        let body: ViewBody = self.json()?;
        if body.query.len() > QUERY_MAX {
            return Err(wrong("query", &format!("more than {QUERY_MAX} bytes")));
        }
        if !body.query.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(wrong("query", "not as it stands in an address, percent-encoded"));
        }
        Ok(NewKept {
            name: name(&body.name)?,
            shared: body.shared,
            what: View { query: body.query },
        })
    }

    /// A rule to be kept.
    pub(crate) fn new_noise(&self) -> Result<NewKept<Noisy>, Refusal> {
        let body: NoiseBody = self.json()?;
        let what = Noisy { filter: body.filter };
        let filter = what.filter(self.now).map_err(|cause| wrong("filter", &cause.to_string()))?;
        if filter == FlowFilter::default() {
            return Err(wrong("filter", "a rule that names nothing would hide all"));
        }
        Ok(NewKept { name: name(&body.name)?, shared: body.shared, what })
    }

    /// The number in the path.
    pub(crate) fn id(&self) -> Result<u64, Refusal> {
        let unknown = || Refusal::Unknown(format!("there is nothing with the id `{}`", self.name));
        self.name.parse().map_err(|_cause| unknown())
    }
}

impl Noisy {
    /// The filter, read as the parameters of `GET /flows` are.
    fn filter(&self, now: Timestamp) -> Result<FlowFilter, Refusal> {
        let query: Vec<(String, String)> =
            self.filter.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some((name, _)) = query.iter().find(|(_, value)| value.len() > VALUE_MAX) {
            let text = format!("the value of `{name}` has more than {VALUE_MAX} bytes");
            return Err(Refusal::Invalid(text));
        }
        let asked = Asked { now, query: &query, name: "", body: b"" };
        let names = FLOW.iter().map(|parameter| parameter.name);
        asked.only(names.filter(|name| !NOT_NOISE.contains(name)))?;
        asked.filter()
    }
}

impl Kept<Noisy> {
    /// The rule, for a map; None if it is of a later version, with words that are not known here.
    #[must_use]
    pub fn rule(&self) -> Option<NoiseRule> {
        let filter = self.what.filter(self.created).ok()?;
        Some(NoiseRule { name: self.name.clone(), filter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<T>(
        body: &str,
        read: impl FnOnce(&Asked<'_>) -> Result<T, Refusal>,
    ) -> Result<T, String> {
        let now = Timestamp::from_seconds(1);
        let asked = Asked { now, query: &[], name: "x", body: body.as_bytes() };
        read(&asked).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_rule_names_what_it_hides_and_never_a_verdict() {
        let rule = |filter: &str| {
            let body = format!("{{\"name\":\"scrape\",\"filter\":{filter}}}");
            asked(&body, |asked| asked.new_noise())
        };
        assert!(rule(r#"{"to_port":"9100","process":"*exporter"}"#).is_ok());
        for (filter, words) in [
            ("{}", "would hide all"),
            (r#"{"to_port":""}"#, "would hide all"),
            (r#"{"verdict":"denied"}"#, "`verdict`"),
            (r#"{"decided_by":"a/b"}"#, "`decided_by`"),
            (r#"{"colour":"red"}"#, "`colour`"),
            (r#"{"to_port":"70000"}"#, "`to_port`"),
        ] {
            let text = rule(filter).unwrap_err();
            assert!(text.contains("field `filter`") && text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_view_is_an_address_with_a_name() {
        let view = |name: &str, query: &str| {
            let body = serde_json::json!({ "name": name, "query": query }).to_string();
            asked(&body, |asked| asked.new_view())
        };
        assert_eq!(view(" 決済 ", "by=pod&namespace=shop").unwrap().name, "決済");
        for (name, query) in [("", "a=b"), ("\u{7}", "a=b"), ("a", "a b"), ("a", "<"), ("a", "\n")]
        {
            // `<` is graphic; it can't be in an address, but does no harm as text.
            assert_eq!(view(name, query).is_ok(), query == "<", "{name:?} {query:?}");
        }
        assert!(view(&"a".repeat(81), "").is_err());
        assert!(view("a", &"a".repeat(QUERY_MAX + 1)).is_err());
        assert!(asked("", |asked| asked.id()).is_err());
    }
}
