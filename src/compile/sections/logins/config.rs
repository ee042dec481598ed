//! The bundle's files for sshd, as it reads them. Source: `sshd_config(5)` of OpenSSH 9.2.

use super::text_of;
use crate::compile::{sections::overlay::Overlay, source::At, view::View};
use std::iter;

/// The folder that Debian's `sshd_config` includes before anything else.
const FOLDER: &str = "/etc/ssh/sshd_config.d/";

/// A line of a configuration.
pub struct Line<'a> {
    /// In lower case; of two names for one keyword the newer one.
    pub keyword: String,
    pub values: Vec<&'a str>,
    /// What stands after the keyword, for those that take the rest of the line.
    pub rest: &'a str,
    pub text: &'a str,
    pub at: At,
    /// What stands after the `Match` that the line is below.
    pub block: Option<Vec<&'a str>>,
}

/// The lines of the bundle's files for sshd, in the order in which it reads them; a block ends with its file.
pub fn lines<'a>(stack: &View<'_>, overlay: &'a Overlay) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for path in overlay.items.keys().filter(|path| is_read(path.as_str())) {
        let Some(file) = text_of(overlay, path.as_str()) else { continue };
        let mut block = None;
        for text in file.lines() {
            let (keyword, rest) = keyword(text);
            let values: Vec<_> = words(rest).collect();
            if keyword == "match" {
                block = Some(values);
            } else if !keyword.is_empty() {
                let at = file.place(stack, text);
                lines.push(Line { keyword, values, rest, text, at, block: block.clone() });
            }
        }
    }
    lines
}

fn is_read(path: &str) -> bool {
    let name = path.strip_prefix(FOLDER);
    name.is_some_and(|name| !name.contains('/') && name.strip_suffix(".conf").is_some())
}

/// The keyword of a line, and what follows it and perhaps an `=`.
fn keyword(line: &str) -> (String, &str) {
    let line = line.trim();
    let end = line.find([' ', '\t', '=']).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let keyword = match word.trim_matches('"').to_lowercase().as_str() {
        word if word.starts_with('#') => String::new(),
        "pubkeyacceptedkeytypes" => "pubkeyacceptedalgorithms".to_owned(),
        word => word.to_owned(),
    };
    (keyword, rest)
}

/// The words of what follows a keyword; quotes hold a word together, and a comment ends them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with('#') {
            return None;
        }
        let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let (word, after) =
            quoted.unwrap_or_else(|| rest.split_at(rest.find([' ', '\t']).unwrap_or(rest.len())));
        rest = after;
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::{keyword, words};

    #[test]
    fn a_line_is_read_as_sshd_reads_it() {
        let read = |line| {
            let (keyword, rest) = keyword(line);
            (keyword, words(rest).collect::<Vec<_>>().join("|"))
        };
        let is = |keyword: &str, values: &str| (keyword.to_owned(), values.to_owned());
        assert_eq!(read(" Port = 22 # ours"), is("port", "22"));
        assert_eq!(
            read("Match User \"a b\",c Address\t10.0.0.0/8"),
            is("match", "User|a b|,c|Address|10.0.0.0/8")
        );
        assert_eq!(read("PubkeyAcceptedKeyTypes=+x"), is("pubkeyacceptedalgorithms", "+x"));
        assert_eq!(read("# Port 22"), is("", "Port|22"));
        assert_eq!(read("Banner a#b"), is("banner", "a#b"));
        assert_eq!(read(""), is("", ""));
    }
}
