//! The fuzzer's functions on the corpora that were kept, so that neither can rot: `cargo fuzz` itself needs a nightly Rust.

#[path = "../../fuzz/src/lib.rs"]
pub mod functions;

use crate::tree;
use std::{collections::BTreeSet, fs, path::Path};

fn names_in(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(tree::top().join(folder)).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it is readable").path());
    let stem = |path: &Path| path.file_stem().map(|name| name.to_string_lossy().into_owned());
    paths.filter_map(|path| stem(&path)).collect()
}

#[test]
fn every_function_of_the_fuzzer_has_its_program_and_its_corpus() {
    let functions: BTreeSet<_> =
        functions::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in("fuzz/fuzz_targets"), functions);
    assert_eq!(names_in("fuzz/corpus"), functions);
    let manifest = tree::read("fuzz/Cargo.toml");
    for name in functions {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no program");
    }
}

#[test]
fn what_the_fuzzer_found_interesting_breaks_no_law() {
    for (name, function) in functions::ALL {
        let folder = tree::top().join("fuzz/corpus").join(name);
        let files = fs::read_dir(folder).expect("the corpus is there");
        let files: Vec<_> = files.map(|entry| entry.expect("it is readable").path()).collect();
        assert!(files.len() > 5, "{name} has only {} inputs", files.len());
        for file in files {
            eprintln!("{}", file.display());
            function(&fs::read(file).expect("it is readable"));
        }
    }
}
