//! The table of keys as a JSON Schema, for editors.

use super::keys::{Key, Kind, Section, Shape, keys};
use serde_json::{Map, Value, json};

/// The strict form of a policy as a JSON Schema (draft 2020-12), made from the table that drives the parser: what
/// fits it has the right keys with the right kinds of values. That references lead somewhere, and what the parser
/// tolerates beyond it, a schema does not say.
///
/// ```
/// let schema = millstream::policy::schema();
/// assert!(schema.contains("\"tls_trust_store\""));
/// ```
pub fn schema() -> String {
    let mut schema = object_of(Section::Root);
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Secure Streams policy",
    });
    if let (Value::Object(schema), Value::Object(head)) = (&mut schema, head) {
        schema.extend(head);
    }
    format!("{schema:#}")
}

/// What an object of a section may have.
fn object_of(section: Section) -> Value {
    let mut properties = Map::new();
    for key in keys().filter(|key| key.section == section) {
        properties.insert(key.name.to_owned(), value_of(key));
        if let Some(alias) = key.alias {
            let mut value = value_of(key);
            if let Value::Object(value) = &mut value {
                value.insert("deprecated".to_owned(), true.into());
            }
            properties.insert(alias.to_owned(), value);
        }
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn value_of(key: &Key) -> Value {
    let mut value = match key.kind {
        Kind::Text | Kind::Template | Kind::Header => json!({ "type": "string" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Other(_, shape) => shaped(shape),
    };
    let later = if key.in_force { "" } else { " (parsed, not in force in this release)" };
    if let Value::Object(value) = &mut value {
        value.insert("description".to_owned(), format!("{}: {}{later}", key.doc, key.kind).into());
    }
    value
}

fn shaped(shape: Shape) -> Value {
    let each = |item: Value| json!({ "type": "array", "items": item });
    let named = |value: Value| {
        json!({ "type": "array", "items": {
            "type": "object", "additionalProperties": value, "minProperties": 1,
        } })
    };
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::OneOf(words) => json!({ "enum": words }),
        Shape::Texts => each(json!({ "type": "string" })),
        Shape::Numbers => each(json!({ "type": "integer", "minimum": 0 })),
        Shape::NamedTexts => named(json!({ "type": "string" })),
        Shape::NamedNumbers(min) => named(json!({ "type": "integer", "minimum": min })),
        Shape::List(section) => each(object_of(section)),
        Shape::Named(section) => named(object_of(section)),
    }
}
