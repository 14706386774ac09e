//! The scenario's own data files (attacks, call graph): YAML read into typed records.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Deepest nesting accepted.
const DEPTH_MAX: usize = 16;

/// A data file could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// It is not YAML, or nested too deep.
    #[error("line {line}: {message}")]
    Syntax {
        /// Line from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// It is YAML of another shape.
    #[error("unexpected content")]
    Shape(#[source] serde_json::Error),
}

/// Reads the first document of a YAML text.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, DataError> {
    let value = document(text)?;
    serde_json::from_value(value).map_err(DataError::Shape)
}

enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

fn document(text: &str) -> Result<Value, DataError> {
    let mut stack: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| DataError::Syntax {
            line: error.marker().line(),
            message: error.info().to_owned(),
        })?;
        let syntax = |message: &str| DataError::Syntax {
            line: span.start.line(),
            message: message.to_owned(),
        };
        let value = match event {
            Event::SequenceStart(..) | Event::MappingStart(..) if stack.len() >= DEPTH_MAX => {
                return Err(syntax("nested too deep"));
            }
            Event::SequenceStart(..) => {
                stack.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                stack.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Open::List(items)) => Value::Array(items),
                Some(Open::Map(fields, _)) => Value::Object(fields),
                None => return Err(syntax("unbalanced")),
            },
            Event::Alias(_) => return Err(syntax("aliases are not supported")),
            _ => continue,
        };
        match stack.last_mut() {
            None => return Ok(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(fields, key)) => match (key.take(), value) {
                (Some(key), value) => drop(fields.insert(key, value)),
                (None, Value::String(text)) => *key = Some(text),
                (None, other) => *key = Some(other.to_string()),
            },
        }
    }
    Ok(Value::Null)
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<i64>().map_or_else(|_text| Value::String(text.to_owned()), Value::from),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn lists_maps_and_plain_scalars_are_read() {
        let text = "a: [1, two, '3']\nb: {c: 'x y'}\n";
        let read: BTreeMap<String, Value> = read(text).unwrap();
        assert_eq!(read["a"], serde_json::json!([1, "two", "3"]));
        assert_eq!(read["b"]["c"], "x y");
    }

    #[test]
    fn a_broken_file_names_its_line() {
        let error = read::<Value>("a: 1\nb: [1, 2\n").unwrap_err();
        assert!(error.to_string().starts_with("line "), "{error}");
    }
}
