//! A change of one value changes exactly the entries that depend on it, and the comparison says exactly those.

use crate::{
    compile::{compiled, root, sources},
    dice::Dice,
};
use stackc::{
    compile::{self, Sources},
    model::{Bundle, Entry, EntryPath, Target, UnitName},
    plan::difference::{Difference, difference},
};
use std::collections::{BTreeMap, BTreeSet};

type Bundles = BTreeMap<Target, Bundle>;

/// A key of the shop, a random value for it, and the entries of the bundle that are made of it.
struct Law {
    key: &'static str,
    value: fn(&mut Dice) -> toml::Value,
    entries: &'static [&'static str],
}

const fn law(
    key: &'static str,
    value: fn(&mut Dice) -> toml::Value,
    entries: &'static [&'static str],
) -> Law {
    Law { key, value, entries }
}

const RULES: [&str; 2] = ["firewall/user.rules", "firewall/user6.rules"];
const BACKEND: &str = "rootfs/etc/systemd/system/app-backend.service";
const FRONTEND: &str = "rootfs/etc/systemd/system/app-frontend.service";
const ENV_FILE: &str = "rootfs/srv/app/.env.dev";

/// It is told in the rules' text, and is none of the rules in words.
const COMMENT_OF_A_RULE: &str = "firewall.rules.more.comment";

/// Keys that units read which are no entry that changes: cron is Debian's, and the app's units read the release, which is
/// another one when it is built with other variables.
const READERS: [(&str, &[&str]); 2] = [
    ("cron.tidy.run", &["cron.service"]),
    ("release.build_env.MARK", &["app-backend.service", "app-frontend.service"]),
];

/// It does not run when its text changes, so that a switch does nothing to it.
const STARTED_BY_A_TIMER: &str = "more.service";

/// What an env says is of its own bundle alone.
const OF_AN_ENV: &[Law] = &[
    law("env_vars.LOG_LEVEL", words, &[BACKEND, FRONTEND, ENV_FILE]),
    law("guest.memory_mib", |dice| number(dice, 512, 4096), &["proxmox.json"]),
    law("guest.tags", |dice| vec![word(dice)].into(), &["proxmox.json"]),
    law(COMMENT_OF_A_RULE, words, &RULES),
    law("firewall.rules.more.port", |dice| number(dice, 9000, 9999), &RULES),
    law("health.window_seconds", |dice| number(dice, 1, 60), &["health.json"]),
    law("packages.htop", |dice| format!("3.{}-1", dice.roll(1000)).into(), &["apt.json"]),
    law("files.note.text", words, &["rootfs/etc/note", BACKEND]),
    law(
        "files.note.group",
        |dice| dice.pick(&["root", "adm", "mail"]).into(),
        &["rootfs/etc/note"],
    ),
    law("cron.tidy.run", words, &["rootfs/etc/cron.d/tidy"]),
    law("hooks.warm.timeout_seconds", |dice| number(dice, 1, 600), &["hooks.json"]),
    law("services.more.description", words, &["rootfs/etc/systemd/system/more.service"]),
    law("timers.more.on_calendar", calendar, &["rootfs/etc/systemd/system/more.timer"]),
    law(
        "log_rotation.more.keep",
        |dice| number(dice, 1, 90),
        &["rootfs/etc/logrotate.d/stackc-more"],
    ),
    law("users.anna.comment", words, &["rootfs/etc/sysusers.d/stackc-anna.conf"]),
    law("databases.more.owner", name, &["databases.json"]),
    law("release.keep", |dice| number(dice, 1, 90), &["release.json"]),
];

/// What a project says is of all its envs' bundles, and of the payload.
const OF_A_PROJECT: &[Law] = &[
    law(
        "ports.backend",
        |dice| number(dice, 4000, 4999),
        &[RULES[0], RULES[1], "health.json", BACKEND],
    ),
    law("release.build_env.MARK", words, &["release.json"]),
];

/// What stands beside the keys above, so that they are of something whole.
const BESIDE: &str = r#"
[envs.dev.firewall.rules.more]
port = 9000
[envs.dev.files.note]
path = "/etc/note"
text = "x"
restart = ["app-backend.service"]
[envs.dev.cron.tidy]
schedule = "@daily"
user = "root"
run = "true"
[envs.dev.hooks.warm]
when = "before_switch"
run = ["/usr/bin/true"]
[envs.dev.services.more]
exec = ["/usr/bin/true"]
[envs.dev.timers.more]
unit = "more.service"
on_calendar = "daily"
[envs.dev.log_rotation.more]
paths = ["/var/log/more.log"]
[envs.dev.users.anna]
[envs.dev.packages]
postgresql = true
[envs.dev.databases.more]
owner = "more"
"#;

fn word(dice: &mut Dice) -> String {
    (0..8).map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz"[dice.roll(26)])).collect()
}

fn name(dice: &mut Dice) -> toml::Value {
    word(dice).into()
}

fn words(dice: &mut Dice) -> toml::Value {
    format!("{} {}", word(dice), word(dice)).into()
}

fn number(dice: &mut Dice, low: i64, high: i64) -> toml::Value {
    let sides = usize::try_from(high - low).expect("it is small");
    (low + i64::try_from(dice.roll(sides)).expect("it is small")).into()
}

fn calendar(dice: &mut Dice) -> toml::Value {
    format!("*-*-* {:02}:{:02}:00", dice.roll(24), dice.roll(60)).into()
}

/// The worked examples, with a value at a key of the shop.
fn with(layer: &[&str], key: &str, value: toml::Value) -> Bundles {
    let mut examples = sources(root());
    let file = examples.files.get_mut("stacks/shop.toml").expect("it is there");
    let text = String::from_utf8(file.clone()).expect("UTF-8") + BESIDE;
    let mut project: toml::Table = text.parse().expect("TOML");
    let (last, tables) = key.rsplit('.').next().zip(key.rsplit_once('.')).expect("a dot");
    let mut table = &mut project;
    for step in layer.iter().copied().chain(tables.0.split('.')) {
        let below = table.entry(step).or_insert_with(|| toml::Table::new().into());
        table = below.as_table_mut().expect("a table");
    }
    table.insert(last.to_owned(), value);
    *file = toml::to_string(&project).expect("it is TOML").into_bytes();
    compiled(&examples).guests
}

/// Two random values, and what they make.
fn before_and_after(layer: &[&str], law: &Law, dice: &mut Dice) -> (Bundles, Bundles) {
    let (first, mut second) = ((law.value)(dice), (law.value)(dice));
    while first == second {
        second = (law.value)(dice);
    }
    (with(layer, law.key, first), with(layer, law.key, second))
}

/// The entries of which anything differs.
fn changed(old: &Bundle, new: &Bundle) -> BTreeSet<EntryPath> {
    let (old, new) = (&old.manifest.entries, &new.manifest.entries);
    let differs = |path: &&EntryPath| old.get(*path) != new.get(*path);
    old.keys().chain(new.keys()).filter(differs).cloned().collect()
}

/// Asserts that the comparison tells these entries and no others, and the units that these are or that read them.
fn tells_exactly(
    key: &str,
    told: &Difference,
    (old, new): (&Bundle, &Bundle),
    entries: &BTreeSet<EntryPath>,
) {
    let told_units: BTreeSet<_> = told.units.keys().map(UnitName::as_str).collect();
    let is_told_by_unit = |path: &EntryPath| {
        let [Some(Entry::File { bytes: a, .. }), Some(Entry::File { bytes: b, .. })] =
            [old, new].map(|bundle| bundle.manifest.entries.get(path))
        else {
            return false;
        };
        a == b && unit_of(path).is_some_and(|unit| told_units.contains(unit))
    };
    let is_text = |path: &&EntryPath| path.as_str().strip_suffix(".json").is_none();
    let texts = entries.iter().filter(is_text);
    let files: BTreeSet<_> = texts.filter(|path| !is_told_by_unit(path)).collect();
    let told_files: BTreeSet<_> = told.files.iter().map(|file| file.path.clone()).collect();
    assert_eq!(told_files, files.into_iter().map(ToString::to_string).collect());
    let subject = |path: &EntryPath| match path.as_str() {
        "apt.json" => "packages".to_owned(),
        name if name.starts_with("firewall/") => "firewall".to_owned(),
        name => name.trim_end_matches(".json").to_owned(),
    };
    let documents = entries.iter().filter(|path| path.on_guest().is_none());
    let mut subjects: BTreeSet<_> = documents.map(subject).collect();
    if old.manifest.payload != new.manifest.payload {
        subjects.insert("bundle".to_owned());
    }
    if key == COMMENT_OF_A_RULE {
        subjects.remove("firewall");
    }
    let told_subjects: BTreeSet<_> = told.subjects.iter().map(|s| s.name.clone()).collect();
    assert_eq!(told_subjects, subjects, "{key}");
    let readers = READERS.iter().filter(|(read, _)| *read == key && !entries.is_empty());
    let readers = readers.flat_map(|(_, units)| *units).copied();
    let running = entries.iter().filter_map(unit_of).filter(|unit| *unit != STARTED_BY_A_TIMER);
    let of_them: BTreeSet<_> = running.chain(readers).collect();
    assert_eq!(told_units, of_them, "{key}");
}

/// The unit that an entry of the bundle is.
fn unit_of(path: &EntryPath) -> Option<&str> {
    path.as_str().strip_prefix("rootfs/etc/systemd/system/")
}

fn hold(layer: &[&str], laws: &[Law], of_all_envs: bool) {
    let mut dice = Dice::seeded();
    for law in laws {
        let (before, after) = before_and_after(layer, law, &mut dice);
        for (target, new) in &after {
            let old = &before[target];
            let found = changed(old, new);
            let is_of_it = target.to_string() == "shop/dev"
                || of_all_envs && target.project.as_str() == "shop";
            let env = format!(".env.{}", target.env);
            let expected = law
                .entries
                .iter()
                .filter(|_| is_of_it)
                .map(|entry| entry.replace(".env.dev", &env).parse().expect("an entry's path"));
            assert_eq!(found, expected.collect(), "{}: {target}", law.key);
            assert_eq!(old.digest == new.digest, !is_of_it, "{}: {target}", law.key);
            tells_exactly(law.key, &difference(Some(old), new), (old, new), &found);
        }
    }
}

#[test]
fn a_value_of_an_env_changes_the_entries_that_are_made_of_it_and_no_others() {
    hold(&["envs", "dev"], OF_AN_ENV, false);
}

#[test]
fn a_value_of_a_project_changes_those_entries_in_all_its_envs_and_nowhere_else() {
    hold(&["project"], OF_A_PROJECT, true);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let examples: Sources = sources(root());
    let with_threads = |number| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(number).build();
        let pool = pool.expect("threads can be had");
        let compiled = pool.install(|| compile::compile(&examples));
        compiled.unwrap_or_else(|report| panic!("{report}")).guests
    };
    let one = with_threads(1);
    for number in [2, 3, 16] {
        assert_eq!(with_threads(number), one, "{number} threads");
    }
}
