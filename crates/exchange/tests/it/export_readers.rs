//! Readers of the formats that go out, written from their specifications and not from the writers.

use std::collections::BTreeMap;

/// Rows of CSV (RFC 4180): cells by the names of the first row.
pub(crate) fn csv(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut rows = vec![vec![String::new()]];
    let mut inside = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let row = rows.last_mut().unwrap();
        match c {
            '"' if inside && chars.peek() == Some(&'"') => {
                chars.next();
                row.last_mut().unwrap().push('"');
            }
            '"' => inside = !inside,
            ',' if !inside => row.push(String::new()),
            '\r' if !inside && chars.peek() == Some(&'\n') => {
                chars.next();
                rows.push(vec![String::new()]);
            }
            other => row.last_mut().unwrap().push(other),
        }
    }
    assert!(!inside, "an open quote: {text}");
    assert_eq!(rows.pop(), Some(vec![String::new()]), "the last line has an end");
    let head = rows.remove(0);
    let named = |row: Vec<String>| {
        assert_eq!(row.len(), head.len(), "{row:?}");
        head.iter().cloned().zip(row).collect()
    };
    rows.into_iter().map(named).collect()
}

/// A record of CEF: the seven fields of its head, and its extension.
pub(crate) fn cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut fields = vec![String::new()];
    let mut chars = line.strip_prefix("CEF:").unwrap().chars();
    while fields.len() < 8 {
        match chars.next().unwrap() {
            '\\' => {
                let escaped = chars.next().unwrap();
                assert!(matches!(escaped, '\\' | '|'), "{line}");
                fields.last_mut().unwrap().push(escaped);
            }
            '|' => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    fields.pop();
    (fields, extension(chars.as_str()))
}

/// `key=value key=value`: a key is the word before a `=` that nothing escapes.
fn extension(text: &str) -> BTreeMap<String, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next().unwrap() {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                // Kept apart from a `=` that divides until the pair is whole.
                escaped => {
                    assert!(matches!(escaped, '\\' | '='), "{text}");
                    value.push(escaped);
                }
            },
            '=' => {
                let (before, key) = value.rsplit_once(' ').unwrap_or(("", &value));
                assert!(key.bytes().all(|b| b.is_ascii_alphanumeric()), "{key} in {text}");
                if let Some(last) = pairs.last_mut() {
                    before.clone_into(&mut last.1);
                }
                pairs.push((key.to_owned(), String::new()));
                value = String::new();
            }
            other => value.push(other),
        }
    }
    pairs.last_mut().unwrap().1 = value;
    let count = pairs.len();
    let map: BTreeMap<_, _> = pairs.into_iter().collect();
    assert_eq!(map.len(), count, "a key stands twice: {text}");
    map
}

/// A record of LEEF 2.0: the fields of its head, and its attributes.
pub(crate) fn leef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let fields: Vec<&str> = line.splitn(7, '|').collect();
    let hex = fields[5].strip_prefix('x').unwrap();
    let delimiter = char::from(u8::from_str_radix(hex, 16).unwrap());
    let pair = |text: &str| {
        let (key, value) = text.split_once('=').unwrap();
        (key.to_owned(), value.to_owned())
    };
    let attributes = fields[6].split(delimiter).map(pair).collect();
    (fields[..6].iter().map(ToString::to_string).collect(), attributes)
}
