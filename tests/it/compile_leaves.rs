//! Every value of every good definition, changed by itself: what differs between the two bundles is what the comparison tells,
//! and a guest that the value is not of keeps its digest.

use crate::compile::{cases, sources};
use stackc::{
    compile::{self, Sources},
    model::{Bundle, EntryPath, Target, UnitName},
    plan::difference::{Difference, difference},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};
use toml::Value;

type Bundles = BTreeMap<Target, Bundle>;

/// A step into a table or a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Item(usize),
}

/// The paths of all values that hold no others.
fn leaves(value: &Value, path: &mut Vec<Step>, found: &mut Vec<Vec<Step>>) {
    let below: Vec<(Step, &Value)> = match value {
        Value::Table(table) => table.iter().map(|(k, v)| (Step::Key(k.clone()), v)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(n, v)| (Step::Item(n), v)).collect(),
        _ => return found.push(path.clone()),
    };
    for (step, value) in below {
        path.push(step);
        leaves(value, path, found);
        path.pop();
    }
}

fn leaf_mut<'a>(value: &'a mut Value, path: &[Step]) -> &'a mut Value {
    path.iter().fold(value, |value, step| match (step, value) {
        (Step::Key(key), Value::Table(table)) => &mut table[key.as_str()],
        (Step::Item(n), Value::Array(items)) => &mut items[*n],
        (step, value) => panic!("{step:?} is not in {value}"),
    })
}

/// Other values of the same type: the first that compiles is taken.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Boolean(value) => vec![(!value).into()],
        Value::Integer(number) => [1, -1, 7].map(|more| (number + more).into()).to_vec(),
        Value::String(text) => {
            let digit = |c: char| c.is_ascii_digit();
            let turned: String = match text.rfind(digit) {
                Some(n) => {
                    let other = if &text[n..=n] == "4" { "5" } else { "4" };
                    [&text[..n], other, &text[n + 1..]].concat()
                }
                None => format!("{text}2"),
            };
            let [more, less] = [format!("{text}x"), text.get(1..).unwrap_or_default().to_owned()];
            let words = ["yes", "no", "daily", "deny", "allow", "root"].map(str::to_owned);
            let all = [turned, more, less].into_iter().chain(words);
            all.filter(|other| other != text).map(Value::from).collect()
        }
        _ => Vec::new(),
    }
}

/// The bytes of every file of a bundle and what its manifest says of every entry: compared one by one.
fn changed(old: &Bundle, new: &Bundle) -> BTreeSet<EntryPath> {
    let paths =
        [old, new].into_iter().flat_map(|b| b.manifest.entries.keys().chain(b.files.keys()));
    let differs = |path: &&EntryPath| {
        old.files.get(*path) != new.files.get(*path)
            || old.manifest.entries.get(*path) != new.manifest.entries.get(*path)
    };
    paths.filter(differs).cloned().collect()
}

/// The documents that a subject of a comparison is of.
fn documents(subject: &str) -> Vec<String> {
    match subject {
        "packages" | "apt sources" => vec!["apt.json".to_owned()],
        "firewall" => {
            ["ufw.json", "user.rules", "user6.rules"].map(|n| format!("firewall/{n}")).into()
        }
        name => vec![format!("{name}.json")],
    }
}

/// The entries that a unit consists of: its file, its drop-ins and the links that start it.
fn is_of_unit(path: &EntryPath, unit: &UnitName) -> bool {
    let text = path.as_str();
    let name = unit.as_str();
    text.ends_with(&format!("/{name}")) || text.contains(&format!("/{name}.d/"))
}

/// Services of Debian that a switch tells of files that they read.
const READERS: [(&str, &str); 5] = [
    ("cron.service", "rootfs/etc/cron.d/"),
    ("ssh.service", "rootfs/etc/ssh/"),
    ("systemd-sysctl.service", "rootfs/etc/sysctl.d/"),
    ("systemd-journald.service", "rootfs/etc/systemd/journald.conf.d/"),
    ("rsyslog.service", "rootfs/etc/rsyslog.d/"),
];

/// What is told and has not changed, or has changed and is not told.
fn faults(told: &Difference, old: &Bundle, new: &Bundle) -> Vec<String> {
    let changed = changed(old, new);
    let has_changed = |entry: &str| changed.iter().any(|path| path.as_str() == entry);
    let entry_of = |told: &str| told.split_once(": ").map_or(told, |(entry, _)| entry).to_owned();
    let files: BTreeSet<String> = told.files.iter().map(|file| entry_of(&file.path)).collect();
    let subjects: BTreeSet<&str> = told.subjects.iter().map(|s| s.name.as_str()).collect();
    let subject_has_changed = |name: &str| match name {
        "bundle" => {
            (old.manifest.payload, &old.manifest.units)
                != (new.manifest.payload, &new.manifest.units)
        }
        "secrets" => !changed.is_empty(),
        name => documents(name).iter().any(|document| has_changed(document)),
    };
    let unit_has_changed = |unit: &UnitName| {
        let reads = |bundle: &Bundle| bundle.manifest.units.get(unit).cloned();
        let mut readers = READERS.iter().filter(|(reader, _)| *reader == unit.as_str());
        let below = |folder: &str| changed.iter().any(|path| path.as_str().starts_with(folder));
        reads(old) != reads(new)
            || changed.iter().any(|path| is_of_unit(path, unit))
            || readers.any(|(_, folder)| below(folder))
    };
    let is_told = |path: &EntryPath| {
        let of_subject = subjects.iter().any(|s| documents(s).contains(&path.to_string()));
        let same_bytes = old.files.get(path) == new.files.get(path);
        // What a unit reads is told by itself; that a unit which does not run would read it anew is no news.
        let of_what_it_reads = same_bytes && !files.is_empty();
        let of_unit = same_bytes && told.units.keys().any(|unit| is_of_unit(path, unit));
        of_subject || of_unit || of_what_it_reads || files.contains(path.as_str())
    };
    let mut faults: Vec<String> = Vec::new();
    faults.extend(files.iter().filter(|f| !has_changed(f)).map(|f| format!("{f} is as it was")));
    let same = subjects.iter().filter(|name| !subject_has_changed(name));
    faults.extend(same.map(|name| format!("nothing of `{name}` differs")));
    // What is tied to another unit goes down with that one.
    let is_tied = |causes: &[String]| causes.iter().any(|c| c.starts_with("it goes down with "));
    let same = told.units.iter().filter(|(_, change)| !is_tied(&change.causes));
    let same = same.map(|(unit, _)| unit).filter(|unit| !unit_has_changed(unit));
    faults.extend(same.map(|unit| format!("nothing of `{unit}` differs")));
    faults.extend(changed.iter().filter(|p| !is_told(p)).map(|p| format!("{p} is not told")));
    if told.is_empty() != (old.digest == new.digest) {
        faults.push("the digests say otherwise".to_owned());
    }
    faults
}

/// Whether a value of a file is of a guest.
fn is_of(file: &str, path: &[Step], target: &Target) -> bool {
    let Some(project) = file.strip_prefix("stacks/").and_then(|f| f.strip_suffix(".toml")) else {
        return true;
    };
    let is_of_env = match path {
        [Step::Key(envs), Step::Key(env), ..] if envs == "envs" => env == target.env.as_str(),
        _ => true,
    };
    project == "site" || project == target.project.as_str() && is_of_env
}

/// The key of a value, without the names of tables and items that the author chose.
fn key_of(path: &[Step]) -> String {
    let keys = path.iter().filter_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Item(_) => None,
    });
    keys.collect::<Vec<_>>().join(".")
}

/// Changes every value of a workspace's definitions; the keys whose change changed a bundle.
fn change_all(workspace: &Sources, turned: &mut BTreeSet<String>, wrong: &mut Vec<String>) {
    let compiled = |sources: &Sources| compile::compile(sources).ok().map(|all| all.guests);
    let before: Bundles = compiled(workspace).expect("the case is a good one");
    let is_definition = |name: &str| name.contains(".toml") && !name.contains("lock.toml");
    for (file, bytes) in workspace.files.iter().filter(|(name, _)| is_definition(name)) {
        let text = String::from_utf8(bytes.clone()).expect("UTF-8");
        let definitions: Value = Value::Table(text.parse().expect("TOML"));
        let mut paths = Vec::new();
        leaves(&definitions, &mut Vec::new(), &mut paths);
        for path in paths {
            let mut changed = definitions.clone();
            let written = leaf_mut(&mut changed, &path).clone();
            for other in others(&written) {
                *leaf_mut(&mut changed, &path) = other.clone();
                let mut sources = workspace.clone();
                let text = toml::to_string(&changed).expect("it is TOML");
                sources.files.insert(file.clone(), text.into_bytes());
                let Some(after) = compiled(&sources) else { continue };
                if before.keys().ne(after.keys()) {
                    continue;
                }
                let key = format!("{file} {} = {other}", key_of(&path));
                let has_changed = compare(&before, &after, (file, &path), &key, wrong);
                if has_changed {
                    turned.insert(key_of(&path));
                    break;
                }
            }
        }
    }
}

/// Whether any guest's bundle is another one.
fn compare(
    before: &Bundles,
    after: &Bundles,
    (file, path): (&str, &[Step]),
    key: &str,
    wrong: &mut Vec<String>,
) -> bool {
    for (target, new) in after {
        let old = &before[target];
        assert!(old.digest == new.digest || is_of(file, path, target), "{key}: {target}");
        let faults = faults(&difference(Some(old), new), old, new);
        wrong.extend(faults.into_iter().map(|fault| format!("{key}: {target}: {fault}")));
    }
    after.iter().any(|(target, new)| before[target].digest != new.digest)
}

/// Parts of the language that are to be among what was changed.
const PARTS: [&str; 14] = [
    "sockets.",
    "drop_ins.",
    "system.sysctl.",
    "sudo",
    "apt.sources.",
    "apt.pins.",
    "guest.mounts.",
    "databases.",
    "probes.",
    "secret",
    "firewall.",
    "timers.",
    "hooks.",
    "access.",
];

#[test]
fn every_value_changed_by_itself_is_told_entry_by_entry_and_touches_no_other_guest() {
    let folders = fs::read_dir(cases()).expect("the cases are there");
    let folders = folders.map(|entry| entry.expect("readable").path());
    let workspaces = folders.filter(|path| path.join("stacks").is_dir());
    let (mut turned, mut wrong) = (BTreeSet::new(), Vec::new());
    for workspace in workspaces {
        change_all(&sources(&workspace), &mut turned, &mut wrong);
    }
    let missing = PARTS.iter().filter(|part| !turned.iter().any(|key| key.contains(*part)));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new());
    assert!(turned.len() > 250, "so many values make a difference: {}", turned.len());
    assert_eq!(wrong, Vec::<String>::new());
}
