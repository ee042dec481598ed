//! `apt` and `packages`: what is installed, and where it comes from.

mod deb822;
mod pins;
mod sources;

use crate::{
    compile::{
        report::{Code, Mistake},
        source::{At, Value},
        view::View,
    },
    model::{AptDocument, PackageName},
};
use std::collections::BTreeMap;

pub fn read(stack: &View<'_>, keys: &BTreeMap<String, String>) -> AptDocument {
    let apt = stack.table("apt");
    let may_start = apt.parsed_texts("may_start").into_iter().map(|name| name.value).collect();
    AptDocument {
        packages: packages(stack),
        sources: sources::read(&apt, keys),
        pins: pins::read(&apt),
        may_start,
    }
}

fn packages(stack: &View<'_>) -> BTreeMap<PackageName, String> {
    let mut packages = BTreeMap::new();
    for (name, at, node) in stack.entries("packages") {
        let Some(package) = stack.lowering.parse::<PackageName>(name, at) else { continue };
        let version = match &node.value {
            Value::Text(text) => stack.lowering.text(text, node.at),
            _ => Some(String::new()),
        };
        match version {
            Some(version) if node.text().is_none() || is_version(&version) => {
                packages.insert(package, version);
            }
            Some(version) => {
                let title = format!("`{version}` is no version of a package");
                let help = "write it as `apt-cache policy` shows it, or `true` for the newest";
                stack.report(Mistake::new(Code::BadVersion, node.at, title).help(help));
            }
            None => {}
        }
    }
    packages
}

/// A version, or a glob of versions. Source: Debian policy §5.6.12, apt-get(8).
fn is_version(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".+-~:*".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(plain)
}

/// Reports what needs a package that nobody declares; one of these will do, the first is the usual one.
pub fn need_package(stack: &View<'_>, at: At, what: &str, packages: &[&str]) {
    if !declares(stack, packages) {
        let usual = packages[0];
        let title = format!("{what} needs the package `{usual}`, which nobody declares");
        let table = stack.lowering.files.layer_table(at, "packages");
        let help = format!("add `{usual} = true` to `[{table}]`");
        stack.report(Mistake::new(Code::PackageNotDeclared, at, title).help(help));
    }
}

/// Whether one of these packages, or a version of one, is declared.
pub fn declares(stack: &View<'_>, packages: &[&str]) -> bool {
    let mut declared = stack.table("packages").table.keys();
    declared.any(|name| packages.iter().any(|package| brings(name, package)))
}

/// Whether a package is another one, or a version of it such as postgresql-15.
fn brings(name: &str, package: &str) -> bool {
    name.strip_prefix(package).is_some_and(|rest| {
        let version = rest.strip_prefix('-');
        rest.is_empty() || version.is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
    })
}
