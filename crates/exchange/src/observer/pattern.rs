//! Patterns of DNS names and of nodes, as Hubble's filters have them: `*` stands for letters, digits,
//! `-` and `.` (cilium pkg/hubble/filters/patterns.go).

/// A pattern of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(String);

/// A pattern of `cluster/node`; a part that is not given stands for any name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodePattern {
    cluster: Option<Pattern>,
    node: Option<Pattern>,
}

impl Pattern {
    /// Reads one; upper case is as lower case, and one dot at the end says nothing.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if text.is_empty() || text.ends_with('.') {
            return Err(format!("`{text}` is no pattern of a name"));
        }
        let is = |c: char| matches!(c, '.' | '*' | '-' | '_' | '0'..='9' | 'a'..='z');
        match text.chars().find(|c| !is(*c)) {
            Some(other) => Err(format!("`{other}` can't stand in a pattern of a name")),
            None => Ok(Self(text)),
        }
    }

    /// Whether it means `name`, which is in lower case.
    pub(super) fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut seen) = (0, 0);
        // Where the last star stands, and up to where it was stretched.
        let mut star: Option<(usize, usize)> = None;
        while let Some(byte) = name.get(seen) {
            match (pattern.get(at), star) {
                (Some(b'*'), _) => {
                    star = Some((at, seen));
                    at += 1;
                }
                (Some(wanted), _) if wanted == byte => (at, seen) = (at + 1, seen + 1),
                (_, Some((place, end))) => {
                    if !name.get(end).is_some_and(|byte| is_starred(*byte)) {
                        return false;
                    }
                    star = Some((place, end + 1));
                    (at, seen) = (place + 1, end + 1);
                }
                (_, None) => return false,
            }
        }
        pattern.iter().skip(at).all(|byte| *byte == b'*')
    }
}

fn is_starred(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z')
}

impl NodePattern {
    /// Reads `node`, `cluster/node`, `cluster/` or `/node`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let part = |text: &str| match text {
            "" => Ok(None),
            _ => Pattern::parse(text).map(Some),
        };
        match text.split('/').collect::<Vec<_>>().as_slice() {
            [""] => Err("a pattern of a node that is empty".to_owned()),
            [node] => Ok(Self { cluster: None, node: part(node)? }),
            [cluster, node] => Ok(Self { cluster: part(cluster)?, node: part(node)? }),
            _ => Err(format!("`{text}` has more than one `/`: CLUSTER/NODE")),
        }
    }

    /// Whether it means the node `name`, which is `cluster/node`.
    pub(super) fn matches(&self, name: &str) -> bool {
        let Some((cluster, node)) = name.split_once('/') else { return false };
        let means = |pattern: &Option<Pattern>, name| {
            pattern.as_ref().is_none_or(|pattern| pattern.matches(name))
        };
        means(&self.cluster, cluster) && means(&self.node, node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_part_of_a_name() {
        for (pattern, name, expected) in [
            ("api.example", "api.example", true),
            ("API.example.", "api.example", true),
            ("*.example", "api.v2.example", true),
            ("*.example", "example", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("*a*a", "aaba", true),
            ("*", "", true),
            ("a", "ab", false),
            ("ab", "a", false),
            // A star stands for no underscore; one that is written does.
            ("*x", "a_x", false),
            ("*_x", "a_x", true),
        ] {
            assert_eq!(
                Pattern::parse(pattern).unwrap().matches(name),
                expected,
                "{pattern} {name}"
            );
        }
        for wrong in ["", ".", "a..", "a b", "a/b", "é"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_node_is_meant_with_or_without_its_cluster() {
        for (pattern, expected) in [
            ("node-1", true),
            ("node-*", true),
            ("node-2", false),
            ("east/", true),
            ("east/node-1", true),
            ("west/", false),
            ("/node-1", true),
        ] {
            let pattern = NodePattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches("east/node-1"), expected, "{pattern:?}");
        }
        assert!(NodePattern::parse("").is_err() && NodePattern::parse("a/b/c").is_err());
    }
}
