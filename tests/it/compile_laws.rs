//! Laws of the compiler, on random input. A failure names the seed that repeats it: `STACKC_SEED=… cargo test laws`.

use crate::{
    dice::{self, Dice},
    fuzzed::functions::env_grammar::systemd,
    guest_fixture::in_memory,
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use stackc::{
    compile::{self, Sources, env_file},
    model::{Digest, Target},
    store,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

/// Runs a law on this many random cases.
pub fn holds<S: Strategy>(
    cases: u32,
    strategy: &S,
    law: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let seed = dice::seed();
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
        // Of a kind, the payload covers the very bytes (design.md §6).
        let rewritten = rewritten(&examples, &mut dice, |name| name.starts_with("stacks/"));
        prop_assert_eq!(digests(&rewritten), wanted.clone());
        Ok(())
    });
}

#[test]
fn laws_bundles_do_not_depend_on_the_order_of_a_kinds_tables() {
    let examples = examples();
    let of_guests = |sources: &Sources| {
        let compiled = compile::compile(sources).unwrap_or_else(|report| panic!("{report}"));
        let mut guests = compiled.guests;
        for bundle in guests.values_mut() {
            bundle.manifest.payload = Digest::of(b"");
        }
        let guests = guests.into_iter();
        guests.map(|(target, b)| (target, b.manifest, b.files)).collect::<Vec<_>>()
    };
    let wanted = of_guests(&examples);
    holds(12, &any::<u64>(), |seed| {
        let mut dice = Dice(seed);
        let rewritten = rewritten(&examples, &mut dice, |name| name.ends_with("/kind.toml"));
        prop_assert!(rewritten.files != examples.files);
        prop_assert!(of_guests(&rewritten) == wanted);
        Ok(())
    });
}

/// Files have no order once they are read. What can vary is the order in which a folder lists them: on a file system in
/// memory, that of their making.
#[test]
fn laws_the_order_in_which_files_were_made_changes_nothing() {
    let examples = examples();
    let wanted = digests(&examples);
    let mut dice = Dice::seeded();
    let mut listings = BTreeSet::new();
    for _ in 0..6 {
        let folder = in_memory();
        for (name, bytes) in dice.shuffled(examples.files.iter().collect()) {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("it has a folder")).expect("it is made");
            fs::write(path, bytes).expect("it is written");
        }
        let listed = fs::read_dir(folder.path().join("stacks")).expect("it is there");
        listings.insert(listed.map(|e| e.expect("readable").file_name()).collect::<Vec<_>>());
        let files = store::read_sources(folder.path()).expect("the workspace is readable");
        assert_eq!(files, examples.files);
        assert_eq!(digests(&Sources { files }), wanted);
    }
    let is_in_memory = Path::new("/dev/shm").is_dir();
    assert!(listings.len() > 1 || !is_in_memory, "no listing had another order: {listings:?}");
}

/// The same definitions, some of their files written down in another way.
fn rewritten(sources: &Sources, dice: &mut Dice, is_chosen: impl Fn(&str) -> bool) -> Sources {
    let mut rewritten = sources.clone();
    for (_, bytes) in rewritten.files.iter_mut().filter(|(name, _)| is_chosen(name)) {
        let text = String::from_utf8(bytes.clone()).expect("UTF-8");
        *bytes = rewrite(&text.parse().expect("TOML"), dice).into_bytes();
    }
    rewritten
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

#[test]
fn laws_systemd_reads_back_every_value_of_an_env_file() {
    let odd = prop::sample::select(vec![
        '\'', '"', '\\', '$', '`', '{', ' ', '\t', '\n', '\r', '#', ';', '=', 'n', 'é',
    ]);
    let value = prop::collection::vec(prop_oneof![3 => odd, 1 => any::<char>()], 0..12);
    let values = prop::collection::vec(value.prop_map(String::from_iter), 1..20);
    holds(1000, &values, |values| {
        let (mut text, mut wanted) = (String::new(), Vec::new());
        for (n, value) in values.into_iter().enumerate() {
            if let Ok(line) = env_file::encode(&format!("V{n}"), &value) {
                text.push_str(&line);
                wanted.push(value);
            }
        }
        let read: Vec<_> = systemd(&text).into_iter().map(|(_, value)| value).collect();
        prop_assert_eq!(read, wanted, "{:?}", text);
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
