//! The language as JSON Schema, draft 2020-12, for editors.

use super::{
    Field, KIND, LOCK, PROJECT_FILE, SITE,
    Shape::{
        self, Boolean, Either, Integer, List, Map, Named, Number, Pattern, Record, Text, Word,
    },
};
use serde_json::{Value, json};

/// A file of definitions that a schema is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaOf {
    /// `stacks/site.toml`
    Site,
    /// `stacks/<project>.toml`
    Project,
    /// `templates/<kind>/kind.toml`
    Kind,
    /// `stacks/lock.toml`
    Lock,
}

/// What a variable of a template begins with: a text that has it may become anything.
const TEMPLATE: &str = r"\{\{|\{%";

/// The schema of a file. What layers say only together, and what one value makes of another, no schema can judge.
pub fn schema(of: SchemaOf) -> Value {
    let (title, mut schema) = match of {
        SchemaOf::Site => ("stacks/site.toml", schema_of(SITE)),
        SchemaOf::Project => ("stacks/<project>.toml", schema_of(PROJECT_FILE)),
        SchemaOf::Kind => ("templates/<kind>/kind.toml", schema_of(KIND)),
        SchemaOf::Lock => ("stacks/lock.toml", schema_of(LOCK)),
    };
    for (place, keys) in required(of) {
        if let Some(table) = schema.pointer_mut(place) {
            table["required"] = json!(keys);
        }
    }
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema
}

/// Keys that no other layer can give, by their table.
fn required(of: SchemaOf) -> &'static [(&'static str, &'static [&'static str])] {
    match of {
        SchemaOf::Site => &[
            ("", &["proxmox", "access"]),
            ("/properties/proxmox", &["url", "node", "token"]),
            ("/properties/access", &["admin_keys", "management"]),
        ],
        SchemaOf::Project => &[
            ("", &["project"]),
            ("/properties/project", &["kind"]),
            ("/properties/envs/additionalProperties", &["name", "vmid"]),
        ],
        SchemaOf::Kind => &[],
        SchemaOf::Lock => {
            &[("/additionalProperties/additionalProperties", &["repo", "branch", "commit", "tree"])]
        }
    }
}

fn schema_of(shape: Shape) -> Value {
    match shape {
        Text => json!({ "type": "string" }),
        // A word may be made by a template, which editors need not offer.
        Word(words) => json!({ "anyOf": [
            { "enum": words },
            { "type": "string", "pattern": TEMPLATE },
        ] }),
        Pattern(pattern) => json!({ "type": "string", "pattern": pattern }),
        Integer => json!({ "type": "integer" }),
        Number(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Boolean => json!({ "type": "boolean" }),
        List(item) => json!({ "type": "array", "items": schema_of(*item) }),
        Record(groups) => record(groups),
        Named(entry) => {
            let entry = json!({ "anyOf": [schema_of(*entry), { "const": false }] });
            json!({ "type": "object", "additionalProperties": entry })
        }
        Map(entry) => json!({ "type": "object", "additionalProperties": schema_of(*entry) }),
        Either(shapes) => {
            json!({ "anyOf": shapes.iter().copied().map(schema_of).collect::<Vec<_>>() })
        }
    }
}

fn record(groups: &[&[Field]]) -> Value {
    let property = |Field(key, shape, sentence): &Field| {
        let mut schema = schema_of(*shape);
        schema["description"] = json!(sentence);
        ((*key).to_owned(), schema)
    };
    let properties: serde_json::Map<_, _> =
        groups.iter().copied().flatten().map(property).collect();
    let mut schema = json!({ "type": "object", "additionalProperties": false });
    if properties.keys().eq(["secret"]) {
        schema["required"] = json!(["secret"]);
    }
    schema["properties"] = properties.into();
    schema
}

/// Every key of the language, by its path: `*` stands for a name, `[]` for the items of a list.
pub fn keys() -> Vec<String> {
    let mut keys = Vec::new();
    add_keys(SITE, "site", &mut keys);
    add_keys(PROJECT_FILE, "", &mut keys);
    add_keys(KIND, "kind", &mut keys);
    keys
}

fn add_keys(shape: Shape, path: &str, keys: &mut Vec<String>) {
    let below = |key: &str| {
        if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
    };
    match shape {
        Record(groups) => {
            for Field(key, shape, _) in groups.iter().copied().flatten() {
                keys.push(below(key));
                add_keys(*shape, &below(key), keys);
            }
        }
        Named(entry) | Map(entry) => add_keys(*entry, &below("*"), keys),
        List(item) => add_keys(*item, &format!("{path}[]"), keys),
        Either(shapes) => shapes.iter().for_each(|shape| add_keys(*shape, path, keys)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_that_has_required_keys_is_in_its_schema() {
        for of in [SchemaOf::Site, SchemaOf::Project, SchemaOf::Kind, SchemaOf::Lock] {
            let schema = schema(of);
            for (place, keys) in required(of) {
                assert_eq!(
                    schema.pointer(place).map(|table| &table["required"]),
                    Some(&json!(keys))
                );
            }
        }
    }

    #[test]
    fn every_sentence_of_the_language_is_one() {
        fn sentences(shape: Shape, all: &mut Vec<(&'static str, &'static str)>) {
            match shape {
                Record(groups) => {
                    for Field(key, shape, sentence) in groups.iter().copied().flatten() {
                        all.push((key, sentence));
                        sentences(*shape, all);
                    }
                }
                Named(shape) | Map(shape) | List(shape) => sentences(*shape, all),
                Either(shapes) => shapes.iter().for_each(|shape| sentences(*shape, all)),
                _ => {}
            }
        }
        let mut all = Vec::new();
        for shape in [SITE, PROJECT_FILE, KIND, LOCK] {
            sentences(shape, &mut all);
        }
        assert!(all.len() > 300);
        for (key, sentence) in all {
            assert!((3..=120).contains(&sentence.len()), "{key}: {sentence}");
        }
    }
}
