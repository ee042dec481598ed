//! `files` and `directories`.

use super::{
    overlay::{self, Item, Overlay},
    place,
};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema,
        source::{At, Files, Node},
        template::{Rendering, SECRET_MARKS, Scope},
        view::{Lowering, View},
    },
    model::{Encoder, FileClass, GuestPath, Mode, Part, SecretName, StartableUnit, UnitName},
};
use std::collections::{BTreeMap, BTreeSet};

/// Adds what the author declared file by file.
pub fn add(stack: &View<'_>, scope: &Scope, overlay: &mut Overlay) {
    for (_, view) in stack.tables("directories") {
        let access = overlay::access(&view, Mode::DIRECTORY);
        if let (Some(path), Some(access)) = (view.need::<GuestPath>("path"), access) {
            overlay.add(path.value, Item::Directory { access }, path.at, &view);
        }
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
