//! The JSON Schema of the language, judged by another program: it takes every example, and refuses what a schema can refuse.

use crate::compile::{cases, reject_cases, rejected, root};
use stackc::compile::{Code, Mistake, SchemaOf, schema};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Debian's own Python, which has Debian's `python3-jsonschema`.
const PYTHON: &str = "/usr/bin/python3";

fn judge_is_missing() -> bool {
    let found = Command::new(PYTHON).args(["-c", "import jsonschema, tomllib"]).output();
    let missing = !found.is_ok_and(|output| output.status.success());
    if missing {
        eprintln!("skipped: needs python3-jsonschema");
    }
    missing
}

/// Which schema a file of a workspace belongs to.
fn schema_of(name: &str) -> Option<SchemaOf> {
    match name {
        "stacks/site.toml" => Some(SchemaOf::Site),
        "stacks/lock.toml" => Some(SchemaOf::Lock),
        _ if name.ends_with("/kind.toml") => Some(SchemaOf::Kind),
        _ => name
            .strip_prefix("stacks/")
            .and_then(|name| name.strip_suffix(".toml"))
            .map(|_| SchemaOf::Project),
    }
}

/// What the judge says of each file, by the schema for it.
fn judged(of: SchemaOf, files: &[PathBuf]) -> BTreeMap<PathBuf, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let written = folder.path().join("schema.json");
    fs::write(&written, schema(of).to_string()).expect("it is written");
    let script = root().join("tests/reader/validate.py");
    let output = Command::new(PYTHON).arg(script).arg(&written).args(files).output();
    let output = output.expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it is text");
    let line = |line: &str| {
        let (path, verdict) = line.split_once('\t').expect("a tab in each line");
        (PathBuf::from(path), verdict.to_owned())
    };
    text.lines().map(line).collect()
}

/// Every file of definitions below a folder, by its name in a workspace.
fn definitions(workspace: &Path) -> Vec<(SchemaOf, PathBuf)> {
    let files = walkdir::WalkDir::new(workspace).into_iter().map(|entry| entry.expect("readable"));
    let named = files.filter_map(|entry| {
        let name = entry.path().strip_prefix(workspace).expect("it lies below").to_str()?;
        Some((schema_of(name)?, entry.into_path()))
    });
    named.collect()
}

#[test]
fn every_example_is_valid_by_the_schema_that_is_printed() {
    if judge_is_missing() {
        return;
    }
    let good = fs::read_dir(cases()).expect("the cases are there");
    let good = good.map(|entry| entry.expect("readable").path());
    let good = good.filter(|path| path.join("stacks").is_dir());
    let mut files: BTreeMap<u8, (SchemaOf, Vec<PathBuf>)> = BTreeMap::new();
    for workspace in good.chain([root().to_owned()]) {
        for (of, path) in definitions(&workspace) {
            let is_ours = !path.starts_with(root().join("target"))
                && (workspace != root() || !path.starts_with(root().join("tests")));
            if is_ours {
                files.entry(of as u8).or_insert((of, Vec::new())).1.push(path);
            }
        }
    }
    assert_eq!(files.len(), 4, "examples of every file");
    for (of, paths) in files.into_values() {
        for (path, verdict) in judged(of, &paths) {
            assert_eq!(verdict, "valid", "{}", path.display());
        }
    }
}

/// Kinds of mistakes that one value of one file shows by itself.
const SHOWN_BY_ONE_VALUE: [Code; 4] =
    [Code::UnknownKey, Code::UnknownWord, Code::OutOfRange, Code::WrongType];

#[test]
fn what_a_schema_can_refuse_is_refused_by_it() {
    if judge_is_missing() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut by_schema: BTreeMap<u8, (SchemaOf, Vec<PathBuf>)> = BTreeMap::new();
    let mut told: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (case, sources) in reject_cases() {
        let report = rejected(&sources);
        let shown: BTreeSet<_> = report
            .mistakes()
            .zip(report.told())
            .filter(|(mistake, told)| shows_by_itself(mistake, &told.message))
            .map(|(_, told)| told.file)
            .collect();
        for name in shown {
            let Some(of) = schema_of(&name) else { continue };
            let path = folder.path().join(format!("{}-{case}.toml", told.len()));
            fs::write(&path, &sources.files[&name]).expect("it is written");
            by_schema.entry(of as u8).or_insert((of, Vec::new())).1.push(path.clone());
            told.insert(path, format!("{case}: {name}\n{report}"));
        }
    }
    assert!(told.len() >= 8, "{}", told.len());
    for (of, paths) in by_schema.into_values() {
        for (path, verdict) in judged(of, &paths) {
            assert_ne!(verdict, "valid", "{}", told[&path]);
        }
    }
}

/// A variable's type is its kind's matter, and a number made by a template no schema can see.
fn shows_by_itself(mistake: &Mistake, message: &str) -> bool {
    SHOWN_BY_ONE_VALUE.contains(&mistake.code()) && !message.contains("the kind's variable")
}

/// Run with `STACKC_WRITE=1` to write it anew.
#[test]
fn the_page_of_every_key_is_that_of_the_language() {
    let path = root().join("docs/definitions.md");
    if std::env::var_os("STACKC_WRITE").is_some() {
        fs::write(&path, stackc::compile::reference()).expect("it is written");
    }
    let written = fs::read_to_string(&path).expect("it is there");
    assert_eq!(written, stackc::compile::reference(), "STACKC_WRITE=1 writes it anew");
}
