//! The language as a page for people: `docs/definitions.md`.

use super::{
    ENV, Field, KIND, LOCK, PROJECT, SITE, STACK,
    Shape::{self, Either, Filled, List, Map, Named, Number, Record, Word},
};

/// Every table of the language with its keys, as Markdown.
pub fn reference() -> String {
    let mut page = Page(include_str!("reference.md").to_owned());
    page.section("The site: `stacks/site.toml`", "", &own(SITE));
    page.section("The project: `[project]` of `stacks/<project>.toml`", "", &own(PROJECT));
    page.section("An env: `[envs.NAME]` of `stacks/<project>.toml`", "", &own(ENV));
    page.section("The kind: `templates/<kind>/kind.toml`", "", &own(KIND));
    page.section("Every layer", "", &STACK.iter().collect::<Vec<_>>());
    if let Map(_, Map(_, of_a_guest)) = LOCK {
        page.section(
            "The lockfile: `[PROJECT.ENV]` of `stacks/lock.toml`",
            "",
            &of_a_guest.fields(),
        );
    }
    page.0
}

/// What one layer has alone; the rest is what every layer has.
fn own(layer: Shape) -> Vec<&'static Field> {
    let of_all = |field: &&Field| STACK.iter().any(|of_all| of_all.0 == field.0);
    layer.fields().into_iter().filter(|field| !of_all(field)).collect()
}

struct Page(String);

impl Page {
    fn section(&mut self, title: &str, path: &str, fields: &[&'static Field]) {
        let level = if path.is_empty() { "##" } else { "###" };
        let row = |Field(key, shape, sentence): &&Field| {
            format!("| `{key}` | {} | {sentence} |\n", holds(*shape))
        };
        let rows: String = fields.iter().map(row).collect();
        let head = format!("\n{level} {title}\n\n| Key | Holds | |\n|---|---|---|\n");
        self.0.extend([head, rows]);
        for Field(key, shape, _) in fields {
            let path = if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") };
            self.below(&path, *shape);
        }
    }

    /// The tables that a key may hold.
    fn below(&mut self, path: &str, shape: Shape) {
        match shape {
            Record(_) if is_secret(shape) => {}
            Record(_) => self.section(&format!("`{path}`"), path, &shape.fields()),
            Named(_, entry) | Map(_, entry) => self.below(&format!("{path}.NAME"), *entry),
            List(item) | Filled(item) => self.below(path, *item),
            Either(shapes) => shapes.iter().for_each(|shape| self.below(path, *shape)),
            _ => {}
        }
    }
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
            let all: Vec<_> = shapes.iter().map(|shape| holds(*shape)).collect();
            all.join("; or ")
        }
        shape => shape.noun().replace("text in quotes", "text"),
    }
}
