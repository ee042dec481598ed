//! The language as a page for people: `docs/definitions.md`.

use super::{
    ENV, Field, KIND, LOCK, PROJECT, SITE, STACK,
    Shape::{self, But, Either, Filled, List, Map, Named, Number, Record, Word},
    language::rules,
};
use std::collections::BTreeMap;

/// Every table of the language with its keys, as Markdown. Examples are by the path of their table, such as `cron.NAME`.
pub fn reference(examples: &BTreeMap<String, String>) -> String {
    let mut page = Page { text: include_str!("reference.md").to_owned(), examples };
    page.layer("The project: `[project]` of `stacks/<project>.toml`", "project", &own(PROJECT));
    page.layer("An env: `[envs.NAME]` of `stacks/<project>.toml`", "envs.*", &own(ENV));
    page.layer("Every layer", "", &STACK.iter().collect::<Vec<_>>());
    page.layer("The kind: `templates/<kind>/kind.toml`", "kind", &own(KIND));
    page.layer("The site: `stacks/site.toml`", "site", &own(SITE));
    if let Map(_, Map(_, of_a_guest)) = LOCK {
        let title = "The lockfile: `[PROJECT.ENV]` of `stacks/lock.toml`";
        page.layer(title, "lock.*.*", &of_a_guest.fields());
    }
    page.text
}

/// What one layer has alone; the rest is what every layer has.
fn own(layer: Shape) -> Vec<&'static Field> {
    let of_all = |field: &&Field| STACK.iter().any(|of_all| of_all.0 == field.0);
    layer.fields().into_iter().filter(|field| !of_all(field)).collect()
}

struct Page<'a> {
    text: String,
    examples: &'a BTreeMap<String, String>,
}

impl Page<'_> {
    /// What a layer has, and the tables below it. The path is the language's own, as rules have it.
    fn layer(&mut self, title: &str, path: &str, fields: &[&'static Field]) {
        self.add(&format!("\n## {title}\n"));
        self.table(path, fields);
    }

    fn add(&mut self, text: &str) {
        self.text += text;
    }

    fn table(&mut self, path: &str, fields: &[&'static Field]) {
        if let Some(example) = self.examples.get(&named(path)) {
            self.add(&format!("\n```toml\n{example}\n```\n"));
        }
        let needed: Vec<_> = rules::of(rules::NEEDED, path).concat();
        self.text += "\n| Key | Holds | |\n|---|---|---|\n";
        for Field(key, shape, sentence) in fields {
            let mark = if needed.contains(key) { " (needed)" } else { "" };
            self.add(&format!("| `{key}`{mark} | {} | {sentence} |\n", holds(*shape)));
        }
        self.rules(path);
        for Field(key, shape, _) in fields {
            let path = if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") };
            self.below(&path, *shape);
        }
    }

    /// What the keys of a table say together.
    fn rules(&mut self, path: &str) {
        let list = |keys: &[&str]| {
            keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
        };
        let one = rules::of(rules::ONE_NEEDED, path);
        let others =
            rules::of(rules::EXCLUSIVE, path).into_iter().filter(|keys| !one.contains(keys));
        let one_of = one.iter().map(|keys| format!("One of {}.", list(keys)));
        let only = others.map(|keys| format!("Only one of {}.", list(keys)));
        let beside = rules::of(rules::BESIDE_TEXT, path).into_iter();
        let beside =
            beside.map(|keys| format!("A text stands alone, or beside {}.", list(&keys[2..])));
        let all: Vec<_> = one_of.chain(only).chain(beside).collect();
        if !all.is_empty() {
            self.add(&format!("\n{}\n", all.join(" ")));
        }
    }

    /// The tables that a key may hold.
    fn below(&mut self, path: &str, shape: Shape) {
        match shape {
            Record(_) if is_secret(shape) => {}
            Record(_) => {
                self.add(&format!("\n### `{}`\n", named(path)));
                self.table(path, &shape.fields());
            }
            Named(_, entry) | Map(_, entry) => self.below(&format!("{path}.*"), *entry),
            List(item) | Filled(item) => self.below(&format!("{path}[]"), *item),
            Either(shapes) => shapes.iter().for_each(|shape| self.below(path, *shape)),
            But(shape, _) => self.below(path, *shape),
            _ => {}
        }
    }
}

/// A table as its author writes it.
fn named(path: &str) -> String {
    path.strip_prefix("site.").unwrap_or(path).replace('*', "NAME").replace("[]", "")
}

fn is_secret(shape: Shape) -> bool {
    matches!(shape.fields().as_slice(), [Field("secret", ..)])
}

/// What may stand there, in a cell of a table.
fn holds(shape: Shape) -> String {
    match shape {
        Word(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            words.join(", ")
        }
        Number(low, high) => format!("{low} to {high}"),
        Record(_) if is_secret(shape) => "`{ secret = \"…\" }`".to_owned(),
        Record(_) => "a table".to_owned(),
        Named(_, entry) | Map(_, entry) => format!("by name: {}", holds(*entry)),
        List(item) | Filled(item) => format!("a list: {}", holds(*item)),
        Either(shapes) => {
            let mut all: Vec<_> = shapes.iter().map(|shape| holds(*shape)).collect();
            all.dedup();
            all.join("; or ")
        }
        But(shape, _) => holds(*shape),
        shape => shape.noun().replace("text in quotes", "text"),
    }
}
