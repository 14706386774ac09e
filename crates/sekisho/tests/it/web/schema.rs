//! Answers against their JSON Schema: the keywords that ours use, and no other.

use serde_json::Value;

/// Panics with the place if `value` is not as `schema` says; `all` has the schemas that are referred
/// to.
#[track_caller]
pub(crate) fn check(value: &Value, schema: &Value, all: &Value, place: &str) {
    for (keyword, want) in schema.as_object().expect("a schema is an object") {
        match keyword.as_str() {
            "$ref" => {
                let name = want.as_str().unwrap().rsplit('/').next().unwrap();
                let referred = &all[name];
                assert!(referred.is_object(), "{place}: no schema `{name}`");
                check(value, referred, all, place);
            }
            "type" => {
                let is_one = |name: &Value| is_type(value, name.as_str().unwrap());
                let fits =
                    want.as_array().map_or_else(|| is_one(want), |all| all.iter().any(is_one));
                assert!(fits, "{place}: {value} is not {want}");
            }
            "enum" => assert!(want.as_array().unwrap().contains(value), "{place}: {value}: {want}"),
            "anyOf" => {
                let not_null = want.as_array().unwrap().iter().find(|one| one["type"] != "null");
                if !value.is_null() {
                    check(value, not_null.unwrap(), all, place);
                }
            }
            "required" => {
                for name in want.as_array().unwrap().iter().filter(|_| value.is_object()) {
                    let name = name.as_str().unwrap();
                    assert!(value.get(name).is_some(), "{place}: no `{name}` in {value}");
                }
            }
            "properties" => {
                for (name, schema) in want.as_object().unwrap() {
                    if let Some(field) = value.get(name) {
                        check(field, schema, all, &format!("{place}.{name}"));
                    }
                }
            }
            "additionalProperties" => rest(value, schema, all, place),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(item, want, all, &format!("{place}[{index}]"));
                }
            }
            "prefixItems" => {
                for (item, schema) in value.as_array().unwrap().iter().zip(want.as_array().unwrap())
                {
                    check(item, schema, all, place);
                }
            }
            "minItems" => assert!(value.as_array().unwrap().len() as u64 >= want.as_u64().unwrap()),
            "maxItems" => assert!(value.as_array().unwrap().len() as u64 <= want.as_u64().unwrap()),
            "minimum" => {
                assert!(value.is_null() || value.as_f64() >= want.as_f64(), "{place}: {value}")
            }
            "maximum" => {
                assert!(value.is_null() || value.as_f64() <= want.as_f64(), "{place}: {value}")
            }
            "format" => {
                let time = value.as_str().map(str::parse::<sekisho_model::Timestamp>);
                assert!(
                    value.is_null() || matches!(time, Some(Ok(_))),
                    "{place}: {value} is no time"
                );
            }
            "description" | "pattern" => {}
            other => panic!("{place}: `{other}` is a keyword that this test does not know"),
        }
    }
}

/// The fields that `properties` does not name.
#[track_caller]
fn rest(value: &Value, schema: &Value, all: &Value, place: &str) {
    let Some(fields) = value.as_object() else { return };
    let more = &schema["additionalProperties"];
    for (name, field) in fields {
        if schema["properties"].get(name).is_some() || *more == Value::Bool(true) {
            continue;
        }
        assert!(more.is_object(), "{place}: `{name}` is in no schema");
        check(field, more, all, &format!("{place}.{name}"));
    }
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("`{other}` is no type"),
    }
}

#[test]
fn a_wrong_answer_is_found_and_a_right_one_passes() {
    let all = serde_json::json!({ "Name": { "type": "string" } });
    let schema = serde_json::json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": { "$ref": "#/components/schemas/Name" },
            "ports": { "type": "array", "items": { "type": "integer", "minimum": 1 } }
        },
        "additionalProperties": false
    });
    check(&serde_json::json!({ "name": "a", "ports": [1, 2] }), &schema, &all, "good");
    for wrong in [
        serde_json::json!({}),
        serde_json::json!({ "name": 1 }),
        serde_json::json!({ "name": "a", "ports": [0] }),
        serde_json::json!({ "name": "a", "more": 1 }),
    ] {
        let checked = std::panic::catch_unwind(|| check(&wrong, &schema, &all, "wrong"));
        assert!(checked.is_err(), "{wrong}");
    }
}
