//! Sources that were written as text. Source: sources.list(5), deb822(5).

use super::sources::{Fault, check_uri};
use crate::compile::schema;
use std::collections::BTreeMap;

/// Fields that a source may have.
const FIELDS: [&str; 24] = [
    "Types",
    "URIs",
    "Suites",
    "Components",
    "Enabled",
    "Architectures",
    "Languages",
    "Targets",
    "PDiffs",
    "By-Hash",
    "Allow-Insecure",
    "Allow-Weak",
    "Allow-Downgrade-To-Insecure",
    "Trusted",
    "Signed-By",
    "Check-Valid-Until",
    "Valid-Until-Min",
    "Valid-Until-Max",
    "Check-Date",
    "Date-Max-Future",
    "InRelease-Path",
    "Snapshot",
    "Include",
    "Exclude",
];
const NEEDED: [&str; 3] = ["Types", "URIs", "Suites"];

type Fields = BTreeMap<&'static str, String>;

/// Whether apt could read a text as sources.
pub fn check(text: &str) -> Result<(), Fault> {
    let paragraphs = paragraphs(text)?;
    let has_needed = |fields: &Fields| NEEDED.iter().all(|name| fields.contains_key(name));
    if paragraphs.is_empty() || !paragraphs.iter().all(has_needed) {
        return refuse("a source of packages needs Types, URIs and Suites");
    }
    let uris = paragraphs.iter().filter_map(|fields| fields.get("URIs"));
    uris.flat_map(|uris| uris.split_whitespace()).try_for_each(check_uri)
}

fn refuse<T>(title: impl Into<String>) -> Result<T, Fault> {
    let help =
        "write a table with `uris`, `suites` and so on, or the form deb822 of sources.list(5)";
    Err((title.into(), help.to_owned()))
}

/// The fields of each paragraph that has some.
fn paragraphs(text: &str) -> Result<Vec<Fields>, Fault> {
    let (mut paragraphs, mut last) = (vec![Fields::new()], None);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields = paragraphs.last_mut().expect("there is one from the start");
        if line.trim().is_empty() {
            last = None;
            paragraphs.push(Fields::new());
        } else if line.starts_with([' ', '\t']) {
            match last.and_then(|name| fields.get_mut(name)) {
                Some(value) => *value = format!("{value} {}", line.trim()),
                None => return refuse(format!("`{}` continues no field", line.trim())),
            }
        } else {
            let (name, value) = field(line)?;
            if fields.insert(name, value.to_owned()).is_some() {
                return refuse(format!("a source has the field `{name}` twice"));
            }
            last = Some(name);
        }
    }
    paragraphs.retain(|fields| !fields.is_empty());
    Ok(paragraphs)
}

/// A field's name as the manual writes it, and its value: case does not matter to apt.
fn field(line: &str) -> Result<(&'static str, &str), Fault> {
    let named = line.split_once(':').filter(|(name, _)| !name.contains(' '));
    let Some((name, value)) = named else {
        return refuse(format!("`{line}` is no field of a source of packages"));
    };
    if let Some(known) = FIELDS.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        return Ok((known, value.trim()));
    }
    let help = match schema::nearest(name, FIELDS.into_iter()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the fields known here are {}", FIELDS.join(", ")),
    };
    Err((format!("a source of packages has no field `{name}`"), help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_apt_reads_passes_and_any_other_is_refused() {
        let good = "# ours\nTypes: deb\nuris: https://a.example.org/x\n http://b.example.org\nSuites: ./\n\n\nTypes: deb\nURIs: file:/srv\nSuites: x\n";
        assert_eq!(check(good), Ok(()));
        for text in [
            "",
            "deb https://a.example.org bookworm main",
            "Types: deb\nURIs: https://a.example.org\n",
            "Types: deb\n\nURIs: https://a.example.org\nSuites: x\n",
            " Types: deb\nURIs: https://a.example.org\nSuites: x\n",
            "Types: deb\nTypes: deb\nURIs: https://a.example.org\nSuites: x\n",
            "Types: deb\nURIs: https://a.example.org\nSuites: x\nSigned: y\n",
            "Types: deb\nURIs: https://me:word@a.example.org\nSuites: x\n",
            "Types: deb\nURIs: ftp://a.example.org\nSuites: x\n",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
