//! The rules of src/ARCHITECTURE.md that a machine can keep.

use crate::tree::{self, TreeFile};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
    process::Command,
};

/// Which folders each folder of `src` may name (design.md §4). `cli` may name all.
const ARROWS: [(&str, &[&str]); 10] = [
    ("model", &[]),
    ("compile", &["model"]),
    ("plan", &["model"]),
    ("store", &["model"]),
    ("vault", &["model"]),
    ("proxmox", &["model"]),
    ("remote", &["model"]),
    ("guest", &["model"]),
    ("activate", &["model", "compile", "plan", "store", "vault", "proxmox", "remote"]),
    ("lab", &["model"]),
];

/// The folders that may reach for files, processes, the clock or the network.
const EFFECTS: [&str; 9] =
    ["store", "vault", "proxmox", "remote", "guest", "activate", "lab", "cli", "bin"];

/// Words that say nothing of what they name (style.md §2).
const EMPTY_WORDS: [&str; 9] =
    ["util", "utils", "common", "misc", "helper", "helpers", "manager", "data", "info"];

#[test]
fn arrows_between_folders_point_one_way() {
    let allowed = BTreeMap::from(ARROWS);
    let mut wrong = Vec::new();
    for file in tree::files().iter().filter(|file| file.is_rust()) {
        let Some((folder, allowed)) = file.source_folder().and_then(|f| Some((f, allowed.get(f)?)))
        else {
            continue;
        };
        let code: Vec<&str> = file.code_lines().map(|(_, line)| line).collect();
        let mut named = modules_named(&code.join("\n"));
        named.retain(|name| name != folder && !allowed.contains(&name.as_str()));
        wrong.extend(named.iter().map(|name| format!("{} names `{name}`", file.path)));
    }
    assert_none("folders name what they must not", &wrong);
}

#[test]
fn modules_are_found_in_groups_too() {
    let code = "use crate::{a::{x, y}, b,\n c::d};\nuse crate::e::f; crate::g::h()";
    assert_eq!(modules_named(code), ["a", "b", "c", "e", "g"].map(str::to_owned).into());
}

#[test]
fn bans_on_effects_are_lifted_in_effect_folders_only() {
    let wrong = lines_of_sources(|file, line| {
        let lifts = ["disallowed_methods", "print_stdout", "print_stderr", "unsafe_code"];
        let may = match file.source_folder() {
            Some(folder) if line.contains("print_std") => ["cli", "bin"].contains(&folder),
            Some(folder) => EFFECTS.contains(&folder),
            None => file.path == "src/main.rs" || !file.path.starts_with("src/"),
        };
        (!may && lifts.iter().any(|lift| line.contains(lift))).then_some(())
    });
    assert_none("pure folders lift a ban", &wrong);
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let wrong = lines_of_sources(|_, line| {
        ["#[allow(", "#![allow("].iter().any(|allow| line.contains(allow)).then_some(())
    });
    assert_none("use `expect` with a reason", &wrong);
    for file in tree::files().iter().filter(|file| file.is_rust()) {
        let marks = ["#[expect(", "#![expect("].map(|mark| file.text.split(mark).skip(1));
        for rest in marks.into_iter().flatten() {
            let attribute = rest.split(")]").next().unwrap_or(rest);
            assert!(
                attribute.contains("reason") || file.path.ends_with("fences.rs"),
                "{}: an expect without its reason: {attribute}",
                file.path
            );
        }
    }
}

#[test]
fn async_stays_in_the_folders_whose_crates_need_it() {
    let wrong = lines_of_sources(|file, line| {
        let may = ["proxmox", "remote", "lab"].contains(&file.source_folder()?);
        let marks = ["async fn", "async move", "async {", ".await"];
        (!may && marks.iter().any(|mark| line.contains(mark))).then_some(())
    });
    assert_none("async above the adapters", &wrong);
}

#[test]
fn nothing_is_global_and_mutable() {
    let wrong = lines_of_sources(|_, line| {
        let line = line.trim_start();
        (line.starts_with("pub static") || line.contains("static mut ")).then_some(())
    });
    assert_none("global state", &wrong);
}

#[test]
fn serde_attributes_keep_positions_and_refuse_unknown_fields() {
    let wrong = lines_of_sources(|_, line| {
        let attribute = line.trim_start().starts_with("#[serde(");
        (attribute && (line.contains("flatten") || line.contains("untagged"))).then_some(())
    });
    assert_none("`flatten` and `untagged` lose a value's position", &wrong);
}

#[test]
fn nothing_unfinished_is_in_the_tree() {
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"]].map(|halves| halves.concat());
    let wrong: Vec<String> = tree::files()
        .iter()
        .flat_map(|file| {
            let lines = file.text.lines().enumerate();
            let hits = lines.filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)));
            hits.map(|(index, line)| place(file, index + 1, line)).collect::<Vec<_>>()
        })
        .collect();
    assert_none("finish it, or make it an issue", &wrong);
}

#[test]
fn names_say_what_they_name() {
    let mut wrong = Vec::new();
    for file in tree::files().iter().filter(|file| file.path.starts_with("src/")) {
        let stem = file.path.trim_end_matches(".rs").rsplit('/').next().unwrap_or("");
        if stem.split('_').any(|word| EMPTY_WORDS.contains(&word)) {
            wrong.push(file.path.clone());
        }
        for (number, line) in file.code_lines() {
            let declared = ["struct ", "enum ", "trait ", "mod "]
                .iter()
                .filter_map(|keyword| line.split_once(keyword))
                .filter(|(before, _)| before.trim().is_empty() || before.trim().starts_with("pub"))
                .map(|(_, name)| first_word(name));
            let empty = |name: &str| words(name).iter().any(|w| EMPTY_WORDS.contains(&w.as_str()));
            wrong.extend(declared.filter(|name| empty(name)).map(|_| place(file, number, line)));
        }
    }
    assert_none("names that say nothing", &wrong);
}

#[test]
fn tree_names_no_folder_and_no_mirror_of_the_machine_that_made_it() {
    let mut banned = machine_hosts();
    let top = tree::top().to_str().expect("UTF-8").to_owned();
    // A clone directly below the root would make a word such as `/stackc` suspicious.
    banned.extend((top.matches('/').count() > 1).then_some(top));
    banned.extend(env::var("HOME").map(|home| format!("{home}/.cargo/")));
    let wrong: Vec<String> = tree::files()
        .iter()
        .filter(|file| file.path != "Cargo.lock")
        .flat_map(|file| {
            let lines = file.text.lines().enumerate();
            let hits = lines.filter(|(_, line)| banned.iter().any(|word| line.contains(word)));
            hits.map(|(index, line)| place(file, index + 1, line)).collect::<Vec<_>>()
        })
        .collect();
    assert_none("hosts or paths of this machine", &wrong);
}

#[test]
fn scripts_pass_shellcheck() {
    let files = tree::files();
    // A template is no script yet; the scripts that they make are below.
    let scripts = files.iter().filter(|file| file.is_script() && !file.path.contains(".tera"));
    let scripts: Vec<PathBuf> = scripts.map(|file| tree::top().join(&file.path)).collect();
    shellcheck(&scripts);
}

#[test]
fn scripts_of_the_worked_examples_pass_shellcheck() {
    let files = stackc::store::read_sources(tree::top()).expect("the tree is a workspace");
    let compiled = stackc::compile::compile(&stackc::compile::Sources { files });
    let compiled = compiled.unwrap_or_else(|report| panic!("{}", report.render(false)));
    let bundles = compiled.guests.values().flat_map(|bundle| &bundle.files);
    let scripts = bundles.filter(|(_, bytes)| bytes.starts_with(b"#!"));
    let contents: BTreeSet<&Vec<u8>> = scripts.map(|(_, bytes)| bytes).collect();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let write = |(number, bytes): (usize, &&Vec<u8>)| {
        let path = dir.path().join(number.to_string());
        fs::write(&path, bytes).expect("writable");
        path
    };
    shellcheck(&contents.iter().enumerate().map(write).collect::<Vec<_>>());
}

fn shellcheck(scripts: &[PathBuf]) {
    assert!(!scripts.is_empty(), "there are scripts to check");
    let checked = match Command::new("shellcheck").args(scripts).output() {
        Ok(checked) => checked,
        Err(error) => panic!("shellcheck does not run ({error}): apt-get install shellcheck"),
    };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

/// The lines of `src` and `tests` that `wrong` points out, comments left out; this file is not judged by itself.
fn lines_of_sources(wrong: impl Fn(&TreeFile, &str) -> Option<()>) -> Vec<String> {
    let files = tree::files();
    let sources = files.iter().filter(|file| file.is_rust() && file.path != "tests/it/fences.rs");
    sources
        .flat_map(|file| {
            let lines = file.code_lines().filter(|(_, line)| wrong(file, line).is_some());
            lines.map(|(number, line)| place(file, number, line)).collect::<Vec<_>>()
        })
        .collect()
}

/// The modules of this crate that code names: after `crate::`, alone or in a group.
fn modules_named(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            named.insert(first_word(rest).to_owned());
            continue;
        };
        let (mut depth, mut item) = (1, String::new());
        for char in group.chars() {
            match char {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && char == ',') {
                named.insert(first_word(item.trim()).to_owned());
                item.clear();
            }
            if depth == 0 {
                break;
            }
            if depth > 1 || char != ',' {
                item.push(char);
            }
        }
    }
    named.remove("");
    named
}

/// The hosts of package mirrors that this machine's own clients are set to, Debian's public ones left out.
fn machine_hosts() -> Vec<String> {
    let home = env::var("HOME").unwrap_or_default();
    let mut texts: Vec<String> = ["/.cargo/config.toml", "/.config/pip/pip.conf", "/.npmrc"]
        .iter()
        .filter_map(|path| fs::read_to_string(format!("{home}{path}")).ok())
        .collect();
    let folder = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten();
    let sources = folder.filter_map(|entry| Some(entry.ok()?.path()));
    texts.extend(sources.filter_map(|path| fs::read_to_string(path).ok()));
    texts.extend(fs::read_to_string("/etc/apt/sources.list"));
    texts.extend(fs::read_to_string("/etc/pip.conf"));
    let hosts = texts.iter().flat_map(|text| text.split("://").skip(1)).map(|rest| {
        let host = rest.split(|c: char| !c.is_ascii_alphanumeric() && !".-".contains(c)).next();
        host.unwrap_or("").to_owned()
    });
    hosts.filter(|host| host.len() > 3 && !host.ends_with("debian.org")).collect()
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("")
}

/// The words of a name in snake or camel case, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for char in name.chars() {
        if char == '_' || char.is_uppercase() {
            words.push(String::new());
        }
        words.last_mut().expect("one at least").extend(char.to_lowercase());
    }
    words
}

fn place(file: &TreeFile, number: usize, line: &str) -> String {
    format!("{}:{number}: {}", file.path, line.trim())
}

fn assert_none(rule: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
}
