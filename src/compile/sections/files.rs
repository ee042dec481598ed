//! `files`, `directories`, `links` and `env_file`.

use super::{
    env_file,
    overlay::{self, Item, Overlay},
    place,
};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema,
        source::{At, Files, Node, Value},
        template::{Rendering, SECRET_MARKS, Scope},
        view::{Lowering, View},
    },
    model::{Encoder, FileClass, GuestPath, Mode, Part, SecretName, StartableUnit, UnitName},
};
use std::collections::{BTreeMap, BTreeSet};

/// The longest target of a link, in bytes. Source: `symlink(2)`, `PATH_MAX` with its final NUL.
const TARGET_BYTES_MAX: usize = 4095;

/// Adds what the author declared file by file.
pub fn add(stack: &View<'_>, scope: &Scope, overlay: &mut Overlay) {
    for (_, view) in stack.tables("directories") {
        let access = overlay::access(&view, Mode::DIRECTORY);
        if let (Some(path), Some(access)) = (view.need::<GuestPath>("path"), access) {
            overlay.add(path.value, Item::Directory { access }, path.at, &view);
        }
    }
    for (_, view) in stack.tables("links") {
        link(&view, overlay);
    }
    for (_, view) in stack.tables("files") {
        let path = view.need::<GuestPath>("path");
        let item = file(&view, scope, path.as_ref().map(|path| &path.value));
        if let (Some(path), Some(item)) = (path, item) {
            note_readers(&view, &path.value, overlay);
            overlay.sources.extend(source(&view).map(|at| (path.value.clone(), at)));
            overlay.add(path.value, item, path.at, &view);
        }
    }
}

fn link(view: &View<'_>, overlay: &mut Overlay) {
    let target = target(view);
    let (Some(path), Some(target)) = (view.need::<GuestPath>("path"), target) else { return };
    if place::decides_on_logins(&path.value) {
        let title = format!("`{}` decides on logins and cannot be a link", path.value);
        let help = "write the file itself, in `files`: a link to nothing stops sshd or takes sudo's rights away";
        view.report(Mistake::new(Code::LinkAtBoot, path.at, title).help(help));
    } else {
        overlay.add(path.value, Item::Link { target }, path.at, view);
    }
}

fn target(view: &View<'_>) -> Option<String> {
    let target = view.need_text("target")?;
    let (title, help) = if target.value.is_empty() || target.value.chars().any(char::is_control) {
        ("a link needs a target", "write the path that it leads to, on one line")
    } else if target.value.len() > TARGET_BYTES_MAX {
        ("a link's target has at most 4,095 bytes", "name a place with a shorter path")
    } else {
        return Some(target.value);
    };
    view.report(Mistake::new(Code::BadLinkTarget, target.at, title).help(help));
    None
}

fn note_readers(view: &View<'_>, path: &GuestPath, overlay: &mut Overlay) {
    for unit in view.parsed_texts::<StartableUnit>("restart") {
        let name = UnitName::from(unit.value);
        overlay.named_units.push((name.clone(), unit.at));
        overlay.restart.entry(name).or_default().insert(path.clone());
    }
    for unit in view.parsed_texts::<StartableUnit>("reload") {
        let name = UnitName::from(unit.value);
        overlay.named_units.push((name.clone(), unit.at));
        overlay.reload.entry(name).or_default().insert(path.clone());
    }
}

fn file(view: &View<'_>, scope: &Scope, path: Option<&GuestPath>) -> Option<Item> {
    let written = ["template", "text"].iter().find_map(|key| view.node(key));
    if let (Some(secret), Some(written)) = (view.node("secret"), written) {
        let title = "an entry that is a secret has no `template` or `text`";
        let help = "take one of the two out; a text with a secret in it has `secrets`";
        let mistake = Mistake::new(Code::TwoContents, written.at, title)
            .also(secret.at, "the secret")
            .help(help);
        view.lowering.report_as_written(mistake);
        return None;
    }
    check_effect(view);
    // Before the content, so that what is wrong with both is told at once.
    let (of_secret, of_file) =
        (overlay::access(view, Mode::PRIVATE), overlay::access(view, Mode::FILE));
    if let Some(secret) = view.parsed::<SecretName>("secret") {
        let access = of_secret?;
        let parts = vec![Part::Secret(secret.value)];
        return Some(Item::Secret { access, encoder: Encoder::Raw, parts });
    }
    if view.table.contains_key("secret") {
        return None;
    }
    let secrets = secrets(view);
    let text = if secrets.is_empty() {
        content(view, &view.lowering.rendering)?
    } else {
        content(view, &Rendering::new(&with_marks(scope, &secrets), &BTreeSet::default()))?
    };
    if let Some(parts) = parts(&text, &secrets) {
        let access = of_secret?;
        return Some(Item::Secret { access, encoder: Encoder::Raw, parts });
    }
    let access = of_file?;
    let class = class(view, path?)?;
    Some(Item::File { class, access, bytes: text.into_bytes() })
}

/// Reports keys beside a content that does not read them.
fn check_effect(view: &View<'_>) {
    let no_effect = |key: &str, why: &str, help: &str| {
        let Some(member) = view.table.get(key) else { return };
        let title = format!("`{key}` has no effect: {why}");
        view.report(Mistake::new(Code::NoEffect, member.key, title).help(help));
    };
    if view.node("secret").is_some() {
        no_effect("secrets", "the content is one secret", "leave one of the two out");
        let why = "a file with secrets is always a link to where they are";
        no_effect("class", why, "leave it out");
    } else if let Some(at) = source(view) {
        // Whether a branch of it is taken may depend on the env; without the word, no branch reads one.
        if !view.lowering.files.slice(at).contains("secrets") {
            let why = "no `{{ secrets.NAME }}` is in the content";
            no_effect("secrets", why, "name each secret where its value goes, or leave it out");
        }
    }
}

/// The class by path, or the author's; a copy may be asked for anywhere, a link not where boot or login reads.
fn class(view: &View<'_>, path: &GuestPath) -> Option<FileClass> {
    let by_path = place::class_of(path);
    let words = [("A", FileClass::Linked), ("B", FileClass::Copied)];
    let written = view.word_or("class", &words, by_path)?;
    if (written, by_path) == (FileClass::Linked, FileClass::Copied) {
        let title = format!("`{path}` is read at boot or login and cannot be a link");
        let at = view.node("class").map_or(view.at, |node| node.at);
        view.report(Mistake::new(Code::LinkAtBoot, at, title).help("leave `class` out"));
        return None;
    }
    Some(written)
}

fn secrets(view: &View<'_>) -> BTreeMap<String, SecretName> {
    let named = view.tables("secrets");
    named
        .filter_map(|(name, view)| {
            let secret = view.need::<SecretName>("secret")?;
            Some((name.to_owned(), secret.value))
        })
        .collect()
}

/// The scope with `secrets.x` in it, each a mark that is replaced on the way to the guest.
fn with_marks(scope: &Scope, secrets: &BTreeMap<String, SecretName>) -> Scope {
    let (open, close) = SECRET_MARKS;
    let mark = |name: &String| (name.clone(), format!("{open}{name}{close}").into());
    let mut scope = scope.clone();
    let marks: serde_json::Map<_, _> = secrets.keys().map(mark).collect();
    scope.insert("secrets".to_owned(), marks.into());
    scope
}

/// The text around the marks of secrets; none when it has no mark.
fn parts(text: &str, secrets: &BTreeMap<String, SecretName>) -> Option<Vec<Part>> {
    let (open, close) = SECRET_MARKS;
    let mut pieces = text.split(open);
    let mut parts = vec![Part::Literal(pieces.next()?.to_owned())];
    for piece in pieces {
        let (name, rest) = piece.split_once(close)?;
        parts.push(Part::Secret(secrets.get(name)?.clone()));
        parts.push(Part::Literal(rest.to_owned()));
    }
    parts.retain(|part| !matches!(part, Part::Literal(text) if text.is_empty()));
    parts.iter().any(|part| matches!(part, Part::Secret(_))).then_some(parts)
}

/// Where the text of an entry stands: all of its template, or its own text.
pub fn source(view: &View<'_>) -> Option<At> {
    let Some(node) = view.node("template") else { return Some(view.node("text")?.at) };
    let files = view.lowering.files;
    let name = format!("{}{}", folder_of(files, node.at), node.text()?);
    let file = view.lowering.templates.file(&name)?;
    Some(At::new(file, 0..files.text(file).len()))
}

/// The text of an entry: `template`, a file beside the definition, or `text` itself.
pub fn content(view: &View<'_>, scope: &Rendering<'_>) -> Option<String> {
    match (view.node("template"), view.node("text")) {
        (Some(node), None) => template(view.lowering, node, scope),
        (None, Some(node)) => {
            let text = node.text()?;
            if crate::compile::template::is_template(text) {
                view.lowering.template(text, node.at, scope)
            } else {
                Some(text.to_owned())
            }
        }
        (Some(template), Some(text)) => {
            let title = "an entry has either `template` or `text`, not both";
            view.lowering.report_as_written(Mistake::new(Code::TwoContents, text.at, title).also(template.at, "the template").help(
                "a stronger layer cannot swap one for the other; remove the entry with `false` and add a new one",
            ));
            None
        }
        (None, None) => {
            if !view.table.contains_key("template") && !view.table.contains_key("text") {
                let title = "the entry has no content";
                view.report(
                    Mistake::new(Code::NoContent, view.at, title)
                        .help("add `template = \"…\"` or `text = \"…\"`"),
                );
            }
            None
        }
    }
}

fn template(lowering: &Lowering<'_>, node: &Node, scope: &Rendering<'_>) -> Option<String> {
    let written = node.text()?;
    let folder = folder_of(lowering.files, node.at);
    if written.starts_with('/') || written.split('/').any(|part| ["", ".", ".."].contains(&part)) {
        let title = format!("`{written}` is no name of a template");
        let help = format!("write the path of a file below `{folder}`, without `..`");
        lowering.report(Mistake::new(Code::BadTemplateName, node.at, title).help(help));
        return None;
    }
    let name = format!("{folder}{written}");
    if !lowering.templates.has(&name) {
        let known = lowering.templates.names().filter_map(|name| name.strip_prefix(&folder));
        let help = match schema::nearest(written, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add the file `{name}`"),
        };
        lowering.report(
            Mistake::new(Code::UnknownTemplate, node.at, format!("there is no template `{name}`"))
                .help(help),
        );
        return None;
    }
    lowering.template(&name, node.at, scope)
}

/// Where a definition looks for its templates: a kind in its own folder, others in `templates/`.
pub fn folder_of(files: &Files, at: At) -> String {
    let name = files.name(at.file);
    name.strip_suffix("kind.toml").unwrap_or("templates/").to_owned()
}

/// Readers of an env file that take the common lines only.
const DOTENV: [&str; 3] = ["dotenv", "node", "python-dotenv"];
/// Readers that understand every line.
const EXACT: [&str; 2] = ["systemd", "sh"];

/// The env file with every variable; the path of the file.
pub fn env_file(stack: &View<'_>, overlay: &mut Overlay) -> Option<GuestPath> {
    let view = stack.table("env_file");
    if !stack.table.contains_key("env_file") {
        if let Some((name, at, _)) = stack.entries("env_vars").next() {
            let title = format!("`{name}` has nowhere to go: no layer declares `env_file`");
            stack.report(
                Mistake::new(Code::NoEnvFile, at, title)
                    .help("add `[env_file]` with `path` to the kind"),
            );
        }
        return None;
    }
    let path = view.need::<GuestPath>("path");
    let is_strict = readers(&view);
    let parts = variables(stack, is_strict);
    let secret = parts.iter().any(|part| matches!(part, Part::Variable { .. }));
    let mode = if secret { Mode::PRIVATE } else { Mode::FILE };
    let access = overlay::access(&view, mode);
    let (path, access) = (path?, access?);
    let item = if secret {
        Item::Secret { access, encoder: Encoder::Env, parts }
    } else {
        let lines = parts.into_iter().filter_map(|part| match part {
            Part::Literal(text) => Some(text),
            Part::Secret(_) | Part::Variable { .. } => None,
        });
        let bytes = lines.collect::<String>().into_bytes();
        Item::File { class: place::class_of(&path.value), access, bytes }
    };
    overlay.add(path.value.clone(), item, path.at, &view);
    Some(path.value)
}

/// Whether one of the file's readers is of the dotenv family.
fn readers(view: &View<'_>) -> bool {
    let mut strict = false;
    for reader in view.texts("readers") {
        strict |= DOTENV.contains(&reader.value.as_str());
        let known: Vec<_> = EXACT.iter().chain(&DOTENV).copied().collect();
        if !known.contains(&reader.value.as_str()) {
            view.report(schema::unknown_word(reader.at, &reader.value, &known));
        }
    }
    strict
}

/// The lines of an env file, in the order of their names; neighbouring plain ones in one part.
fn variables(stack: &View<'_>, is_strict: bool) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (key, at, node) in stack.entries("env_vars") {
        let is_named = is_name(stack, key, at);
        if let Value::Table(_) = node.value {
            let secret =
                stack.lowering.view(schema::SECRET_VALUE, node).need::<SecretName>("secret");
            if let (Some(secret), true) = (secret, is_named) {
                parts.push(Part::Variable { key: key.to_owned(), secret: secret.value });
            }
            continue;
        }
        let Some(value) = plain(stack.lowering, node) else { continue };
        if let Some((what, why)) = env_file::disagreement(&value).filter(|_| is_strict) {
            let title = format!("readers of `{key}` would disagree about {what} in its value");
            let help =
                format!("{why}: leave it out, or take dotenv readers out of `env_file.readers`");
            stack.report(Mistake::new(Code::AmbiguousValue, node.at, title).help(help));
        }
        if let Err(error) = env_file::check_value(key, &value) {
            stack.report(Mistake::of_value(Code::BadEnvVariable, node.at, &error));
        }
        match (env_file::encode(key, &value), parts.last_mut()) {
            (Ok(line), Some(Part::Literal(lines))) => lines.push_str(&line),
            (Ok(line), _) => parts.push(Part::Literal(line)),
            // Its name or its value is told.
            (Err(_), _) => {}
        }
    }
    parts
}

/// Whether this is a variable's name; reported when it is none.
pub fn is_name(view: &View<'_>, key: &str, at: At) -> bool {
    let valid = env_file::is_name(key);
    if !valid {
        let error = env_file::EnvFileError::Name { key: key.to_owned() };
        view.report(Mistake::of_value(Code::BadEnvVariable, at, &error));
    }
    valid
}

/// The value of a plain variable.
pub fn plain(lowering: &Lowering<'_>, node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => lowering.text(text, node.at),
        Value::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}
