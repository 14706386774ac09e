//! Selectors of labels as Hubble's filters have them: those of `kubectl -l`, on keys that may begin
//! with the source of the label (`k8s:app`, `reserved:world`); without one, any source will do
//! (cilium pkg/hubble/filters/{labels,labelparser}.go; Kubernetes apimachinery labels.Parse).

/// All of its requirements must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    /// `k8s`, `reserved`; None = any.
    source: Option<String>,
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Selector {
    /// Reads one: `app=cart,tier!=db,env in (a,b),zone notin (c),!old`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |part: &str| format!("`{}` is no requirement of labels", part.trim());
        let parts = parts(text).ok_or_else(|| wrong(text))?;
        let read = |part: &str| Requirement::parse(part.trim()).ok_or_else(|| wrong(part));
        parts.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether labels such as `k8s:app=cart` are selected.
    pub(super) fn matches(&self, labels: &[String]) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

/// The parts between commas that stand in no brackets; None = brackets do not close. Nothing at all
/// has no parts, and selects everything.
fn parts(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut begin, mut open) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' if !open => open = true,
            ')' if open => open = false,
            '(' | ')' => return None,
            ',' if !open => {
                parts.push(text.get(begin..at)?);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if !text.trim().is_empty() {
        parts.push(text.get(begin..)?);
    }
    (!open).then_some(parts)
}

impl Requirement {
    fn parse(text: &str) -> Option<Self> {
        if let Some(key) = text.strip_prefix('!') {
            return Self::of(key.trim(), Test::Absent);
        }
        if let Some(rest) = text.strip_suffix(')') {
            let (head, values) = rest.split_once('(')?;
            let values = values.split(',').map(|value| value.trim().to_owned()).collect();
            let (key, word) = head.trim().rsplit_once(char::is_whitespace)?;
            return match word {
                "in" => Self::of(key.trim(), Test::In(values)),
                "notin" => Self::of(key.trim(), Test::NotIn(values)),
                _ => None,
            };
        }
        let value = |value: &str| vec![value.trim().to_owned()];
        if let Some((key, rest)) = text.split_once("!=") {
            return Self::of(key.trim(), Test::NotIn(value(rest)));
        }
        match text.split_once("==").or_else(|| text.split_once('=')) {
            Some((key, rest)) => Self::of(key.trim(), Test::In(value(rest))),
            None => Self::of(text, Test::Exists),
        }
    }

    fn of(key: &str, test: Test) -> Option<Self> {
        let (source, key) = match key.split_once(':') {
            Some(("any", key)) => (None, key),
            Some((source, key)) => (Some(source.to_owned()), key),
            None => (None, key),
        };
        let is = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let sound = !key.is_empty() && key.chars().all(is);
        sound.then(|| Self { source, key: key.to_owned(), test })
    }

    fn holds(&self, labels: &[String]) -> bool {
        let value = labels.iter().find_map(|label| {
            let (source, rest) = label.split_once(':').unwrap_or(("", label));
            let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
            let meant = self.source.as_deref().is_none_or(|wanted| wanted == source);
            (meant && key == self.key).then_some(value)
        });
        match (&self.test, value) {
            (Test::Exists, value) => value.is_some(),
            (Test::Absent, value) => value.is_none(),
            (Test::In(wanted), Some(value)) => wanted.iter().any(|one| one == value),
            (Test::In(_), None) => false,
            (Test::NotIn(refused), value) => {
                value.is_none_or(|value| !refused.iter().any(|one| one == value))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_requirement_selects_what_it_says() {
        let labels = ["k8s:app=cart", "k8s:env=prod", "reserved:world"].map(str::to_owned);
        for (text, expected) in [
            ("", true),
            ("app=cart", true),
            ("app==cart", true),
            ("k8s:app=cart", true),
            ("any:app = cart", true),
            ("other:app=cart", false),
            ("app=bank", false),
            ("app!=bank", true),
            ("zone!=a", true),
            ("app!=cart", false),
            ("app in (bank, cart),env=prod", true),
            ("app in (bank),env=prod", false),
            ("app notin (bank)", true),
            ("app notin (cart,bank)", false),
            ("app", true),
            ("zone", false),
            ("!zone", true),
            ("!app", false),
            ("reserved:world", true),
            ("reserved:host", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&labels), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_its_part() {
        for text in ["a in (b", "a in b)", "(a)", "a is (b)", "=b", "a,,b", "a b", "a in ((b))"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
        assert!(Selector::parse("app=x,a b").unwrap_err().contains("`a b`"));
    }
}
