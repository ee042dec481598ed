//! Templates: read once, rendered for every guest, and strict about every name in them.

use super::{
    names::{self, Event},
    report::Mistake,
    source::{At, FileId, Node, Value},
};
use std::collections::{BTreeMap, BTreeSet};
use tera::{ErrorKind, Tera};

/// What templates see: names in byte order, so that loops have one order.
pub type Scope = BTreeMap<String, serde_json::Value>;

/// Begins and ends the name of a secret in rendered text. Private-use characters; templates cannot hold them otherwise.
pub const SECRET_MARKS: (char, char) = ('\u{f5ca0}', '\u{f5ca1}');

/// Every template of a workspace, and every text of its definitions that has a variable in it.
pub struct Templates {
    tera: Tera,
    parsed: BTreeMap<String, Parsed>,
}

struct Parsed {
    /// Where mistakes in it are; none when the text is a value of a definition.
    file: Option<FileId>,
    events: Vec<Event>,
}

impl Templates {
    /// Reads template files (by name) and texts.
    pub fn read(
        files: &[(String, FileId, &str)],
        texts: &BTreeMap<&str, At>,
        mistakes: &mut Vec<Mistake>,
    ) -> Self {
        let mut templates = Self { tera: empty(), parsed: BTreeMap::new() };
        let mut raw = Vec::new();
        for (name, file, text) in files {
            templates.add(name, Some(*file), text, At::start_of(*file), mistakes, &mut raw);
        }
        for (text, at) in texts {
            templates.add(text, None, text, *at, mistakes, &mut raw);
        }
        if templates.tera.add_raw_templates(raw.clone()).is_err() {
            templates.report_each(&raw, texts, mistakes);
        }
        templates
    }

    fn add<'a>(
        &mut self,
        name: &'a str,
        file: Option<FileId>,
        text: &'a str,
        at: At,
        mistakes: &mut Vec<Mistake>,
        raw: &mut Vec<(&'a str, &'a str)>,
    ) {
        let place = |span| file.map_or(at, |file| At::new(file, span));
        match names::read(text) {
            Ok(events) => {
                self.parsed.insert(name.to_owned(), Parsed { file, events });
                raw.push((name, text));
            }
            Err(refused) => mistakes.push(
                Mistake::new(place(refused.span), refused.message)
                    .help("templates of stackc have variables, filters, `if`, `for` and `set`"),
            ),
        }
    }

    /// One at a time, so that each template with a mistake is told.
    fn report_each(
        &mut self,
        raw: &[(&str, &str)],
        texts: &BTreeMap<&str, At>,
        mistakes: &mut Vec<Mistake>,
    ) {
        let mut good = Vec::new();
        for (name, text) in raw {
            match empty().add_raw_template(name, text) {
                Ok(()) => good.push((*name, *text)),
                Err(error) => {
                    let parsed = self.parsed.remove(*name);
                    let file = parsed.and_then(|parsed| parsed.file);
                    let at = texts.get(name).copied();
                    let at = at.unwrap_or_else(|| At::start_of(file.expect("it is a file")));
                    mistakes.push(mistake(&error, file, at));
                }
            }
        }
        self.tera = empty();
        self.tera.add_raw_templates(good).expect("each of them was read a moment ago");
    }

    pub fn has(&self, name: &str) -> bool {
        self.parsed.contains_key(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parsed.keys().map(String::as_str)
    }

    /// The text that a template makes; every name in it must exist, used or not. `at` is where the template is asked for.
    pub fn render(
        &self,
        name: &str,
        scope: &Rendering<'_>,
        at: At,
    ) -> Result<String, Vec<Mistake>> {
        let parsed = self.parsed.get(name).ok_or_else(Vec::new)?;
        let unknown = names::unknown(&parsed.events, scope.names);
        if !unknown.is_empty() {
            let place = |span| parsed.file.map_or(at, |file| At::new(file, span));
            let told = unknown.into_iter();
            return Err(told.map(|name| undefined(&name.path, place(name.span), scope)).collect());
        }
        let text = self.tera.render(name, &scope.context);
        text.map_err(|error| vec![mistake(&error, parsed.file, at)])
    }
}

/// A scope, ready to be rendered with.
pub struct Rendering<'a> {
    pub names: &'a Scope,
    context: tera::Context,
    /// Variables whose values are secrets, so that a template that names one is told why it cannot.
    secret_names: &'a BTreeSet<String>,
}

impl<'a> Rendering<'a> {
    pub fn new(names: &'a Scope, secret_names: &'a BTreeSet<String>) -> Self {
        let context = tera::Context::from_serialize(names).expect("a map with text keys");
        Self { names, context, secret_names }
    }
}

fn empty() -> Tera {
    let mut tera = Tera::default();
    tera.autoescape_on(Vec::<&str>::new());
    tera
}

fn undefined(path: &str, at: At, scope: &Rendering<'_>) -> Mistake {
    if let Some(name) = path.strip_prefix("env_vars.").filter(|n| scope.secret_names.contains(*n)) {
        return Mistake::new(at, format!("`{name}` is a secret, and no template sees its value"))
            .help("give the file `secrets = { name = { secret = \"…\" } }` and write {{ secrets.name }}");
    }
    let known = names::paths(scope.names);
    let help = match super::schema::nearest(path, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "declare it in `vars` of the kind, with a default value".to_owned(),
    };
    Mistake::new(at, format!("the template names `{path}`, which does not exist")).help(help)
}

fn mistake(error: &tera::Error, file: Option<FileId>, at: At) -> Mistake {
    let (message, span) = match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            (report.message().to_owned(), Some(report.span().range.clone()))
        }
        other => (other.to_string(), None),
    };
    let at = match (file, span) {
        (Some(file), Some(span)) => At::new(file, span),
        _ => at,
    };
    Mistake::new(at, format!("the template cannot be used: {}", message.to_lowercase_first()))
}

trait LowercaseFirst {
    fn to_lowercase_first(&self) -> String;
}

impl LowercaseFirst for str {
    fn to_lowercase_first(&self) -> String {
        let mut chars = self.chars();
        chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
    }
}

/// Whether a text of a definition has something to be rendered.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// Every text below a node that has a variable in it.
pub fn texts_with_variables<'a>(node: &'a Node, found: &mut BTreeMap<&'a str, At>) {
    match &node.value {
        Value::Text(text) if is_template(text) => {
            found.entry(text).or_insert(node.at);
        }
        Value::List(items) => items.iter().for_each(|item| texts_with_variables(item, found)),
        Value::Table(table) => {
            for member in table.values() {
                texts_with_variables(&member.node, found);
            }
        }
        _ => {}
    }
}
