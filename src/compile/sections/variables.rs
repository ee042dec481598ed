//! `env_file` and `env_vars`.

use super::{
    env_file,
    overlay::{self, Item, Overlay},
    place,
};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema,
        source::{At, Node, Value},
        view::{Lowering, View},
    },
    model::{Encoder, GuestPath, Mode, Part, SecretName},
};

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
