//! The pages about the language: made of it, with examples of definitions that compile.

use crate::compile::{cases, compiled, root};
use stackc::compile;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// The longest example, in lines.
const LONGEST: usize = 9;
/// The lines of one that says little: the header and a key. A case may say more.
const SHORTEST: usize = 2;

/// Run with `STACKC_WRITE=1` to write it anew.
#[test]
fn the_page_of_every_key_is_that_of_the_language() {
    let path = root().join("docs/definitions.md");
    let page = compile::reference(&examples());
    if std::env::var_os("STACKC_WRITE").is_some() {
        fs::write(&path, &page).expect("it is written");
    }
    let written = fs::read_to_string(&path).expect("it is there");
    assert!(written == page, "STACKC_WRITE=1 writes it anew");
}

#[test]
fn every_table_of_the_page_has_an_example() {
    let page = compile::reference(&examples());
    let tables = page.split("\n### `").skip(1);
    // Tables of a list stand in the example of the table that has the list.
    let is_shown = |name: &str| {
        let list = name.rsplit('.').next().unwrap_or_default();
        page.contains(&format!("\n{list} = [\n")) || page.contains(&format!("\n{list} = [{{"))
    };
    let bare = tables.filter(|table| !table.contains("```toml"));
    let bare = bare.filter_map(|table| table.split('`').next()).filter(|name| !is_shown(name));
    assert_eq!(bare.collect::<Vec<_>>(), [""; 0], "say these in a worked example, or in a case");
}

/// What worked examples say of each table, and else cases with a snapshot: of the short ones, the one that says most.
fn examples() -> BTreeMap<String, String> {
    let keys: BTreeSet<String> = compile::keys().into_iter().collect();
    let mut all = BTreeMap::new();
    for folder in [root().to_owned(), cases()] {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        for text in texts(&folder) {
            for (path, example) in tables(&text, &keys) {
                let is_short = example.lines().count() <= LONGEST;
                let best = found.get(&path).map_or(0, |best| best.lines().count());
                if is_short && example.lines().count() > best {
                    found.insert(path, example);
                }
            }
        }
        for (path, example) in found {
            let says_more = example.lines().count() > SHORTEST;
            if says_more || folder == cases() {
                all.entry(path).or_insert(example);
            }
        }
    }
    all
}

/// The definitions of a workspace, or of all cases with a snapshot.
fn texts(folder: &std::path::Path) -> Vec<String> {
    let is_kept = |path: &std::path::Path| {
        let name = path.strip_prefix(folder).expect("it lies below").to_string_lossy().into_owned();
        let of_examples = name.starts_with("stacks/") || name.starts_with("templates/");
        // What others shall not read as an example: odd on purpose.
        let odd = ["reject/", "lockouts/", "ways_in/", "units_of_others/"];
        let of_case = folder == cases() && !odd.iter().any(|odd| name.starts_with(odd));
        path.extension().is_some_and(|end| end == "toml")
            && !name.ends_with("lock.toml")
            && (of_examples || of_case)
    };
    let is_other = |entry: &walkdir::DirEntry| {
        entry.depth() != 1
            || folder == cases()
            || ["stacks", "templates"].contains(&&*entry.file_name().to_string_lossy())
    };
    let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter();
    let files = files.filter_entry(is_other).map(|entry| entry.expect("readable").into_path());
    let files = files.filter(|path| path.is_file() && is_kept(path));
    files.map(|path| fs::read_to_string(path).expect("it is text")).collect()
}

/// The tables of a text by their path in the page, each with its lines.
fn tables(text: &str, keys: &BTreeSet<String>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for block in format!("\n{text}").split("\n[").skip(1) {
        let mut lines = block.lines();
        let Some(header) = lines.next().and_then(|line| line.split(']').next()) else { continue };
        let lines = lines.take_while(|line| !line.is_empty() && !line.starts_with('#'));
        let lines: Vec<_> = lines.collect();
        if let Some(path) = path_of(header, keys).filter(|_| !lines.is_empty()) {
            all.push((path, format!("[{header}]\n{}", lines.join("\n"))));
        }
        for line in lines.iter().filter(|line| line.contains("= {") && line.ends_with('}')) {
            let key = line.split(" =").next().unwrap_or_default();
            if let Some(path) = path_of(&format!("{header}.{key}"), keys) {
                all.push((path, format!("[{header}]\n{line}")));
            }
        }
    }
    all
}

/// The path of a table in the page; none for one of another file or layer.
fn path_of(header: &str, keys: &BTreeSet<String>) -> Option<String> {
    let parts: Vec<_> = header.split('.').map(|part| part.trim_matches('"')).collect();
    let parts = match parts.as_slice() {
        ["project", rest @ ..] | ["envs", _, rest @ ..] => rest,
        all => all,
    };
    let (first, rest) = parts.split_first()?;
    let layer =
        ["project.", "site."].into_iter().find(|l| keys.contains(&format!("{l}{first}")))?;
    let mut path = format!("{layer}{first}");
    let mut named = (*first).to_owned();
    for part in rest {
        let key = format!("{path}.{part}");
        let is_key = keys.contains(&key);
        path = if is_key { key } else { format!("{path}.*") };
        named.extend([".", if is_key { part } else { "NAME" }]);
    }
    let below = format!("{path}.");
    keys.iter().any(|key| key.starts_with(&below)).then_some(named)
}

/// The files of a page: each block of code that begins with a comment that is its path.
fn files_of(page: &str) -> BTreeMap<String, Vec<u8>> {
    let blocks = page.split("\n```").skip(1).step_by(2);
    let named = blocks.filter_map(|block| {
        let code = block.split_once('\n')?.1;
        let path = code.lines().next()?.trim_matches(['#', '<', '!', '-', '>', ' ']);
        Some((path.to_owned(), format!("{code}\n").into_bytes()))
    });
    named.collect()
}

#[test]
fn the_kind_of_the_page_on_kinds_compiles_to_this() {
    let page = fs::read_to_string(root().join("docs/kinds.md")).expect("it is there");
    assert!(page.lines().count() <= 100, "a page that is read at one sitting");
    let mut sources = crate::compile::sources(&cases().join("node_app"));
    sources.files.retain(|name, _| !["stacks/web.toml", "stacks/lock.toml"].contains(&&**name));
    sources.files.extend(files_of(&page));
    let compiled = compiled(&sources);
    let bundle = compiled.guests.values().next().expect("the project has an env");
    let text = |path: &str| {
        let bytes = &bundle.files[&path.parse().expect("it is a path")];
        String::from_utf8_lossy(bytes).into_owned()
    };
    let page = text("rootfs/srv/greeter/index.html");
    let unit = text("rootfs/etc/systemd/system/greeter.service");
    insta::assert_snapshot!(format!("{page}\n{unit}"));
}

#[test]
fn explain_has_the_pages_sentence_for_a_key_that_nobody_says() {
    let compiled = compiled(&crate::compile::sources(&cases().join("node_app")));
    let target = compiled.guests.keys().next().expect("the case has a guest");
    let of =
        |key| compile::explain(&compiled, target, key).expect_err("nobody says it").to_string();
    let told = ["guest.onboot", "services.x.restart", "services.x", "guest.onbot"].map(of);
    insta::assert_snapshot!(told.join("\n"));
}
