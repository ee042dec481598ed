//! The JSON Schema of the language, judged by another program: it takes every example, and refuses what a schema can refuse.

use crate::compile::{cases, reject_cases, rejected, root, sources};
use crate::left_out::is_left_out;
use crate::schema_limits::{CODES, PLACES};
use stackc::compile::{SchemaOf, Sources, Told, schema};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
};

/// Debian's own Python, which has Debian's `python3-jsonschema`.
const PYTHON: &str = "/usr/bin/python3";

/// Texts that are of few forms, and look like many.
const ODD: [&str; 16] = [
    "",
    " ",
    "x",
    "X y",
    "a/../b",
    "/a//b",
    "/etc/x\ty",
    "-x",
    "1.2.3.4",
    "::1",
    "10.0.0.0/33",
    "a.service",
    "0999",
    "70000",
    "ftp://x",
    "é'\"\\",
];

/// What is wrong with a document: the path of a value or key, and a sentence.
type Wrong = (Vec<String>, String);

fn judge_is_missing() -> bool {
    let found = Command::new(PYTHON).args(["-c", "import jsonschema, tomllib"]).output();
    is_left_out("python3-jsonschema", found.is_ok_and(|output| output.status.success()))
}

/// Which schema a file of a workspace belongs to.
pub fn schema_of(name: &str) -> Option<SchemaOf> {
    match name {
        "stacks/site.toml" => Some(SchemaOf::Site),
        "stacks/lock.toml" => Some(SchemaOf::Lock),
        _ if name.ends_with("/kind.toml") && !name.starts_with("builtin:") => Some(SchemaOf::Kind),
        _ => name
            .strip_prefix("stacks/")
            .and_then(|name| name.strip_suffix(".toml"))
            .map(|_| SchemaOf::Project),
    }
}

/// What the judge says of each file, by the schema for it.
fn judged(of: SchemaOf, files: &[PathBuf]) -> BTreeMap<PathBuf, Vec<Wrong>> {
    let folder = tempfile::tempdir().expect("a folder");
    let written = folder.path().join("schema.json");
    fs::write(&written, schema(of).to_string()).expect("it is written");
    let script = root().join("tests/reader/validate.py");
    let output = Command::new(PYTHON).arg(script).arg(&written).args(files).output();
    let output = output.expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it is text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of the judge")).collect()
}

/// Every file of definitions below a folder, by its name in a workspace.
pub fn definitions(workspace: &Path) -> Vec<(SchemaOf, PathBuf)> {
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
        for (path, wrong) in judged(of, &paths) {
            assert_eq!(wrong, [], "{}", path.display());
        }
    }
}

/// A mistake of a rejected definition, and the file that it is in.
struct Shown {
    case: String,
    of: SchemaOf,
    told: Told,
    text: String,
}

/// Every mistake of every rejected definition that stands in a file with a schema.
fn shown() -> Vec<Shown> {
    let mut all = Vec::new();
    for (case, sources) in reject_cases() {
        for told in rejected(&sources).told() {
            let Some(of) = schema_of(&told.file) else { continue };
            let Some(bytes) = sources.files.get(&told.file) else { continue };
            let Ok(text) = String::from_utf8(bytes.clone()) else { continue };
            all.push(Shown { case: case.clone(), of, told, text });
        }
    }
    all
}

#[test]
fn the_schema_refuses_every_mistake_unless_it_stands_in_the_list_of_what_no_schema_can() {
    if judge_is_missing() {
        return;
    }
    let all = shown();
    let verdicts = verdicts(&all);
    let (mut missed, mut used) = (Vec::new(), BTreeSet::new());
    for Shown { case, told, text, .. } in &all {
        let name = format!("{case} {}", told.file);
        if is_refused(&verdicts[&name], &path_at(text, told)) {
            continue;
        }
        let codes = CODES.iter().flat_map(|(_, codes)| *codes);
        let places = PLACES.iter().flat_map(|(_, places)| *places);
        let code = codes.map(|code| (*code, "")).find(|(code, _)| *code == told.code);
        let mut places = places.copied();
        let place = || places.find(|(of, begins)| of == case && told.message.starts_with(begins));
        match code.or_else(place) {
            Some(reason) => drop(used.insert(reason)),
            None => missed.push(format!("{case} [{}] {told}", told.code)),
        }
    }
    assert!(missed.is_empty(), "the schema takes these:\n{}", missed.join("\n"));
    let codes = CODES.iter().flat_map(|(_, codes)| codes.iter().map(|code| (*code, "")));
    let listed = codes.chain(PLACES.iter().flat_map(|(_, places)| places.iter().copied()));
    let idle: Vec<_> = listed.filter(|reason| !used.contains(reason)).collect();
    assert_eq!(
        idle,
        [],
        "the list says of these that no schema can refuse them, and no case is so"
    );
}

/// What the judge says of each file, by the case and the file's name.
fn verdicts(all: &[Shown]) -> BTreeMap<String, Vec<Wrong>> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut by_schema: BTreeMap<u8, (SchemaOf, BTreeMap<PathBuf, String>)> = BTreeMap::new();
    for Shown { case, of, told, text } in all {
        let name = format!("{case} {}", told.file);
        let path = folder.path().join(name.replace('/', "-"));
        fs::write(&path, text).expect("it is written");
        by_schema.entry(*of as u8).or_insert((*of, BTreeMap::new())).1.insert(path, name);
    }
    let mut verdicts = BTreeMap::new();
    for (of, files) in by_schema.into_values() {
        let paths: Vec<_> = files.keys().cloned().collect();
        verdicts.extend(judged(of, &paths).into_iter().map(|(path, v)| (files[&path].clone(), v)));
    }
    verdicts
}

/// Whether an error is about this very value or key, about an item of it, or about its table as a whole.
fn is_refused(wrong: &[Wrong], path: &[String]) -> bool {
    wrong.iter().any(|(place, message)| {
        let is_of_table = [
            "is a required property",
            "should not be valid under",
            "is not valid under",
            "has non-unique elements",
        ]
        .iter()
        .any(|of_table| message.contains(of_table));
        let parent = path.split_last().map_or(path, |(_, parent)| parent);
        let is_of_item = place
            .split_last()
            .is_some_and(|(last, list)| list == path && last.bytes().all(|b| b.is_ascii_digit()));
        // Of a file that is no TOML, the judge says only that.
        let is_of_file = place.is_empty() && message.starts_with("no TOML: ");
        is_of_file || place == path || is_of_item || is_of_table && place == parent
    })
}

/// The path of the value or key where a mistake is told.
fn path_at(text: &str, told: &Told) -> Vec<String> {
    let before: usize = text.split_inclusive('\n').take(told.line - 1).map(str::len).sum();
    let column = text[before..].char_indices().nth(told.column - 1);
    let offset = before + column.map_or(0, |(n, _)| n);
    let (table, _) = toml::de::DeTable::parse_recoverable(text);
    let mut found = (usize::MAX, Vec::new());
    in_table(table.get_ref(), offset, &mut Vec::new(), &mut found);
    found.1
}

/// The narrowest stretch so far that has the place, and its path.
type Found = (usize, Vec<String>);

fn in_table(table: &toml::de::DeTable<'_>, at: usize, path: &mut Vec<String>, found: &mut Found) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        note(&key.span(), at, path, found);
        in_value(value, at, path, found);
        path.pop();
    }
}

fn in_value(
    value: &toml::Spanned<toml::de::DeValue<'_>>,
    at: usize,
    path: &mut Vec<String>,
    found: &mut Found,
) {
    note(&value.span(), at, path, found);
    match value.get_ref() {
        toml::de::DeValue::Table(table) => in_table(table, at, path, found),
        toml::de::DeValue::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                path.push(n.to_string());
                in_value(item, at, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

fn note(span: &Range<usize>, at: usize, path: &[String], found: &mut Found) {
    if (span.contains(&at) || span.start == at) && span.len() <= found.0 {
        *found = (span.len(), path.to_vec());
    }
}

/// A definition with one text of it changed, in its workspace.
struct Changed {
    of: SchemaOf,
    file: String,
    text: String,
    sources: Sources,
    what: String,
}

/// Good cases, with each of their keys set to odd texts in turn.
fn changed() -> Vec<Changed> {
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for case in ["guests", "node_app", "rules_probes_and_release", "system", "units"] {
        let good = sources(&cases().join(case));
        for (file, bytes) in &good.files {
            let Some(of) = schema_of(file) else { continue };
            let text = String::from_utf8(bytes.clone()).expect("it is text");
            for (key, span) in
                texts_of(&text).into_iter().filter(|(key, _)| seen.insert(key.clone()))
            {
                for odd in ODD.iter().skip(key.len() % 4).step_by(4) {
                    let mut text = text.clone();
                    let quoted = toml::Value::String((*odd).to_owned()).to_string();
                    text.replace_range(span.clone(), &quoted);
                    let what = format!("{case}: {key} = {quoted}");
                    all.push(Changed { of, file: file.clone(), text, sources: good.clone(), what });
                }
            }
        }
    }
    all
}

/// Texts of a document, by the last two names of their path.
fn texts_of(text: &str) -> Vec<(String, Range<usize>)> {
    fn add(
        value: &toml::Spanned<toml::de::DeValue<'_>>,
        key: &str,
        all: &mut Vec<(String, Range<usize>)>,
    ) {
        match value.get_ref() {
            toml::de::DeValue::String(_) => all.push((key.to_owned(), value.span())),
            toml::de::DeValue::Array(items) => items.iter().for_each(|item| add(item, key, all)),
            toml::de::DeValue::Table(table) => {
                let last = key.rsplit('.').next().unwrap_or_default();
                table.iter().for_each(|(name, value)| {
                    add(value, &format!("{last}.{}", name.get_ref()), all);
                });
            }
            _ => {}
        }
    }
    let table = toml::de::DeTable::parse(text).expect("it is TOML");
    let mut all = Vec::new();
    for (name, value) in table.get_ref() {
        add(value, name.get_ref(), &mut all);
    }
    all
}

#[test]
fn what_the_schema_refuses_of_a_text_the_compiler_refuses_too() {
    if judge_is_missing() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut by_schema: BTreeMap<u8, (SchemaOf, BTreeMap<PathBuf, Changed>)> = BTreeMap::new();
    for (n, changed) in changed().into_iter().enumerate() {
        let path = folder.path().join(format!("{n}.toml"));
        fs::write(&path, &changed.text).expect("it is written");
        let of = changed.of;
        by_schema.entry(of as u8).or_insert((of, BTreeMap::new())).1.insert(path, changed);
    }
    let (mut refused, mut taken) = (0, Vec::new());
    for (of, mut files) in by_schema.into_values() {
        let paths: Vec<_> = files.keys().cloned().collect();
        for (path, wrong) in judged(of, &paths).into_iter().filter(|(_, wrong)| !wrong.is_empty()) {
            let mut changed = files.remove(&path).expect("each file is judged once");
            changed.sources.files.insert(changed.file, changed.text.into_bytes());
            refused += 1;
            if stackc::compile::compile(&changed.sources).is_ok() {
                taken.push(format!("{} {wrong:?}", changed.what));
            }
        }
    }
    assert!(refused > 200, "{refused}");
    assert!(taken.is_empty(), "the compiler takes these:\n{}", taken.join("\n"));
}
