//! The language as JSON Schema, draft 2020-12, for editors.

use super::{
    Barred, Field, KIND, LOCK, PROJECT_FILE, SITE,
    Shape::{
        self, Boolean, But, Command, Either, Filled, Integer, List, Map, Named, Number, Pattern,
        Record, Text, Word,
    },
    language::rules,
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

/// What a text has that is a template, which may become anything.
const TEMPLATE: &str = r"\{[{%#]";
/// A text without characters that hide or reorder text, which no definition may have.
const PLAIN: &str = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]*$";

/// The schema of a file. What layers say only together, and what one value makes of another, no schema can judge.
pub fn schema(of: SchemaOf) -> Value {
    let (title, path, shape) = match of {
        SchemaOf::Site => ("stacks/site.toml", "site", SITE),
        SchemaOf::Project => ("stacks/<project>.toml", "", PROJECT_FILE),
        SchemaOf::Kind => ("templates/<kind>/kind.toml", "kind", KIND),
        SchemaOf::Lock => ("stacks/lock.toml", "lock", LOCK),
    };
    let mut schema = schema_of(shape, path);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema["$defs"] = json!({ "text": { "type": "string", "pattern": PLAIN } });
    schema
}

fn schema_of(shape: Shape, path: &str) -> Value {
    match shape {
        Text => json!({ "$ref": "#/$defs/text" }),
        // A word may be made by a template, which editors need not offer.
        Word(words) => json!({ "anyOf": [
            { "enum": words },
            { "type": "string", "pattern": TEMPLATE },
        ] }),
        Pattern(form) => json!({ "type": "string", "pattern": or_template(form) }),
        Integer => json!({ "type": "integer" }),
        Number(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Boolean => json!({ "type": "boolean" }),
        List(item) => json!({ "type": "array", "items": schema_of(*item, &format!("{path}[]")) }),
        Filled(item) => {
            let items = schema_of(*item, &format!("{path}[]"));
            json!({ "type": "array", "items": items, "minItems": 1 })
        }
        Command(program) => json!({
            "type": "array",
            "items": schema_of(Text, path),
            "prefixItems": [{ "type": "string", "pattern": or_template(program) }],
            "minItems": 1,
        }),
        But(shape, barred) => {
            let mut schema = schema_of(*shape, path);
            bar(&mut schema, barred);
            schema
        }
        Record(groups) => record(groups, path),
        Named(names, entry) => {
            let entry =
                json!({ "anyOf": [schema_of(*entry, &below(path, "*")), { "enum": [false] }] });
            by_name(names, &entry)
        }
        Map(names, entry) => by_name(names, &schema_of(*entry, &below(path, "*"))),
        Either(shapes) => {
            let any: Vec<_> = shapes.iter().map(|shape| schema_of(*shape, path)).collect();
            json!({ "anyOf": any })
        }
    }
}

fn bar(schema: &mut Value, barred: Barred) {
    let of_text = |wrong: Value| json!({ "allOf": [wrong, { "not": { "pattern": TEMPLATE } }] });
    match barred {
        Barred::Matching(form) => schema["not"] = of_text(json!({ "pattern": form })),
        Barred::LongerThan(most) => schema["not"] = of_text(json!({ "minLength": most + 1 })),
        Barred::Number(number) => schema["not"] = json!({ "const": number }),
        Barred::Twice => schema["uniqueItems"] = json!(true),
        Barred::Named(form) => schema["patternProperties"] = json!({ form: false }),
    }
}

fn or_template(form: &str) -> String {
    format!("^(?:{form})$|{TEMPLATE}")
}

fn by_name(names: &str, entry: &Value) -> Value {
    let mut schema = json!({ "type": "object", "additionalProperties": entry });
    if !names.is_empty() {
        schema["propertyNames"] = json!({ "pattern": format!("^(?:{names})$") });
    }
    schema
}

fn record(groups: &[&[Field]], path: &str) -> Value {
    let property = |Field(key, shape, sentence): &Field| {
        let mut schema = schema_of(*shape, &below(path, key));
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
    add_rules(&mut schema, path);
    schema
}

/// What keys of a table say together. What has to be there can be asked of a table that no other layer adds to.
fn add_rules(schema: &mut Value, path: &str) {
    let mut all = Vec::new();
    if rules::is_of_one_layer(path) {
        if let Some(keys) = rules::of(rules::NEEDED, path).first() {
            schema["required"] = json!(keys);
        }
        for keys in rules::of(rules::ONE_NEEDED, path) {
            let any: Vec<_> = keys.iter().map(|key| json!({ "required": [key] })).collect();
            all.push(json!({ "anyOf": any }));
        }
    }
    for keys in rules::of(rules::EXCLUSIVE, path) {
        let pairs = keys.iter().enumerate().flat_map(|(n, one)| {
            keys[..n].iter().map(move |two| json!({ "not": { "required": [two, one] } }))
        });
        all.extend(pairs);
    }
    if !all.is_empty() {
        schema["allOf"] = all.into();
    }
    for beside in rules::of(rules::BESIDE_TEXT, path) {
        let only = json!({ "propertyNames": { "enum": beside } });
        schema["dependentSchemas"] = json!({ "template": only, "text": only });
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
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
    match shape {
        Record(groups) => {
            for Field(key, shape, _) in groups.iter().copied().flatten() {
                keys.push(below(path, key));
                add_keys(*shape, &below(path, key), keys);
            }
        }
        Named(_, entry) | Map(_, entry) => add_keys(*entry, &below(path, "*"), keys),
        List(item) | Filled(item) => add_keys(*item, &format!("{path}[]"), keys),
        Either(shapes) => shapes.iter().for_each(|shape| add_keys(*shape, path, keys)),
        But(shape, _) => add_keys(*shape, path, keys),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_keys_is_about_keys_that_there_are() {
        let mut known = keys();
        add_keys(LOCK, "lock", &mut known);
        for rules in [rules::NEEDED, rules::ONE_NEEDED, rules::EXCLUSIVE, rules::BESIDE_TEXT] {
            for rules::Together(table, keys) in rules {
                for key in *keys {
                    let path = below(table, key);
                    let is_it =
                        |known: &String| *known == path || known.ends_with(&format!(".{path}"));
                    assert!(known.iter().any(is_it), "{path}");
                }
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
                Named(_, shape) | Map(_, shape) | List(shape) | Filled(shape) => {
                    sentences(*shape, all);
                }
                Either(shapes) => shapes.iter().for_each(|shape| sentences(*shape, all)),
                But(shape, _) => sentences(*shape, all),
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
