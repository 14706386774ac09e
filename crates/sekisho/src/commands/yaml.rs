//! Writes JSON values as YAML blocks: for objects that have no printer of their own.

use std::fmt::Write as _;

use serde_json::Value;

/// The value as a YAML document, ending with a newline. Keys keep their order.
pub(crate) fn print(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

/// A string as a YAML scalar: plain where no reader can take it for anything else.
pub(crate) fn text(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(safe)
        && !words.contains(&text.to_ascii_lowercase().as_str());
    // A JSON string is a YAML string (YAML 1.2 §7.3.1).
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}

fn block(value: &Value, level: usize, out: &mut String) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                // Writing to a String does not fail.
                write!(out, "{:1$}{2}:", "", level * 2, text(name)).ok();
                child(field, level + 1, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                write!(out, "{:1$}-", "", level * 2).ok();
                item_of(item, level + 1, out);
            }
        }
        scalar => _ = writeln!(out, "{:1$}{2}", "", level * 2, inline(scalar)).is_ok(),
    }
}

/// What stands after `name:`.
fn child(value: &Value, level: usize, out: &mut String) {
    if is_inline(value) {
        writeln!(out, " {}", inline(value)).ok();
    } else {
        out.push('\n');
        block(value, level, out);
    }
}

/// What stands after `-`: its first line goes on there.
fn item_of(value: &Value, level: usize, out: &mut String) {
    if is_inline(value) {
        writeln!(out, " {}", inline(value)).ok();
        return;
    }
    let mut inner = String::new();
    block(value, level, &mut inner);
    out.push(' ');
    out.push_str(inner.trim_start());
}

fn is_inline(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(word) => text(word),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_lists_and_odd_strings_are_written_so_that_yaml_reads_them_back() {
        let value =
            json!({"a": {"b": [{"c": 1, "d": ["x", "yes", "1.0"]}, [1, 2], {}]}, "e": "a: #b\n"});
        let expected = "a:\n  b:\n    - c: 1\n      d:\n        - x\n        - \"yes\"\n        - \"1.0\"\n    - - 1\n      - 2\n    - {}\ne: \"a: #b\\n\"\n";
        assert_eq!(print(&value), expected);
    }
}
