//! `apt.pins`: files of `/etc/apt/preferences.d`. Source: `apt_preferences(5)`.

use crate::compile::{
    report::{Code, Mistake},
    sections::overlay::is_named_well,
    view::{Located, View},
};
use std::collections::BTreeMap;

/// The text of each pin's file.
pub fn read(apt: &View<'_>) -> BTreeMap<String, String> {
    let named = apt.entries("pins").zip(apt.tables("pins"));
    named
        .filter_map(|((name, at, _), (_, view))| {
            let text = text(&view);
            Some((name.to_owned(), text.filter(|_| is_named_well(apt, name, at, "apt"))?))
        })
        .collect()
}

fn text(view: &View<'_>) -> Option<String> {
    view.need_node("packages");
    view.need_node("priority");
    let packages = packages(view);
    let pin = view.need_text("pin").and_then(|pin| checked(view, pin));
    let priority = priority(view);
    let (packages, pin, priority) = (packages?.join(" "), pin?, priority?);
    Some(format!("Package: {packages}\nPin: {pin}\nPin-Priority: {priority}\n"))
}

/// Names and globs; a source package is `src:NAME`.
fn packages(view: &View<'_>) -> Option<Vec<String>> {
    let texts = view.texts("packages");
    let is_name = |text: &str| {
        let name = text.strip_prefix("src:").unwrap_or(text);
        let plain =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.:*?[]".contains(c);
        !name.is_empty() && name.chars().all(plain)
    };
    let wrong = texts.iter().find(|text| !is_name(&text.value));
    if let Some(wrong) = wrong {
        let title = format!("`{}` is no name or glob of packages", wrong.value);
        let help = "write names such as \"nodejs\", \"linux-*\" or \"src:gcc-12\", each alone";
        view.report(Mistake::new(Code::BadAptPin, wrong.at, title).help(help));
        return None;
    }
    if texts.is_empty() && view.node("packages").is_some() {
        let title = "a pin of no package does nothing";
        view.report(
            Mistake::new(Code::BadAptPin, view.at, title).help("name packages, or take it out"),
        );
        return None;
    }
    (!texts.is_empty()).then(|| texts.into_iter().map(|text| text.value).collect())
}

fn priority(view: &View<'_>) -> Option<i64> {
    let priority = view.integer("priority")?;
    if priority.value == 0 {
        let title = "apt refuses the priority 0";
        let help =
            "write a number below 0 for never, 100 for what is installed, above 500 to prefer";
        view.report(Mistake::new(Code::BadAptPin, priority.at, title).help(help));
        return None;
    }
    Some(priority.value)
}

fn checked(view: &View<'_>, pin: Located<String>) -> Option<String> {
    if is_pin(&pin.value) {
        return Some(pin.value);
    }
    let title = format!("`{}` is no pin of apt", pin.value);
    let help =
        "write \"release n=bookworm-backports\", \"version 20.*\" or \"origin deb.example.org\"";
    view.report(Mistake::new(Code::BadAptPin, pin.at, title).help(help));
    None
}

fn is_pin(pin: &str) -> bool {
    let Some((kind, rest)) = pin.split_once(' ') else { return false };
    let is_one_of = |text: &str, also: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
    };
    match kind {
        "version" => is_one_of(rest, ".+-~:*?[]"),
        "origin" => rest == "\"\"" || is_one_of(rest, ".-_"),
        "release" => rest.split(',').map(str::trim).all(is_release_condition),
        _ => false,
    }
}

/// `n=bookworm`, `o=Debian`, `l=Debian-Security`, …
fn is_release_condition(condition: &str) -> bool {
    let Some((key, value)) = condition.split_once('=') else { return false };
    let plain = |c: char| !c.is_control() && !"\"\\/".contains(c);
    ["a", "n", "v", "c", "o", "l", "b"].contains(&key)
        && !value.is_empty()
        && value.trim() == value
        && value.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_what_apt_understands() {
        for pin in [
            "version 20.*",
            "version 1:2.3+dfsg-1~bpo12",
            "origin \"\"",
            "origin deb.example.org",
            "release n=bookworm-backports",
            "release o=Debian, l=Debian-Security,a=stable-*",
        ] {
            assert!(is_pin(pin), "{pin}");
        }
        for pin in [
            "",
            "version",
            "version ",
            "version 1 2",
            "release",
            "release unstable",
            "release n=",
            "release n=a,",
            "release x=y",
            "origin a/b",
            "pin *",
            "release n=a\nPin-Priority: 9",
        ] {
            assert!(!is_pin(pin), "{pin}");
        }
    }
}
