//! `apt.sources`: files of `/etc/apt/sources.list.d`, in the form deb822. Source: sources.list(5).

use super::deb822;
use crate::compile::{
    report::{Code, Mistake},
    sections::{overlay::is_named_well, pgp, ssh_keys},
    source::{At, Value},
    view::{Located, View},
};
use std::{collections::BTreeMap, fmt::Write as _};

/// The text of each source's file.
pub fn read(apt: &View<'_>, keys: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    for ((name, at, node), (_, view)) in apt.entries("sources").zip(apt.tables("sources")) {
        let text = match &node.value {
            Value::Text(text) => apt.lowering.text(text, node.at),
            _ => written(&view, keys),
        };
        let is_well =
            |text: &String| node.table().is_some() || is_passed(apt, node.at, &deb822::check(text));
        if let Some(text) = text.filter(is_well).filter(|_| is_named_well(apt, name, at, "apt")) {
            sources.insert(name.to_owned(), text);
        }
    }
    sources
}

/// What is wrong with a value: the sentence, and what to do.
pub(super) type Fault = (String, String);

/// Reports a fault, if there is one.
fn is_passed(view: &View<'_>, at: At, checked: &Result<(), Fault>) -> bool {
    if let Err((title, help)) = checked {
        view.report(Mistake::new(Code::BadAptSource, at, title).help(help));
    }
    checked.is_ok()
}

/// A source that was written as a table.
fn written(view: &View<'_>, keys: &BTreeMap<String, String>) -> Option<String> {
    let types = match view.texts("types") {
        types if types.is_empty() => "deb".to_owned(),
        types => join(types),
    };
    let uris = words(view, "uris", check_uri);
    let suites = words(view, "suites", |text| check_word(text, "suite", "._+~/-$()"));
    let components =
        optional_words(view, "components", |text| check_word(text, "component", "._+/-"))
            .and_then(|words| components(view, suites.as_deref()?, words));
    let architectures =
        optional_words(view, "architectures", |text| check_word(text, "architecture", "-"));
    let key = match view.text("signed_by") {
        Some(file) => Some(key(view, &file, keys)?),
        None if view.table.contains_key("signed_by") => return None,
        None => None,
    };
    let (uris, suites, components) = (uris?, suites?, components?);
    let mut text = format!("Types: {types}\nURIs: {}\nSuites: {}\n", join(uris), join(suites));
    for (field, words) in [("Components", components), ("Architectures", architectures?)] {
        if !words.is_empty() {
            writeln!(text, "{field}: {}", join(words)).expect("text takes all");
        }
    }
    text.extend(key.map(|lines| embedded(&lines)));
    Some(text)
}

fn join(words: Vec<Located<String>>) -> String {
    words.into_iter().map(|word| word.value).collect::<Vec<_>>().join(" ")
}

/// The words of a list that has to be there.
fn words(
    view: &View<'_>,
    key: &str,
    check: impl Fn(&str) -> Result<(), Fault>,
) -> Option<Vec<Located<String>>> {
    let node = view.need_node(key)?;
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        let title = format!("a source of packages needs `{key}`");
        view.report(Mistake::new(Code::BadAptSource, node.at, title).help("name at least one"));
        return None;
    }
    optional_words(view, key, check)
}

fn optional_words(
    view: &View<'_>,
    key: &str,
    check: impl Fn(&str) -> Result<(), Fault>,
) -> Option<Vec<Located<String>>> {
    let words = view.texts(key);
    let wrong = words.iter().filter(|word| !is_passed(view, word.at, &check(&word.value))).count();
    (wrong == 0).then_some(words)
}

fn check_word(text: &str, what: &str, also: &str) -> Result<(), Fault> {
    let plain = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    let is_word = !text.is_empty() && !text.starts_with('-') && text.chars().all(plain);
    if is_word {
        return Ok(());
    }
    let help = format!("write each {what} alone, as the repository's own guide names it");
    Err((format!("`{text}` is no {what} of a source of packages"), help))
}

/// Suites have components, exact paths (they end in `/`) have none.
fn components(
    view: &View<'_>,
    suites: &[Located<String>],
    components: Vec<Located<String>>,
) -> Option<Vec<Located<String>>> {
    let paths = suites.iter().filter(|suite| suite.value.ends_with('/')).count();
    let fault = match (paths, components.is_empty()) {
        (0, false) => return Some(components),
        (n, true) if n == suites.len() => return Some(components),
        (0, true) => ("its suites need components", "add `components`, such as [\"main\"]"),
        (n, false) if n == suites.len() => {
            ("an exact path has no components", "leave `components` out, or the `/` at the end")
        }
        _ => ("a source has suites or exact paths, not both", "make it two sources"),
    };
    let at = suites.first().map_or(view.at, |suite| suite.at);
    view.report(Mistake::new(Code::BadAptSource, at, fault.0).help(fault.1));
    None
}

/// How apt gets at packages without a program of its own per scheme. Source: `/usr/lib/apt/methods`.
const SCHEMES: [&str; 6] = ["https", "http", "file", "mirror+https", "mirror+http", "mirror+file"];

/// Whether this is an address that apt can fetch from, with no login in it.
pub(super) fn check_uri(uri: &str) -> Result<(), Fault> {
    let refuse = |why: &str, help: &str| Err((format!("`{uri}` {why}"), help.to_owned()));
    let Some((scheme, rest)) = uri.split_once(':') else {
        return refuse("is no address of packages", "write it as https://HOST/PATH or file:/PATH");
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/@!$&'()*+,;=:%[]".contains(c);
    let host = rest.strip_prefix("//").and_then(|rest| rest.split('/').next());
    if host.is_some_and(|host| host.contains('@')) {
        let title = "an address of packages must not have a login in it".to_owned();
        let help = "put the login into a file with `secrets` in /etc/apt/auth.conf.d";
        return Err((title, help.to_owned()));
    }
    if !SCHEMES.contains(&scheme) {
        let help = format!("write one of {}:", SCHEMES.join(":, "));
        return refuse("has a scheme that apt on a plain Debian cannot read", &help);
    }
    if !rest.chars().all(plain) {
        return refuse("has characters that no address of packages has", "write them as %XX");
    }
    match (scheme.ends_with("file"), host) {
        (true, _) if rest.starts_with('/') => Ok(()),
        (true, _) => refuse("needs an absolute path", "write file:/PATH"),
        (false, None | Some("")) => refuse("names no host", "write it as https://HOST/PATH"),
        (false, Some(_)) => Ok(()),
    }
}

fn key(
    view: &View<'_>,
    file: &Located<String>,
    keys: &BTreeMap<String, String>,
) -> Option<Vec<String>> {
    let text = ssh_keys::file(view, &file.value, file.at, keys)?;
    match pgp::armored_key(text) {
        Ok(lines) => Some(lines.into_iter().map(str::to_owned).collect()),
        Err(why) => {
            let title = format!("`{}` {why}", file.value);
            let help = "write one with `gpg --armor --export KEY >keys/NAME.asc`, from a keyring that has it";
            view.report(Mistake::new(Code::BadPublicKey, file.at, title).help(help));
            None
        }
    }
}

/// A key as the value of a field: lines are indented, and an empty one is a dot. Source: sources.list(5), `Signed-By`.
fn embedded(lines: &[String]) -> String {
    let line = |line: &String| match line.as_str() {
        "" => " .\n".to_owned(),
        text => format!(" {text}\n"),
    };
    format!("Signed-By:\n{}", lines.iter().map(line).collect::<String>())
}
