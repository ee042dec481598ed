//! Dependencies: where they come from, under which licences, and that each has its reason written down.
//! The same rules as deny.toml, for machines without cargo-deny.

use crate::tree;
use serde_json::Value;
use std::{collections::BTreeSet, env, process::Command};

/// Licences that may stand in a binary under MIT OR Apache-2.0.
const LICENCES: [&str; 7] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
];

/// Crates that bring in C libraries, or a compressor whose bytes depend on how writes are cut.
const BANNED: [&str; 6] =
    ["openssl-sys", "native-tls", "aws-lc-sys", "zlib-rs", "libz-sys", "cloudflare-zlib-sys"];

#[test]
fn dependencies_come_from_one_registry_with_a_checksum_each() {
    let lockfile: toml::Table = tree::read("Cargo.lock").parse().expect("cargo wrote it");
    let packages = lockfile["package"].as_array().expect("cargo lists packages");
    let mut sources = BTreeSet::new();
    for package in packages.iter().filter(|package| package["name"].as_str() != Some("stackc")) {
        let source = package.get("source").and_then(toml::Value::as_str).unwrap_or("none");
        assert!(source.starts_with("registry+"), "{} comes from {source}", package["name"]);
        assert!(package.get("checksum").is_some(), "{} has no checksum", package["name"]);
        sources.insert(source);
    }
    assert_eq!(sources.len(), 1, "several registries: {sources:?}");
}

#[test]
fn dependencies_have_licences_that_a_binary_may_carry() {
    let mut wrong = Vec::new();
    for package in linked_packages() {
        let name = package["name"].as_str().expect("cargo names packages");
        let licence = package["license"].as_str().unwrap_or("none stated");
        if !licence_allowed(licence) {
            wrong.push(format!("{name}: {licence}"));
        }
        assert!(!BANNED.contains(&name), "{name} is banned (see deny.toml)");
    }
    assert!(wrong.is_empty(), "licences that are not allowed:\n{}", wrong.join("\n"));
}

#[test]
fn licence_expressions_are_read_as_spdx_has_them() {
    for fine in ["MIT", "MIT/Apache-2.0", "(MIT OR GPL-3.0) AND ISC", "GPL-2.0 OR Zlib"] {
        assert!(licence_allowed(fine), "{fine}");
    }
    for wrong in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND (AGPL-3.0)", "none stated", ""] {
        assert!(!licence_allowed(wrong), "{wrong}");
    }
}

#[test]
fn every_dependency_says_in_the_architecture_why_it_is_there() {
    let architecture = tree::read("src/ARCHITECTURE.md");
    let manifest: toml::Table = tree::read("Cargo.toml").parse().expect("cargo reads it");
    for section in ["dependencies", "dev-dependencies"] {
        for name in manifest[section].as_table().expect("a table").keys() {
            let mark = format!("`{name}`");
            assert!(architecture.contains(&mark), "{name} has no reason in src/ARCHITECTURE.md");
        }
    }
}

/// The packages that are in a build for Linux, our own left out.
fn linked_packages() -> Vec<Value> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let metadata = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .args(["--filter-platform=x86_64-unknown-linux-gnu", "--manifest-path"])
        .arg(tree::top().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("cargo lists packages").clone();
    assert!(packages.len() > 100, "the fence reads what cargo links");
    packages.into_iter().filter(|package| package["source"].is_string()).collect()
}

/// Whether an SPDX expression can be met with the allowed licences. `/` is the old way to write OR.
fn licence_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any(&mut words) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words) -> bool {
    let mut met = all(words);
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words);
    }
    met
}

fn all(words: &mut Words) -> bool {
    let mut met = one(words);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words);
    }
    met
}

fn one(words: &mut Words) -> bool {
    let Some(first) = words.next() else { return false };
    if first == "(" {
        let met = any(words);
        return words.next_if_eq(&")").is_some() && met;
    }
    let exception = words.next_if_eq(&"WITH").and_then(|_| words.next());
    let licence = exception.map_or(first.to_owned(), |name| format!("{first} WITH {name}"));
    LICENCES.contains(&licence.as_str())
}
