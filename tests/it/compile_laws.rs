//! Laws of the compiler, on random input. A failure names the seed that repeats it: `STACKC_SEED=… cargo test laws`.

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use stackc::{
    compile::{self, Sources, env_file},
    model::{Digest, Target},
    store,
};
use std::{collections::BTreeMap, fmt::Write as _, path::Path, time::SystemTime};

/// Runs a law on this many random cases.
pub fn holds<S: Strategy>(
    cases: u32,
    strategy: &S,
    law: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let given = std::env::var("STACKC_SEED").ok();
    let seed = given.map_or_else(
        || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos(),
        |text| text.parse().expect("STACKC_SEED is a number"),
    );
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let outcome = TestRunner::new_with_rng(config, rng).run(strategy, law);
    outcome.unwrap_or_else(|failure| panic!("STACKC_SEED={seed}: {failure}"));
}

fn examples() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Sources { files: store::read_sources(root).expect("the workspace is readable") }
}

fn digests(sources: &Sources) -> BTreeMap<Target, Digest> {
    let compiled = compile::compile(sources).unwrap_or_else(|report| panic!("{report}"));
    compiled.guests.into_iter().map(|(target, bundle)| (target, bundle.digest)).collect()
}

#[test]
fn laws_digests_do_not_depend_on_how_definitions_are_written_down() {
    let examples = examples();
    let wanted = digests(&examples);
    holds(12, &any::<u64>(), |seed| {
        let mut dice = Dice(seed);
        let mut rewritten = Sources::default();
        for (name, bytes) in dice.shuffled(examples.files.iter().collect()) {
            // Of a kind, the payload covers the very bytes (design.md §6).
            let bytes = if name.starts_with("stacks/") {
                let text = String::from_utf8(bytes.clone()).expect("UTF-8");
                rewrite(&text.parse().expect("TOML"), &mut dice).into_bytes()
            } else {
                bytes.clone()
            };
            rewritten.files.insert(name.clone(), bytes);
        }
        prop_assert_eq!(digests(&rewritten), wanted.clone());
        Ok(())
    });
}

#[test]
fn laws_built_in_kinds_and_a_copy_of_them_make_the_same_bundles() {
    let copied = examples();
    let mut builtin = copied.clone();
    builtin.files.retain(|name, _| !name.starts_with("templates/"));
    assert!(builtin.files.len() < copied.files.len(), "the examples have their own copy");
    assert_eq!(digests(&copied), digests(&builtin));
}

#[test]
fn laws_kinds_that_nobody_uses_change_nothing() {
    let mut more = examples();
    let wanted = digests(&more);
    let copies = more.files.iter().filter_map(|(name, bytes)| {
        Some((format!("templates/unused{}", name.strip_prefix("templates/base")?), bytes.clone()))
    });
    let copies: Vec<_> = copies.collect();
    assert!(!copies.is_empty(), "there is something to copy");
    more.files.extend(copies);
    assert_eq!(digests(&more), wanted);
}

/// A change of a kind's file is a change of the payload: what the laws above compare is no constant.
#[test]
fn laws_a_byte_of_a_kind_changes_the_payload() {
    let mut changed = examples();
    let wanted = digests(&changed);
    let kind = changed.files.get_mut("templates/base/kind.toml").expect("it is there");
    kind.extend_from_slice(b"# a comment\n");
    let found = digests(&changed);
    assert!(found.iter().all(|(target, digest)| *digest != wanted[target]));
}

/// The same definitions in another order of keys and tables, tables now and then in one line.
fn rewrite(table: &toml::Table, dice: &mut Dice) -> String {
    let mut text = String::new();
    write_table(table, &mut Vec::new(), dice, &mut text);
    text
}

fn write_table(table: &toml::Table, path: &mut Vec<String>, dice: &mut Dice, text: &mut String) {
    let (tables, values): (Vec<_>, Vec<_>) =
        table.iter().partition(|(_, value)| value.is_table() && dice.roll(4) > 0);
    for (key, value) in dice.shuffled(values) {
        writeln!(text, "{} = {value}", quoted(key)).expect("text takes all");
    }
    for (key, value) in dice.shuffled(tables) {
        path.push(quoted(key));
        writeln!(text, "\n# {}\n[{}]", dice.0, path.join(".")).expect("text takes all");
        write_table(value.as_table().expect("it is one"), path, dice, text);
        path.pop();
    }
}

fn quoted(key: &str) -> String {
    toml::Value::from(key).to_string()
}

/// Splitmix64: enough to shuffle with.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)) >> 33;
        usize::try_from(mixed).expect("31 bits") % sides
    }

    fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for n in (1..items.len()).rev() {
            items.swap(n, self.roll(n + 1));
        }
        items
    }
}

#[test]
fn laws_systemd_reads_back_every_value_of_an_env_file() {
    let odd = prop::sample::select(vec![
        '\'', '"', '\\', '$', '`', '{', ' ', '\t', '\n', '\r', '#', ';', '=', 'n', 'é',
    ]);
    let value = prop::collection::vec(prop_oneof![3 => odd, 1 => any::<char>()], 0..12);
    let values = prop::collection::vec(value.prop_map(String::from_iter), 1..20);
    holds(1000, &values, |values| {
        let values: Vec<_> = values.iter().map(|value| value.replace('\0', "")).collect();
        let lines = values.iter().enumerate();
        let lines = lines.map(|(n, value)| env_file::encode(&format!("V{n}"), value));
        let text: String = lines.map(|line| line.expect("it has a line")).collect();
        let read: Vec<_> = systemd(&text).into_iter().map(|(_, value)| value).collect();
        prop_assert_eq!(read, values, "{:?}", text);
        Ok(())
    });
}

/// The port itself, on lines whose meaning systemd.exec(5) and the study of systemd 252 give.
#[test]
fn laws_systemds_grammar_is_ported_as_it_is() {
    let text =
        "# c\\\nA=eaten\n;x\nB = two words \nC='a'\"b\"c'd\nD=\"\\q\\$\\\nx\"\nE=a\\ b\\\nc\nF";
    let read: Vec<_> = systemd(text);
    let wanted = [("B", "two words"), ("C", "abc'd"), ("D", "\\q$x"), ("E", "a bc")];
    assert_eq!(read, wanted.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    PreKey,
    Key,
    PreValue,
    Value,
    ValueEscape,
    Single,
    Double,
    DoubleEscape,
    Comment,
    CommentEscape,
}

/// systemd's reader of env files, state by state. Source: systemd 252, `src/basic/env-file.c`, `parse_env_file_internal`.
fn systemd(text: &str) -> Vec<(String, String)> {
    let (newline, blank) = (['\n', '\r'], [' ', '\t', '\n', '\r']);
    let (mut all, mut key, mut value) = (Vec::new(), String::new(), String::new());
    // Where the blanks at the end of a bare value begin.
    let mut end: Option<usize> = None;
    let mut state = State::PreKey;
    for c in text.chars().chain(['\n']) {
        state = match state {
            State::PreKey if ['#', ';'].contains(&c) => State::Comment,
            State::PreKey if blank.contains(&c) => State::PreKey,
            State::Key if newline.contains(&c) => {
                key.clear();
                State::PreKey
            }
            State::Key if c == '=' => {
                end = None;
                State::PreValue
            }
            State::PreKey | State::Key => {
                key.push(c);
                State::Key
            }
            State::PreValue | State::Value if newline.contains(&c) => {
                if let (State::Value, Some(end)) = (state, end) {
                    value.truncate(end);
                }
                all.push((key.trim_end_matches(blank).to_owned(), std::mem::take(&mut value)));
                key.clear();
                State::PreKey
            }
            State::PreValue if c == '\'' => State::Single,
            State::PreValue if c == '"' => State::Double,
            State::PreValue | State::Value if c == '\\' => {
                end = None;
                State::ValueEscape
            }
            State::PreValue if blank.contains(&c) => State::PreValue,
            State::PreValue | State::Value => {
                end = if blank.contains(&c) { end.or(Some(value.len())) } else { None };
                value.push(c);
                State::Value
            }
            State::ValueEscape => {
                value.extend(Some(c).filter(|c| !newline.contains(c)));
                State::Value
            }
            State::Single if c == '\'' => State::PreValue,
            State::Double if c == '"' => State::PreValue,
            State::Double if c == '\\' => State::DoubleEscape,
            State::Single | State::Double => {
                value.push(c);
                state
            }
            State::DoubleEscape => {
                match c {
                    '"' | '\\' | '`' | '$' => value.push(c),
                    '\n' => {}
                    c => value.extend(['\\', c]),
                }
                State::Double
            }
            State::Comment if c == '\\' => State::CommentEscape,
            State::Comment if newline.contains(&c) => State::PreKey,
            State::Comment | State::CommentEscape => State::Comment,
        };
    }
    all
}
