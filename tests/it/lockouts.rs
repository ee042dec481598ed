//! Definitions that would shut operators out of a guest: each is refused, at the line that would do it.

use crate::compile::{cases, rejected, snapshot, with_project};
use stackc::compile::{Code, Mistake};
use std::{fs, path::PathBuf};

/// The line of a definition that shuts operators out ends with this.
const GUILTY: &str = "# guilty";

#[test]
fn whatever_would_shut_operators_out_is_refused_at_the_line_that_does_it() {
    let folder = cases().join("lockouts");
    let entries = fs::read_dir(&folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it is readable").path());
    let files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    assert!(files.len() >= 20, "{}", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("it is readable");
        let name = file.file_stem().expect("it has a name").to_string_lossy();
        let report = refused(&text);
        let codes: Vec<_> = report.mistakes().map(Mistake::code).collect();
        let out = [Code::OperatorsShutOut, Code::SshdShutsOut];
        assert!(codes.len() == 1 && out.contains(&codes[0]), "{name}: {codes:?}\n{report}");
        let told = &report.told()[0];
        let line = text.lines().nth(told.line - 1).unwrap_or_default();
        assert!(line.ends_with(GUILTY), "{name}: {line}\n{report}");
        snapshot(&folder, &name, &report.render(false));
    }
}

/// The report on a project whose first line says where operators come from.
fn refused(text: &str) -> stackc::compile::Report {
    let networks = text.lines().next().and_then(|line| line.strip_prefix("# management: "));
    let networks: Vec<_> =
        networks.expect("the first line").split(' ').map(|net| format!("\"{net}\"")).collect();
    let mut sources = with_project(text.as_bytes());
    let site = sources.files.get_mut("stacks/site.toml").expect("it is there");
    let management = format!("management = [{}]", networks.join(", "));
    let changed =
        String::from_utf8_lossy(site).replace("management = [\"10.0.10.0/24\"]", &management);
    *site = changed.into_bytes();
    rejected(&sources)
}
