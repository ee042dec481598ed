//! Definitions that would shut operators out of a guest: each is refused, at the line that would do it.

use crate::compile::{cases, compiled, rejected, snapshot, with_project};
use stackc::compile::{Code, Mistake, Sources};
use std::{collections::BTreeMap, fs};

/// The line of a definition that shuts operators out ends with this.
const GUILTY: &str = "# guilty";

#[test]
fn whatever_would_shut_operators_out_is_refused_at_the_line_that_does_it() {
    let folder = cases().join("lockouts");
    let files = definitions("lockouts");
    assert!(files.len() >= 60, "{}", files.len());
    for (name, text) in files {
        let report = rejected(&workspace(&text));
        let codes: Vec<_> = report.mistakes().map(Mistake::code).collect();
        let out = [Code::OperatorsShutOut, Code::SshdShutsOut];
        assert!(codes.len() == 1 && out.contains(&codes[0]), "{name}: {codes:?}\n{report}");
        let told = &report.told()[0];
        let line = text.lines().nth(told.line - 1).unwrap_or_default();
        assert!(line.ends_with(GUILTY), "{name}: {line}\n{report}");
        snapshot(&folder, &name, &report.render(false));
    }
}

#[test]
fn the_rule_that_a_message_offers_lets_operators_in_when_it_is_pasted() {
    let mut pasted = 0;
    for (name, text) in definitions("lockouts") {
        let told = rejected(&workspace(&text)).told().remove(0);
        let help = told.help.expect("every mistake has one");
        if let Some((_, rule)) = help.split_once("at the end of stacks/x.toml:\n") {
            let mended = workspace(&format!("{text}\n{rule}\n"));
            let compiled = stackc::compile::compile(&mended);
            assert!(compiled.is_ok(), "{name}: {:?}\n{help}", compiled.err());
            pasted += 1;
        }
    }
    assert!(pasted >= 10, "only {pasted} messages offer a rule");
}

#[test]
fn whatever_leaves_operators_a_way_in_is_not_refused() {
    let files = definitions("ways_in");
    assert!(!files.is_empty(), "the folder has its cases");
    for text in files.values() {
        assert_eq!(compiled(&workspace(text)).guests.len(), 1);
    }
}

/// The definitions of a folder by name.
fn definitions(folder: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(cases().join(folder)).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it is readable").path());
    let files = paths.filter(|path| path.extension().is_some_and(|end| end == "toml"));
    files
        .map(|path| {
            let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("it is readable"))
        })
        .collect()
}

/// A project whose first line says where operators come from, and the next one perhaps as whom.
fn workspace(text: &str) -> Sources {
    let said = |key: &str| text.lines().take(2).find_map(|line| line.strip_prefix(key));
    let networks = said("# management: ").expect("the first line");
    let networks: Vec<_> = networks.split(' ').map(|net| format!("\"{net}\"")).collect();
    let mut sources = with_project(text.as_bytes());
    let site = sources.files.get_mut("stacks/site.toml").expect("it is there");
    let management = format!("management = [{}]", networks.join(", "));
    let user = format!("user = \"{}\"", said("# user: ").unwrap_or("root"));
    let changed = String::from_utf8_lossy(site)
        .replace("management = [\"10.0.10.0/24\"]", &management)
        .replace("user = \"root\"", &user);
    *site = changed.into_bytes();
    sources
}
