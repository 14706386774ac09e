//! The OpenAPI document, made of the table of endpoints and the schemas beside it.

use serde_json::{Map, Value, json};

use super::endpoints::Parameter;
use super::{Endpoint, endpoints};

/// Schemas of bodies and answers, by name (JSON Schema 2020-12). The tests of the server hold its
/// answers against them.
const SCHEMAS: &str = include_str!("schemas.json");

/// The document (OpenAPI 3.1).
#[must_use]
pub fn openapi() -> Value {
    let mut paths = Map::new();
    for endpoint in endpoints() {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(endpoint.method.as_str().to_ascii_lowercase(), operation(&endpoint));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sekisho",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "See every connection, recommend policies, prove them against history, \
                            put them in force. Parameters that are not known are refused.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" }
        },
        "servers": [{ "url": "/api/v1" }],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": { "type": "apiKey", "in": "cookie", "name": super::session::COOKIE }
            }
        }
    })
}

/// All schemas, by name.
fn schemas() -> Value {
    // The file is a part of this program, and a test reads it.
    serde_json::from_str(SCHEMAS).unwrap_or_default()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn operation(endpoint: &Endpoint) -> Value {
    let media = match endpoint.answer {
        "FlowEvent" | "Change" => "text/event-stream",
        _ => "application/json",
    };
    let mut responses = Map::new();
    let done = match endpoint.answer {
        "Nothing" => ("204", json!({ "description": "Done." })),
        "OpenApi" => {
            let content = json!({ media: { "schema": { "type": "object" } } });
            ("200", json!({ "description": "OpenAPI 3.1.", "content": content }))
        }
        name if endpoint.path.starts_with("/reports/") => {
            let content = json!({
                media: { "schema": reference(name) },
                "text/csv": { "schema": { "type": "string" } },
                "text/html": { "schema": { "type": "string" } },
            });
            ("200", json!({ "description": endpoint.summary, "content": content }))
        }
        name => {
            let content = json!({ media: { "schema": reference(name) } });
            // A file is read after it was taken.
            let status = if name == "Import" { "202" } else { "200" };
            (status, json!({ "description": endpoint.summary, "content": content }))
        }
    };
    responses.insert(done.0.to_owned(), done.1);
    let problem = json!({ "application/problem+json": { "schema": reference("Problem") } });
    responses.insert(
        "default".to_owned(),
        json!({ "description": "What is wrong (RFC 9457).", "content": problem }),
    );
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    set("summary", json!(endpoint.summary));
    set("operationId", json!(operation_id(endpoint)));
    set("parameters", json!(parameters(endpoint)));
    set("responses", json!(responses));
    match endpoint.access {
        Some(access) => {
            set("security", json!([{ "token": [] }, { "session": [] }]));
            set("x-sekisho-role", json!(access.as_str()));
        }
        None => {
            set("security", json!([]));
        }
    }
    if let Some(body) = endpoint.body {
        let media = match body {
            "FlowFile" => "application/octet-stream",
            _ => "application/json",
        };
        let content = json!({ media: { "schema": reference(body) } });
        set("requestBody", json!({ "required": true, "content": content }));
    }
    Value::Object(fields)
}

/// `get_map_compare` for GET /map/compare.
fn operation_id(endpoint: &Endpoint) -> String {
    let words = endpoint.path.split(['/', '-', '.', '{', '}']).filter(|word| !word.is_empty());
    let method = endpoint.method.as_str().to_ascii_lowercase();
    words.fold(method, |id, word| format!("{id}_{word}"))
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let query = |parameter: &Parameter| {
        let schema: Value = serde_json::from_str(parameter.schema).unwrap_or_default();
        json!({
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.summary,
            "schema": schema,
        })
    };
    let names =
        endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let path = names.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    path.chain(endpoint.parameters.iter().copied().flatten().map(query)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(text)) = fields.get("$ref") {
                    let name = text.strip_prefix("#/components/schemas/").expect("ours");
                    found.insert(name.to_owned());
                }
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn each_schema_that_is_named_is_there_and_each_that_is_there_is_named() {
        let all: Value = serde_json::from_str(SCHEMAS).unwrap();
        let mut named = BTreeSet::new();
        references(&openapi(), &mut named);
        let there: BTreeSet<String> = all.as_object().unwrap().keys().cloned().collect();
        assert_eq!(named, there);
    }

    #[test]
    fn each_operation_has_a_name_of_its_own() {
        let ids: Vec<String> = endpoints().iter().map(operation_id).collect();
        let distinct: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(ids.len(), distinct.len(), "{ids:?}");
        assert!(distinct.contains(&"get_map_compare".to_owned()));
    }
}
